"""Every page with the demo in it: no barrier found by axe, nothing that scrolls sideways."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Page, Route, StorageState, expect

from codestream.core.database_trouble import CODE_HEADER, LOCKED
from tests.running import Running

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.xdist_group("product")]
PAGES = [
    "/executions/",
    "/executions/new/",
    "/pipelines/",
    "/pipelines/new/",
    "/projects/",
    "/endpoints/",
    "/endpoints/new/",
    "/variables/",
    "/triggers/docker/activity/",
    "/triggers/docker/webhooks/",
    "/triggers/docker/webhooks/new/",
    "/triggers/docker/webhooks/token/",
    "/account/tokens/",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_barrier_and_fits(product: Running, page: Page, path: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))

    page.goto(path)
    found = Axe().run(page)
    page.set_viewport_size({"width": 390, "height": 800})

    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert [text for text in said if "Content Security Policy" in text] == []


def test_an_execution_and_its_delivery_have_no_barrier(product: Running, page: Page) -> None:
    tag = "long-" + "x" * 100
    product.push(tag)
    execution = product.ended(tag)
    pages = [f"/executions/{execution['id']}/", "/triggers/docker/activity/", "/executions/"]

    found = []
    for path in pages:
        page.goto(path)
        found.append(Axe().run(page))
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path

    assert [result.generate_report() for result in found if result.violations_count] == []


def test_a_live_page_sends_one_who_is_signed_out_to_the_sign_in(
    product: Running, page: Page
) -> None:
    page.goto("/executions/")

    page.context.clear_cookies()

    page.wait_for_url("**/account/sign-in/**", timeout=60_000)
    assert page.locator("main").count() == 1


def test_a_live_page_says_why_it_stands_still_until_it_goes_on(
    product: Running, page: Page
) -> None:
    trouble = page.get_by_role("alert").get_by_text("The database is locked")
    page.goto("/executions/")

    page.route("**/executions/?version=*", answer_that_it_is_locked)
    trouble.wait_for(timeout=60_000)
    found = Axe().run(page)
    page.unroute("**/executions/?version=*")
    trouble.wait_for(state="detached", timeout=60_000)

    assert found.violations_count == 0, found.generate_report()


def answer_that_it_is_locked(route: Route) -> None:
    note = render_to_string("503.html#note", {"trouble": LOCKED, "request_id": "trace-12345678"})
    route.fulfill(status=503, headers={CODE_HEADER: LOCKED.code}, body=note)


@pytest.mark.parametrize("has_script", [True, False])
def test_a_token_can_be_selected_and_is_copied_by_a_button_only_where_that_works(
    browser: Browser, product: Running, signed_in: StorageState, has_script: bool
) -> None:
    context = browser.new_context(
        base_url=product.url, storage_state=signed_in, java_script_enabled=has_script
    )
    page = context.new_page()
    page.goto("/account/tokens/")
    page.get_by_label("Name").fill(f"copied-{has_script}")
    page.get_by_role("button", name="Generate token").click()

    shown = page.locator(".copy code")
    expect(shown).to_have_text(re.compile("^cs_rt_"))
    expect(shown).to_have_css("user-select", "all")
    expect(page.get_by_role("button", name="Copy API token")).to_have_count(int(has_script))
    context.close()


@pytest.mark.parametrize("language", ["en", "it"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_activity_shows_all_its_columns_at_once(
    product: Running, browser: Browser, signed_in: StorageState, language: str, width: int
) -> None:
    product.push("4.0.0")
    product.ended("4.0.0")
    context = browser.new_context(
        base_url=product.url,
        storage_state=signed_in,
        locale=language,
        viewport={"width": width, "height": 900},
    )
    page = context.new_page()

    page.goto("/triggers/docker/activity/")

    table = page.locator(".table-wrap")
    assert table.evaluate("wrap => wrap.scrollWidth - wrap.clientWidth") <= 0
    context.close()

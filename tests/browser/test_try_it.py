"""*Try it*: what a webhook would say of a push, as the form stands and as it is saved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.running import Running

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.xdist_group("product")]
LIST = "/triggers/docker/webhooks/"
TAGS = ("70.1.0", "nightly-70")


@pytest.fixture(scope="module", autouse=True)
def pushed(product: Running) -> None:
    """Two pushes that are judged and run by the webhook of the demo."""
    for tag in TAGS:
        product.push(tag)
    for tag in TAGS:
        product.ended(tag)


@pytest.fixture
def form(product: Running, page: Page) -> Iterator[Page]:
    """The form of the demo's webhook; nothing that is tried there is saved or started."""
    page.goto(LIST)
    page.locator("article.card a.title").first.click()
    saved = page.get_by_label("Tag", exact=True).input_value()
    runs = product.api("executions")["totalCount"]
    yield page
    page.goto(page.url)
    expect(page.get_by_label("Tag", exact=True)).to_have_value(saved)
    assert product.api("executions")["totalCount"] == runs


def recent(page: Page, tag: str) -> Locator:
    return page.locator(".tries li").filter(has_text=f"demo/web:{tag}").first


def test_the_form_is_tried_as_it_stands(form: Page) -> None:
    form.get_by_label("Tag", exact=True).fill(r"\d+\.\d+\.\d+")
    form.get_by_label("Image and tag").fill("demo/web:70.2.0")
    form.get_by_label("Image and tag").press("Enter")

    expect(form.get_by_text("Would start the pipeline")).to_be_visible()
    expect(form.get_by_role("list", name="Result")).to_contain_text(
        r'Tag "70.2.0" matches \d+\.\d+\.\d+'
    )
    expect(recent(form, TAGS[0])).to_contain_text("Starts")
    expect(recent(form, TAGS[1])).to_contain_text("Does not")


def test_another_pattern_is_tried_as_soon_as_it_is_entered(form: Page) -> None:
    form.get_by_label("Image and tag").fill("demo/web:70.2.0")
    form.get_by_role("button", name="Try", exact=True).click()
    expect(form.get_by_text("Would start the pipeline")).to_be_visible()

    form.get_by_label("Tag", exact=True).fill("70")
    form.get_by_label("Tag", exact=True).blur()

    expect(form.get_by_text("Would start nothing")).to_be_visible()
    expect(form.get_by_role("list", name="Result")).to_contain_text("the whole tag has to match")


def test_a_real_delivery_is_picked(form: Page) -> None:
    form.get_by_label("Tag", exact=True).fill("nightly-.*")
    form.get_by_role("button", name="Try", exact=True).click()

    recent(form, TAGS[0]).get_by_role("button").click()
    expect(form.get_by_text("Would start nothing")).to_be_visible()
    recent(form, TAGS[1]).get_by_role("button").click()

    expect(form.get_by_text("Would start the pipeline")).to_be_visible()
    expect(form.get_by_role("list", name="Result")).to_contain_text('Tag "nightly-70" matches')


def test_what_was_asked_last_is_answered(form: Page) -> None:
    form.route("**/try/", lambda _never_answered: None, times=1)
    with form.expect_request("**/try/") as asked:
        form.get_by_label("Tag", exact=True).fill("nightly-.*")
        form.get_by_role("button", name="Try", exact=True).focus()

    with form.expect_event("requestfailed") as given_up:
        recent(form, TAGS[0]).get_by_role("button").click()

    assert given_up.value == asked.value
    expect(form.get_by_text("Would start nothing")).to_be_visible()


def test_a_pattern_that_is_none_says_so_beside_its_field(form: Page) -> None:
    form.get_by_label("Tag", exact=True).fill("(1")
    form.get_by_role("button", name="Try", exact=True).click()

    expect(form.locator("#pattern-problems")).to_contain_text("never closed")
    expect(form.get_by_text("Would start")).to_have_count(0)


def test_a_saved_webhook_is_tried_on_a_page_of_its_own(page: Page) -> None:
    page.goto(LIST)
    page.get_by_role("link", name="Try it").first.click()
    page.get_by_label("Image and tag").fill("demo/api:70.2.0")
    page.get_by_role("button", name="Try", exact=True).click()

    expect(page.get_by_text("Would start nothing")).to_be_visible()
    expect(page.get_by_role("list", name="Result")).to_contain_text("the endpoint's repository is")
    recent(page, TAGS[1]).get_by_role("link").click()
    expect(page.get_by_text("Would start the pipeline")).to_be_visible()
    expect(page.get_by_label("Image and tag")).to_have_value("demo/web:nightly-70")

"""The main job, from a push to a rollout, as a person sees it and with processes being killed."""

from __future__ import annotations

import base64
import urllib.parse

import pytest
from playwright.sync_api import Page, expect

from tests.running import PASSWORD, Running, until

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.xdist_group("product")]


def test_a_push_deploys_while_a_person_watches(product: Running, page: Page) -> None:
    page.goto("/triggers/docker/webhooks/")
    expect(page.get_by_text("In sync")).to_be_visible(timeout=60_000)

    hub = page.context.new_page()
    hub.goto(product.places.dockerhub_url)
    hub.get_by_label("Image").fill("demo/web")
    hub.get_by_label("Tag").fill("1.2.3")
    hub.get_by_role("button", name="Push").click()

    page.goto("/triggers/docker/activity/")
    row = page.get_by_role("row").filter(has_text="1.2.3")
    expect(row.get_by_text("Triggered")).to_be_visible(timeout=60_000)
    row.get_by_role("link", name="web-cd #").click()
    expect(page.locator("h1")).to_contain_text("web-cd #")
    expect(page.locator(".page-head .pill")).to_have_text("Completed", timeout=60_000)
    assert product.deployed_image() == "demo/web:1.2.3"


def test_a_killed_worker_loses_nothing(product: Running) -> None:
    product.push("2.0.0")
    until(lambda: product.execution_of("2.0.0"))

    product.kill("worker")

    assert product.ended("2.0.0")["status"] == "COMPLETED"
    assert product.deployed_image() == "demo/web:2.0.0"
    events = product.api("registry-events")["documents"].values()
    assert [row["tag"] for row in events].count("2.0.0") == 1


def test_no_password_or_token_stands_in_the_database_or_a_log(product: Running) -> None:
    product.push("3.0.0")
    product.ended("3.0.0")
    secrets = [
        PASSWORD,
        product.token,
        product.places.dockerhub_password,
        product.places.kubernetes_token,
    ]
    forms = {
        form
        for secret in secrets
        for form in (
            secret,
            urllib.parse.quote(secret),
            base64.b64encode(secret.encode()).decode().rstrip("="),
        )
    }

    files = [*product.data_dir.glob("codestream.sqlite3*"), *product.data_dir.glob("logs/*.log")]
    found = [
        (file.name, form[:4])
        for file in files
        for form in forms
        if form.encode() in file.read_bytes()
    ]

    assert len(files) > 4
    assert found == []

"""Undoing a deploy, as a person clicks it: the dialog says what will happen, and it happens."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.running import Running

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.xdist_group("product")]


def test_a_deploy_is_undone_by_two_clicks(product: Running, page: Page) -> None:
    product.push("undo-1")
    product.ended("undo-1")
    before = product.deployed_image()
    product.push("undo-2")
    execution = product.ended("undo-2")
    assert (before, product.deployed_image()) == ("demo/web:undo-1", "demo/web:undo-2")

    page.goto(f"/executions/{execution['id']}/")
    page.get_by_role("link", name="Undo Apply manifests").click()
    dialog = page.get_by_role("dialog", name="Undo Apply manifests?")
    expect(dialog).to_contain_text("deployment/web in demo gets back the fields")
    found = Axe().run(page)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("link", name="Undo Apply manifests").click()
    dialog.get_by_role("button", name="Undo").click()

    expect(page.locator(".page-head .pill")).to_have_text("Completed")
    page.get_by_role("link", name="Deploy.Apply manifests of").click()
    expect(page.get_by_text("Undone by")).to_be_visible()
    assert found.violations_count == 0, found.generate_report()
    assert product.deployed_image() == before

"""A started product and a browser, one of each for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from tests.process.databases import DEMO_OPTIONS, folder_for_all
from tests.running import PASSWORD, Running, running_product

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
expect.set_options(timeout=30_000)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def product() -> Iterator[Running]:
    with folder_for_all() as folder, running_product(folder, *DEMO_OPTIONS) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here; install it with: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def signed_in(browser: Browser, product: Running) -> StorageState:
    """The cookies of the demo's administrator, who signs in once."""
    context = browser.new_context(base_url=product.url)
    page = context.new_page()
    page.goto("/account/sign-in/")
    page.get_by_label("User name or e-mail").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/executions/**")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(browser: Browser, product: Running, signed_in: StorageState) -> Iterator[Page]:
    """A page on which the administrator of the demo is signed in."""
    context = browser.new_context(
        base_url=product.url,
        storage_state=signed_in,
        viewport={"width": 1440, "height": 1000},
    )
    yield context.new_page()
    context.close()

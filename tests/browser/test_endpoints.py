"""New endpoint as the manual tells it, with a person's keyboard and mouse."""

from __future__ import annotations

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.running import Running

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.xdist_group("product")]


def test_a_registry_is_validated_its_password_kept_in_a_variable_and_saved(
    product: Running, page: Page
) -> None:
    page.goto("/endpoints/")
    page.get_by_role("link", name="New endpoint").click()
    page.get_by_role("combobox", name="Project").fill("Demo")
    page.get_by_role("textbox", name="Name", exact=True).fill("release-hub")
    page.get_by_label("Repo URL").fill(f"{product.places.dockerhub_url}/demo/web:latest")
    page.get_by_label("Username").fill(product.places.dockerhub_user)
    expect(page.get_by_label("Repo URL")).to_have_value(
        f"{product.places.dockerhub_url}/r/demo/web"
    )
    password = page.get_by_label("Password or access token")

    password.fill("wrong")
    page.get_by_role("button", name="Validate").click()
    refused = page.locator("[data-takes-focus][data-status='failed']")
    expect(refused).to_contain_text("Docker Hub refused the user name")
    expect(refused).to_be_focused()
    expect(password).to_have_value("wrong")

    password.fill(product.places.dockerhub_password)
    page.get_by_role("link", name="Create variable").click()
    dialog = page.get_by_role("dialog", name="Create variable")
    dialog.get_by_role("textbox", name="Name").fill("not a name")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("textbox", name="Name")).to_be_focused()
    assert Axe().run(page).violations_count == 0
    dialog.get_by_role("textbox", name="Name").fill("release-hub-password")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    expect(password).to_have_value("${var.release-hub-password}")
    expect(password).to_be_focused()

    page.get_by_role("button", name="Validate").click()
    expect(page.locator("[data-takes-focus][data-status='completed']")).to_contain_text("Signed in")
    expect(password).to_have_value("${var.release-hub-password}")
    page.get_by_role("button", name="Create", exact=True).click()

    card = page.get_by_role("article", name="release-hub", exact=True)
    expect(card).to_be_visible()
    card.get_by_role("button", name="Validate").click()
    expect(card).to_contain_text("Signed in")
    page.goto("/variables/")
    assert product.places.dockerhub_password not in page.content()
    expect(page.get_by_role("row", name="release-hub-password")).to_contain_text("Secret")


def test_a_cluster_is_filled_in_from_a_kubeconfig(product: Running, page: Page) -> None:
    cluster = {"server": product.places.kubernetes_url, "insecure-skip-tls-verify": True}
    kubeconfig = {
        "current-context": "dev",
        "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"exec": {"command": "aws"}}}],
    }
    page.goto("/endpoints/new/?type=k8s")
    page.get_by_role("combobox", name="Project").fill("Demo")
    page.get_by_role("textbox", name="Name", exact=True).fill("dev-cluster")
    page.get_by_text("Fill in from a kubeconfig").click()
    pasted = page.get_by_label("Kubeconfig", exact=True)

    pasted.fill(yaml.safe_dump(kubeconfig))
    page.get_by_role("button", name="Fill in the fields").click()
    expect(page.get_by_text("The kubeconfig uses “exec”.")).to_be_visible()

    kubeconfig["users"] = [{"name": "u", "user": {"token": product.places.kubernetes_token}}]
    pasted.fill(yaml.safe_dump(kubeconfig))
    page.get_by_role("button", name="Fill in the fields").click()
    expect(page.get_by_label("Kubernetes cluster URL")).to_have_value(product.places.kubernetes_url)
    expect(page.get_by_text("switches the check of the certificate off")).to_be_visible()
    page.get_by_role("button", name="Validate").click()
    expect(page.locator("[data-takes-focus]")).to_contain_text("Kubernetes v1.31.0")
    assert Axe().run(page).violations_count == 0
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Create", exact=True).click()

    expect(page.get_by_role("article", name="dev-cluster")).to_be_visible()

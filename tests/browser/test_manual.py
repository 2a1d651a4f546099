"""The manual's procedure, clicked from an empty database to a deployed image."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.running import PASSWORD, ROOT, Running, running_product

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.xdist_group("manual")]
PIPELINE = """\
name: deploy-web
options: [DOCKER_TRIGGER]
input: {DOCKER_IMAGE: '', DOCKER_TAG: '', DOCKER_REPO_NAME: '', namespace: demo}
stageOrder: [Deploy]
stages:
  Deploy:
    taskOrder: [Create]
    tasks:
      Create:
        type: K8S
        endpoints: {kubernetesServer: dev-cluster}
        input:
          action: CREATE
          yaml: |
            apiVersion: v1
            kind: Namespace
            metadata: {name: "${input.namespace}"}
            ---
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: "${input.DOCKER_REPO_NAME}", namespace: "${input.namespace}"}
            spec:
              replicas: 1
              selector: {matchLabels: {app: web}}
              template:
                metadata: {labels: {app: web}}
                spec:
                  containers: [{name: web, image: "${input.DOCKER_IMAGE}:${input.DOCKER_TAG}"}]
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("data")
    create_administrator(folder)
    with running_product(folder) as running:
        yield running


def create_administrator(data_dir: Path) -> None:
    """Make the first account, as an empty database asks for it; where one is, comes no demo."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "codestream.settings",
        "DATA_DIR": str(data_dir),
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    who = ["--noinput", "--username", "admin", "--email", "admin@example.com"]
    for command in (["migrate", "--verbosity", "0"], ["createsuperuser", *who]):
        subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True
        )


@pytest.fixture
def page(browser: Browser, product: Running) -> Iterator[Page]:
    context = browser.new_context(base_url=product.url, viewport={"width": 1440, "height": 1000})
    yield context.new_page()
    context.close()


def sign_in(page: Page) -> None:
    page.goto("/account/sign-in/")
    page.get_by_label("User name or e-mail").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/executions/**")


def create_project(page: Page) -> None:
    page.goto("/projects/new/")
    page.get_by_label("Name").fill("Retail")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Retail")).to_be_visible()


def create_cluster(page: Page, product: Running) -> None:
    page.goto("/endpoints/new/?type=k8s")
    page.get_by_label("Project").fill("Retail")
    page.get_by_label("Name", exact=False).first.fill("dev-cluster")
    page.get_by_label("Kubernetes cluster URL").fill(product.places.kubernetes_url)
    page.locator("#id_token").fill(product.places.kubernetes_token)
    page.get_by_role("button", name="Create", exact=True).last.click()
    expect(page.get_by_text("dev-cluster").first).to_be_visible()


def create_pipeline(page: Page) -> None:
    page.goto("/pipelines/new/")
    page.get_by_label("Project").fill("Retail")
    page.locator("textarea").first.fill(PIPELINE)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="deploy-web")).to_be_visible()


def create_endpoint_on_the_way(page: Page, product: Running) -> None:
    page.get_by_role("button", name="Create endpoint").click()
    page.wait_for_url("**/endpoints/new/**")
    expect(page.get_by_label("Project")).to_have_value("Retail")
    page.locator("#id_name").fill("hub-web")
    page.locator("#id_repository_url").fill(f"{product.places.dockerhub_url}/r/demo/web")
    page.locator("#id_username").fill(product.places.dockerhub_user)
    page.locator("#id_password").fill(product.places.dockerhub_password)
    page.get_by_role("button", name="Create", exact=True).last.click()
    page.wait_for_url("**/triggers/docker/webhooks/new/**")


def generate_token(page: Page) -> None:
    page.get_by_role("link", name="Generate token").click()
    dialog = page.locator("#token-dialog dialog")
    expect(dialog.get_by_label("E-mail or user name")).to_have_value("admin@example.com")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Generate").click()
    expect(dialog.get_by_text("Valid for six months")).to_be_visible()
    expect(dialog.get_by_label("API token")).to_have_value(re.compile("^cs_rt_"))
    dialog.get_by_role("link", name="Create variable").click()
    variable = page.locator("#variable-dialog dialog")
    variable.get_by_label("Name").fill("docker-token")
    variable.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("${var.docker-token}")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("#id_api_token")).to_have_value("${var.docker-token}")


def create_webhook(page: Page, product: Running) -> None:
    page.goto("/triggers/docker/webhooks/")
    page.get_by_role("link", name="New webhook for Docker").click()
    page.get_by_label("Project").fill("Retail")
    page.locator("#id_name").fill("web-release")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#id_secret_token")).to_have_value(re.compile(r"^[\w-]{27}$"))
    create_endpoint_on_the_way(page, product)
    expect(page.locator("#id_name")).to_have_value("web-release")
    expect(page.locator("#id_endpoint option:checked")).to_contain_text("hub-web")
    page.get_by_label("Pipeline", exact=False).first.select_option(
        label="deploy-web (Retail), Docker parameters"
    )
    expect(page.get_by_label("namespace")).to_have_attribute("placeholder", "demo")
    generate_token(page)
    page.get_by_label("Image", exact=True).fill("demo/web")
    page.get_by_label("Tag", exact=True).fill(r"\d+\.\d+")
    page.get_by_role("button", name="Save").last.click()


def test_the_procedure_of_the_manual(product: Running, page: Page) -> None:
    sign_in(page)
    create_project(page)
    create_cluster(page, product)
    create_pipeline(page)
    create_webhook(page, product)

    card = page.locator("article.card").filter(has_text="web-release")
    expect(card.get_by_text("Enabled")).to_be_visible()
    expect(card.get_by_text("In sync")).to_be_visible(timeout=60_000)
    card.get_by_role("button", name="Reveal URL").click()
    expect(card.get_by_role("button", name="Copy webhook URL")).to_be_focused()
    expect(card.get_by_text("secureToken=********")).to_have_count(0)

    product.push("1.0")

    page.goto("/executions/")
    page.get_by_role("link", name="deploy-web #1").click()
    expect(page.locator(".page-head .pill")).to_have_text("Completed", timeout=60_000)
    assert product.deployed_image() == "demo/web:1.0"

    page.goto("/triggers/docker/webhooks/")
    page.get_by_role("button", name="Disable").click()
    product.push("1.1")
    page.goto("/triggers/docker/activity/")
    row = page.get_by_role("row").filter(has_text="1.1")
    expect(row.get_by_text("Ignored")).to_be_visible(timeout=60_000)
    assert product.deployed_image() == "demo/web:1.0"

"""Webhooks of registries other than Docker Hub: which one it is says the endpoint."""

from __future__ import annotations

import json

import pytest
from pytest_django.fixtures import Settings

from executions.models import Execution
from executions.worker import drain
from tests.factories import DockerRegistryFactory, DockerWebhookFactory, PipelineFactory
from tests.integration.cast import Cast, get
from tests.integration.test_pages_endpoints import HUB
from tests.integration.test_pages_webhooks import LIST, PUSHES, page_of
from webhooks.models import DockerWebhook, RegistryEvent, RemoteHook
from webhooks.services import receive_event

pytestmark = pytest.mark.django_db
HOST = "registry.example.com:5000"
DIGEST = f"sha256:{'d' * 64}"
PIPELINE = """\
name: deploy
input:
  DOCKER_IMAGE: ''
  DOCKER_DIGEST: ''
  DOCKER_IMAGE_REFERENCE: ''
"""


def registry(server_type: str = "Docker_Distribution", name: str = "team/app") -> dict[str, str]:
    return {"serverType": server_type, "repoURL": f"https://{HOST}/{name}"}


def envelope(name: str = "team/app", digest: str = DIGEST, host: str = HOST) -> bytes:
    """What Docker Distribution says of a push."""
    url = f"http://{host}/v2/{name}/manifests/{digest}"
    target = {"repository": name, "tag": "1.2.3", "digest": digest, "url": url}
    event = {"action": "push", "target": target, "request": {"host": host}}
    return json.dumps({"events": [event]}).encode()


def receive(webhook: DockerWebhook, body: bytes) -> RegistryEvent:
    event = receive_event(webhook=webhook, body=body, headers={}, remote_addr=None)
    drain()
    event.refresh_from_db()
    return event


@pytest.mark.parametrize("name", ["app", "team/app", "team/sub/app"])
def test_the_image_is_named_with_the_host_of_the_endpoint(name: str) -> None:
    webhook = DockerWebhookFactory(
        endpoint__properties=registry(name=name), image_pattern=name, pipeline__source=PIPELINE
    )

    event = receive(webhook, envelope(name, host="elsewhere.example.com"))

    assert (event.verdict, event.image) == ("TRIGGERED", name)
    assert Execution.objects.get().inputs == {
        "DOCKER_IMAGE": f"{HOST}/{name}",
        "DOCKER_DIGEST": DIGEST,
        "DOCKER_IMAGE_REFERENCE": f"{HOST}/{name}@{DIGEST}",
    }


def test_without_a_digest_the_reference_is_that_of_the_tag() -> None:
    webhook = DockerWebhookFactory(endpoint__properties=registry(), pipeline__source=PIPELINE)

    receive(webhook, envelope(digest=""))

    reference = Execution.objects.get().inputs["DOCKER_IMAGE_REFERENCE"]
    assert reference == f"{HOST}/team/app:1.2.3"


def test_the_registry_follows_the_endpoint() -> None:
    webhook = DockerWebhookFactory(endpoint__properties=registry("DockerHub", "acme/web"))
    assert receive(webhook, envelope()).verdict == "IGNORED"

    webhook.endpoint.properties = registry()
    webhook.endpoint.save()

    fresh = DockerWebhook.objects.get()
    assert receive(fresh, envelope()).verdict == "TRIGGERED"


def test_a_push_of_another_repository_is_refused() -> None:
    webhook = DockerWebhookFactory(endpoint__properties=registry())
    event = receive(webhook, envelope("team/sub/app"))
    assert (event.verdict, event.reason_code) == ("REJECTED", "other_repository")


# Kept by hand


ELSEWHERE = {
    "Docker_Distribution": 'Authorization: ["Bearer SECRET"]',
    "Harbor": "Auth Header",
    "GitHub_Packages": "Payload URL",
    "Quay": "In Quay open Settings",
    "Azure_Container_Registry": "Custom headers",
    "Docker_Trusted_Registry": "In Docker Trusted Registry open Webhooks",
}


@pytest.mark.parametrize("server_type", ELSEWHERE)
def test_the_card_says_where_the_address_is_entered(cast: Cast, server_type: str) -> None:
    webhook = DockerWebhookFactory(
        project=cast.project,
        endpoint__properties=registry(server_type),
        mirror_mode=DockerWebhook.MirrorMode.AUTO,
    )
    drain()

    html = get(cast, LIST)

    hook = RemoteHook.objects.get()
    assert (hook.kept_by, hook.epoch) == (DockerWebhook.MirrorMode.MANUAL, 0)
    assert ELSEWHERE[server_type] in html.replace("&quot;", '"')
    assert "Let Codestream keep it" not in html
    assert webhook.secrets.get().secret not in html


def test_codestream_keeps_webhooks_in_docker_hub_only(cast: Cast) -> None:
    webhook = DockerWebhookFactory(project=cast.project, endpoint__properties=registry("Harbor"))

    answer = cast.client("member").post(page_of(webhook, "keep"), {"keeper": "AUTO"}, follow=True)

    assert "Only in Docker Hub can Codestream keep a webhook." in answer.text
    assert RemoteHook.objects.get().kept_by == DockerWebhook.MirrorMode.MANUAL


def test_an_entered_address_and_one_that_is_to_go_are_named_after_the_registry(cast: Cast) -> None:
    webhook = DockerWebhookFactory(project=cast.project, endpoint__properties=registry("Harbor"))
    assert "To be entered in Harbor by hand" in get(cast, LIST)

    cast.client("member").post(page_of(webhook, "pasted"))
    assert "Kept by hand" in get(cast, LIST)

    cast.client("member").post(page_of(webhook, "delete"))
    assert "To be removed from Harbor by hand" in get(cast, LIST)


# Forms


def entered(cast: Cast, token: str, server_type: str, **changes: str) -> dict[str, str]:
    endpoint = DockerRegistryFactory(project=cast.project, properties=registry(server_type))
    return {
        "project": cast.project.name,
        "name": "release",
        "endpoint": str(endpoint.pk),
        "pipeline": str(PipelineFactory(project=cast.project).pk),
        "api_token": token,
        "mirror_mode": "AUTO",
        **PUSHES,
        **changes,
    }


def test_what_one_push_is_is_kept_with_the_webhook(cast: Cast, token: str) -> None:
    sent = entered(cast, token, "DockerHub", settle_seconds="0", recovery="RECORD")
    del sent["pin_digest"]

    cast.client("member").post(f"{LIST}new/", sent)

    made = DockerWebhook.objects.get()
    assert (made.settle_seconds, made.pin_digest, made.recovery) == (0, False, "RECORD")
    assert made.recover_since is not None
    html = get(cast, page_of(made, "edit"))
    assert '<option value="RECORD" selected>' in html
    assert 'name="settle_seconds" value="0"' in html


@pytest.mark.parametrize("seconds", ["-1", "3601", "", "x"])
def test_a_settle_window_of_more_than_an_hour_is_refused(
    cast: Cast, token: str, seconds: str
) -> None:
    sent = entered(cast, token, "DockerHub", settle_seconds=seconds)
    assert cast.client("member").post(f"{LIST}new/", sent).status_code == 422


def test_only_docker_hub_can_be_asked_for_lost_pushes(cast: Cast, token: str) -> None:
    client = cast.client("member")
    sent = entered(cast, token, "Harbor", recovery="ON")

    client.post(f"{LIST}new/", sent)

    made = DockerWebhook.objects.get()
    assert made.recovery == "OFF"
    version = client.get(page_of(made, "edit")).context["form"]["version"].value()
    answer = client.post(page_of(made, "edit"), sent | {"version": version})

    assert answer.status_code == 422
    assert "Only Docker Hub tells when its tags were pushed" in answer.text


def test_a_draft_keeps_a_box_that_is_not_ticked(cast: Cast, token: str) -> None:
    sent = entered(cast, token, "DockerHub")
    del sent["pin_digest"]
    client = cast.client("member")

    client.post(f"{LIST}new/endpoint/", sent)

    assert "checked" not in _box(client.get(f"{LIST}new/?draft=1").text)
    assert "checked" in _box(client.get(f"{LIST}new/").text)


def _box(html: str) -> str:
    """The tick box of the form as it stands in the page."""
    return next(part for part in html.split("<") if 'name="pin_digest"' in part)


def test_the_card_says_why_it_was_stopped_and_what_the_last_look_came_to(cast: Cast) -> None:
    webhook = DockerWebhookFactory(
        project=cast.project,
        enabled=False,
        stopped_because="More than 10 runs in a minute.",
        recovery=DockerWebhook.Recovery.RECORD,
        look_message="4 tags looked at, 1 without a delivery.",
    )
    html = get(cast, LIST)
    assert webhook.stopped_because in html
    assert webhook.look_message in html


@pytest.mark.parametrize(
    ("server_type", "url", "stored"),
    [
        ("Docker_Distribution", f"{HOST}/team/sub/app:1.2", f"https://{HOST}/team/sub/app"),
        ("GitHub_Packages", "ghcr.io/acme/web", "https://ghcr.io/acme/web"),
        ("Docker_Distribution", "http://localhost:5000/app", "http://localhost:5000/app"),
    ],
)
def test_an_endpoint_of_another_registry_may_need_no_account(
    cast: Cast, server_type: str, url: str, stored: str
) -> None:
    sent = HUB | {"server_type": server_type, "repository_url": url}

    answer = cast.client("member").post("/endpoints/new/", sent | {"username": "", "password": ""})

    assert answer.status_code == 302
    endpoint = DockerRegistryFactory._meta.model.objects.get()
    assert endpoint.properties == {"serverType": server_type, "repoURL": stored}


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("ghcr.io/acme/web", "ghcr.io is not Docker Hub. Choose the server type GitHub Packages"),
        ("quay.io/acme/web", "quay.io is not Docker Hub. Choose the server type Quay."),
        ("https://acme.azurecr.io/a/web", "Choose the server type Azure Container Registry."),
        ("registry.example.com/acme/web", "Choose the server type of that registry."),
        ("docker.io.example.com/acme/web", "docker.io.example.com is not Docker Hub."),
    ],
)
def test_the_type_of_docker_hub_takes_no_other_registry(cast: Cast, url: str, advice: str) -> None:
    refused = cast.client("member").post("/endpoints/new/", HUB | {"repository_url": url})

    (error,) = refused.context["form"].errors["repository_url"]
    assert refused.status_code == 422
    assert advice in error


@pytest.mark.parametrize(
    "url", ["docker.io/acme/web", "registry-1.docker.io/acme/web", "http://127.0.0.1:7/r/acme/web"]
)
def test_docker_hub_and_its_stand_ins_are_taken(cast: Cast, settings: Settings, url: str) -> None:
    settings.DOCKER_HUB_STAND_INS = ["http://127.0.0.1:7"]

    answer = cast.client("member").post("/endpoints/new/", HUB | {"repository_url": url})

    assert answer.status_code == 302


def test_the_address_is_read_as_that_of_the_chosen_registry(cast: Cast) -> None:
    client = cast.client("member")
    asked = {"repository_url": f"{HOST}/team/sub/app"}

    other = client.get("/endpoints/address/", asked | {"server_type": "Harbor"})
    nothing = client.get("/endpoints/address/", {"repository_url": "app", "server_type": "Harbor"})

    assert f'value="https://{HOST}/team/sub/app"' in other.text
    assert "does not name the host of the registry" in nothing.text

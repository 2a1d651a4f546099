"""What Docker Hub, and everybody else on the internet, gets from the addresses it calls."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import uuid
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.db.models import Model
from django.test import Client
from psycopg.errors import LockNotAvailable
from pytest_django.fixtures import Settings

from codestream.core.backends import carrier
from codestream.core.clock import now
from codestream.core.crypto import fingerprint
from codestream.core.models import Entity
from endpoints.models import Endpoint
from executions.worker import drain
from tests.database_failures import database_failure
from tests.factories import DockerWebhookFactory, ProjectFactory
from tests.running import until
from webhooks import recognising
from webhooks.models import DockerWebhook, ListenerSecret, RefusedDelivery, RegistryEvent

pytestmark = pytest.mark.django_db
PUSH = {
    "push_data": {"pusher": "ann", "tag": "1.2.3", "pushed_at": 1700000000},
    "repository": {"repo_name": "demo/web", "name": "web", "namespace": "demo"},
}
REAL = Path(__file__).resolve().parents[3] / "shared/payloads/dockerhub"
OWN = Path(__file__).resolve().parents[1] / "payloads/dockerhub"
OF_DISTRIBUTION = Path(__file__).resolve().parents[1] / "payloads/distribution"


@pytest.fixture
def webhook() -> DockerWebhook:
    return DockerWebhookFactory()


def secret_of(webhook: DockerWebhook) -> str:
    return ListenerSecret.objects.get(webhook=webhook).secret


def deliver(webhook: DockerWebhook, body: Any = PUSH, *, token: str | None = None) -> Any:
    token = secret_of(webhook) if token is None else token
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().post(
        f"{webhook.listener_path}?secureToken={token}", data, content_type="application/json"
    )


def test_a_delivery_is_written_down_before_it_is_answered(webhook: DockerWebhook) -> None:
    answer = deliver(webhook)

    event = RegistryEvent.objects.get()
    assert (answer.status_code, answer.json()) == (200, {"id": str(event.pk), "verdict": "PENDING"})
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert json.loads(bytes(event.body)) == PUSH


def test_a_delivery_through_a_trusted_proxy_keeps_the_address_of_its_sender(
    webhook: DockerWebhook, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.0/8"]
    url = f"{webhook.listener_path}?secureToken="
    claimed = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}

    Client().post(url + secret_of(webhook), b"{}", "application/json", headers=claimed)
    Client().post(f"{url}wrong", b"{}", "application/json", headers=claimed)

    assert RegistryEvent.objects.get().remote_addr == "203.0.113.9"
    assert RefusedDelivery.objects.get().remote_addr == "203.0.113.9"


@pytest.mark.parametrize(
    "path",
    [
        "/codestream/api/registry-webhook-listeners/{id}",
        "/codestream/api/registry-webhook-listeners/{id}/",
        "/pipeline/api/registry-webhooks/{id}",
        "/pipelines/api/docker-hub-webhooks",
        "/pipelines/api/docker-hub-webhooks/",
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "x/y"])
def test_every_published_address_takes_any_content_type(
    webhook: DockerWebhook, path: str, content_type: str
) -> None:
    url = path.format(id=webhook.listener_id) + f"?secureToken={secret_of(webhook)}"

    answer = Client(enforce_csrf_checks=True).post(url, json.dumps(PUSH), content_type=content_type)

    assert answer.status_code == 200


@pytest.mark.parametrize("changed", ["the token", "the webhook", "its address", "its secret"])
def test_what_was_right_once_is_looked_at_again(webhook: DockerWebhook, changed: str) -> None:
    """The webhook is known by now; under another token or address nothing is."""
    token, path = secret_of(webhook), webhook.listener_path
    deliver(webhook)
    deliver(webhook)
    if changed == "the webhook":
        webhook.delete()
    elif changed == "its secret":
        ListenerSecret.objects.all().delete()
    elif changed == "the token":
        token += "x"
    else:
        path = DockerWebhookFactory().listener_path

    answer = Client().post(f"{path}?secureToken={token}", json.dumps(PUSH), "application/json")

    assert answer.status_code == (404 if changed == "the webhook" else 403)
    assert RegistryEvent.objects.count() == 2
    known = (webhook.listener_id, fingerprint(token))
    assert (known in recognising._remembered) == (changed == "its address")


def test_a_delivery_bears_the_names_of_the_moment(webhook: DockerWebhook) -> None:
    deliver(webhook)
    webhook.name, webhook.project.name = "renamed", "Elsewhere"
    webhook.save()
    webhook.project.save()

    assert [deliver(webhook).status_code for _ in range(2)] == [200, 200]

    first, *others = RegistryEvent.objects.order_by("created_at")
    assert first.webhook_name != "renamed"
    assert {(each.webhook_name, each.project_name) for each in others} == {("renamed", "Elsewhere")}


def test_a_delivery_is_read_as_its_registry_writes_it_at_the_moment(
    webhook: DockerWebhook,
) -> None:
    deliver(webhook)
    webhook.endpoint.properties = {**webhook.endpoint.properties, "serverType": "HARBOR"}
    webhook.endpoint.save()

    deliver(webhook)

    assert [each.registry for each in RegistryEvent.objects.order_by("created_at")] == [
        "dockerhub",
        "harbor",
    ]


@pytest.mark.parametrize("server_type", [{}, {"serverType": None}, {"serverType": ""}])
def test_an_endpoint_without_a_server_type_is_one_of_docker_hub(
    webhook: DockerWebhook, server_type: dict[str, str | None]
) -> None:
    others = {k: v for k, v in webhook.endpoint.properties.items() if k != "serverType"}
    Endpoint.objects.filter(pk=webhook.endpoint_id).update(properties={**others, **server_type})

    for _ in range(2):
        deliver(webhook)

    assert [each.registry for each in RegistryEvent.objects.all()] == ["dockerhub"] * 2


@pytest.mark.parametrize(
    ("body", "status"), [(b"not json", 400), (b"x" * (1024 * 1024 + 1), 413), (b"{}", 200)]
)
def test_a_sender_that_was_right_before_is_told_what_is_wrong_now(
    webhook: DockerWebhook, body: bytes, status: int
) -> None:
    deliver(webhook)

    assert deliver(webhook, body).status_code == status


@pytest.mark.parametrize("address", ["its own", "the manual's"])
def test_a_token_that_became_that_of_another_webhook_is_no_longer_of_this_one(
    webhook: DockerWebhook, address: str
) -> None:
    """The manual's address names no webhook, so that the token alone says whose a delivery is."""
    secret, other = ListenerSecret.objects.get(), DockerWebhookFactory(name=webhook.name)
    path = webhook.listener_path if address == "its own" else "/pipelines/api/docker-hub-webhooks"
    url = f"{path}?secureToken={secret.secret}"
    Client().post(url, json.dumps(PUSH), "application/json")
    ListenerSecret.objects.filter(webhook=other).delete()
    secret.webhook = other
    secret.save()

    answer = Client().post(url, json.dumps(PUSH), "application/json")

    assert answer.status_code == (403 if address == "its own" else 200)
    assert other.events.count() == (0 if address == "its own" else 1)
    assert webhook.events.count() == 1


@pytest.mark.parametrize("changed", ["name", "project_id"])
def test_a_delivery_belongs_to_the_project_of_the_moment(
    webhook: DockerWebhook, changed: str
) -> None:
    deliver(webhook)
    other = ProjectFactory()
    if changed == "name":
        webhook.project.name = "Elsewhere"
        webhook.project.save()
    else:
        webhook.project = other
        webhook.save()

    deliver(webhook)

    last = RegistryEvent.objects.latest("created_at")
    assert (last.project, last.project_name) == (webhook.project, webhook.project.name)


def test_no_push_is_lost_of_a_delivery_of_several_that_comes_after_one_of_one(
    webhook: DockerWebhook,
) -> None:
    webhook.endpoint.properties = {"serverType": "Docker_Distribution"}
    webhook.endpoint.save()
    pushes = json.loads((OF_DISTRIBUTION / "push.json").read_text())["events"][:1]
    deliver(webhook, {"events": pushes})

    answer = deliver(webhook, {"events": pushes * 3})

    assert len(answer.json()["ids"]) == 3
    assert sorted(RegistryEvent.objects.values_list("part", flat=True)) == [0, 0, 1, 2]


def test_what_is_remembered_has_an_end(
    webhook: DockerWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognising, "MOST_REMEMBERED", 2)
    recognising._remembered.clear()

    for each in (webhook, DockerWebhookFactory(), DockerWebhookFactory()):
        deliver(each, token=ListenerSecret.objects.get(webhook=each).secret)

    assert len(recognising._remembered) == 1


def test_the_deliveries_to_a_webhook_are_announced_as_one_line(
    webhook: DockerWebhook,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    lines: list[str] = []
    told = carrier()
    monkeypatch.setattr(told, "send", lambda _task, _args, *, line="": lines.append(line))

    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            deliver(webhook)

    assert lines == [str(webhook.pk)] * 2


def test_an_unknown_address_is_404_and_counted(webhook: DockerWebhook) -> None:
    path = f"/codestream/api/registry-webhook-listeners/{uuid.uuid4()}"

    answers = [Client().post(path, "{}", content_type="text/plain").status_code for _ in range(2)]

    assert answers == [404, 404]
    refused = RefusedDelivery.objects.get()
    assert (refused.reason, refused.count) == ("unknown_uuid", 2)


@pytest.mark.parametrize(("token", "reason"), [("wrong", "wrong_token"), ("", "missing_token")])
def test_a_wrong_or_missing_token_is_403_and_stores_no_body(
    webhook: DockerWebhook, token: str, reason: str
) -> None:
    answer = deliver(webhook, token=token)

    assert answer.status_code == 403
    assert RegistryEvent.objects.count() == 0
    assert RefusedDelivery.objects.get().reason == reason


def test_a_token_of_another_webhook_is_wrong_here(webhook: DockerWebhook) -> None:
    other = DockerWebhookFactory()

    assert deliver(webhook, token=secret_of(other)).status_code == 403


def test_a_replaced_token_is_accepted_at_both_addresses_until_its_hook_is_gone(
    webhook: DockerWebhook,
) -> None:
    old = secret_of(webhook)
    ListenerSecret.objects.update(retired_at=now())
    ListenerSecret.issue(webhook)
    by_token = f"/pipelines/api/docker-hub-webhooks?secureToken={old}"

    assert deliver(webhook, token=old).status_code == 200
    assert Client().post(by_token, b"{}", content_type="text/plain").status_code == 200

    ListenerSecret.objects.exclude(retired_at=None).delete()

    assert deliver(webhook, token=old).status_code == 403
    assert Client().post(by_token, b"{}", content_type="text/plain").status_code == 403


def test_a_body_over_one_mebibyte_is_413(webhook: DockerWebhook) -> None:
    answer = deliver(webhook, b" " * (2 * 1024 * 1024))

    assert answer.status_code == 413
    assert RefusedDelivery.objects.get().reason == "too_large"


def test_a_chunked_body_has_the_same_limit(webhook: DockerWebhook) -> None:
    def send(size: int) -> int:
        body: dict[str, Any] = {"wsgi.input": BytesIO(json.dumps(PUSH).encode().ljust(size))}
        return (
            Client()
            .generic(
                "POST",
                f"{webhook.listener_path}?secureToken={secret_of(webhook)}",
                CONTENT_LENGTH="",
                HTTP_TRANSFER_ENCODING="chunked",
                **body,
            )
            .status_code
        )

    assert (send(1000), send(2 * 1024 * 1024)) == (200, 413)
    assert json.loads(bytes(RegistryEvent.objects.get().body)) == PUSH


def test_what_is_no_json_is_400_and_kept_with_the_reason(webhook: DockerWebhook) -> None:
    answer = deliver(webhook, b"<html>")

    event = RegistryEvent.objects.get()
    assert answer.status_code == 400
    assert (event.verdict, event.reason_code) == ("REJECTED", "not_json")
    assert event.message


@pytest.mark.parametrize("query", ["", "&format=xml"])
def test_the_sender_may_accept_what_it_likes(webhook: DockerWebhook, query: str) -> None:
    answer = Client().post(
        f"{webhook.listener_path}?secureToken={secret_of(webhook)}{query}",
        json.dumps(PUSH),
        content_type="application/json",
        headers={"Accept": "text/html"},
    )

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_a_body_that_breaks_off_is_400_and_counted(webhook: DockerWebhook) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("bad chunk")

    body: dict[str, Any] = {"wsgi.input": Broken()}
    answer = Client().generic(
        "POST",
        f"{webhook.listener_path}?secureToken={secret_of(webhook)}",
        CONTENT_LENGTH="",
        HTTP_TRANSFER_ENCODING="chunked",
        **body,
    )

    assert answer.status_code == 400
    assert RefusedDelivery.objects.get().reason == "unreadable"


def test_other_methods_are_not_for_this_address(webhook: DockerWebhook) -> None:
    assert Client().get(webhook.listener_path).status_code == 405


def test_a_busy_database_asks_to_send_again(webhook: DockerWebhook) -> None:
    token = secret_of(webhook)
    locked = database_failure(LockNotAvailable("canceling statement due to lock timeout"))
    with patch("webhooks.intake.receive_events", side_effect=locked):
        answer = deliver(webhook, token=token)

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["code"] == "database_locked"


def test_the_headers_are_kept_without_their_secrets(webhook: DockerWebhook) -> None:
    Client().post(
        f"{webhook.listener_path}?secureToken={secret_of(webhook)}",
        json.dumps(PUSH),
        content_type="application/json",
        headers={"Authorization": "Bearer abcdef", "X-Sent-By": "hub"},
    )

    headers = RegistryEvent.objects.get().headers
    assert headers["X-Sent-By"] == "hub"
    assert "abcdef" not in json.dumps(headers)


@pytest.mark.parametrize("path", sorted(OWN.glob("*.json")), ids=lambda path: path.stem)
def test_every_generation_of_bodies_is_judged(webhook: DockerWebhook, path: Path) -> None:
    assert deliver(webhook, path.read_bytes()).status_code == 200

    drain()

    event = RegistryEvent.objects.get()
    assert event.verdict not in {"PENDING", ""}
    assert event.message


@pytest.mark.skipif(not REAL.is_dir(), reason="the recorded bodies are not here")
def test_every_recorded_body_is_accepted_or_refused_with_a_reason(webhook: DockerWebhook) -> None:
    bodies = sorted(REAL.glob("*.json"))

    answers = {path.stem: deliver(webhook, path.read_bytes()).status_code for path in bodies}
    drain()

    assert set(answers.values()) == {200}
    assert len(answers) == len(bodies)
    assert not RegistryEvent.objects.filter(message="").exists()
    assert not RegistryEvent.objects.filter(verdict="PENDING").exists()


def post(webhook: DockerWebhook, body: bytes, **headers: str) -> Any:
    """Deliver without a token in the address."""
    return Client().post(
        webhook.listener_path, body, content_type="application/json", headers=headers
    )


def payload(name: str) -> bytes:
    return (OWN.parent / f"{name}.json").read_bytes()


@pytest.mark.parametrize("form", ["Bearer {}", "{}"])
def test_the_secret_may_come_as_a_header(form: str) -> None:
    webhook = DockerWebhookFactory(endpoint__properties__serverType="Docker_Distribution")
    body = payload("distribution/push")

    right = post(webhook, body, Authorization=form.format(secret_of(webhook)))
    wrong = post(webhook, body, Authorization=form.format("wrong"))

    assert (right.status_code, wrong.status_code) == (200, 403)
    assert secret_of(webhook) not in json.dumps(RegistryEvent.objects.get().headers)


def test_the_secret_may_sign_the_body() -> None:
    webhook = DockerWebhookFactory(endpoint__properties__serverType="GitHub_Packages")
    body = payload("github/package-published")
    signature = hmac.new(secret_of(webhook).encode(), body, hashlib.sha256).hexdigest()

    right = post(webhook, body, **{"X-Hub-Signature-256": f"sha256={signature}"})
    changed = post(webhook, body + b" ", **{"X-Hub-Signature-256": f"sha256={signature}"})
    empty = post(webhook, body, **{"X-Hub-Signature-256": "sha256="})

    assert (right.status_code, changed.status_code, empty.status_code) == (200, 403, 403)
    assert signature not in json.dumps(RegistryEvent.objects.get().headers)


def test_a_signature_counts_whatever_else_is_in_the_head() -> None:
    """A password in the address, or a proxy, adds an Authorization that is none of ours."""
    webhook = DockerWebhookFactory(endpoint__properties__serverType="GitHub_Packages")
    body = payload("github/package-published")
    signature = hmac.new(secret_of(webhook).encode(), body, hashlib.sha256).hexdigest()
    heads = {
        "X-Hub-Signature-256": f"sha256={signature}",
        "Authorization": "Basic Ym9iOnNlc2FtZQ==",
    }

    right = post(webhook, body, **heads)
    changed = post(webhook, body + b" ", **heads)

    assert (right.status_code, changed.status_code) == (200, 403)


def test_a_secret_that_no_key_decrypts_proves_nothing(settings: Settings) -> None:
    webhook = DockerWebhookFactory()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    wrong = post(webhook, b"{}", Authorization="Bearer wrong")
    signed = post(webhook, b"{}", **{"X-Hub-Signature-256": "sha256=00"})

    assert (wrong.status_code, signed.status_code) == (403, 403)
    assert "message" in wrong.json()


def test_a_delivery_of_several_pushes_is_kept_once_for_each() -> None:
    webhook = DockerWebhookFactory(endpoint__properties__serverType="Docker_Distribution")

    answer = deliver(webhook, payload("distribution/two-repositories-and-a-pull"))

    drain()
    rows = RegistryEvent.objects.order_by("part")
    assert [(row.part, row.image) for row in rows] == [
        (0, "acme/storefront"),
        (1, "acme/tools/kettle"),
    ]
    assert answer.json()["ids"] == [str(row.pk) for row in rows]


@pytest.mark.parametrize("body", [b"no json", b"{}", payload("distribution/delete")])
def test_a_registry_that_would_send_it_for_ever_is_answered_200(body: bytes) -> None:
    webhook = DockerWebhookFactory(endpoint__properties__serverType="Docker_Distribution")

    answer = deliver(webhook, body)

    drain()
    assert answer.status_code == 200
    assert RegistryEvent.objects.get().verdict in {"REJECTED", "IGNORED"}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("before", [0, 1])
def test_a_delivery_during_the_deletion_of_its_webhook_waits_and_finds_nothing(
    webhook: DockerWebhook, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    url = f"{webhook.listener_path}?secureToken={secret_of(webhook)}"
    for _ in range(before):
        deliver(webhook)
    answers: list[int] = []

    def push() -> None:
        answers.append(Client().post(url, b"{}", content_type="application/json").status_code)
        connection.close()

    sender = threading.Thread(target=push)

    def delete_late(row: Entity) -> Any:
        sender.start()
        until(someone_waits_for_a_lock)
        return Model.delete(row)

    monkeypatch.setattr(Entity, "delete", delete_late, raising=False)
    webhook.delete()
    sender.join()

    assert answers == [404]
    assert RegistryEvent.objects.filter(webhook=None).count() == before


def someone_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])

"""What Docker Hub sends when an image is pushed, as far as it is known."""

from __future__ import annotations

import json

from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.http_server import Response, redirect_response
from endpoints.clients.dockerhub import DockerHub
from tests.contracts.dockerhub.conftest import Receiver


def outcomes(server: DockerHubServer) -> list[list[str]]:
    hooks = server.store.repositories["demo/web"].hooks
    return [[call.status for call in hook.history] for hook in hooks]


def test_a_push_is_told_to_every_webhook_and_noted_as_a_success(
    hub: DockerHub, server: DockerHubServer, receiver: Receiver
) -> None:
    for name in ("one", "two"):
        hub.create_webhook("demo", "web", name, f"{receiver.url}/{name}?secureToken=x")

    server.push("demo/web", "1.2.3")

    assert sorted(request.path for request in receiver.received) == ["/one", "/two"]
    assert receiver.received[0].query == {"secureToken": "x"}
    assert outcomes(server) == [["success"], ["success"]]


def test_the_notification_names_repository_and_tag_and_no_digest(
    hub: DockerHub, server: DockerHubServer, receiver: Receiver
) -> None:
    hub.create_webhook("demo", "web", "hook", receiver.url)

    server.push("demo/web", "1.2.3", pusher="ann")

    body = json.loads(receiver.received[0].body)
    assert body["repository"]["repo_name"] == "demo/web"
    assert (body["push_data"]["tag"], body["push_data"]["pusher"]) == ("1.2.3", "ann")
    assert isinstance(body["push_data"]["pushed_at"], int)
    assert "sha256" not in json.dumps(body)


def test_a_refusal_by_the_receiver_is_noted_and_not_repeated(
    hub: DockerHub, server: DockerHubServer, receiver: Receiver
) -> None:
    receiver.response = Response(status=503)
    hub.create_webhook("demo", "web", "hook", receiver.url)

    server.push("demo/web", "1.2.3")

    assert receiver.tags == ["1.2.3"]
    assert outcomes(server) == [["error"]]


def test_no_redirect_is_followed(
    hub: DockerHub, server: DockerHubServer, receiver: Receiver
) -> None:
    receiver.response = redirect_response("/elsewhere", 307)
    hub.create_webhook("demo", "web", "hook", f"{receiver.url}/here")

    server.push("demo/web", "1.2.3")

    assert [request.path for request in receiver.received] == ["/here"]
    assert outcomes(server) == [["error"]]


def test_a_deleted_webhook_is_told_nothing(
    hub: DockerHub, server: DockerHubServer, receiver: Receiver
) -> None:
    hook = hub.create_webhook("demo", "web", "hook", receiver.url)
    hub.delete_webhook("demo", "web", hook.slug)

    server.push("demo/web", "1.2.3")

    assert receiver.received == []


def test_a_tag_is_passed_on_as_it_is(
    hub: DockerHub, server: DockerHubServer, receiver: Receiver
) -> None:
    hub.create_webhook("demo", "web", "hook", receiver.url)
    server.push("demo/web", "x\n  hostNetwork: true")
    assert receiver.tags == ["x\n  hostNetwork: true"]

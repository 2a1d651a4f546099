"""Docker Hub as the client sees it: a base URL, an account, a repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.http_server import HttpServer, Request, Response
from endpoints.clients import dockerhub_answers
from endpoints.clients.dockerhub import DockerHub

PASSWORD = "right-horse-battery"


@pytest.fixture
def server(settings: Settings) -> Iterator[DockerHubServer]:
    """The stand-in with the account ``demo`` and the repository ``demo/web``."""
    with DockerHubServer(username="demo", password=PASSWORD, repositories=["demo/web"]) as running:
        settings.OUTGOING_ALLOW = [urlsplit(running.url).netloc]
        yield running


@pytest.fixture
def hub(server: DockerHubServer) -> Iterator[DockerHub]:
    """A client signed in as the repository's administrator."""
    with DockerHub(server.url, "demo", PASSWORD) as client:
        yield client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose limit a slow answer exceeds."""
    monkeypatch.setattr(dockerhub_answers, "READ_SECONDS", 0.3)


@dataclass
class Receiver:
    """What listens behind a hook URL: keeps what arrives, answers ``response``."""

    url: str = ""
    response: Response = field(default_factory=Response)
    received: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        self.received.append(request)
        return self.response

    @property
    def tags(self) -> list[str]:
        return [json.loads(request.body)["push_data"]["tag"] for request in self.received]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A listener on loopback; the stand-in sends there without asking the guard."""
    listening = Receiver()
    with HttpServer(listening) as running:
        listening.url = running.url
        yield listening

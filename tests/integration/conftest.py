"""What the tests of pages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codestream.accounts.services import issue_token
from executions import runners
from pipelines import task_kinds
from tests.factories import DockerWebhookFactory, RegistryEventFactory
from tests.integration.cast import Cast, make_cast
from tests.integration.puppets import Puppets, gaps
from webhooks.models import DockerWebhook, RegistryEvent


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def token(cast: Cast) -> str:
    return issue_token(owner=cast.users["member"], name="trigger")[1]


@pytest.fixture
def webhook(cast: Cast, token: str) -> DockerWebhook:
    made: DockerWebhook = DockerWebhookFactory.create(
        project=cast.project,
        name="release",
        api_token=token,
        mirror_mode=DockerWebhook.MirrorMode.AUTO,
    )
    return made


@pytest.fixture
def event(webhook: DockerWebhook) -> RegistryEvent:
    made: RegistryEvent = RegistryEventFactory.create(webhook=webhook)
    return made


@pytest.fixture
def puppets(monkeypatch: pytest.MonkeyPatch) -> Puppets:
    """Tasks that do what the test says; see ``tests.integration.puppets``."""
    made = Puppets()
    monkeypatch.setattr(task_kinds, "_known", {"PUPPET"})
    monkeypatch.setattr(runners, "_runners", {"PUPPET": made})
    return made


@pytest.fixture
def unbroken_stories(db: None) -> Iterator[None]:
    """At the end of the test the story of every execution leads to how its rows stand."""
    yield
    assert gaps() == []

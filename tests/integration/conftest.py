"""What the tests of pages share."""

from __future__ import annotations

import pytest

from codestream.accounts.services import issue_token
from tests.factories import DockerWebhookFactory, RegistryEventFactory
from tests.integration.cast import Cast, make_cast
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

"""What the tests of the mirror share: a webhook in the stand-in of Docker Hub, and a worker."""

from __future__ import annotations

from codestream.core.work import wake_all
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_repositories import Repository
from executions.worker import drain
from tests.factories import DockerWebhookFactory
from webhooks.models import DockerWebhook, RemoteHook

PASSWORD = "hub-password-of-tests"


def make_webhook(server: DockerHubServer) -> DockerWebhook:
    """A webhook that is mirrored as soon as a worker looks."""
    made: DockerWebhook = DockerWebhookFactory.create(
        name="release",
        mirror_mode=DockerWebhook.MirrorMode.AUTO,
        endpoint__properties={"serverType": "DockerHub", "repoURL": f"{server.url}/r/demo/web"},
        endpoint__credentials={"username": "demo", "password": PASSWORD},
    )
    return made


def repository(server: DockerHubServer, name: str = "web") -> Repository:
    return server.store.repositories[f"demo/{name}"]


def urls(server: DockerHubServer, name: str = "web") -> list[str]:
    """The addresses that Docker Hub calls on a push."""
    return [hook.hook_url for hook in repository(server, name).hooks]


def live_url(webhook: DockerWebhook) -> str:
    """The one address that should be called."""
    return webhook.hook_url(webhook.secrets.get(retired_at=None).secret)


def work_now() -> None:
    """Let a worker do what is due, and what would be due after a pause."""
    drain()
    wake_all(RemoteHook.objects.filter(wake_at__isnull=False))
    drain()

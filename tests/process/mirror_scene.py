"""One webhook of the running demo, as its pages would handle it. Import it where
``bench.product_at_hand`` holds.
"""

from __future__ import annotations

from codestream.accounts.models import User
from codestream.accounts.services import issue_token
from codestream.core.work import wake_all
from codestream.projects.models import Project
from endpoints.models import Endpoint, EndpointKind
from endpoints.services import save_endpoint
from pipelines.models import Pipeline
from tests.running import Running
from tests.secrets import replace_secret
from webhooks.mirror_services import (
    check_mirror,
    repair_mirror,
    retry_hook,
    retry_mirror,
)
from webhooks.mirror_state import MirrorState, mirror_state, state_of
from webhooks.models import DockerWebhook, RemoteHook
from webhooks.services import delete_webhook, save_webhook


class Scene:
    """A webhook with an endpoint of its own, for a repository of its own."""

    def __init__(self, product: Running, repository: str) -> None:
        self._product, self._repository = product, repository
        self._admin = User.objects.get(username="admin")
        self._project = Project.objects.get(name="Demo")

    def begin(self, operation: str) -> None:
        """Do what a person asks for; a worker carries it to Docker Hub."""
        if operation == "create":
            self._create()
        elif operation == "replace":
            replace_secret(webhook=self._webhook(), by=self._admin)
        else:
            delete_webhook(webhook=self._webhook())

    def check(self, operation: str) -> None:
        """Have it checked now, as it is from time to time: nothing else finds what changed."""
        if operation != "delete":
            check_mirror(webhook=self._webhook())

    def is_right(self, operation: str, hooks: list[dict[str, str]]) -> bool:
        """Whether exactly what should stand in Docker Hub stands there, and we know it. What waits
        for its next try is waked: a pause is over when the test says so.
        """
        rows = self._rows()
        addresses = [hook["hook_url"] for hook in hooks if self._product.url in hook["hook_url"]]
        if operation == "delete":
            is_right = not addresses and not rows
        else:
            webhook = self._webhook()
            wanted = webhook.hook_url(webhook.secrets.get(retired_at=None).secret)
            is_right = addresses == [wanted] and all(row.is_settled for row in rows)
        if not is_right:
            waiting = [row.pk for row in rows if row.error_code]
            wake_all(RemoteHook.objects.filter(pk__in=waiting, wake_at__isnull=False))
        return is_right

    def said(self, operation: str) -> str:
        """What the card, or the list of what is left in Docker Hub, says."""
        state = self._state(operation)
        return f"{state.word} {state.message}".strip() if state else "nothing"

    def asks_a_person(self, operation: str) -> bool:
        """Whether nothing is tried again before somebody says so."""
        state = self._state(operation)
        return state is not None and state.needs_person and state.next_try is None

    def do_what_is_said(self, operation: str) -> str:
        """Read it and press the button that it offers; the answer is what was read."""
        state = self._state(operation)
        assert state is not None, "nothing is said"
        words = self.said(operation)
        if operation == "delete":
            retry_hook(hook=self._rows()[0])
        elif state.has_drifted:
            repair_mirror(webhook=self._webhook())
        else:
            retry_mirror(webhook=self._webhook())
        return words

    def _state(self, operation: str) -> MirrorState | None:
        if operation != "delete":
            return mirror_state(self._webhook())
        return next((state_of(row) for row in self._rows()), None)

    def _webhook(self) -> DockerWebhook:
        return DockerWebhook.objects.get(project=self._project, name=self._repository)

    def _rows(self) -> list[RemoteHook]:
        return list(RemoteHook.objects.filter(repository=self._repository))

    def _create(self) -> None:
        places = self._product.places
        endpoint = save_endpoint(
            endpoint=Endpoint(project=self._project, kind=EndpointKind.DOCKER_REGISTRY),
            name=self._repository,
            description="",
            is_restricted=False,
            properties={
                "serverType": "DockerHub",
                "repoURL": f"{places.dockerhub_url}/r/demo/{self._repository}",
            },
            credentials={
                "username": places.dockerhub_user,
                "password": places.dockerhub_password,
            },
            by=self._admin,
        )
        webhook = DockerWebhook(
            project=self._project,
            name=self._repository,
            endpoint=endpoint,
            pipeline=Pipeline.objects.get(project=self._project),
            api_token=issue_token(owner=self._admin, name=self._repository)[1],
        )
        save_webhook(webhook, by=self._admin)

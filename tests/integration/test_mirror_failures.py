"""However Docker Hub fails, and wherever the worker is killed: while a hook is created, replaced or
deleted there, it ends with exactly one right hook (none after a delete), or the card says what a
person must do, and then it ends so.

Nothing sleeps: a pause is over when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, TypeAlias

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from codestream.sandbox import dockerhub_failures
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.dockerhub_failures import Mode
from endpoints.clients import dockerhub_answers, dockerhub_login
from endpoints.clients.dockerhub import DockerHub
from executions.worker import drain
from tests.factories import UserFactory
from tests.integration.hub import PASSWORD, live_url, make_webhook, repository, urls, work_now
from tests.secrets import replace_secret
from webhooks.mirror_services import repair_mirror, retry_hook, retry_mirror
from webhooks.mirror_state import MirrorState, leftovers_for, mirror_state
from webhooks.models import DockerWebhook, RemoteHook
from webhooks.services import delete_webhook

pytestmark = pytest.mark.django_db
STRANGER = "https://elsewhere.example.com/hook"
EVERY_WAY = [mode for mode in Mode if not mode.startswith("list-")]
OF_CREATE_ONLY = {Mode.NAME_TAKEN, Mode.NAME_TAKEN_CONFLICT, Mode.NO_SLUG}
WAYS: dict[str, list[Mode]] = {
    "login": [mode for mode in EVERY_WAY if mode not in OF_CREATE_ONLY],
    "list": [mode for mode in Mode if mode not in OF_CREATE_ONLY],
    "create": EVERY_WAY,
    "delete": [mode for mode in EVERY_WAY if mode not in OF_CREATE_ONLY],
}
ROUTES = {
    "create": ("login", "list", "create"),
    "replace": ("list", "create", "delete"),
    "delete": ("list", "delete"),
}
MATRIX = [
    (operation, route, mode)
    for operation, routes in ROUTES.items()
    for route in routes
    for mode in WAYS[route]
]
CALLS = ("list_webhooks", "create_webhook", "delete_webhook")
Meddle: TypeAlias = Callable[[DockerHubServer], None]


class Killed(BaseException):
    """``kill -9``: nothing of ours catches it."""


@pytest.fixture(scope="module")
def one_server() -> Iterator[DockerHubServer]:
    with DockerHubServer(username="demo", password=PASSWORD, repositories=["demo/web"]) as running:
        yield running


@pytest.fixture
def server(
    one_server: DockerHubServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> DockerHubServer:
    settings.OUTGOING_ALLOW = [one_server.url.removeprefix("http://")]
    monkeypatch.setattr(dockerhub_failures, "SLOW_SECONDS", 0.5)
    repository(one_server).hooks.clear()
    heal(one_server)
    return one_server


def heal(server: DockerHubServer) -> None:
    """Docker Hub works again, and whatever had to be waited for is over."""
    server.failures.clear()
    server.habits.forget()
    dockerhub_login._tickets.clear()


class Scene:
    """One operation on one webhook: what is asked for, and how it has to end."""

    def __init__(self, server: DockerHubServer, operation: str) -> None:
        self.server, self.operation = server, operation
        self.webhook = make_webhook(server)
        self.seer = UserFactory.create(is_staff=True, service_role="ADMINISTRATOR")
        if operation != "create":
            drain()
            assert urls(server) == [live_url(self.webhook)]

    def begin(self) -> None:
        if self.operation == "replace":
            replace_secret(webhook=self.webhook, by=self.seer)
        if self.operation == "delete":
            delete_webhook(webhook=self.webhook)

    def state(self) -> MirrorState | None:
        """What the card, or the list of what is left in Docker Hub, says; None for nothing."""
        if self.operation != "delete":
            return mirror_state(DockerWebhook.objects.get(pk=self.webhook.pk))
        return next((left.state for left in leftovers_for(self.seer)), None)

    def is_right(self) -> bool:
        if self.operation == "delete":
            return ours(self.server) == [] and not RemoteHook.objects.exists()
        return ours(self.server) == [live_url(self.webhook)] and all(
            hook.is_settled for hook in RemoteHook.objects.all()
        )

    def do_what_is_said(self) -> None:
        """A person reads the card, mends the cause and presses the button that it offers."""
        state = self.state()
        assert state is not None
        assert state.needs_person
        assert state.word
        assert state.message
        if self.operation == "delete":
            retry_hook(hook=RemoteHook.objects.get())
        elif state.has_drifted:
            repair_mirror(webhook=self.webhook)
        else:
            retry_mirror(webhook=self.webhook)

    def must_end_right(self) -> None:
        """After at most one act of a person that the card asks for; and it stays so."""
        if not self.becomes_right():
            self.do_what_is_said()
            assert self.becomes_right(), (urls(self.server), self.state())
        work_now()
        assert self.is_right(), (urls(self.server), self.state())

    def becomes_right(self) -> bool:
        """Whether a worker gets there by itself within a few rounds."""
        for _ in range(4):
            work_now()
            if self.is_right():
                return True
        return False


def ours(server: DockerHubServer) -> list[str]:
    return [url for url in urls(server) if url != STRANGER]


@contextmanager
def killed_at_call(number: int, *, route: str = "", before: bool = False) -> Iterator[list[int]]:
    """Kill the worker at its nth call to Docker Hub: before it is made, or when its answer is there
    and not written down. The list holds the number of the call at which it was.
    """
    calls = count()
    fired: list[int] = []
    originals = {name: getattr(DockerHub, name) for name in CALLS}

    def wrap(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if fired or (route and not name.startswith(route)):
                return originals[name](*args)
            current = next(calls)
            try:
                if current == number and before:
                    fired.append(current)
                    raise Killed
                return originals[name](*args)
            finally:
                if current == number and not fired:
                    fired.append(current)
                    raise Killed

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(DockerHub, name, wrap(name))
        with suppress(Killed):
            yield fired


@contextmanager
def killed_at_statement(number: int) -> Iterator[list[int]]:
    """Kill the worker before its nth statement; the ends of transactions are no places of their
    own, since nothing happens between the last statement and a commit or a rollback.
    """
    statements = count()
    fired: list[int] = []

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not fired and "SAVEPOINT" not in sql and next(statements) == number:
            fired.append(number)
            raise Killed
        return run(sql, params, many, context)

    with suppress(Killed), connection.execute_wrapper(execute):
        yield fired


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed"])
@pytest.mark.parametrize(("operation", "route", "mode"), MATRIX)
def test_every_failure_of_every_call_ends_right(
    server: DockerHubServer,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    route: str,
    mode: Mode,
    killed: bool,
) -> None:
    """``killed``: the worker dies after the call that failed, before it writes that down."""
    scene = Scene(server, operation)
    if mode is Mode.SLOW:
        monkeypatch.setattr(dockerhub_answers, "READ_SECONDS", 0.2)
    if route == "login":
        dockerhub_login._tickets.clear()
    server.failures.fail(route, mode)
    scene.begin()

    if killed:
        with killed_at_call(0, route="" if route == "login" else route) as fired:
            drain()
        assert fired
    else:
        drain()
        state = scene.state()
        assert scene.is_right() or (state is not None and state.word)

    heal(server)
    scene.must_end_right()


@pytest.mark.parametrize("mode", [None, Mode.ANSWER_LOST, Mode.CUT_OFF])
@pytest.mark.parametrize("operation", ROUTES)
def test_a_worker_killed_at_any_call_ends_right(
    server: DockerHubServer, operation: str, mode: Mode | None
) -> None:
    for number in count():
        for before in (True, False):
            RemoteHook.objects.all().delete()
            repository(server).hooks.clear()
            heal(server)
            scene = Scene(server, operation)
            if mode is not None:
                server.failures.fail("delete" if operation == "delete" else "create", mode)
            scene.begin()
            with killed_at_call(number, before=before) as fired:
                drain()
            heal(server)
            scene.must_end_right()
        if not fired:
            break
    assert number >= 2


@pytest.mark.parametrize("operation", ROUTES)
def test_a_worker_killed_at_any_statement_ends_right(
    server: DockerHubServer, operation: str
) -> None:
    for number in count():
        RemoteHook.objects.all().delete()
        repository(server).hooks.clear()
        scene = Scene(server, operation)
        scene.begin()
        with killed_at_statement(number) as fired:
            drain()
        scene.must_end_right()
        if not fired:
            break
    assert number >= 6


def remove(server: DockerHubServer) -> None:
    """A person deletes what they see."""
    repository(server).hooks.clear()


def double(server: DockerHubServer) -> None:
    """A person pastes the address once more."""
    for hook in list(repository(server).hooks):
        repository(server).add_hook(f"{hook.name} x", hook.hook_url, expect_final_callback=False)


def point_elsewhere(server: DockerHubServer) -> None:
    """A person makes a hook of ours into one of theirs."""
    for hook in repository(server).hooks:
        hook.hook_url = STRANGER


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed"])
@pytest.mark.parametrize("meddle", [remove, double, point_elsewhere])
@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("operation", ROUTES)
def test_whatever_is_done_behind_our_back_meanwhile_ends_right(
    server: DockerHubServer, operation: str, at: int, meddle: Meddle, killed: bool
) -> None:
    """A person meddles after the nth call to Docker Hub, and the worker dies then or not."""
    scene = Scene(server, operation)
    calls = count()

    def meddling(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            answer = original(*args)
            if next(calls) == at:
                meddle(server)
                if killed:
                    raise Killed
            return answer

        return call

    scene.begin()
    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        for name in CALLS:
            patch.setattr(DockerHub, name, meddling(getattr(DockerHub, name)))
        drain()

    scene.must_end_right()

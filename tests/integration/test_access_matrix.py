"""Who gets what from every address there is.

One row per address and method; an address without a row fails the test. Forms are sent empty, so
422 means that the person may use the form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from codestream.accounts.models import ServiceRole, User
from codestream.accounts.services import issue_token
from codestream.projects.models import Membership, Variable
from executions.models import TaskRun
from executions.states import Status
from tests.factories import (
    DockerRegistryFactory,
    ExecutionFactory,
    UserFactory,
    VariableFactory,
)
from tests.integration.cast import Cast
from webhooks.models import DockerWebhook, RegistryEvent

ROLES = ("administrator", "member", "viewer", "executor", "outsider", "anonymous")
METHODS = ("GET", "POST")
ADMIN = "admin/"
UUID = r"(?P<listener_id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})/?$"

HOME = "(home)"
NO_METHOD = 405
# The columns are ROLES. No row for a method: nobody has it.
MATRIX = """
^codestream/api/registry-webhook-listeners/{listener} POST 403 403 403 403 403 403
^pipeline/api/registry-webhooks/{listener}            POST 403 403 403 403 403 403
^pipelines/api/docker-hub-webhooks/?$                 POST 403 403 403 403 403 403
codestream/api/executions                             GET  200 200 200 200 200 401
codestream/api/executions/<uuid:pk>                   GET  200 200 200 200 404 401
codestream/api/registry-events                        GET  200 200 200 200 200 401
codestream/api/registry-events/<uuid:pk>              GET  200 200 200 200 404 401
pipeline/api/executions                               GET  200 200 200 200 200 401
pipeline/api/executions/<uuid:pk>                     GET  200 200 200 200 404 401
pipeline/api/registry-events                          GET  200 200 200 200 200 401
pipeline/api/registry-events/<uuid:pk>                GET  200 200 200 200 404 401
^(?:codestream|pipeline)/api/                         GET  404 404 404 404 404 401
^(?:codestream|pipeline)/api/                         POST 404 404 404 404 404 401
(home)                                                GET  302 302 302 302 302 302
(home)                                                POST 302 302 302 302 302 302
healthz                                               GET  200 200 200 200 200 200
readyz                                                GET  200 200 200 200 200 200
metrics                                               GET  401 401 401 401 401 401
theme/                                                POST 302 302 302 302 302 302
account/sign-in/                                      GET  302 302 302 302 302 200
account/sign-in/                                      POST 422 422 422 422 422 422
account/sign-out/                                     POST 302 302 302 302 302 302
account/language/                                     POST 302 302 302 302 302 302
account/tokens/                                       GET  200 200 200 200 200 302
account/tokens/new/                                   GET  302 302 302 302 302 302
account/tokens/new/                                   POST 422 422 422 422 422 302
account/tokens/<uuid:pk>/revoke/                      POST 404 302 404 404 404 302
projects/                                             GET  200 200 200 200 200 302
projects/new/                                         GET  403 403 403 403 403 302
projects/new/                                         POST 403 403 403 403 403 302
projects/<uuid:pk>/                                   GET  200 200 200 200 404 302
projects/<uuid:pk>/edit/                              GET  200 403 403 403 404 302
projects/<uuid:pk>/edit/                              POST 422 403 403 403 404 302
projects/<uuid:pk>/delete/                            POST 302 403 403 403 404 302
projects/<uuid:pk>/members/                           POST 422 403 403 403 404 302
projects/<uuid:pk>/members/<uuid:member_pk>/role/     POST 422 403 403 403 404 302
projects/<uuid:pk>/members/<uuid:member_pk>/remove/   POST 302 403 403 403 404 302
variables/                                            GET  200 200 200 200 200 302
variables/new/                                        GET  200 200 403 403 403 302
variables/new/                                        POST 422 422 403 403 403 302
variables/dialog/                                     GET  200 200 403 403 403 302
variables/dialog/                                     POST 422 422 403 403 403 302
variables/<uuid:pk>/                                  GET  200 200 403 403 404 302
variables/<uuid:pk>/                                  POST 422 422 403 403 404 302
variables/<uuid:pk>/delete/                           POST 302 302 403 403 404 302
endpoints/                                            GET  200 200 200 200 200 302
endpoints/address/                                    GET  200 200 200 200 200 302
endpoints/new/                                        GET  200 200 403 403 403 302
endpoints/new/                                        POST 422 422 403 403 403 302
endpoints/<uuid:pk>/                                  GET  200 200 403 403 404 302
endpoints/<uuid:pk>/                                  POST 422 422 403 403 404 302
endpoints/<uuid:pk>/validate/                         POST 302 302 403 403 404 302
endpoints/<uuid:pk>/delete/                           POST 302 302 403 403 404 302
pipelines/                                            GET  200 200 200 200 200 302
pipelines/new/                                        GET  200 200 403 403 403 302
pipelines/new/                                        POST 422 422 403 403 403 302
pipelines/<uuid:pk>/                                  GET  200 200 200 200 404 302
pipelines/<uuid:pk>/edit/                             GET  200 200 403 403 404 302
pipelines/<uuid:pk>/edit/                             POST 422 422 403 403 404 302
pipelines/<uuid:pk>/state/                            POST 400 400 403 403 404 302
pipelines/<uuid:pk>/delete/                           POST 302 302 403 403 404 302
executions/                                           GET  200 200 200 200 200 302
executions/new/                                       GET  200 200 403 200 403 302
executions/new/                                       POST 200 200 403 200 403 302
executions/<uuid:pk>/                                 GET  200 200 200 200 404 302
executions/<uuid:pk>/cancel/                          POST 302 302 403 302 404 302
executions/<uuid:pk>/pause/                           POST 302 302 403 302 404 302
executions/<uuid:pk>/resume/                          POST 302 302 403 302 404 302
executions/<uuid:pk>/rerun/                           POST 302 302 403 302 404 302
executions/<uuid:pk>/tasks/<uuid:task_pk>/release/    POST 302 403 403 403 404 302
executions/<uuid:pk>/tasks/<uuid:task_pk>/undo/       GET  200 200 403 200 404 302
executions/<uuid:pk>/tasks/<uuid:task_pk>/undo/       POST 302 302 403 302 404 302
triggers/docker/activity/                             GET  200 200 200 200 200 302
triggers/docker/activity/<uuid:pk>/                   GET  200 200 200 200 404 302
triggers/docker/activity/<uuid:pk>/rerun/             POST 302 302 403 302 404 302
triggers/docker/webhooks/                             GET  200 200 200 200 200 302
triggers/docker/webhooks/new/                         GET  200 200 403 403 403 302
triggers/docker/webhooks/new/                         POST 422 422 403 403 403 302
triggers/docker/webhooks/new/endpoint/                POST 302 302 403 403 403 302
triggers/docker/webhooks/new/try/                     POST 422 422 403 403 403 302
triggers/docker/webhooks/<uuid:pk>/edit/try/          POST 422 422 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/try/               GET  200 200 200 200 404 302
triggers/docker/webhooks/token/                       GET  200 200 403 403 403 302
triggers/docker/webhooks/token/                       POST 422 422 403 403 403 302
triggers/docker/webhooks/<uuid:pk>/edit/              GET  200 200 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/edit/              POST 422 422 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/edit/endpoint/     POST 302 302 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/check/             POST 302 302 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/repair/            POST 302 302 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/keep/              POST 302 302 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/pasted/            POST 302 302 403 403 404 302
triggers/docker/hooks/<uuid:pk>/retry/                POST 302 302 403 403 404 302
triggers/docker/hooks/<uuid:pk>/forget/               POST 302 403 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/enabled/           POST 302 302 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/delete/            POST 302 302 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/mirror/            GET  302 302 302 302 404 302
triggers/docker/webhooks/<uuid:pk>/retry/             POST 302 302 403 403 404 302
triggers/docker/webhooks/<uuid:pk>/url/               POST 200 200 403 403 404 302
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One project with one of everything, and everybody around it."""

    users: dict[str, User]
    keys: dict[str, str]

    def answer(self, role: str, method: str, route: str) -> int:
        """The status that somebody gets; whatever it changed is undone."""
        with transaction.atomic():
            status = self._ask(role, method, route)
            transaction.set_rollback(True)
        return status

    def _ask(self, role: str, method: str, route: str) -> int:
        client, headers = Client(), {}
        user = self.users.get(role)
        if user is not None and re.match(r"\^?\(?\??:?(codestream|pipeline)[|/)]", route):
            headers["Authorization"] = f"Bearer {issue_token(owner=user, name='matrix')[1]}"
        else:
            client = self.signed_in(role)
        ask = client.get if method == "GET" else client.post
        return ask(self._url(route), headers=headers).status_code

    def signed_in(self, role: str) -> Client:
        """A browser of theirs."""
        client = Client()
        if role in self.users:
            client.force_login(self.users[role])
        return client

    def _url(self, route: str) -> str:
        url = re.sub(r"\(\?:codestream\|pipeline\)", "codestream", route)
        url = url.replace(UUID, self.keys["listener"]).replace("/?$", "").strip("^")
        for name in ("task_pk", "member_pk"):
            url = url.replace(f"<uuid:{name}>", self.keys[name])
        key = next((self.keys[each] for each in self.keys if url.startswith(each)), "")
        return "/" + url.replace("<uuid:pk>", key)


@pytest.fixture
def world(cast: Cast, webhook: DockerWebhook, event: RegistryEvent) -> World:
    users = {
        "administrator": cast.users["owner"],
        "member": cast.users["member"],
        "viewer": cast.users["viewer"],
        "executor": UserFactory(username="executor", service_role=ServiceRole.EXECUTOR),
        "outsider": cast.users["outsider"],
    }
    execution = ExecutionFactory(pipeline=webhook.pipeline, status=Status.WAITING)
    webhook.pipeline.next_index = execution.index + 1
    webhook.pipeline.save()
    task = TaskRun.objects.get(stage_run__execution=execution)
    task.held_for = ["variable password"]
    task.save()
    # Checking it ends at the guard of outgoing addresses.
    there = {"serverType": "DockerHub", "repoURL": "http://127.0.0.1:9/r/demo/web"}
    unused = DockerRegistryFactory(project=cast.project, properties=there)
    variable = VariableFactory(project=cast.project, type=Variable.Type.SECRET)
    token = issue_token(owner=users["member"], name="matrix")[0]
    membership = Membership.objects.get(user=users["viewer"])
    keys = {
        "account/tokens/": token.pk,
        "codestream/api/executions": execution.pk,
        "codestream/api/registry-events": event.pk,
        "endpoints/": unused.pk,
        "executions/": execution.pk,
        "pipeline/api/executions": execution.pk,
        "pipeline/api/registry-events": event.pk,
        "pipelines/": webhook.pipeline_id,
        "projects/": cast.project.pk,
        "triggers/docker/activity/": event.pk,
        "triggers/docker/hooks/": webhook.remote_hooks.get().pk,
        "triggers/docker/webhooks/": webhook.pk,
        "variables/": variable.pk,
        "listener": webhook.listener_id,
        "member_pk": membership.pk,
        "task_pk": task.pk,
    }
    return World(users=users, keys={name: str(key) for name, key in keys.items()})


def routes(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """Every address of the urlconf, as it is written there."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from routes(pattern, route)


def shown(route: str) -> str:
    """The address as MATRIX writes it."""
    return route.replace(UUID, "{listener}") or HOME


def expected() -> dict[str, dict[str, tuple[int, ...]]]:
    """The rows of MATRIX by address and method."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for line in MATRIX.strip().splitlines():
        route, method, *statuses = line.split()
        found.setdefault(route, {})[method] = tuple(map(int, statuses))
    return found


ROWS = expected()
ROUTES = [route for route in routes() if not route.startswith(ADMIN)]


def test_every_address_has_a_row_and_every_row_an_address() -> None:
    assert {shown(route) for route in ROUTES} == set(ROWS)
    assert all(len(row) == len(ROLES) for rows in ROWS.values() for row in rows.values())


@pytest.mark.parametrize("route", ROUTES, ids=shown)
def test_everybody_gets_what_the_matrix_says(world: World, route: str) -> None:
    for method in METHODS:
        row = ROWS[shown(route)].get(method)
        if row is not None:
            assert tuple(world.answer(role, method, route) for role in ROLES) == row, method
        else:
            assert world.answer("administrator", method, route) == NO_METHOD, method
            assert world.answer("anonymous", method, route) in {NO_METHOD, 401, 302}, method


def test_the_administration_is_for_staff_only(world: World) -> None:
    sign_in, sign_out = f"{ADMIN}login/", f"{ADMIN}logout/"
    found = [route for route in routes() if route.startswith(ADMIN)]

    urls = [re.sub(r"<[^>]+>|\^.*|\(.*", "1", route) for route in found]
    asked = [f"/{url}" for url in urls if url not in {sign_in, sign_out}]

    answers = set()
    for role in ROLES:
        client = world.signed_in(role)
        answers |= {client.get(url).status_code for url in asked}

    assert len(found) > 50
    assert answers == {302}

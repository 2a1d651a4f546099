"""What the tests of pages and of deployments share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection

from codestream.accounts.services import issue_token
from codestream.core import work
from codestream.core.work import kind_named
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes
from executions import runners
from pipelines import task_kinds
from tests.factories import DockerWebhookFactory, RegistryEventFactory
from tests.integration.cast import Cast, make_cast
from tests.integration.counting import KIND, Counting
from tests.integration.deploys import Target
from tests.integration.puppets import Puppets, gaps
from webhooks.models import DockerWebhook, RegistryEvent


@pytest.fixture
def target(cluster: Kubernetes, access: ClusterAccess, namespace: str) -> Target:
    return Target(cluster=cluster, access=access, namespace=namespace)


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


@pytest.fixture
def parallel_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    """A database for many connections, where a test on a busy machine waits as long as it takes.

    On SQLite it is a file, since a database in memory has other locks.
    """
    settings = connection.settings_dict
    if connection.vendor == "postgresql":
        pool = {"min_size": 1, "max_size": 80, "timeout": 60}
        with patch.dict(settings, OPTIONS=settings["OPTIONS"] | {"pool": pool}), new_pool():
            yield
        return
    file = tmp_path / "parallel.sqlite3"
    connection.ensure_connection()
    memory, options = connection.connection, settings["OPTIONS"]
    with closing(sqlite3.connect(file)) as copy:
        memory.backup(copy)
        # Threads that all want to be the first to change it would be in each other's way.
        copy.execute("PRAGMA journal_mode=WAL")
    # Nothing here has to outlive a power cut.
    quick = {"timeout": 60, "init_command": f"{options['init_command']} PRAGMA synchronous=OFF;"}
    with patch.dict(settings, NAME=str(file), OPTIONS=options | quick):
        connection.connection = None
        try:
            yield
        finally:
            connection.close()
            connection.connection = memory


@contextmanager
def new_pool() -> Iterator[None]:
    """Make a pool of connections by the settings as they are now, and forget it afterwards."""
    server: Any = connection
    server.close()
    server.close_pool()
    try:
        yield
    finally:
        server.close()
        server.close_pool()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """The only kind of task there is, and workers do nothing but tasks."""
    runner = Counting()
    monkeypatch.setattr(task_kinds, "_known", {KIND})
    monkeypatch.setattr(runners, "_runners", {KIND: runner})
    monkeypatch.setattr(work, "_kinds", {"task": kind_named("task")})
    return runner

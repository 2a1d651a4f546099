"""All product data moves to another database and is the same there, row by row."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, connections

from codestream.core.clock import now
from codestream.operations import copying
from codestream.operations.copying import TARGET, Comparison
from executions.models import Execution, ExecutionEvent, TaskRun, Worker
from tests.factories import ExecutionFactory, RegistryEventFactory, UserFactory
from tests.integration.cast import Cast
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, ListenerSecret, RegistryEvent

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the tests' database is the source"),
]
POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL", "")
"""An empty database that may be filled; the copy into PostgreSQL is tested only with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A source with rows, and a target that is empty or does not exist."""

    source: str
    target: str

    def __call__(self, **options: bool) -> str:
        told = StringIO()
        call_command(
            "copy_database", "--from", self.source, "--to", self.target, stdout=told, **options
        )
        return told.getvalue()

    def compare(self) -> dict[str, Comparison]:
        copying.connect(source=self.source, target=self.target)
        return {each.table: each for each in copying.compare()}


@pytest.fixture
def rows(cast: Cast, webhook: DockerWebhook) -> None:
    """Something in every table that matters, with every way in which rows refer to each other."""
    parent = ExecutionFactory.create(pipeline=webhook.pipeline, output={"name": "web", "size": 1.0})
    ExecutionFactory.create(pipeline=webhook.pipeline, parent=parent, rerun_of=parent)
    ExecutionEvent.objects.create(execution=parent, kind="status", at=now())
    first = RegistryEventFactory.create(
        webhook=webhook, execution=parent, remote_addr="10.1.2.3", body=b"\x00\xff not text"
    )
    RegistryEventFactory.create(
        webhook=webhook, verdict=Verdict.DUPLICATE, duplicate_of=first, message="Perché già c'è ✓"
    )
    group = Group.objects.create(name="operators")
    group.permissions.add(Permission.objects.get(codename="view_execution"))
    UserFactory.create(username="operator").groups.add(group)
    TaskRun.objects.update(lease_owner=uuid4(), lease_until=now(), leased_at=now(), wake_at=now())
    Session.objects.create(session_key="secret", expire_date=now())


@pytest.fixture
def source(rows: None, tmp_path: Path) -> str:
    """The tests' own database as a file (sqlite.org/lang_vacuum.html)."""
    file = tmp_path / "source.sqlite3"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(file)])
    return f"sqlite:///{file}"


@pytest.fixture(params=["sqlite", "postgres"])
def move(request: pytest.FixtureRequest, source: str, tmp_path: Path) -> Iterator[Move]:
    if request.param == "postgres" and not POSTGRES_URL:
        pytest.skip("TEST_POSTGRES_URL is not set")
    target = POSTGRES_URL if request.param == "postgres" else f"sqlite:///{tmp_path}/target.sqlite3"
    yield Move(source=source, target=target)
    copying.disconnect()
    if request.param == "postgres":
        _empty(target)


def _empty(url: str) -> None:
    copying.connect(source="sqlite://", target=url)
    with connections[TARGET].cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
    copying.disconnect()


def test_every_row_arrives_as_it_was(move: Move) -> None:
    told = move()

    tables = move.compare()
    assert all(each.is_equal for each in tables.values())
    assert tables["executions_execution"].target.rows == 2
    assert tables["webhooks_registryevent"].target.rows == 2
    assert tables["auth_group_permissions"].target.rows == 1
    assert "DIFFERENT" not in told
    assert "executions_execution" in told


def test_what_arrived_can_be_used(move: Move) -> None:
    move()
    move.compare()

    event = RegistryEvent.objects.using(TARGET).get(verdict=Verdict.DUPLICATE)
    assert event.duplicate_of is not None
    assert bytes(event.duplicate_of.body) == b"\x00\xff not text"
    assert (
        event.duplicate_of.created_at
        == RegistryEvent.objects.get(pk=event.duplicate_of.pk).created_at
    )
    secret = ListenerSecret.objects.using(TARGET).get()
    assert secret.secret == ListenerSecret.objects.get().secret
    operator = Permission.objects.using(TARGET).filter(group__name="operators").get()
    assert operator.content_type.model == "execution"


def test_a_zero_byte_that_only_sqlite_stores_is_replaced(move: Move, source: str) -> None:
    with sqlite3.connect(source.removeprefix("sqlite:///")) as file:
        file.execute("UPDATE executions_taskrun SET message = 'a' || char(0) || 'b'")

    told = move()

    assert "DIFFERENT" not in told
    assert all(each.is_equal for each in move.compare().values())
    messages = TaskRun.objects.using(TARGET).values_list("message", flat=True)
    assert {str(each) for each in messages} == {"a\ufffdb"}


def test_new_rows_are_numbered_after_the_copied_ones(move: Move) -> None:
    move()
    move.compare()

    execution = Execution.objects.using(TARGET).earliest("created_at")
    made = ExecutionEvent.objects.using(TARGET).create(execution=execution, kind="x", at=now())

    assert made.pk > ExecutionEvent.objects.latest("pk").pk


def test_sessions_and_leases_are_left_behind(move: Move) -> None:
    move()
    move.compare()

    assert not Session.objects.using(TARGET).exists()
    tasks = TaskRun.objects.using(TARGET)
    assert tasks.count() == tasks.filter(lease_owner=None, lease_until=None).count() == 2
    assert not tasks.filter(wake_at=None).exists()


def test_a_target_that_holds_data_is_refused(move: Move) -> None:
    move()

    with pytest.raises(CommandError, match="The target holds data already"):
        move()


def test_a_row_that_differs_is_found(move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    move()
    move.compare()
    Execution.objects.using(TARGET).filter(parent=None).update(message="changed")
    copying.disconnect()

    with pytest.raises(SystemExit):
        move(verify_only=True)

    changed = [table for table, each in move.compare().items() if not each.is_equal]
    assert changed == ["executions_execution"]


def test_a_source_with_living_workers_is_refused_unless_forced(rows: None, tmp_path: Path) -> None:
    Worker.objects.create(pk=uuid4(), host="here", pid=1, heartbeat_at=now())
    file = tmp_path / "live.sqlite3"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(file)])
    move = Move(source=f"sqlite:///{file}", target=f"sqlite:///{tmp_path}/target.sqlite3")

    with pytest.raises(CommandError, match="1 workers are alive in the source"):
        move()

    assert "0 rows" not in move(force_while_running=True)


def test_one_database_is_not_copied_into_itself(source: str) -> None:
    with pytest.raises(CommandError, match="the same database"):
        Move(source=source, target=source)()

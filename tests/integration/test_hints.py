"""Hints over PostgreSQL: nobody waits for one, and what comes together is one transaction."""

from __future__ import annotations

import json
import threading
import uuid
from queue import SimpleQueue
from typing import Any

import pytest
from django.db import InterfaceError, connection, connections, transaction

from codestream.core import hints as received
from codestream.core.backends import procrastinate
from codestream.core.backends.procrastinate import (
    ProcrastinateBackend,
    Sender,
    defer,
    gathered,
    rest_after,
)
from codestream.core.hints import attend
from tests.running import until


def test_what_came_meanwhile_goes_together() -> None:
    hints: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
    for number in range(3):
        hints.put(("", {"number": number}))

    found, number = gathered(hints)

    assert [hint["number"] for hint in found] == [0, 1, 2]
    assert number == 3
    assert hints.empty()


def test_one_hint_of_a_line_stands_for_all_that_come_with_it() -> None:
    hints: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
    for number, line in enumerate(("a", "a", "b", "", "a", "")):
        hints.put((line, {"number": number}))

    found, number = gathered(hints)

    assert [hint["number"] for hint in found] == [0, 2, 3, 5]
    assert number == 6
    assert hints.empty()


@pytest.mark.parametrize(
    ("number", "took", "rest"),
    [(1, 0.0001, 0.01), (1, 0.004, 0.036), (3, 0.004, 0.108), (50, 0.002, 0.198), (1, 1.0, 0.25)],
)
def test_the_sender_rests_longer_the_more_there_is_to_send(
    number: int, took: float, rest: float
) -> None:
    assert rest_after(number, took) == pytest.approx(rest)


def those_with_a_job(keys: list[str]) -> list[str]:
    """The jobs of other tests may be there as well: no test empties their table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT args -> 'hints' FROM procrastinate_jobs ORDER BY id")
        hints = [hint for (found,) in cursor.fetchall() for hint in json.loads(found)]
    return [key for hint in hints if (key := hint["args"][1]) in keys]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="there is no queue elsewhere")
@pytest.mark.django_db(transaction=True)
def test_every_hint_becomes_part_of_a_job() -> None:
    backend = ProcrastinateBackend("default", {})
    keys = [str(uuid.uuid4()) for _ in range(3)]

    for key in keys:
        backend.send(attend, ["task", key])

    until(lambda: len(those_with_a_job(keys)) == 3)
    assert those_with_a_job(keys) == keys


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_gone_loses_hints_and_not_their_sender(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def closed() -> None:
        raise InterfaceError("the connection is closed")

    with monkeypatch.context() as broken:
        broken.setattr(connections["default"], "cursor", closed)
        defer([{"path": "", "args": []}] * 2)

    assert "2 hints were lost (the connection is closed)" in caplog.text


@pytest.mark.skipif(connection.vendor != "postgresql", reason="there is no queue elsewhere")
@pytest.mark.django_db(transaction=True)
def test_a_few_hints_share_a_job() -> None:
    keys = [str(uuid.uuid4()) for _ in range(procrastinate.MOST_IN_A_JOB + 1)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        (before,) = cursor.fetchone()

    defer([{"path": attend.module_path, "args": ["task", key]} for key in keys])

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        assert cursor.fetchone() == (before + 2,)
    assert those_with_a_job(keys) == keys


def test_a_job_calls_for_each_of_its_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, uuid.UUID]] = []
    keys = [uuid.uuid4() for _ in range(3)]

    def take(kind: str, pk: uuid.UUID) -> bool:
        heard.append((kind, pk))
        return pk != keys[1]

    monkeypatch.setattr(received, "_offer", take)
    monkeypatch.setattr(received, "_work_now", lambda kind, pk: heard.append((kind, pk)))

    procrastinate.call([{"path": attend.module_path, "args": ["task", str(key)]} for key in keys])

    assert [pk for _kind, pk in heard] == [keys[0], keys[1], keys[1], keys[2]]


def test_no_fault_ends_the_sender_of_hints(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent, goes_on = [], threading.Event()

    def fail_once(hints: list[Any]) -> None:
        sent.append(hints)
        if len(sent) == 1:
            raise ZeroDivisionError
        goes_on.set()

    monkeypatch.setattr(procrastinate, "defer", fail_once)
    sender = Sender()
    sender.send("", {"number": 1})
    thread = sender._thread
    until(lambda: sent)

    sender.send("", {"number": 2})

    assert goes_on.wait(20)
    assert sender._thread is thread
    assert "ZeroDivisionError" in caplog.text


def test_the_hints_of_all_threads_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(procrastinate, "defer", sent.extend)
    monkeypatch.setattr(procrastinate, "sender", Sender())
    # Each thread has a backend of its own.
    backends = [ProcrastinateBackend("default", {}) for _ in range(8)]

    for number, backend in enumerate(backends):
        backend.send(attend, ["task", str(number)])

    until(lambda: len(sent) == len(backends))
    assert [hint["args"][1] for hint in sent] == [str(number) for number in range(8)]


@pytest.mark.django_db(transaction=True)
def test_a_hint_that_cannot_be_sent_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What told of it is committed by then."""

    def fail(*_hint: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(received, "_send", fail)

    with transaction.atomic():
        received.give("event", uuid.uuid4())

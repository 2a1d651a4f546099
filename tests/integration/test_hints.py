"""Hints over PostgreSQL: nobody waits for one, and what comes together is one transaction."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import pytest
from django.db import InterfaceError, connection, connections

from codestream.core.backends.procrastinate import ProcrastinateBackend, defer, gathered
from codestream.core.hints import attend
from tests.running import until


def test_what_came_meanwhile_goes_together() -> None:
    hints: SimpleQueue[dict[str, Any]] = SimpleQueue()
    for number in range(3):
        hints.put({"number": number})

    assert [hint["number"] for hint in gathered(hints)] == [0, 1, 2]
    assert hints.empty()


def keys_of_jobs() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT args #>> '{args,1}' FROM procrastinate_jobs ORDER BY id")
        return [key for (key,) in cursor.fetchall()]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="there is no queue elsewhere")
@pytest.mark.django_db(transaction=True)
def test_every_hint_becomes_a_job() -> None:
    backend = ProcrastinateBackend("default", {})

    for number in range(3):
        backend.send(attend, ["task", str(number)])

    until(lambda: len(keys_of_jobs()) == 3)
    assert keys_of_jobs() == ["0", "1", "2"]


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

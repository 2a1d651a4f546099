"""A worker is asked to end by a signal, in whatever state its main thread is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from codestream.operations.management.commands import worker


@pytest.fixture
def _own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in worker.ENDS}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signals")
@pytest.mark.parametrize("number", worker.ENDS)
def test_a_worker_is_stopped_although_its_main_thread_holds_a_lock(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, left = threading.Lock(), threading.Event()
    told: list[str | int] = []

    def stop() -> None:
        with lock:
            told.append("stop")

    def leave(code: int) -> None:
        told.append(code)
        left.set()

    monkeypatch.setattr(worker, "LAST_SECONDS", 0.0)
    worker.hear_signals(stop, leave=leave)
    with lock:
        signal.raise_signal(number)

    assert left.wait(20)
    assert told == ["stop", 0]

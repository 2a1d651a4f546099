"""When several deliveries mean one push."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhooks.folding import Delivery, Known, meaning_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
SETTLE = timedelta(seconds=10)


def is_same(
    *,
    digest: str = "",
    known: str = "",
    seconds: float = 0,
    settle: timedelta = SETTLE,
    pushed_at: datetime | None = None,
) -> bool:
    delivery = Delivery(
        digest=digest, received_at=NOON + timedelta(seconds=seconds), pushed_at=pushed_at
    )
    current = Known(digest=known, received_at=NOON, pushed_at=NOON)
    return meaning_of(delivery, current, settle=settle).is_same


@pytest.mark.parametrize("seconds", [0, 9, 3600])
def test_the_same_digest_is_the_same_push_however_late(seconds: float) -> None:
    assert is_same(digest=A, known=A, seconds=seconds)


@pytest.mark.parametrize("seconds", [0, 9, 3600])
def test_another_digest_is_another_push_however_soon(seconds: float) -> None:
    assert not is_same(digest=B, known=A, seconds=seconds)


@pytest.mark.parametrize(("digest", "known"), [("", ""), (A, ""), ("", A)])
def test_without_two_digests_the_settle_window_decides(digest: str, known: str) -> None:
    assert is_same(digest=digest, known=known, seconds=9.9)
    assert not is_same(digest=digest, known=known, seconds=10)


def test_the_window_is_the_webhooks_own() -> None:
    assert is_same(seconds=59, settle=timedelta(seconds=60))


def test_the_same_time_of_the_push_is_the_same_push() -> None:
    assert is_same(seconds=3600, pushed_at=NOON)
    assert not is_same(seconds=3600, pushed_at=NOON + timedelta(seconds=1))


def test_a_window_of_0_folds_nothing() -> None:
    assert not is_same(digest=A, known=A, settle=timedelta())
    assert not is_same(pushed_at=NOON, settle=timedelta())

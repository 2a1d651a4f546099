"""What the checks at start find in the settings."""

from __future__ import annotations

from pytest_django.fixtures import Settings

from codestream.core.checks import check_retention


def test_a_limit_of_the_retention_is_not_below_0(settings: Settings) -> None:
    settings.RETENTION_EVENTS_DAYS = -1

    problems = check_retention(None)

    assert {problem.msg for problem in problems} == {"RETENTION_EVENTS_DAYS is -1."}
    assert all("RETENTION_EVENTS_DAYS" in str(problem.hint) for problem in problems)


def test_0_keeps_for_ever(settings: Settings) -> None:
    settings.RETENTION_EVENTS_DAYS = 0

    assert check_retention(None) == []

"""The oracle of the kill tests sees what it is there to see."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from tests.process.leaks import spellings
from tests.process.oracle import Account, Sight, Taken, account_for

ANSWERED = {
    "1.0": Taken(id="event-0", sent=1.0, answered=1.1),
    "1.1": Taken(id="event-1", sent=2.0, answered=2.1),
}


def event(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"event-{number}", "tag": f"1.{number}", "verdict": "TRIGGERED", **changes}


def run(number: int, *, index: int | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"run-{number if index is None else index}",
        "index": number if index is None else index,
        "status": "COMPLETED",
        "statusMessage": "",
        "input": {"DOCKER_IMAGE": "demo/web", "DOCKER_TAG": f"1.{number}"},
        **changes,
    }


def sight(number: int, execution: str = "") -> Sight:
    return Sight(execution=execution or f"run-{number}", image=f"demo/web:1.{number}")


EVENTS, RUNS, SIGHTS = [event(0), event(1)], [run(0), run(1)], [sight(0), sight(1)]


def problems(
    events: list[Any] = EVENTS, runs: list[Any] = RUNS, sights: list[Sight] = SIGHTS
) -> dict[str, list[str]]:
    return account_for(ANSWERED, events, runs, sights).problems


def test_what_went_well_has_no_problem() -> None:
    account = account_for(ANSWERED, EVENTS, RUNS, SIGHTS)

    assert account.problems == {}
    assert (account.answered, account.stored, account.run) == (2, 2, 2)


def test_a_push_whose_answer_was_lost_may_have_been_taken() -> None:
    found = problems([*EVENTS, event(2)], [*RUNS, run(2)], [*SIGHTS, sight(2)])

    assert found == {}


@pytest.mark.parametrize(
    ("found", "kind", "what"),
    [
        (problems(events=[event(0)]), "lost", "1.1"),
        (problems(runs=[run(0)], sights=[sight(0)]), "lost", "1.1"),
        (problems(events=[*EVENTS, event(1, id="event-9")]), "doubled", "1.1"),
        (problems(runs=[*RUNS, run(1, index=2)], sights=[sight(1, "run-2")]), "doubled", "1.1"),
        (problems(events=[event(0), event(1, verdict="PENDING")]), "stuck", "1.1"),
        (problems(runs=[run(0), run(1, status="RUNNING")], sights=[sight(0)]), "stuck", "1.1"),
        (
            problems(
                runs=[run(0), run(1, status="FAILED", statusMessage="No.")], sights=[sight(0)]
            ),
            "failed",
            "1.1 FAILED: No.",
        ),
        (
            problems(runs=[run(1, index=0), run(0, index=1)], sights=[sight(0, "run-1")]),
            "out_of_order",
            "1.0",
        ),
        (problems(sights=[sight(0)]), "astray", "#1 completed last and is not in the cluster"),
        (problems(sights=[]), "astray", "#1 completed last and is not in the cluster"),
        (
            problems(sights=[sight(7), *SIGHTS]),
            "astray",
            "demo/web:1.7 of run-7",
        ),
        (
            problems(sights=[sight(1, "run-0"), *SIGHTS]),
            "astray",
            "demo/web:1.1 of run-0",
        ),
        (problems(sights=[*SIGHTS, sight(0), sight(1)]), "astray", "#0 after #1"),
    ],
)
def test_what_must_not_be_is_named(found: dict[str, list[str]], kind: str, what: str) -> None:
    assert found == {kind: [what]}


def test_pushes_at_the_same_time_are_in_no_order() -> None:
    sent_before_the_answer = Taken(id="event-1", sent=1.05, answered=2.1)
    answered = {**ANSWERED, "1.1": sent_before_the_answer}
    runs = [run(1, index=0), run(0, index=1)]

    assert account_for(answered, EVENTS, runs, [sight(0, "run-1")]).problems == {}


def test_every_kind_of_problem_is_told() -> None:
    lists = [name for name, kind in Account.__annotations__.items() if kind == "list[str]"]
    account = Account(answered=0, stored=0, run=0, **{name: ["1.0"] for name in lists})

    assert list(account.problems) == lists


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_a_secret_is_found_in_every_spelling(before: str) -> None:
    secret = "p/ss word+1"
    written = [
        f"{before}{secret}",
        f"token={quote(secret, safe='')}&x",
        f"Basic {b64encode(f'{before}{secret}!'.encode()).decode()}",
    ]

    assert all(any(form in text for form in spellings(secret)) for text in written)

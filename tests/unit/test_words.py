"""Sentences that wait for their reader's language, and that webhooks keep no others."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from codestream.core.words import Words
from webhooks.matching import Step, StepName, StepOutcome

WEBHOOKS = Path(__file__).parents[2] / "webhooks"
ITALIAN = {"The tag is %(tag)s: %(why)s": "Il tag è %(tag)s: %(why)s", "Taken.": "Occupato."}
TAKEN = Words("The tag is %(tag)s: %(why)s", {"tag": "1.2", "why": Words("Taken.")})


def translate(text: str) -> str:
    return ITALIAN.get(text, text)


def unmarked(source: str) -> list[str]:
    """Sentences and names of steps that no catalogue can know: f-strings and bare literals."""
    return [
        ast.unparse(given)
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in {"Words", "Step"}
        for given in (*call.args, *(each.value for each in call.keywords))
        if isinstance(given, ast.JoinedStr | ast.BinOp | ast.Constant)
    ]


def test_a_sentence_is_said_in_any_language_with_those_inside_it() -> None:
    assert str(TAKEN) == "The tag is 1.2: Taken."
    assert TAKEN.said(translate) == "Il tag è 1.2: Occupato."


def test_what_is_stored_says_the_same() -> None:
    assert Words.from_json(json.loads(json.dumps(TAKEN.as_json()))) == TAKEN


@pytest.mark.parametrize("sentence", ["Taken.", "100 %", "%(tag)s", "a%%b"])
def test_a_finished_sentence_stays_as_it_is(sentence: str) -> None:
    assert str(Words.plain(sentence)) == sentence
    assert Words.plain(sentence).said(translate) == translate(sentence)


def test_a_step_is_stored_in_english_and_read_back() -> None:
    step = Step(name=StepName.TAG, outcome=StepOutcome.PASSED, detail=TAKEN)

    assert step.as_json()["detail"] == "The tag is 1.2: Taken."
    assert Step.from_json(json.loads(json.dumps(step.as_json()))) == step


def test_a_step_of_the_first_releases_is_read_too() -> None:
    step = Step.from_json({"name": "Tag", "outcome": "FAILED", "detail": "100 % wrong"})

    assert (step.name, step.outcome, str(step.detail)) == ("Tag", "FAILED", "100 % wrong")


@pytest.mark.parametrize("path", sorted(WEBHOOKS.rglob("*.py")), ids=lambda path: path.name)
def test_webhooks_keep_only_sentences_that_the_catalogue_knows(path: Path) -> None:
    assert unmarked(path.read_text(encoding="utf-8")) == []


def test_unmarked_sentences_are_noticed() -> None:
    source = 'Words(gettext_noop("A")); Words("B"); Step(name="C", detail=Words(f"{d}"))'

    assert unmarked(source) == ["'B'", "'C'", "f'{d}'"]

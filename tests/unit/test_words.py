"""Sentences that wait for their reader's language, and that nothing keeps others that could not."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from codestream.core.errors import CodeStreamError
from codestream.core.redact import MASK, redact_words
from codestream.core.words import Words, joined
from webhooks.matching import Step, StepName, StepOutcome

ROOT = Path(__file__).parents[2]
KEEPING = sorted(
    path
    for app in ("webhooks", "executions", "endpoints", "codestream/core")
    for path in (ROOT / app).rglob("*.py")
)
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
        and ast.unparse(given) != "''"
    ]


def test_a_sentence_is_said_in_any_language_with_those_inside_it() -> None:
    assert str(TAKEN) == "The tag is 1.2: Taken."
    assert TAKEN.said(translate) == "Il tag è 1.2: Occupato."


def test_it_is_english_text_for_everybody_who_knows_nothing_of_languages() -> None:
    assert TAKEN == "The tag is 1.2: Taken."
    assert json.dumps({"message": TAKEN}) == '{"message": "The tag is 1.2: Taken."}'
    assert not Words("")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_a_copy_is_said_in_any_language_too(again: Callable[[Words], Words]) -> None:
    assert again(TAKEN).said(translate) == "Il tag è 1.2: Occupato."


def test_parts_are_joined_and_each_is_translated() -> None:
    whole = joined(["Deploy.web", Words("Taken.")], by=": ")

    assert whole == "Deploy.web: Taken."
    assert whole.said(translate) == "Deploy.web: Occupato."


def test_words_are_not_made_plain_again() -> None:
    assert Words.plain(TAKEN) is TAKEN


def test_an_error_says_the_same_to_people_and_keeps_the_template() -> None:
    error = CodeStreamError(TAKEN)

    assert (error.user_message, error.words.text) == (TAKEN, TAKEN.text)


def test_a_secret_in_a_value_is_hidden_and_the_template_stays() -> None:
    told = Words("The tag is %(tag)s: %(why)s", {"tag": "s3cr3t-text", "why": Words("Taken.")})

    hidden = redact_words(told, ["s3cr3t-text"])

    assert hidden == f"The tag is {MASK}: Taken."
    assert hidden.said(translate) == f"Il tag è {MASK}: Occupato."


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        (Words("bearer %(token)s", {"token": "abcdefghijkl"}), "another"),
        (Words("The tag is %(tag)s: %(why)s", {"tag": "1", "why": "2"}), "tag is 1: 2"),
        (Words.plain("100 % of s3cr3t"), "s3cr3t"),
    ],
)
def test_a_secret_that_only_the_whole_sentence_tells_is_hidden(words: Words, secret: str) -> None:
    hidden = redact_words(words, [secret])

    assert MASK in hidden
    assert MASK in hidden.said(translate)
    assert secret not in hidden.said(translate)


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


def test_only_sentences_that_the_catalogue_knows_are_kept() -> None:
    found = {path.name: unmarked(path.read_text(encoding="utf-8")) for path in KEEPING}

    assert {name: texts for name, texts in found.items() if texts} == {}


def test_unmarked_sentences_are_noticed() -> None:
    source = 'Words(gettext_noop("A")); Words("B"); Step(name="C", detail=Words(f"{d}"))'

    assert unmarked(source) == ["'B'", "'C'", "f'{d}'"]

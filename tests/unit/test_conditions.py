"""Conditions: what binds to what, when numbers count as numbers, and precise errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.conditions import ConditionError, evaluate_condition, parse_condition
from pipelines.expressions import InputRef, UnknownReference
from pipelines.scope import RecordedScope

SCOPE = RecordedScope(
    inputs={"method": "apply", "count": "10", "tag": "1.10", "dry": "false", "quote": '" == "'}
)


def place_of_refusal(text: str) -> int:
    try:
        parse_condition(text)
    except ConditionError as error:
        return error.offset
    return 0


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('${input.method}=="apply"', True),
        ("\"${input.method}\" == 'apply'", True),
        ("${input.method} != 'delete'", True),
        ('"${input.method}-${input.count}" == "apply-10"', True),
        ("true==true", True),
        ("true==false", False),
        ("True", True),
        ("${input.dry}", False),
        ("!${input.dry}", True),
        ("!!${input.dry}", False),
        ("${input.count} > 9", True),
        ("${input.count} >= 10 && ${input.count} <= 10", True),
        ('"${input.count}" < "9"', False),
        ("-1 < 0.5", True),
        (r'"say \"hi\"" == "say \"hi\""', True),
        ("${input.quote} == 'x'", False),
    ],
)
def test_a_condition_is_judged(condition: str, holds: bool) -> None:
    assert evaluate_condition(condition, SCOPE) is holds


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("true || false && false", True),
        ("(true || false) && false", False),
        ("!(true && false)", True),
        ("!true || true", True),
        ("!'a' == 'b'", True),
    ],
)
def test_and_binds_tighter_than_or_and_not_takes_the_comparison(
    condition: str, holds: bool
) -> None:
    assert evaluate_condition(condition, SCOPE) is holds


def test_numbers_are_equal_by_value_unless_a_side_is_quoted() -> None:
    assert evaluate_condition("${input.count} == 10.0", SCOPE)
    assert not evaluate_condition('${input.tag} == "1.1"', SCOPE)
    assert evaluate_condition('${input.tag} == "1.10"', SCOPE)


def test_what_decides_nothing_any_more_is_not_looked_up() -> None:
    assert evaluate_condition("true || ${input.missing} == 1", SCOPE)
    with pytest.raises(UnknownReference):
        evaluate_condition("false || ${input.missing} == 1", SCOPE)


def test_the_references_of_a_condition_are_known_before_it_runs() -> None:
    condition = parse_condition("(${input.a} == 'x' || !${input.b}) && '${input.c}' != 'z'")

    assert condition.references == (InputRef("a"), InputRef("b"), InputRef("c"))


@pytest.mark.parametrize(
    ("condition", "words", "offset"),
    [
        ("", "a value is missing", 0),
        ("${input.a} ==", "a value is missing at the end", 13),
        ("== 1", "a value is missing before ==", 0),
        ("${input.a} = 1", "did you mean ==?", 11),
        ("true & true", "did you mean &&?", 5),
        ("${input.a} == prod", 'put a text in quotes, as in "prod"', 14),
        ("${input.a} == 1.2.3", "put a text in quotes", 14),
        ("'open", "never closed", 0),
        ("(true", "this ( is never closed", 0),
        ("true)", "cannot stand here", 4),
        ("true true", "join conditions", 5),
        ("1 < 2 < 3", "two values at a time", 6),
        ("(true) == true", "not a condition in ( )", 7),
        ("${inputs.a} == 1", "did you mean input?", 2),
        ("'x' == '${input.}'", "a name is missing", 15),
        ("(" * 60 + "true" + ")" * 60, "too deeply", 50),
    ],
)
def test_what_cannot_be_read_says_where_and_why(condition: str, words: str, offset: int) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(condition)

    assert words in caught.value.user_message
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("${input.method} > 3", '> compares numbers, and "apply" is not one'),
        ("${input.method}", '"apply" is neither true nor false'),
    ],
)
def test_values_that_cannot_be_compared_are_an_error_in_words(condition: str, words: str) -> None:
    with pytest.raises(ConditionError, match=words):
        evaluate_condition(condition, SCOPE)


@given(value=st.text())
def test_no_value_can_change_what_is_compared(value: str) -> None:
    scope = RecordedScope(inputs={"x": value})

    assert evaluate_condition("${input.x} == 'wanted'", scope) is (value == "wanted")
    assert evaluate_condition("'${input.x}' != 'wanted'", scope) is (value != "wanted")


@given(st.text(alphabet="${}input.a()!&|=<>'\"1 t\\"))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    assert 0 <= place_of_refusal(text) <= len(text)

"""Expressions: what is one, what it names, and how its value gets into a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestream.core.json_types import Json
from pipelines.expressions import (
    ExpressionError,
    GlobalRef,
    InputRef,
    OutputRef,
    Reference,
    TaskRef,
    UnknownReference,
    VariableRef,
    evaluate,
    evaluate_value,
    parse_template,
    references,
)
from pipelines.scope import RecordedScope, TaskRecord

SCOPE = RecordedScope(
    inputs={"tag": "1.4.2", "odd": "${input.tag}"},
    variables={"registry": "registry.example"},
    facts={"executionIndex": 7, "name": "Storefront"},
    tasks={
        ("Deploy stage", "apply-web"): TaskRecord(
            status="COMPLETED",
            input={"action": "APPLY"},
            output={"ready": True, "response": {"pods": [{"name": "web-1"}], "my.name": "dotted"}},
        )
    },
)


def place_of_refusal(text: str) -> int:
    try:
        parse_template(text)
    except ExpressionError as error:
        return error.offset
    return 0


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("${input.tag}", InputRef("tag")),
        ("${ input.tag }", InputRef("tag")),
        ("${input['my.tag']}", InputRef("my.tag")),
        ("${var.registry-url}", VariableRef("registry-url")),
        ("${output.address}", OutputRef("address")),
        ("${executionIndex}", GlobalRef("executionIndex")),
        ("${Stage 0.Task_1.status}", TaskRef("Stage 0", "Task_1", "status")),
        ("${S.T.input.action}", TaskRef("S", "T", "input", ("action",))),
        ("${S.T.output.a[0].b-c}", TaskRef("S", "T", "output", ("a", 0, "b-c"))),
        ("${S.T.output.secrets['my.name']}", TaskRef("S", "T", "output", ("secrets", "my.name"))),
        ('${S.T.output["a}b"]}', TaskRef("S", "T", "output", ("a}b",))),
    ],
)
def test_every_form_of_the_grammar_is_read(text: str, reference: Reference) -> None:
    assert references(text) == (reference,)


def test_a_reference_is_written_as_it_would_be_read() -> None:
    written = str(TaskRef("Deploy stage", "web", "output", ("a", 0, "my.name", "it's")))

    assert written == """${Deploy stage.web.output.a[0]['my.name']["it's"]}"""
    assert str(references(written)[0]) == written


def test_a_double_dollar_is_not_an_expression() -> None:
    assert evaluate("$${KEY} and ${input.tag}", SCOPE) == "$${KEY} and 1.4.2"


def test_a_lonely_dollar_or_brace_is_text() -> None:
    assert evaluate("costs $5 {not} $HOME }", SCOPE) == "costs $5 {not} $HOME }"


@pytest.mark.parametrize(
    ("text", "words", "offset"),
    [
        ("tag: ${input.tag", "never closed", 5),
        ("${}", "empty", 2),
        ("${  }", "empty", 2),
        ("a ${executionindex}", "did you mean executionIndex?", 4),
        ("${input}", "lacks a name", 2),
        ("${inputs.tag}", "did you mean input?", 2),
        ("${Deploy.Apply}", "is not complete", 2),
        ("${Deploy.Apply.result.x}", "cannot be read", 2),
        ("${Deploy.Apply.status.x}", "cannot be read", 2),
        ("${input.my.tag}", "${input['my.tag']}", 2),
        ("${input..tag}", "a name is missing", 7),
        ("${input.tag.}", "a name is missing", 11),
        ("${S.T.output.a[x]}", "a number or a quoted name", 14),
        ("${input.a${input.b}}", "inside another", 9),
    ],
)
def test_what_cannot_be_read_says_where_and_why(text: str, words: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_template(text)

    assert words in caught.value.user_message
    assert caught.value.offset == offset


def test_values_are_put_into_the_text() -> None:
    text = "${var.registry}/web:${input.tag} by ${name} #${executionIndex}"

    assert evaluate(text, SCOPE) == "registry.example/web:1.4.2 by Storefront #7"


def test_a_value_is_never_searched_for_expressions() -> None:
    assert evaluate("<${input.odd}>", SCOPE) == "<${input.tag}>"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "COMPLETED"),
        ("output.status", "COMPLETED"),
        ("input.action", "APPLY"),
        ("output.ready", True),
        ("output.response.pods[0].name", "web-1"),
        ("output.response['my.name']", "dotted"),
        ("output.response.pods", [{"name": "web-1"}]),
    ],
)
def test_a_whole_expression_gives_the_value_as_it_is(path: str, value: Json) -> None:
    assert evaluate_value(f"${{Deploy stage.apply-web.{path}}}", SCOPE) == value


def test_a_value_that_is_not_text_becomes_json() -> None:
    ready, pods = (
        "${Deploy stage.apply-web.output.ready}",
        "${Deploy stage.apply-web.output.response.pods}",
    )

    assert evaluate(f"{ready} {pods}", SCOPE) == 'true [{"name": "web-1"}]'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${input.tga}", "did you mean tag?"),
        ("${var.zzz}", "there is: registry"),
        ("${comments}", 'no value "comments"'),
        ("${Build.web.status}", "has not run"),
        ("${Deploy stage.apply-web.output.response.nodes}", "there is: my.name, pods"),
        ("${Deploy stage.apply-web.output.response.pods[3]}", "1 items"),
        ("${Deploy stage.apply-web.output.ready.x}", "a single value"),
    ],
)
def test_an_unknown_reference_says_what_is_there_instead(text: str, words: str) -> None:
    with pytest.raises(UnknownReference) as caught:
        evaluate(text, SCOPE)

    assert words in caught.value.user_message


@given(value=st.text(), before=st.text(alphabet="ab: \n"), after=st.text(alphabet="ab: \n"))
def test_any_value_arrives_unchanged(value: str, before: str, after: str) -> None:
    scope = RecordedScope(inputs={"x": value})

    assert evaluate(f"{before}${{input.x}}{after}", scope) == before + value + after


@given(st.text(alphabet="${}.[]'\" aTinput0\n"))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    assert 0 <= place_of_refusal(text) <= len(text)


@given(st.lists(st.text(min_size=1).filter(lambda key: "'" not in key and "\n" not in key)))
def test_any_key_can_be_named_with_quotes(keys: list[str]) -> None:
    text = "${S.T.output" + "".join(f"['{key}']" for key in keys) + "}"

    assert references(text) == (TaskRef("S", "T", "output", tuple(keys)),)

"""Manifests: values replace texts of the parsed tree and can never change its shape."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from codestream.core.json_types import Json
from pipelines.expressions import InputRef, VariableRef
from pipelines.manifests import (
    ManifestError,
    dump,
    in_order,
    parse_manifests,
    references,
    render,
)
from pipelines.scope import RecordedScope

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: storefront
  labels:
    version: ${input.DOCKER_TAG}
    ${input.owner}/team: "${input.team}"
spec:
  replicas: ${input.replicas}
  paused: ${input.paused}
  template:
    spec:
      containers:
        - name: web
          image: acme/storefront:${input.DOCKER_TAG}
          args: ["--tag", "${input.DOCKER_TAG}", --keep, "$${KEY}"]
          ports: [{containerPort: 8080}]
"""
INPUTS: dict[str, Json] = {
    "DOCKER_TAG": "1.4.2",
    "owner": "acme.example",
    "team": "true",
    "replicas": "3",
    "paused": "false",
}


def rendered(text: str, **inputs: Json) -> Json:
    (manifest,) = parse_manifests(text)
    return render(manifest, RecordedScope(inputs={**INPUTS, **inputs}))


def config_map(value: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata:\n  it: {value}\n"


def value_of(text: str, **inputs: Json) -> Json:
    tree = rendered(config_map(text), **inputs)
    assert isinstance(tree, dict)
    assert isinstance(tree["data"], dict)
    return tree["data"]["it"]


def shape(tree: Json) -> object:
    if isinstance(tree, dict):
        return {key: shape(value) for key, value in tree.items()}
    return [shape(item) for item in tree] if isinstance(tree, list) else type(tree)


def test_values_are_put_into_values_and_keys() -> None:
    assert rendered(DEPLOYMENT) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "storefront",
            "labels": {"version": "1.4.2", "acme.example/team": "true"},
        },
        "spec": {
            "replicas": 3,
            "paused": False,
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "acme/storefront:1.4.2",
                            "args": ["--tag", "1.4.2", "--keep", "$${KEY}"],
                            "ports": [{"containerPort": 8080}],
                        }
                    ]
                }
            },
        },
    }


def test_a_tag_with_a_newline_and_a_key_stays_one_value() -> None:
    tag = "x\n  hostNetwork: true"

    tree = rendered(DEPLOYMENT, DOCKER_TAG=tag)

    assert shape(tree) == shape(rendered(DEPLOYMENT))
    assert isinstance(tree, dict)
    assert tree["metadata"]["labels"]["version"] == tag  # type: ignore[call-overload,index]


@given(tag=st.text(), team=st.text())
def test_any_pushed_text_leaves_the_shape_alone_and_arrives_unchanged(tag: str, team: str) -> None:
    tree = rendered(DEPLOYMENT, DOCKER_TAG=tag, team=team)

    assert shape(tree) == shape(rendered(DEPLOYMENT))
    assert isinstance(tree, dict)
    labels = tree["metadata"]["labels"]  # type: ignore[call-overload,index]
    assert labels == {"version": tag, "acme.example/team": team}


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ("3", 3),
        ("-3", -3),
        ("0", 0),
        ("true", True),
        ("false", False),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", "9223372036854775808"),
        ("9" * 5000, "9" * 5000),
        ("007", "007"),
        ("+3", "+3"),
        ("1.5", "1.5"),
        ("1e3", "1e3"),
        ("0x10", "0x10"),
        ("٣", "٣"),
        ("True", "True"),
        ("yes", "yes"),
        ("null", "null"),
        ("~", "~"),
        ("", ""),
        ("3\n", "3\n"),
    ],
)
def test_an_unquoted_whole_expression_takes_the_type_of_an_integer_or_boolean(
    value: str, typed: Json
) -> None:
    result = value_of("${input.replicas}", replicas=value)

    assert result == typed
    assert type(result) is type(typed)


@pytest.mark.parametrize(
    "text", ['"${input.replicas}"', "'${input.replicas}'", "|-\n    ${input.replicas}"]
)
def test_a_quoted_expression_stays_text(text: str) -> None:
    assert value_of(text) == "3"


def test_an_expression_with_text_around_it_stays_text() -> None:
    assert value_of("${input.replicas}0") == "30"


@pytest.mark.parametrize("name", ["DOCKER_TAG", "docker_tag_name", "dockerTag"])
def test_push_data_is_always_text(name: str) -> None:
    assert value_of(f"${{input.{name}}}", **{name: "12"}) == "12"
    assert value_of(f"${{input.{name}}}", **{name: "true"}) == "true"


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("8080", 8080),
        ("0644", 420),
        ("0.5", 0.5),
        ("yes", True),
        ("~", None),
        ("", None),
        ('"8080"', "8080"),
        ("!!str 8080", "8080"),
        ("22:22", "22:22"),
        ("2024-01-31", "2024-01-31"),
        ("1.2.3", "1.2.3"),
        (".inf", ".inf"),
    ],
)
def test_literals_have_the_types_that_kubectl_reads(literal: str, value: Json) -> None:
    assert value_of(literal) == value


def test_documents_are_told_apart_and_empty_ones_are_skipped() -> None:
    text = "---\n# nothing\n---\n" + config_map("a") + "---\n" + config_map("b") + "---\n"

    manifests = parse_manifests(text)

    assert [(str(each), each.number, each.line) for each in manifests] == [
        ("ConfigMap web", 2, 4),
        ("ConfigMap web", 3, 10),
    ]


def test_a_list_gives_its_items() -> None:
    item = "{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: prod}}"
    text = f"apiVersion: v1\nkind: List\nitems:\n- {item % 'one'}\n- {item % 'two'}\n"

    assert [(each.name, each.namespace) for each in parse_manifests(text)] == [
        ("one", "prod"),
        ("two", "prod"),
    ]


def test_the_references_of_a_manifest_are_listed_but_not_those_of_its_comments() -> None:
    (manifest,) = parse_manifests(config_map("${var.a}${input.b} # ${HOME}"))

    assert references(manifest) == (VariableRef("a"), InputRef("b"))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "no object"),
        ("just words", 1, "document 1 is not an object"),
        ("kind: Secret\nmetadata: {name: a}", 1, "document 1 has no apiVersion"),
        (config_map("a") + "---\nkind: Secret", 7, "document 2 has no metadata.name"),
        (config_map("{image: ${input.a}}"), 5, 'quote it: "${input.a}"'),
        (config_map("[${input.a}]"), 5, 'quote it: "${input.a}"'),
        (config_map("a\n  it: b"), 6, "data.it stands twice"),
        (config_map("${input.tag"), 5, "never closed"),
        (config_map("|\n    one\n    ${inputs.tag}"), 7, "did you mean input?"),
        (config_map("!!python/object:os.system x"), 5, "not supported"),
        (config_map("\tx"), 5, "tabs"),
        (config_map("&a [*a]"), 5, "too deep or too large"),
        ("[" * 5000, 1, "too deep"),
        ("a: " + "x" * 300_000, 1, "256 KiB"),
    ],
)
def test_what_cannot_be_used_says_where_and_why(text: str, line: int, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifests(text)

    assert words in caught.value.user_message
    assert caught.value.problems[0].line == line


def test_every_problem_of_a_text_is_told_at_once() -> None:
    text = "kind: A\n---\nkind: B\n"

    with pytest.raises(ManifestError) as caught:
        parse_manifests(text)

    assert len(caught.value.problems) == 4


def test_a_text_that_grows_through_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    with pytest.raises(ManifestError, match="aliases"):
        parse_manifests("\n".join(lines))


def test_merged_keys_are_filled_in_and_own_keys_win() -> None:
    text = config_map("x") + "base: &base {a: 1, b: 2}\nspec: {<<: *base, b: 3}\n"

    tree = rendered(text)

    assert isinstance(tree, dict)
    assert tree["spec"] == {"b": 3, "a": 1}


def test_rendered_keys_that_collide_are_an_error() -> None:
    text = config_map("x") + "  ${input.owner}: a\n  ${input.team}: b\n"

    with pytest.raises(ManifestError, match='two keys become "same"'):
        rendered(text, owner="same", team="same")


def test_a_dump_reads_back_as_the_same_tree() -> None:
    tree: Json = {"a": "one\ntwo\n", "b": "yes", "c": ["1", 1, None], "d": {"e": "è"}}

    text = dump(tree)

    assert yaml.safe_load(text) == tree
    assert "a: |\n  one\n  two\n" in text
    assert "e: è" in text


def test_what_others_need_comes_first_and_the_rest_stays_as_written() -> None:
    kinds = ["Ingress", "Deployment", "Widget", "Secret", "CustomResourceDefinition", "Namespace"]
    text = "\n---\n".join(f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: it}}" for kind in kinds)

    ordered = in_order(parse_manifests(text))

    assert [manifest.kind for manifest in ordered] == [
        "Namespace",
        "CustomResourceDefinition",
        "Secret",
        "Deployment",
        "Widget",
        "Ingress",
    ]


def test_a_name_can_be_left_out_only_where_that_is_meant() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: shop}\n"

    (manifest,) = parse_manifests(text, nameless=True)

    assert (manifest.name, manifest.namespace) == ("", "shop")
    with pytest.raises(ManifestError, match=r"has no metadata\.name"):
        parse_manifests(text)

"""Definitions: how a pipeline reads, what old exports may do, and every problem with its place."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.definition import (
    DOCKER_PARAMETERS,
    DefinitionError,
    PipelineDefinition,
    PipelineState,
    Problem,
    inject_docker,
    parse,
)

KINDS = ("K8S", "REST", "CI")
PIPELINE = """\
---
project: Demo
kind: PIPELINE
name: Storefront delivery
icon: organization,left, is-pink
enabled: true
description: Brings every pushed image to the cluster
concurrency: 3
options: [
  DOCKER_TRIGGER]
input:
  DOCKER_TAG: ''
  replicas: 2
  version: 1.10
  dry: True
_inputMeta:
  replicas: {description: How many, mandatory: true}
output:
  address: ${Deploy.Apply web.output.response.services.web.spec.clusterIP}
starred: {input: replicas, output: address}
ciWorkspace: {image: ''}
stageOrder:
- Check
- Deploy
stages:
  Check:
    taskOrder:
    - Ask registry,Ask
      cluster
    tasks:
      Ask registry: {type: REST, input: {action: get, url: 'https://registry.example/${input.DOCKER_TAG}'}}
      Ask cluster: {type: rest, ignoreFailure: true, input: {url: '${var.cluster}'}}
  Deploy:
    taskOrder: [Apply web]
    tags: [production]
    tasks:
      Apply web:
        type: K8S
        preCondition: ${input.dry} != true && "${Check.Ask registry.output.responseCode}" == '200'
        endpoints: {kubernetesServer: demo-cluster}
        _configured: true
        input:
          action: apply
          timeout: 10
          yaml: |
            apiVersion: v1
            kind: ConfigMap
            metadata:
              name: web
            data:
              tag: ${input.DOCKER_TAG}
"""


def problems_of(source: str) -> list[tuple[str, int, str]]:
    with pytest.raises(DefinitionError) as caught:
        parse(source, task_kinds=KINDS)
    return [(each.path, each.line, each.message) for each in caught.value.problems]


def problems_if_any(source: str) -> tuple[Problem, ...]:
    try:
        parse(source, task_kinds=KINDS)
    except DefinitionError as error:
        return error.problems
    return ()


def only_problem(source: str) -> tuple[str, int, str]:
    (problem,) = problems_of(source)
    return problem


def changed(before: str, after: str) -> str:
    assert before in PIPELINE
    return PIPELINE.replace(before, after)


def line_of(source: str, words: str) -> int:
    return source[: source.index(words)].count("\n") + 1


def test_a_pipeline_is_read_field_by_field() -> None:
    definition = parse(PIPELINE, task_kinds=KINDS)

    assert (definition.name, definition.project) == ("Storefront delivery", "Demo")
    assert (definition.state, definition.concurrency) == (PipelineState.ENABLED, 3)
    assert definition.injects_docker
    assert definition.starred_output == "address"
    assert definition.stage("Deploy").tags == ("production",)
    assert [stage.name for stage in definition.stages] == ["Check", "Deploy"]


def test_inputs_keep_the_text_as_it_was_written() -> None:
    definition = parse(PIPELINE, task_kinds=KINDS)

    values = {each.name: each.value for each in definition.inputs}
    assert values == {"DOCKER_TAG": "", "replicas": "2", "version": "1.10", "dry": "true"}
    replicas = definition.inputs[1]
    assert (replicas.description, replicas.mandatory, replicas.starred) == ("How many", True, True)


def test_tasks_joined_by_a_comma_are_one_group() -> None:
    definition = parse(PIPELINE, task_kinds=KINDS)

    groups = [[task.name for task in group] for group in definition.stage("Check").groups]
    assert groups == [["Ask registry", "Ask cluster"]]
    assert definition.task("Check", "Ask cluster").kind == "REST"
    assert definition.task("Check", "Ask cluster").ignore_failure


def test_the_same_tree_in_json_reads_the_same() -> None:
    tree = yaml.safe_load(PIPELINE)
    tree["input"]["version"] = "1.10"

    in_json = parse(json.dumps(tree, indent="\t"), task_kinds=KINDS)

    assert in_json == parse(PIPELINE, task_kinds=KINDS)


def test_a_document_in_flow_style_with_python_booleans_is_read() -> None:
    source = "{'name': 'Web', 'enabled': False, 'input': {'dry': True}, 'options': []}"

    definition = parse(source, task_kinds=KINDS)

    assert definition.state == PipelineState.DISABLED
    assert definition.inputs[0].value == "true"


def test_json_with_tabs_and_escapes_is_read() -> None:
    source = '{\n\t"name":"Web \\ud83d\\ude80",\n\t"description":"a\\/b"\n}'

    definition = parse(source, task_kinds=KINDS)

    assert (definition.name, definition.description) == ("Web 🚀", "a/b")


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ("enabled: true", PipelineState.ENABLED),
        ("enabled: False", PipelineState.DISABLED),
        ("enabled: 'false'", PipelineState.DISABLED),
        ("state: released", PipelineState.RELEASED),
        ("state: DISABLED\nenabled: true", PipelineState.DISABLED),
        ("", PipelineState.ENABLED),
    ],
)
def test_a_state_may_be_written_in_two_ways_or_not_at_all(
    written: str, state: PipelineState
) -> None:
    assert parse(f"name: Web\n{written}", task_kinds=KINDS).state == state


@pytest.mark.parametrize(
    "written",
    ["[{a: x, b: y}]", "[{a: x}, {b: y}]", "[{name: a, value: x}, {name: b, value: y}]"],
)
def test_inputs_and_outputs_may_stand_in_a_list(written: str) -> None:
    definition = parse(f"name: Web\ninput: {written}\noutput: {written}", task_kinds=KINDS)

    assert [(each.name, each.value) for each in definition.inputs] == [("a", "x"), ("b", "y")]
    assert definition.outputs == {"a": "x", "b": "y"}


def test_a_pipeline_without_stages_is_a_blank_canvas() -> None:
    assert parse("name: Web", task_kinds=KINDS) == PipelineDefinition(name="Web", outputs={})


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        ("stageOrder:\n", "stageOrdr: []\nstageOrder:\n", "stageOrdr", "did you mean stageOrder?"),
        ("concurrency: 3", "concurrency: 51", "concurrency", "from 1 to 50"),
        ("enabled: true", "enabled: maybe", "enabled", "true or false"),
        ("enabled: true", "state: ON", "state", "ENABLED, DISABLED, RELEASED"),
        ("DOCKER_TRIGGER]", "DOCKER_TRIGER]", "options", "did you mean DOCKER_TRIGGER?"),
        ("kind: PIPELINE", "kind: VARIABLE", "kind", "this is a VARIABLE"),
        ("name: Storefront delivery", "name: ''", "name", "needs a name"),
        ("- Check\n", "- Check\n- Chek\n", "stageOrder", "did you mean Check?"),
        ("- Check\n", "- Check\n- Check\n", "stageOrder", "stands here twice"),
        ("[Apply web]", "[]", "stages.Deploy.tasks.Apply web", "would never run"),
        ("[Apply web]", "[Apply web, 'x,Apply web']", "stages.Deploy.taskOrder", 'no task "x"'),
        ("type: rest", "type: PowerShell", "stages.Check.tasks.Ask cluster.type", "known: CI, K8S"),
        ("ignoreFailure", "ignoreFailures", "stages.Check.tasks.Ask cluster.ignoreFailures", "did"),
        ("action: apply", "action: Got", "stages.Deploy.tasks.Apply web.input.action", "did you"),
        ("action: apply", "acton: apply", "stages.Deploy.tasks.Apply web.input.acton", "did you"),
        ("timeout: 10", "timeout: 0", "stages.Deploy.tasks.Apply web.input.timeout", "minutes"),
        ("{kubernetesServer: demo-cluster}", "{}",
         "stages.Deploy.tasks.Apply web.endpoints.kubernetesServer", "has to be named"),
        ("yaml: |", "filePath: web.yaml\n          yaml: |",
         "stages.Deploy.tasks.Apply web.input.filePath", "not available yet"),
        ("!= true", "= true", "stages.Deploy.tasks.Apply web.preCondition", "did you mean ==?"),
        ("${var.cluster}", "${var.cluster", "stages.Check.tasks.Ask cluster.input.url", "closed"),
        ("{input: replicas, output", "{input: [a], output", "starred.input", "to be a text"),
        ("tags: [production]", "tags: {a: b}", "stages.Deploy.tags", "list of texts"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_path(before: str, after: str, path: str, words: str) -> None:
    found = problems_of(changed(before, after))

    assert any(each[0] == path and words in each[2] for each in found), found


def test_a_problem_inside_a_manifest_has_the_line_of_the_whole_text() -> None:
    source = changed("tag: ${input.DOCKER_TAG}", "tag: ${inputs.DOCKER_TAG}")

    path, line, message = only_problem(source)

    assert path == "stages.Deploy.tasks.Apply web.input.yaml"
    assert line == line_of(source, "tag: ${inputs")
    assert "did you mean input?" in message


def test_a_problem_inside_a_folded_manifest_says_the_line_of_that_text() -> None:
    source = changed("tag: ${input.DOCKER_TAG}", "tag: ${inputs.DOCKER_TAG}")
    tree = yaml.safe_load(source)

    _, line, message = only_problem(json.dumps(tree, indent=1))

    assert line == line_of(json.dumps(tree, indent=1), '"yaml"')
    assert "(line 6 of this text)" in message


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("tag: ${input.DOCKER_TAG}", "tag: ${input.DOCKER_TAGS}", "did you mean DOCKER_TAG?"),
        ("tag: ${input.DOCKER_TAG}", "tag: ${output.address}", "only after the pipeline"),
        ("tag: ${input.DOCKER_TAG}", "tag: ${Deploy.Apply web.status}", "only earlier tasks"),
        ("${var.cluster}", "${Check.Ask registry.status}", "only earlier tasks"),
        ("${var.cluster}", "${Deploy.Apply web.status}", "only earlier tasks"),
        ("${Check.Ask registry.", "${Check.Ask registri.", "did you mean Check.Ask registry?"),
        ("${Deploy.Apply web.output", "${Deploy.Apply.output", "there is no task Deploy.Apply"),
    ],
)
def test_an_expression_may_name_only_what_is_known_by_then(
    before: str, after: str, words: str
) -> None:
    source = changed(before, after)

    _, line, message = only_problem(source)

    assert words in message
    assert line == line_of(source, after)


def test_all_problems_are_told_at_once_in_the_order_of_the_text() -> None:
    source = changed("concurrency: 3", "concurrency: 0").replace("action: apply", "action: Destroy")

    found = problems_of(source)

    assert [path for path, _, _ in found] == [
        "concurrency",
        "stages.Deploy.tasks.Apply web.input.action",
    ]
    assert [line for _, line, _ in found] == [8, line_of(source, "action: Destroy")]


@pytest.mark.parametrize("name", ["a.b", "", "x/y", "input", "x" * 129])
def test_names_that_expressions_could_not_say_are_refused(name: str) -> None:
    source = json.dumps({"name": "Web", "stageOrder": [name], "stages": {name: {}}})

    assert any(path == f"stages.{name}".rstrip(".") for path, _, _ in problems_of(source))


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("", 0, "empty"),
        ("---\n---\n", 0, "empty"),
        ("- a", 1, "names with values"),
        ("name: a\nname: b", 2, "twice"),
        ("name: 'a", 1, "never closed"),
        ("name: {a: ${input.x}}", 1, 'quote it: "${input.x}"'),
        ("kind: PIPELINE\nname: a\n---\nkind: ENDPOINT\nname: b", 4, "ENDPOINT b (line 4)"),
        ("name: !!python/name:os.system ''", 1, "not supported"),
        ('name: "\\0"', 1, "NUL"),
    ],
)
def test_a_text_that_is_not_one_pipeline_is_refused(source: str, line: int, words: str) -> None:
    _, found_line, message = only_problem(source)

    assert words in message
    assert found_line == line


@given(st.text(alphabet="nametsgOrdiku:- {}[],'\"$&*|\n\t1."))
def test_any_text_is_read_or_refused_with_problems(source: str) -> None:
    assert all(problem.message for problem in problems_if_any(source))


def test_a_push_fills_the_declared_inputs_whatever_their_spelling() -> None:
    push = {"owner": "anna", "image": "acme/web", "repo_name": "web", "tag": "1.4.2"}

    filled = inject_docker(["DOCKER_TAG", "docker_image_name", "DockerRepo", "env"], push)

    assert filled == {"DOCKER_TAG": "1.4.2", "docker_image_name": "acme/web", "DockerRepo": "web"}


def test_the_five_injected_parameters_are_filled() -> None:
    push = dict.fromkeys(("owner", "image", "repo_name", "repo_namespace", "tag"), "x")

    assert list(inject_docker(DOCKER_PARAMETERS, push)) == list(DOCKER_PARAMETERS)


def test_a_part_that_the_push_lacks_leaves_the_input_alone() -> None:
    assert inject_docker(["DOCKER_DIGEST"], {"tag": "1"}) == {}

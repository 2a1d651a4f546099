"""From nodes to the dataclasses of a pipeline, with the tolerance that old exports need.

What must hold between the parts (order, references) is left to ``pipelines.definition.checks``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from codestream.core.json_types import Json
from pipelines.definition.fields import Fields, plain_text
from pipelines.definition.model import (
    DEFAULT_CONCURRENCY,
    HIGHEST_CONCURRENCY,
    InputParameter,
    Option,
    PipelineDefinition,
    PipelineState,
    Rollback,
    Stage,
    Task,
)
from pipelines.expressions import as_text, nearest
from pipelines.problems import Problems
from pipelines.references import SCOPES
from pipelines.yaml_nodes import ListNode, MapNode, Node, Scalar, to_json

_USED = (
    "project",
    "kind",
    "name",
    "description",
    "icon",
    "enabled",
    "state",
    "concurrency",
    "options",
    "input",
    "output",
    "starred",
    "stageOrder",
    "stages",
    "rollbacks",
    "tags",
)
_KNOWN_ELSEWHERE = (
    "id",
    "version",
    "createdAt",
    "createdBy",
    "updatedAt",
    "updatedBy",
    "workspace",
    "ciWorkspace",
    "notifications",
)
"""Keys of the original product that a file may carry and that change nothing here."""

_STAGE_KEYS = ("description", "tags", "taskOrder", "tasks", "notifications", "rollbacks")
_TASK_KEYS = (
    "type",
    "name",
    "description",
    "input",
    "endpoints",
    "ignoreFailure",
    "preCondition",
    "tags",
    "notifications",
    "rollbacks",
)
_NAME = re.compile(r"[\w-](?:[\w -]*[\w-])?")
_INPUT_NAME = re.compile(r"[\w.-](?:[\w .-]*[\w.-])?")
_LONGEST_NAME = 128


def read(root: Node, task_kinds: Collection[str], problems: Problems) -> PipelineDefinition:
    """The pipeline as far as it can be read; everything that does not fit is noted."""
    fields = Fields(root, "", problems)
    fields.check_keys((*_USED, *_KNOWN_ELSEWHERE))
    starred = fields.fields("starred")
    stages = _stages(fields, task_kinds)
    return PipelineDefinition(
        name=_pipeline_name(fields),
        project=fields.text("project"),
        description=fields.text("description"),
        icon=fields.text("icon"),
        state=_state(fields),
        concurrency=fields.number(
            "concurrency", default=DEFAULT_CONCURRENCY, highest=HIGHEST_CONCURRENCY
        ),
        options=_options(fields),
        inputs=_inputs(fields, starred.text("input")),
        outputs=dict(_pairs(fields, "output")),
        starred_input=starred.text("input"),
        starred_output=starred.text("output"),
        stages=stages,
        rollbacks=_rollbacks(fields, stages),
        tags=fields.texts("tags"),
    )


def _pipeline_name(fields: Fields) -> str:
    name, kind = fields.text("name").strip(), fields.text("kind")
    if kind and kind.upper() != "PIPELINE":
        fields.note("kind", f"this is a {kind}, not a pipeline")
    if not name:
        fields.note("name", "a pipeline needs a name")
    elif len(name) > _LONGEST_NAME or not name.isprintable():
        fields.note("name", f"a name is one line of {_LONGEST_NAME} characters at most")
    return name


def _state(fields: Fields) -> PipelineState:
    written = fields.text("state").strip().upper()
    if written in PipelineState.__members__:
        return PipelineState(written)
    if written:
        fields.note("state", f"a state is one of {', '.join(PipelineState)}")
    enabled = fields.flag("enabled", default=True)
    return PipelineState.ENABLED if enabled else PipelineState.DISABLED


def _options(fields: Fields) -> frozenset[str]:
    options = tuple(option.strip().upper() for option in fields.texts("options"))
    known = [option.value for option in Option]
    for option in options:
        if option not in known:
            hint = nearest(option, known) or f"; known: {', '.join(known)}"
            fields.note("options", f"there is no option {option}{hint}")
    return frozenset(options)


def _inputs(fields: Fields, starred: str) -> tuple[InputParameter, ...]:
    meta = fields.fields("_inputMeta")
    return tuple(
        _input(fields, name, value, meta, starred) for name, value in _pairs(fields, "input")
    )


def _input(fields: Fields, name: str, value: str, meta: Fields, starred: str) -> InputParameter:
    if not _INPUT_NAME.fullmatch(name):
        fields.note("input", f'"{name}": the name of an input has letters, digits, _ and -')
    about = meta.fields(name)
    return InputParameter(
        name=name,
        value=value,
        description=about.text("description"),
        mandatory=about.flag("mandatory"),
        starred=name == starred,
    )


def _pairs(fields: Fields, key: str) -> Iterator[tuple[str, str]]:
    """Names with values; some exports write them as a list of mappings, of pairs or of names."""
    node = fields.node.get(key)
    if isinstance(node, ListNode):
        for item in node.items:
            yield from _item_pairs(item)
    else:
        yield from ((name.text, _value(value)) for name, value in fields.fields(key))


def _item_pairs(item: Node) -> Iterator[tuple[str, str]]:
    if isinstance(item, Scalar):
        yield item.text, ""
    elif isinstance(item, MapNode):
        name, value = item.get("name"), item.get("value")
        if name is not None and value is not None:
            yield _value(name), _value(value)
        else:
            yield from ((key.text, _value(each)) for key, each in item.entries)


def _value(node: Node | None) -> str:
    return plain_text(node) if isinstance(node, Scalar | None) else as_text(to_json(node))


def _stages(fields: Fields, task_kinds: Collection[str]) -> tuple[Stage, ...]:
    stages = fields.fields("stages")
    order = _ordered(fields, "stageOrder", [fields.texts("stageOrder")], stages, "stage")
    for name, _ in stages:
        _check_name(stages, name.text, "stage")
        if name.text in SCOPES:
            stages.note(name.text, f'a stage cannot be called "{name.text}": expressions use it')
    return tuple(_stage(stages.fields(name), name, task_kinds) for group in order for name in group)


def _stage(fields: Fields, name: str, task_kinds: Collection[str]) -> Stage:
    fields.check_keys(_STAGE_KEYS)
    tasks = fields.fields("tasks")
    lines = [
        [part.strip() for part in line.split(",") if part.strip()]
        for line in fields.texts("taskOrder")
    ]
    order = _ordered(fields, "taskOrder", lines, tasks, "task")
    read_tasks = {key.text: _task(tasks, key.text, task_kinds) for key, _ in tasks}
    return Stage(
        name=name,
        description=fields.text("description"),
        tags=fields.texts("tags"),
        groups=tuple(tuple(read_tasks[each] for each in group) for group in order),
    )


def _ordered(
    fields: Fields, key: str, groups: Collection[Collection[str]], parts: Fields, noun: str
) -> list[list[str]]:
    """The groups with only the names that exist, each once; the rest is noted."""
    names = [name.text for name, _ in parts]
    existing, seen = set(names), set[str]()
    ordered: list[list[str]] = []
    for group in groups:
        fresh: list[str] = []
        for name in group:
            if name not in existing:
                fields.note(key, f'there is no {noun} "{name}"{nearest(name, names)}')
            elif name in seen:
                fields.note(key, f'the {noun} "{name}" stands here twice')
            else:
                fresh.append(name)
            seen.add(name)
        ordered.append(fresh)
    for name in names:
        if name not in seen:
            parts.note(name, f"this {noun} is missing in {key} and would never run")
    return [group for group in ordered if group]


def _task(tasks: Fields, name: str, task_kinds: Collection[str]) -> Task:
    fields = tasks.fields(name)
    _check_name(tasks, name, "task")
    fields.check_keys(_TASK_KEYS)
    return Task(
        name=name,
        kind=_kind(fields, task_kinds),
        input=_json_fields(fields.fields("input")),
        endpoints={
            key.text: fields.fields("endpoints").text(key.text)
            for key, _ in fields.fields("endpoints")
        },
        ignore_failure=fields.flag("ignoreFailure"),
        precondition=fields.text("preCondition").strip(),
        tags=fields.texts("tags"),
    )


def _rollbacks(fields: Fields, stages: tuple[Stage, ...]) -> tuple[Rollback, ...]:
    """Which pipeline runs when a stage or a task fails."""
    return tuple(
        rollback for item in fields.items("rollbacks") if (rollback := _rollback(item, stages))
    )


def _rollback(fields: Fields, stages: tuple[Stage, ...]) -> Rollback | None:
    fields.check_keys(("name", "inputs", "stage", "task"))
    name, stage, task = (fields.text(key).strip() for key in ("name", "stage", "task"))
    tasks = {each.name: [one.name for one in each.tasks] for each in stages}
    if not name:
        fields.note("name", "a rollback names the pipeline that it runs")
    elif stage not in tasks:
        fields.note("stage", f'there is no stage "{stage}"{nearest(stage, [*tasks])}')
    elif task and task not in tasks[stage]:
        fields.note("task", f'there is no task "{task}" in it{nearest(task, tasks[stage])}')
    else:
        inputs = dict(_pairs(fields, "inputs"))
        return Rollback(pipeline=name, stage=stage, task=task, inputs=inputs)
    return None


def _json_fields(fields: Fields) -> dict[str, Json]:
    return {key.text: to_json(value) for key, value in fields}


def _kind(fields: Fields, task_kinds: Collection[str]) -> str:
    written = fields.text("type").strip()
    canonical = {kind.casefold(): kind for kind in task_kinds}.get(written.casefold())
    known = ", ".join(sorted(task_kinds))
    if not written:
        fields.note("type", f"a task needs a type; known: {known}")
    elif canonical is None:
        fields.note("type", f"tasks of type {written} cannot run here yet; known: {known}")
    return canonical or written


def _check_name(fields: Fields, name: str, noun: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        message = f"the name of a {noun} has letters, digits, blanks, - and _ (no dot)"
        fields.note(name, message)

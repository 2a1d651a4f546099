"""What has to hold between the parts of a pipeline: every expression reads, and names something
that is known by the time it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipelines import kubernetes_task
from pipelines.conditions import ConditionError, parse_condition
from pipelines.definition.model import PipelineDefinition, Task
from pipelines.expressions import (
    ExpressionError,
    GlobalRef,
    InputRef,
    OutputRef,
    Reference,
    TaskRef,
    VariableRef,
    nearest,
    parse_template,
)
from pipelines.problems import DefinitionError, Problem, Problems, join
from pipelines.yaml_nodes import NOWHERE, MapNode, Node, Position, Scalar, scalars

TaskKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What an expression may name at one point of the pipeline."""

    inputs: tuple[str, ...]
    tasks: frozenset[TaskKey]
    earlier: frozenset[TaskKey] = frozenset()

    def objection(self, reference: Reference) -> str:
        """Why the reference cannot be used here; empty where it can."""
        match reference:
            case InputRef(name) if name not in self.inputs:
                hint = nearest(name, self.inputs) or "; declare it under input"
                return f'{reference}: there is no input "{name}"{hint}'
            case OutputRef():
                return f"{reference}: outputs are known only after the pipeline has ended"
            case TaskRef(stage, task) if (stage, task) not in self.earlier:
                return f"{reference}: {self._absence(stage, task)}"
            case InputRef() | TaskRef() | VariableRef() | GlobalRef():
                return ""

    def _absence(self, stage: str, task: str) -> str:
        if (stage, task) in self.tasks:
            return "this task has not ended by then; only earlier tasks can be named"
        names = [f"{known_stage}.{known_task}" for known_stage, known_task in sorted(self.tasks)]
        written = f"{stage}.{task}"
        return f"there is no task {written}{nearest(written, names)}"


def check(definition: PipelineDefinition, root: Node, problems: Problems) -> None:
    """Note every expression, condition and Kubernetes task that cannot work."""
    known = _Known(
        inputs=tuple(parameter.name for parameter in definition.inputs),
        tasks=frozenset(
            (stage.name, task.name) for stage in definition.stages for task in stage.tasks
        ),
    )
    for stage in definition.stages:
        for group in stage.groups:
            if problems.full:
                return
            for task in group:
                keys = ("stages", stage.name, "tasks", task.name)
                _TaskCheck(task, find(root, *keys), ".".join(keys), known, problems).run()
            ended = {(stage.name, task.name) for task in group}
            known = replace(known, earlier=known.earlier | ended)
    for key in ("output", "rollbacks"):
        for path, text in _texts(find(root, key), key):
            _check_text(path, text, known, problems)


def find(node: Node | None, *keys: str) -> Node | None:
    """The node below ``node`` at the end of the keys."""
    for key in keys:
        node = node.get(key) if isinstance(node, MapNode) else None
    return node


class _TaskCheck:
    """The checks of one task."""

    def __init__(
        self, task: Task, node: Node | None, path: str, known: _Known, problems: Problems
    ) -> None:
        self._task = task
        self._node = node
        self._path = path
        self._known = known
        self._problems = problems

    def run(self) -> None:
        is_kubernetes = self._task.kind == kubernetes_task.KIND
        manifests = join(self._path, "input", "yaml") if is_kubernetes else ""
        for key in ("input", "endpoints"):
            for path, text in _texts(find(self._node, key), join(self._path, key)):
                if path != manifests:
                    _check_text(path, text, self._known, self._problems)
        self._check_precondition()
        if is_kubernetes:
            self._check_kubernetes(manifests)

    def _check_precondition(self) -> None:
        node = find(self._node, "preCondition")
        if not isinstance(node, Scalar) or not self._task.precondition:
            return
        path = join(self._path, "preCondition")
        try:
            condition = parse_condition(node.text)
        except ConditionError as error:
            self._problems.add(path, error.message, node.at(error.offset))
            return
        for reference in condition.references:
            self._object(path, reference, node.position)

    def _check_kubernetes(self, path: str) -> None:
        try:
            task = kubernetes_task.parse(self._task.input, self._task.endpoints)
        except DefinitionError as error:
            for problem in error.problems:
                self._take_over(problem)
            return
        source = find(self._node, "input", "yaml")
        for manifest in task.manifests:
            for _, text in scalars(manifest.root):
                place = _place(source, text.position.line, text.position.column)
                for reference in parse_template(text.text).references:
                    self._object(path, reference, place)

    def _object(self, path: str, reference: Reference, place: Position) -> None:
        objection = self._known.objection(reference)
        if objection:
            self._problems.add(path, objection, place)

    def _take_over(self, problem: Problem) -> None:
        node = self._nearest(problem.path)
        place, message = _place(node, problem.line, problem.column), problem.message
        if problem.line and isinstance(node, Scalar) and node.content is None:
            message = f"{message} (line {problem.line} of this text)"
        self._problems.add(join(self._path, problem.path), message, place)

    def _nearest(self, path: str) -> Node | None:
        """The node at the path, or the closest one above it that exists."""
        keys = path.split(".")
        while keys and find(self._node, *keys) is None:
            keys.pop()
        return find(self._node, *keys)


def _place(node: Node | None, line: int, column: int) -> Position:
    if isinstance(node, Scalar):
        return node.within(line, column)
    return node.position if node else NOWHERE


def _texts(node: Node | None, path: str) -> Iterator[tuple[str, Scalar]]:
    return scalars(node, path) if node is not None else iter(())


def _check_text(path: str, text: Scalar, known: _Known, problems: Problems) -> None:
    try:
        references = parse_template(text.text).references
    except ExpressionError as error:
        problems.add(path, error.message, text.at(error.offset))
        return
    for reference in references:
        objection = known.objection(reference)
        if objection:
            problems.add(path, objection, text.position)

"""A scope made of recorded values: what an execution knows when an expression is evaluated.

Collecting the values (and decrypting variables) is left to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from codestream.core.json_types import Json, JsonObject
from pipelines.expressions import (
    GlobalRef,
    InputRef,
    OutputRef,
    Reference,
    TaskRef,
    UnknownReference,
    VariableRef,
    nearest,
    resolve_path,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """What is known of a task that has run."""

    status: str
    input: JsonObject = field(default_factory=dict)
    output: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedScope:
    """Values by name. ``facts`` holds the globals, ``tasks`` is keyed by (stage, task)."""

    inputs: Mapping[str, Json] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Json] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)
    tasks: Mapping[tuple[str, str], TaskRecord] = field(default_factory=dict)

    def lookup(self, reference: Reference) -> Json:
        """The recorded value. Raises UnknownReference."""
        match reference:
            case InputRef(name):
                return _named(self.inputs, name, reference, "input")
            case VariableRef(name):
                return _named(self.variables, name, reference, "variable")
            case OutputRef(name):
                return _named(self.outputs, name, reference, "output")
            case GlobalRef(name):
                return _named(self.facts, name, reference, "value")
            case TaskRef():
                return self._task_value(reference)

    def _task_value(self, reference: TaskRef) -> Json:
        record = self.tasks.get((reference.stage, reference.task))
        if record is None:
            reason = f'the task "{reference.task}" of stage "{reference.stage}" has not run'
            raise UnknownReference(reference, reason)
        if reference.section == "status":
            return record.status
        tree = record.input if reference.section == "input" else record.output
        # An output may have a status of its own; where it has none, the task's is meant.
        if reference.section == "output" and reference.path == ("status",):
            return tree.get("status", record.status)
        return resolve_path(tree, reference.path, reference)


def _named(
    values: Mapping[str, Json] | Mapping[str, str], name: str, ref: Reference, noun: str
) -> Json:
    if name in values:
        return values[name]
    names = sorted(values)
    known = nearest(name, names) or f"; there is: {', '.join(names[:12]) or 'nothing'}"
    raise UnknownReference(ref, f'there is no {noun} "{name}"{known}')

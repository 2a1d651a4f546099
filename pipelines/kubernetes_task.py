"""The fields of a Kubernetes task (type ``K8S``): read and checked. Running it is left to others.

Field names follow the original product's K8S task; any case of an action is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from codestream.core.json_types import Json
from pipelines.expressions import nearest
from pipelines.manifests import Manifest, ManifestError, parse_manifests
from pipelines.problems import Problems
from pipelines.yaml_nodes import Position

KIND = "K8S"
DEFAULT_TIMEOUT_MINUTES = 5
LONGEST_TIMEOUT_MINUTES = 1440
ENDPOINT_ROLE = "kubernetesServer"

_KEYS = (
    "action",
    "timeout",
    "yaml",
    "sourceType",
    "filePath",
    "scmConstants",
    "continueOnConflict",
    "force",
    "filterByLabel",
    "resourceType",
    "resourceName",
    "namespace",
    "revision",
    "execution",
    "task",
)
_LATER = "is not available yet"


class KubernetesAction(StrEnum):
    """What is done with the manifests."""

    GET = "GET"
    CREATE = "CREATE"
    APPLY = "APPLY"
    DELETE = "DELETE"
    ROLLBACK = "ROLLBACK"
    UNDO = "UNDO"


ROLLED_BACK = ("Deployment", "StatefulSet", "DaemonSet")
REVISION = re.compile(r"(n-)?[0-9]{1,9}|.*\$\{.*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackTarget:
    """What a rollback rolls back, and to where; ``name`` to ``revision`` may hold expressions.

    ``revision`` is a number, or ``n-1`` for the one before the present one.
    """

    kind: str
    name: str
    namespace: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoTarget:
    """The task whose changes are undone, by execution; both may hold expressions."""

    execution: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesTask:
    """A task that can run. ``endpoint`` is the name of a Kubernetes endpoint of the project.

    ``filter_by_label`` may hold expressions. A rollback and an undo have no manifests.
    """

    action: KubernetesAction
    endpoint: str
    manifests: tuple[Manifest, ...]
    timeout_minutes: int = DEFAULT_TIMEOUT_MINUTES
    source: str = "LOCAL"
    continue_on_conflict: bool = False
    force: bool = False
    filter_by_label: str = ""
    target: RollbackTarget | None = None
    undone: UndoTarget | None = None


def parse(input: Mapping[str, Json], endpoints: Mapping[str, str]) -> KubernetesTask:  # noqa: A002
    """Read the task's ``input`` and ``endpoints``.

    Raises DefinitionError. Paths are relative to the task (``input.action``); a problem with a
    line is one of the manifests, and its line counts within ``input.yaml``.
    """
    problems = Problems()
    _check_keys(input, problems)
    action = _action(input, problems)
    label = _text(input, "filterByLabel", problems)
    is_rollback, is_undo = action is KubernetesAction.ROLLBACK, action is KubernetesAction.UNDO
    is_search = action is KubernetesAction.GET and bool(label)
    task = KubernetesTask(
        action=action,
        endpoint=_endpoint(endpoints, problems),
        manifests=() if is_rollback or is_undo else _manifests(input, problems, nameless=is_search),
        timeout_minutes=_timeout(input, problems),
        continue_on_conflict=_flag(input, "continueOnConflict", problems),
        force=_flag(input, "force", problems),
        filter_by_label=label,
        target=_target(input, problems) if is_rollback else None,
        undone=_undone(input, problems) if is_undo else None,
    )
    problems.raise_if_any()
    return task


def _check_keys(values: Mapping[str, Json], problems: Problems) -> None:
    for key in values:
        if key not in _KEYS and not key.startswith("_"):
            problems.add(f"input.{key}", f"unknown key{nearest(key, _KEYS)}")
    if _text(values, "filePath", problems):
        problems.add("input.filePath", f"a file from Git {_LATER}; put the YAML under yaml")
    if _text(values, "sourceType", problems).upper() not in ("", "LOCAL", "LOCAL DEFINITION"):
        problems.add("input.sourceType", f"this source {_LATER}; use LOCAL")


def _action(values: Mapping[str, Json], problems: Problems) -> KubernetesAction:
    written = _text(values, "action", problems)
    names = tuple(action.value.capitalize() for action in KubernetesAction)
    choice = f"; use {', '.join(names)}"
    if not written:
        problems.add("input.action", f"an action is missing{choice}")
    elif written.upper() not in KubernetesAction.__members__:
        hint = nearest(written, names) or choice
        problems.add("input.action", f'there is no action "{written}"{hint}')
    else:
        return KubernetesAction(written.upper())
    return KubernetesAction.APPLY


def _target(values: Mapping[str, Json], problems: Problems) -> RollbackTarget:
    written = _text(values, "resourceType", problems)
    kinds = {kind.casefold(): kind for kind in ROLLED_BACK}
    kind = kinds.get(written.casefold(), "")
    if not kind:
        message = f"only these are rolled back: {', '.join(ROLLED_BACK)}"
        problems.add("input.resourceType", message)
    name = _text(values, "resourceName", problems)
    if not name:
        problems.add("input.resourceName", "the name of what is rolled back is missing")
    revision = _revision(values.get("revision"))
    if not REVISION.fullmatch(revision):
        problems.add("input.revision", "a revision is a number, or n-1 for the one before")
    return RollbackTarget(
        kind=kind,
        name=name,
        namespace=_text(values, "namespace", problems),
        revision=revision,
    )


def _undone(values: Mapping[str, Json], problems: Problems) -> UndoTarget:
    execution, task = _text(values, "execution", problems), _text(values, "task", problems)
    if not execution:
        message = "the id of the execution is missing, in a rollback that of its ${executionId}"
        problems.add("input.execution", message)
    if "." not in task and "${" not in task:
        problems.add("input.task", "the task is missing; write it as Stage.Task")
    return UndoTarget(execution=execution, task=task)


def _revision(value: Json) -> str:
    return "n-1" if value in (None, "") else str(value).strip()


def _endpoint(endpoints: Mapping[str, str], problems: Problems) -> str:
    name = endpoints.get(ENDPOINT_ROLE, "").strip()
    if not name:
        problems.add(f"endpoints.{ENDPOINT_ROLE}", "a Kubernetes endpoint has to be named here")
    for role in endpoints:
        if role not in (ENDPOINT_ROLE, "gitServer"):
            hint = nearest(role, (ENDPOINT_ROLE,))
            problems.add(f"endpoints.{role}", f"a Kubernetes task has no such endpoint{hint}")
    return name


def _manifests(
    values: Mapping[str, Json], problems: Problems, *, nameless: bool
) -> tuple[Manifest, ...]:
    source = values.get("yaml")
    if not isinstance(source, str):
        written = 'the YAML has to be a text; write "yaml: |" and indent it below'
        message = "the YAML definition is missing" if source is None else written
        problems.add("input.yaml", message)
        return ()
    try:
        return parse_manifests(source, nameless=nameless)
    except ManifestError as error:
        for problem in error.problems:
            problems.add("input.yaml", problem.message, Position(problem.line, problem.column))
    return ()


def _timeout(values: Mapping[str, Json], problems: Problems) -> int:
    value = values.get("timeout", DEFAULT_TIMEOUT_MINUTES)
    text = "" if value is None or isinstance(value, bool) else str(value).strip()
    if value is None or value == "":
        return DEFAULT_TIMEOUT_MINUTES
    if text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= LONGEST_TIMEOUT_MINUTES:
        return int(text)
    message = f"a timeout is a whole number of minutes from 1 to {LONGEST_TIMEOUT_MINUTES}"
    problems.add("input.timeout", message)
    return DEFAULT_TIMEOUT_MINUTES


def _flag(values: Mapping[str, Json], key: str, problems: Problems) -> bool:
    value = values.get(key)
    text = "" if value is None else str(value).strip().casefold()
    if text not in ("true", "false", ""):
        problems.add(f"input.{key}", "this is true or false")
    return text == "true"


def _text(values: Mapping[str, Json], key: str, problems: Problems) -> str:
    value = values.get(key)
    if value is None or isinstance(value, str):
        return (value or "").strip()
    problems.add(f"input.{key}", "this has to be a text")
    return ""

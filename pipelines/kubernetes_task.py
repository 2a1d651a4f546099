"""The fields of a Kubernetes task (type ``K8S``): read and checked. Running it is left to others.

Field names follow the original product's K8S task; any case of an action is accepted.
"""

from __future__ import annotations

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
    "filterByLabel",
    "resourceType",
    "resourceName",
    "namespace",
    "revision",
)
_LATER = "is not available yet"


class KubernetesAction(StrEnum):
    """What is done with the manifests."""

    GET = "GET"
    CREATE = "CREATE"
    APPLY = "APPLY"
    DELETE = "DELETE"
    ROLLBACK = "ROLLBACK"


RUNNABLE = (KubernetesAction.CREATE, KubernetesAction.APPLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesTask:
    """A task that can run. ``endpoint`` is the name of a Kubernetes endpoint of the project."""

    action: KubernetesAction
    endpoint: str
    manifests: tuple[Manifest, ...]
    timeout_minutes: int = DEFAULT_TIMEOUT_MINUTES
    source: str = "LOCAL"
    continue_on_conflict: bool = False
    filter_by_label: str = ""


def parse(input: Mapping[str, Json], endpoints: Mapping[str, str]) -> KubernetesTask:  # noqa: A002
    """Read the task's ``input`` and ``endpoints``.

    Raises DefinitionError. Paths are relative to the task (``input.action``); a problem with a
    line is one of the manifests, and its line counts within ``input.yaml``.
    """
    problems = Problems()
    _check_keys(input, problems)
    task = KubernetesTask(
        action=_action(input, problems),
        endpoint=_endpoint(endpoints, problems),
        manifests=_manifests(input, problems),
        timeout_minutes=_timeout(input, problems),
        continue_on_conflict=_flag(input, "continueOnConflict", problems),
        filter_by_label=_text(input, "filterByLabel", problems),
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
    if not written:
        problems.add("input.action", "an action is missing; use Create or Apply")
    elif written.upper() not in KubernetesAction.__members__:
        hint = nearest(written, names) or "; use Create or Apply"
        problems.add("input.action", f'there is no action "{written}"{hint}')
    elif KubernetesAction(written.upper()) not in RUNNABLE:
        name = written.capitalize()
        problems.add("input.action", f"action {name} {_LATER}; use Create or Apply")
    else:
        return KubernetesAction(written.upper())
    return KubernetesAction.APPLY


def _endpoint(endpoints: Mapping[str, str], problems: Problems) -> str:
    name = endpoints.get(ENDPOINT_ROLE, "").strip()
    if not name:
        problems.add(f"endpoints.{ENDPOINT_ROLE}", "a Kubernetes endpoint has to be named here")
    for role in endpoints:
        if role not in (ENDPOINT_ROLE, "gitServer"):
            hint = nearest(role, (ENDPOINT_ROLE,))
            problems.add(f"endpoints.{role}", f"a Kubernetes task has no such endpoint{hint}")
    return name


def _manifests(values: Mapping[str, Json], problems: Problems) -> tuple[Manifest, ...]:
    source = values.get("yaml")
    if not isinstance(source, str):
        written = 'the YAML has to be a text; write "yaml: |" and indent it below'
        message = "the YAML definition is missing" if source is None else written
        problems.add("input.yaml", message)
        return ()
    try:
        return parse_manifests(source)
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

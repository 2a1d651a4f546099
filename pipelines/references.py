"""What stands between ``${`` and ``}``: one type per kind of reference, and how its text is read.

Finding the references in a text, and their values, is left to ``pipelines.expressions``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeAlias

from codestream.core.errors import CodeStreamError

Section: TypeAlias = Literal["input", "output", "status"]
Path: TypeAlias = tuple[str | int, ...]

GLOBALS = (
    "name",
    "executionIndex",
    "requestBy",
    "statusMessage",
    "comments",
    "status",
    "executionId",
    "executionUrl",
    "executedOn",
    "startTime",
    "endTime",
    "duration",
    "stageName",
    "taskName",
)
SCOPES = ("input", "var", "output")
_MOST_COMPARED = 200
SECTIONS: dict[str, Section] = {"input": "input", "output": "output", "status": "status"}

_PART = re.compile(
    r"""(?P<index>\[\s*\d{1,9}\s*\])
      | (?P<quoted>\[\s*(?:'(?P<single>[^'\n]*)'|"(?P<double>[^"\n]*)")\s*\])
      | (?P<dotted>\.)?(?P<name>[^.\[\]{}'"$\n]+)""",
    re.VERBOSE,
)
_BARE = re.compile(r"[^.\[\]{}'\"$\s]+")


class ExpressionError(CodeStreamError):
    """A text with expressions cannot be read.

    ``offset`` counts characters from the start of the text, from zero.
    """

    code = "expression"

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(f"{message} (character {offset + 1})")
        self.message = message
        self.offset = offset


@dataclass(frozen=True, slots=True)
class InputRef:
    """``${input.x}``: an input of the pipeline."""

    name: str

    def __str__(self) -> str:
        return f"${{input{_write_path((self.name,))}}}"


@dataclass(frozen=True, slots=True)
class VariableRef:
    """``${var.x}``: a variable of the project."""

    name: str

    def __str__(self) -> str:
        return f"${{var{_write_path((self.name,))}}}"


@dataclass(frozen=True, slots=True)
class OutputRef:
    """``${output.x}``: an output of the pipeline."""

    name: str

    def __str__(self) -> str:
        return f"${{output{_write_path((self.name,))}}}"


@dataclass(frozen=True, slots=True)
class TaskRef:
    """``${Stage.Task.output.k[0].x}``: what a task was given or gave."""

    stage: str
    task: str
    section: Section
    path: Path = ()

    def __str__(self) -> str:
        return f"${{{self.stage}.{self.task}.{self.section}{_write_path(self.path)}}}"


@dataclass(frozen=True, slots=True)
class GlobalRef:
    """``${executionIndex}``: a fact about the execution itself."""

    name: str

    def __str__(self) -> str:
        return f"${{{self.name}}}"


Reference: TypeAlias = InputRef | VariableRef | OutputRef | TaskRef | GlobalRef


def parse_reference(body: str, *, offset: int = 0) -> Reference:
    """Read the text between ``${`` and ``}``; ``offset`` is where it starts in its whole text.

    Raises ExpressionError.
    """
    parts = _parse_parts(body, offset)
    head, rest = parts[0], parts[1:]
    if not rest:
        return _global(str(head), offset)
    if head in SCOPES:
        return _scoped(str(head), rest, offset)
    return _task(parts, offset)


def nearest(name: str, known: tuple[str, ...] | list[str]) -> str:
    """``; did you mean x?`` for the known name that looks most like ``name``, or nothing."""
    if len(known) > _MOST_COMPARED:
        return ""
    by_folded = {each.casefold(): each for each in known}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[found[0]]}?" if found else ""


def _parse_parts(body: str, offset: int) -> Path:
    text = body.rstrip()
    position = len(text) - len(text.lstrip())
    if position == len(text):
        raise ExpressionError("the expression ${} is empty", offset=offset)
    parts: list[str | int] = []
    while position < len(text):
        found = _PART.match(text, position)
        if not found or (found["name"] is not None and bool(found["dotted"]) is not bool(parts)):
            raise ExpressionError(_misplaced(text, position), offset=offset + position)
        parts.append(_part(found, offset + position))
        position = found.end()
    if not isinstance(parts[0], str) or text.lstrip().startswith("["):
        raise ExpressionError("an expression begins with a name", offset=offset)
    return tuple(parts)


def _part(found: re.Match[str], offset: int) -> str | int:
    if found["index"]:
        return int(found["index"][1:-1])
    if found["quoted"]:
        return found["single"] if found["single"] is not None else found["double"]
    name = found["name"]
    if name != name.strip():
        raise ExpressionError(f'a blank stands beside the name "{name.strip()}"', offset=offset)
    return name


def _misplaced(text: str, position: int) -> str:
    rest = text[position:]
    if rest.startswith("["):
        return "between [ and ] stands a number or a quoted name, as in [0] or ['my.name']"
    if rest.startswith((".", "]")):
        return f'a name is missing at "{rest[:20]}"'
    return f'"{rest[:20]}" does not belong into an expression'


def _global(name: str, offset: int) -> GlobalRef:
    if name in GLOBALS:
        return GlobalRef(name)
    if name in SCOPES:
        raise ExpressionError(f"${{{name}}} lacks a name, as in ${{{name}.x}}", offset=offset)
    hint = nearest(name, GLOBALS) or f"; did you mean ${{input.{name}}}?"
    raise ExpressionError(f'there is nothing called "{name}"{hint}', offset=offset)


def _scoped(scope: str, rest: Path, offset: int) -> Reference:
    if len(rest) != 1 or not isinstance(rest[0], str):
        written = "".join(f".{part}" for part in rest).lstrip(".")
        raise ExpressionError(
            f"${{{scope}.…}} takes one name; a name with dots is written ${{{scope}['{written}']}}",
            offset=offset,
        )
    name = rest[0]
    if scope == "input":
        return InputRef(name)
    return VariableRef(name) if scope == "var" else OutputRef(name)


def _task(parts: Path, offset: int) -> TaskRef:
    written = ".".join(str(part) for part in parts)
    form = "a task's value is written ${Stage.Task.output.x}, ${Stage.Task.input.x} or "
    form += "${Stage.Task.status}"
    if len(parts) < 3 or not isinstance(parts[1], str):
        hint = nearest(str(parts[0]), SCOPES)
        raise ExpressionError(f'"{written}" is not complete{hint or f"; {form}"}', offset=offset)
    section = SECTIONS.get(str(parts[2]))
    if section is None or (section == "status" and len(parts) > 3):
        raise ExpressionError(f'"{written}" cannot be read; {form}', offset=offset)
    return TaskRef(str(parts[0]), parts[1], section, parts[3:])


def _write_path(path: Path) -> str:
    return "".join(_write_part(part) for part in path)


def _write_part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if _BARE.fullmatch(part):
        return f".{part}"
    quote = '"' if "'" in part else "'"
    return f"[{quote}{part}{quote}]"

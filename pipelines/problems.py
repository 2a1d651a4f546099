"""What is wrong with a definition, where: collected, so that a person sees everything at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from codestream.core.errors import CodeStreamError
from pipelines.expressions import ExpressionError, parse_template
from pipelines.yaml_nodes import NOWHERE, Position, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend.

    ``path`` is dotted (``stages.Deploy.tasks.Apply.input.action``), empty for the whole text.
    ``line`` and ``column`` count from 1 in the text that was parsed; 0 where there is no place.
    """

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class DefinitionError(CodeStreamError):
    """A text is not a usable definition; ``problems`` holds everything that was found."""

    code = "definition"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


MOST_PROBLEMS = 100
"""More than anybody reads at once; what comes after them is not looked for."""


@dataclass(slots=True)
class Problems:
    """A growing list of problems, up to ``MOST_PROBLEMS``."""

    found: list[Problem] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.found) >= MOST_PROBLEMS

    def __bool__(self) -> bool:
        return bool(self.found)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.found)

    def add(self, path: str, message: str, at: Position = NOWHERE) -> None:
        problem = Problem(path=path, line=at.line, column=at.column, message=message)
        if not self.full and problem not in self.found:
            self.found.append(problem)

    def check_expressions(self, path: str, text: Scalar) -> None:
        """Note it when the expressions of a text cannot be read."""
        try:
            parse_template(text.text)
        except ExpressionError as error:
            self.add(path, error.message, text.at(error.offset))

    def raise_if_any(self) -> None:
        """Raises DefinitionError with the problems in the order of the text."""
        if self.found:
            raise DefinitionError(tuple(sorted(self.found, key=lambda each: each.line)))


def join(*parts: str) -> str:
    """A dotted path from its parts; empty parts are left out."""
    return ".".join(part for part in parts if part)

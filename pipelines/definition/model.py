"""A pipeline as frozen dataclasses: what an execution pins and a plan is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from codestream.core.json_types import Json

DEFAULT_CONCURRENCY = 10
HIGHEST_CONCURRENCY = 50


class PipelineState(StrEnum):
    """Whether the pipeline may run, and whether triggers and other pipelines may rely on it."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    RELEASED = "RELEASED"


class Option(StrEnum):
    """Which trigger's parameters are injected."""

    DOCKER_TRIGGER = "DOCKER_TRIGGER"
    GIT_TRIGGER = "GIT_TRIGGER"
    GERRIT_TRIGGER = "GERRIT_TRIGGER"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputParameter:
    """An input with its default; the value is the text as it was written."""

    name: str
    value: str = ""
    description: str = ""
    mandatory: bool = False
    starred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task. ``endpoints`` maps roles to endpoint names; an empty precondition means always."""

    name: str
    kind: str
    input: Mapping[str, Json]
    endpoints: Mapping[str, str]
    ignore_failure: bool = False
    precondition: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Groups run one after another; the tasks of a group run side by side."""

    name: str
    groups: tuple[tuple[Task, ...], ...]
    description: str = ""
    tags: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Every task, in the order of the groups."""
        return tuple(task for group in self.groups for task in group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """The pipeline that runs when a task fails; without ``task``, when any of the stage does.

    ``inputs`` maps names to texts with expressions.
    """

    pipeline: str
    stage: str
    task: str = ""
    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineDefinition:
    """A whole pipeline; ``outputs`` maps names to texts with expressions."""

    name: str
    project: str = ""
    description: str = ""
    icon: str = ""
    state: PipelineState = PipelineState.ENABLED
    concurrency: int = DEFAULT_CONCURRENCY
    options: frozenset[str] = frozenset()
    inputs: tuple[InputParameter, ...] = ()
    outputs: Mapping[str, str]
    starred_input: str = ""
    starred_output: str = ""
    stages: tuple[Stage, ...] = ()
    rollbacks: tuple[Rollback, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def injects_docker(self) -> bool:
        """Whether a Docker trigger may start it with the injected parameters."""
        return Option.DOCKER_TRIGGER in self.options

    @property
    def endpoints(self) -> frozenset[str]:
        """The names of the endpoints that its tasks use."""
        tasks = (task for stage in self.stages for task in stage.tasks)
        return frozenset(name for task in tasks for name in task.endpoints.values())

    def stage(self, name: str) -> Stage:
        """The stage of that name. Raises KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def task(self, stage: str, task: str) -> Task:
        """The task of that name in the stage. Raises KeyError."""
        for each in self.stage(stage).tasks:
            if each.name == task:
                return each
        raise KeyError(task)

    def rollback_of(self, stage: str, task: str) -> Rollback | None:
        """What rolls the task back when it fails: its own rollback, else that of its stage."""
        own = [each for each in self.rollbacks if each.stage == stage and each.task in (task, "")]
        return max(own, key=lambda each: each.task, default=None)

"""One execution in the hands of the engine: locked, with its stages and tasks.

Changes are collected and written at the end: every row once, by compare-and-set, together with the
lines that tell of them in the append-only story of the execution. What to change is for others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from uuid import UUID

from django.db import transaction
from django.db.models import F

from codestream.core.clock import database_now, now
from codestream.core.models import words_in
from codestream.core.prepared import Prepared
from codestream.core.rows import insert, update
from codestream.core.versions import DeletedMeanwhileError
from codestream.core.work import announce
from executions.definitions import definition_of, undo_of
from executions.models import Execution, ExecutionEvent, StageRun, TaskRun
from executions.states import TERMINAL, Status, can_change
from pipelines.definition import DefinitionError, PipelineDefinition, Problem
from pipelines.definition import Task as TaskDefinition
from pipelines.models import Pipeline

Row = Execution | StageRun | TaskRun


class ImpossibleChangeError(Exception):
    """A row was to change as ``states.TRANSITIONS`` does not allow: a fault of ours."""


class ConcurrentChangeError(Exception):
    """A row was changed by somebody who did not hold the lock: a fault of ours."""


class Run:
    """The execution with its stages and tasks, both in the order in which they run.

    ``pipeline`` is locked as well; None where the pipeline is deleted.
    """

    def __init__(
        self,
        execution: Execution,
        *,
        pipeline: Pipeline | None,
        stages: list[StageRun],
        tasks: list[TaskRun],
    ) -> None:
        self.execution, self.pipeline = execution, pipeline
        self.stages, self.tasks = stages, tasks
        rows: tuple[Row, ...] = (execution, *stages, *tasks)
        self._before = {row.pk: row.status for row in rows}
        self._forget()

    def change(self, row: Row, status: Status, *, message: str = "", **columns: object) -> None:
        """Move the execution, a stage or a task, with more of its columns, and tell of it.

        Raises ImpossibleChangeError when its state does not lead there: the plan never says so,
        and who has a result for a task looks first whether that is over.
        """
        before = Status(row.status)
        if not can_change(before, status):
            raise ImpossibleChangeError(f"{row!r} cannot become {status}: it is {before}.")
        if status in TERMINAL:
            columns["finished_at"] = now()
        elif row.started_at is None:
            columns["started_at"] = now()
        if not isinstance(row, StageRun):
            columns["message"] = message
        if isinstance(row, TaskRun) and status in TERMINAL:
            columns["wake_at"] = None
        self.set(row, status=status.value, **columns)
        self.tell(row, change=(before.value, status.value), message=message)

    def set(self, row: Row, **columns: object) -> None:
        """Change columns, to be written by ``write``, without a word in the story."""
        if "message" in columns:
            said = columns["message"]
            columns |= {"message": str(said), "message_words": words_in(said)}
        for name, value in columns.items():
            setattr(row, name, value)
        self._changes.setdefault(row, {}).update(columns)

    def wake(self, task: TaskRun) -> None:
        """Let a worker look at the task as soon as this is committed."""
        self._woken.add(task)
        announce(TaskRun, task.pk)

    def tell(
        self,
        row: Row,
        *,
        kind: str = "",
        subject: str = "",
        change: tuple[str, str] = ("", ""),
        actor: str = "",
        message: str = "",
    ) -> None:
        """Add a line about the row to the story; live pages see that there is something new."""
        self._story.append(
            ExecutionEvent(
                execution=self.execution,
                task_run=row if isinstance(row, TaskRun) else None,
                kind=kind or _KINDS[type(row)],
                subject=subject or name_of(row),
                from_status=change[0],
                to_status=change[1],
                actor=actor,
                message=str(message),
                message_words=words_in(message),
                at=now(),
            )
        )

    def write(self) -> None:
        """Write every change and the story so far."""
        for task in self._woken:
            wake = {"wake_at": database_now(), "wake_seq": F("wake_seq") + 1}
            self._changes.setdefault(task, {}).update(wake)
        if self._changes or self._story:
            version = {"version": F("version") + 1}
            self._changes.setdefault(self.execution, {}).update(version)
        for row, columns in self._changes.items():
            if not update(type(row), {"id": row.pk, "status": self._before[row.pk]}, **columns):
                raise ConcurrentChangeError(f"{row!r} was changed by somebody without its lock.")
            self._before[row.pk] = row.status
        insert(*self._story)
        self._forget()

    def create(self) -> None:
        """Write an execution that is new, as it stands by now, and its story."""
        for task in self._woken:
            task.wake_at, task.wake_seq = database_now(), 1
        insert(self.execution)
        insert(*self.stages)
        insert(*self.tasks)
        insert(*self._story)
        self._forget()

    def _forget(self) -> None:
        self._changes: dict[Row, dict[str, object]] = {}
        self._woken: set[TaskRun] = set()
        self._story: list[ExecutionEvent] = []


@contextmanager
def locked(execution: Execution) -> Iterator[Run]:
    """Open a transaction with the execution locked, and write what was changed at the end.

    The lock of the pipeline comes first, then the execution's, then those of rows below them:
    always in this order, or two transactions could wait for each other. Raises
    DeletedMeanwhileError.
    """
    with transaction.atomic():
        pipeline = lock_pipeline(execution.pipeline_id) if execution.pipeline_id else None
        row = _LOCKED_EXECUTION.first(execution.pk)
        if row is None:
            raise DeletedMeanwhileError(execution)
        run = load(row, pipeline=pipeline)
        yield run
        run.write()


def load(execution: Execution, *, pipeline: Pipeline | None) -> Run:
    """Take an execution that is locked already, as is its pipeline."""
    stages, tasks = _STAGES.all(execution.pk), _TASKS.all(execution.pk)
    by_key = {stage.pk: stage for stage in stages}
    for stage in stages:
        stage.execution = execution
    for task in tasks:
        task.stage_run = by_key[task.stage_run_id]
    tasks.sort(key=lambda task: task.stage_run.position)
    return Run(execution, pipeline=pipeline, stages=stages, tasks=tasks)


def lock_pipeline(pk: UUID) -> Pipeline | None:
    """Lock the pipeline: who counts its executions or gives out their numbers holds this.

    None when it is deleted.
    """
    return _LOCKED_PIPELINE.first(pk)


_LOCKED_PIPELINE = Prepared(
    lambda pk: Pipeline.objects.select_for_update(no_key=True).filter(pk=pk)
)
_LOCKED_EXECUTION = Prepared(
    lambda pk: Execution.objects.select_for_update(no_key=True).order_by().filter(pk=pk)
)
_STAGES = Prepared(
    lambda execution: StageRun.objects.filter(execution=execution).order_by("position")
)
_TASKS = Prepared(
    lambda execution: TaskRun.objects.filter(stage_run__execution=execution).order_by("position")
)


def definition_of_task(task: TaskRun) -> TaskDefinition:
    """Return the task as what its execution runs defines it."""
    stage = task.stage_run
    return definition_of_execution(stage.execution).task(stage.name, task.name)


def definition_of_execution(execution: Execution) -> PipelineDefinition:
    """Return what an execution runs: its pinned revision, or what undoes a task.

    Raises DefinitionError when it can no longer be told.
    """
    if execution.source != Execution.Source.UNDO:
        return definition_of(execution.revision_id)
    if execution.undoes_id is None:
        message = "the execution whose task it undoes is deleted"
        raise DefinitionError((Problem(path="", line=0, column=0, message=message),))
    return definition_of_undo(execution.undoes_id)


@lru_cache(maxsize=256)
def definition_of_undo(key: UUID) -> PipelineDefinition:
    """Return what undoes the task run with this key, which never changes."""
    task = TaskRun.objects.select_related("stage_run__execution").get(pk=key)
    stage = task.stage_run
    return undo_of(definition_of_task(task), execution=stage.execution_id, stage=stage.name)


def name_of(row: Row) -> str:
    """Return ``Pipeline #1``, ``Stage`` or ``Stage.Task``."""
    return f"{row.stage_run.name}.{row.name}" if isinstance(row, TaskRun) else str(row)


_KINDS = {Execution: "execution", StageRun: "stage", TaskRun: "task"}

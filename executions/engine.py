"""Plans executions: what starts next, what is over, who gets the next free place.

Only rows are touched here, in one transaction under the pipeline's lock; the work itself is in
``executions.tasks``. Knows no outside system.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import transaction

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.work import wake
from executions.definitions import definition_of
from executions.history import record
from executions.models import Execution, StageRun, TaskRun
from executions.plan import ExecutionState, Plan, StageState, TaskState, plan, ready_tasks
from executions.scopes import scope_of
from executions.states import TERMINAL, Status, sources_of
from pipelines.conditions import evaluate_condition
from pipelines.definition import Task
from pipelines.models import Pipeline

DEFAULT_TIMEOUT = timedelta(minutes=5)


def admit(pipeline: Pipeline) -> None:
    """Give free places to the executions that have waited longest. Call it in a transaction."""
    pipeline = Pipeline.objects.select_for_update().get(pk=pipeline.pk)
    # One at a time: an execution whose tasks are all skipped gives its place back at once.
    while pipeline.executions.active().count() < pipeline.concurrency:
        execution = pipeline.executions.queued().first()
        if execution is None:
            return
        change_execution(execution, Status.RUNNING)
        _advance(execution)


def advance(execution_id: UUID) -> None:
    """Look at how the execution stands and do what comes next; harmless when nothing does."""
    with transaction.atomic():
        execution = _locked(execution_id)
        _advance(execution)
        if execution.is_over and execution.pipeline is not None:
            admit(execution.pipeline)


def change_execution(execution: Execution, status: Status, message: str = "") -> bool:
    """Move the execution by compare-and-set; False when its state does not lead there."""
    moment = now()
    changes: dict[str, object] = {"status": status, "message": message}
    if status in TERMINAL:
        changes["finished_at"] = moment
    if status is Status.RUNNING and execution.started_at is None:
        changes["started_at"] = moment
    rows = Execution.objects.filter(pk=execution.pk, status__in=sources_of(status))
    if not rows.update(**changes):
        return False
    record(
        execution,
        "execution",
        subject=str(execution),
        from_status=execution.status,
        to_status=status,
        message=message,
    )
    execution.refresh_from_db()
    return True


def change_task(task: TaskRun, status: Status, *, message: str = "", actor: str = "") -> bool:
    """Move the task by compare-and-set; False when its state does not lead there."""
    moment = now()
    changes: dict[str, object] = {"status": status, "message": message}
    if status in TERMINAL:
        changes |= {"finished_at": moment, "wake_at": None}
    if status is Status.STARTED:
        changes |= {"started_at": moment, "deadline_at": moment + _timeout(task)}
    if not TaskRun.objects.filter(pk=task.pk, status__in=sources_of(status)).update(**changes):
        return False
    record(
        task.stage_run.execution,
        "task",
        subject=f"{task.stage_run.name}.{task.name}",
        task_run=task,
        from_status=task.status,
        to_status=status,
        actor=actor,
        message=message,
    )
    task.refresh_from_db()
    return True


def definition_task(task: TaskRun) -> Task:
    """Return the task as its pinned revision defines it."""
    definition = definition_of(task.stage_run.execution.revision)
    return definition.task(task.stage_run.name, task.name)


def _locked(execution_id: UUID) -> Execution:
    """Lock the pipeline, then the execution: always in this order."""
    execution = Execution.objects.get(pk=execution_id)
    if execution.pipeline_id is not None:
        Pipeline.objects.select_for_update().filter(pk=execution.pipeline_id).first()
    return Execution.objects.select_for_update(of=("self",)).get(pk=execution_id)


def _advance(execution: Execution) -> None:
    while True:
        tasks = _tasks(execution)
        ready = ready_tasks(_standing(execution, tasks, {}))
        conditions = {key: _precondition(tasks[key]) for key in ready}
        if any(tasks[key].status != Status.NOT_STARTED for key in ready):
            continue  # a condition could not be read, which failed its task: look again
        outcome = plan(_standing(execution, tasks, conditions))
        _carry_out(execution, outcome, tasks)
        if not outcome.skip:
            return


def _tasks(execution: Execution) -> dict[str, TaskRun]:
    rows = TaskRun.objects.filter(stage_run__execution=execution)
    rows = rows.select_related("stage_run__execution__revision")
    return {str(task.pk): task for task in rows.order_by("stage_run__position", "position")}


def _standing(
    execution: Execution, tasks: dict[str, TaskRun], conditions: dict[str, bool | None]
) -> ExecutionState:
    return ExecutionState(
        status=Status(execution.status),
        stages=tuple(
            _stage_state(stage, tasks, conditions)
            for stage in StageRun.objects.filter(execution=execution).order_by("position")
        ),
        cancel_requested=execution.cancel_requested_at is not None,
        pause_requested=execution.pause_requested_at is not None,
    )


def _stage_state(
    stage: StageRun, tasks: dict[str, TaskRun], conditions: dict[str, bool | None]
) -> StageState:
    groups: dict[int, list[TaskState]] = {}
    for key, task in tasks.items():
        if task.stage_run_id == stage.pk:
            state = TaskState(
                key=key,
                status=Status(task.status),
                ignore_failure=definition_task(task).ignore_failure,
                precondition=conditions.get(key),
            )
            groups.setdefault(task.group, []).append(state)
    ordered = tuple(tuple(groups[group]) for group in sorted(groups))
    return StageState(key=str(stage.pk), status=Status(stage.status), groups=ordered)


def _precondition(task: TaskRun) -> bool | None:
    """Evaluate the task's condition; one that cannot be evaluated fails the task."""
    text = definition_task(task).precondition
    if not text:
        return None
    scope = scope_of(task.stage_run.execution, stage=task.stage_run.name, task=task.name)
    try:
        return evaluate_condition(text, scope)
    except CodeStreamError as error:
        change_task(task, failure_of(task), message=f"Precondition: {error.user_message}")
        return None


def failure_of(task: TaskRun) -> Status:
    """Return how this task fails: for good, or in a way that lets the rest go on."""
    ignored = definition_task(task).ignore_failure
    return Status.FAILED_CONTINUE if ignored else Status.FAILED


def _carry_out(execution: Execution, outcome: Plan, tasks: dict[str, TaskRun]) -> None:
    for key, status in outcome.stage_changes:
        _change_stage(execution, key, status)
    for key in outcome.start:
        if change_task(tasks[key], Status.STARTED):
            wake(TaskRun.objects.filter(pk=key))
    for key in outcome.skip:
        change_task(tasks[key], Status.SKIPPED, message="The condition is not met.")
    for key in outcome.cancel_now:
        change_task(tasks[key], Status.CANCELED)
    for key in outcome.cancel:
        if change_task(tasks[key], Status.CANCELING, message=tasks[key].message):
            wake(TaskRun.objects.filter(pk=key))
    if outcome.status is not None:
        failed = tasks.get(outcome.failed_task or "")
        change_execution(execution, outcome.status, _message(execution, outcome.status, failed))


def _change_stage(execution: Execution, key: str, status: Status) -> None:
    moment = now()
    rows = StageRun.objects.filter(pk=key, status__in=sources_of(status))
    stage = rows.first()
    if stage is None:
        return
    rows.update(
        status=status,
        started_at=stage.started_at or moment,
        finished_at=moment if status in TERMINAL else None,
    )
    record(execution, "stage", subject=stage.name, from_status=stage.status, to_status=status)


def _message(execution: Execution, status: Status, failed: TaskRun | None) -> str:
    if status is Status.COMPLETED:
        return "Execution Completed."
    if failed is not None:
        return f"{failed.stage_run.name}.{failed.name}: {failed.message}"
    if status in {Status.CANCELED, Status.CANCELING} and execution.cancel_requested_by:
        reason = f": {execution.cancel_reason}" if execution.cancel_reason else "."
        return f"Execution canceled by {execution.cancel_requested_by}{reason}"
    return ""


def _timeout(task: TaskRun) -> timedelta:
    minutes = definition_task(task).input.get("timeout")
    text = str(minutes).strip() if minutes is not None else ""
    return timedelta(minutes=int(text)) if text.isdecimal() and int(text) else DEFAULT_TIMEOUT

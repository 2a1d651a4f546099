"""Works one task run: a short step under a claim, its result, and the plan that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from codestream.core.clock import now
from codestream.core.errors import CodeStreamError
from codestream.core.json_types import JsonObject
from codestream.core.work import Claim, finishing
from endpoints.clients.base import ClientError
from endpoints.models import Endpoint
from executions.engine import advance, change_task, definition_task, failure_of
from executions.history import record
from executions.models import Execution, TaskRun
from executions.runners import runner_for
from executions.runners.base import Done, Outcome, TaskContext, TaskFailedError, Wait
from executions.scopes import check_variable, masked, may_use_restricted, scope_of, secret_variables
from executions.states import Status
from pipelines.expressions import UnknownReference, VariableRef

LONGEST_PAUSE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    status: Status
    message: str
    output: JsonObject | None = None


def work_task(claim: Claim) -> None:
    """Do the next step of the task run: start, look again, cancel or give up."""
    task = TaskRun.objects.select_related("stage_run__execution__revision").get(pk=claim.pk)
    if task.status not in {Status.STARTED, Status.RUNNING, Status.CANCELING}:
        with finishing(claim, wake_at=None):
            return
    _begin(claim, task)
    result = _step(task)
    with finishing(claim, wake_at=result.until if isinstance(result, Wait) else None):
        _write(task, result)
        if not isinstance(result, Wait):
            advance(task.stage_run.execution_id)


def fail_task(claim: Claim, message: str) -> None:
    """End the task run because of a fault of ours."""
    task = TaskRun.objects.select_related("stage_run__execution__revision").get(pk=claim.pk)
    with finishing(claim, wake_at=None):
        change_task(task, failure_of(task), message=message)
        advance(task.stage_run.execution_id)


def _begin(claim: Claim, task: TaskRun) -> None:
    """Say that the task runs, before its first step reaches the outside."""
    if task.status != Status.STARTED:
        return
    with transaction.atomic():
        rows = TaskRun.objects.filter(pk=task.pk, epoch=claim.epoch, status=Status.STARTED)
        if rows.update(status=Status.RUNNING):
            record(
                task.stage_run.execution,
                "task",
                subject=f"{task.stage_run.name}.{task.name}",
                task_run=task,
                from_status=Status.STARTED,
                to_status=Status.RUNNING,
            )
    # Somebody may have asked to cancel just now; then that is the step to do.
    task.refresh_from_db(fields=["status"])


def _step(task: TaskRun) -> Outcome | _Ended:
    runner = runner_for(task.kind)
    outcome: Outcome | _Ended
    try:
        context = _context(task)
        if task.status == Status.CANCELING:
            runner.cancel(context)
            return _Ended(status=Status.CANCELED, message=_canceled(task.stage_run.execution))
        outcome = runner.poll(context) if task.cursor else runner.start(context)
    except CodeStreamError as error:
        outcome = _after_error(task, error)
    # Looked at first: what has ended while no worker was there has not timed out.
    if isinstance(outcome, Wait) and task.deadline_at and now() > task.deadline_at:
        return _Ended(status=failure_of(task), message=_timed_out(task, outcome.message))
    return outcome


def _after_error(task: TaskRun, error: CodeStreamError) -> Outcome | _Ended:
    message = error.user_message
    if isinstance(error, UnknownReference) and isinstance(error.reference, VariableRef):
        message = _why_unknown(task.stage_run.execution, error)
    if task.status == Status.CANCELING:
        return _Ended(status=Status.CANCELED, message=message)
    if error.retryable:
        return Wait(until=_next_try(task, error), message=message, cursor=task.cursor)
    output = error.output if isinstance(error, TaskFailedError) else None
    return _Ended(status=failure_of(task), message=message, output=output)


def _why_unknown(execution: Execution, error: UnknownReference) -> str:
    try:
        check_variable(execution, str(getattr(error.reference, "name", "")))
    except UnknownReference as reason:
        return reason.user_message
    return error.user_message


def _next_try(task: TaskRun, error: CodeStreamError) -> datetime:
    pause = min(timedelta(seconds=2 ** min(task.attempt, 10)), LONGEST_PAUSE)
    retry_at = error.retry_at if isinstance(error, ClientError) else None
    return max(now() + pause, retry_at) if retry_at else now() + pause


def _write(task: TaskRun, result: Outcome | _Ended) -> None:
    if isinstance(result, _Ended):
        if result.output:
            TaskRun.objects.filter(pk=task.pk).update(output=result.output)
        change_task(task, result.status, message=result.message)
        return
    kept: dict[str, object] = {"message": result.message}
    if result.output:
        kept["output"] = result.output
    if result.input is not None:
        kept["input"] = result.input
    if isinstance(result, Done):
        TaskRun.objects.filter(pk=task.pk).update(**kept)
        change_task(task, Status.COMPLETED, message=result.message)
        return
    failed_try = result.cursor is task.cursor
    kept |= {"cursor": result.cursor, "attempt": task.attempt + failed_try}
    TaskRun.objects.filter(pk=task.pk).update(**kept)
    if result.output and result.output != task.output:
        rows = Execution.objects.filter(pk=task.stage_run.execution_id)
        rows.update(version=F("version") + 1)
    if result.message != task.message:
        record(
            task.stage_run.execution,
            "progress",
            subject=f"{task.stage_run.name}.{task.name}",
            task_run=task,
            message=result.message,
        )


def _context(task: TaskRun) -> TaskContext:
    execution = task.stage_run.execution
    definition = definition_task(task)
    scope = scope_of(execution, stage=task.stage_run.name, task=task.name)
    return TaskContext(
        execution_id=str(execution.pk),
        task_id=str(task.pk),
        input=dict(definition.input),
        endpoints=definition.endpoints,
        scope=scope,
        shown=masked(scope, secret_variables(execution)),
        cursor=task.cursor,
        find_endpoint=lambda name, kind: _endpoint(execution, name, kind),
    )


def _endpoint(execution: Execution, name: str, kind: str) -> Endpoint:
    rows = Endpoint.objects.filter(project_id=execution.project_id, name=name, kind=kind)
    endpoint = rows.first()
    if endpoint is None:
        raise TaskFailedError(
            _("The project has no endpoint “%(name)s” of this kind.") % {"name": name}
        )
    if endpoint.is_restricted and not may_use_restricted(execution):
        raise TaskFailedError(
            _("Restricted: only a project administrator's run may use endpoint “%(name)s”.")
            % {"name": name}
        )
    return endpoint


def _timed_out(task: TaskRun, seen: str) -> str:
    waited = now() - (task.started_at or task.created_at)
    minutes = max(1, round(waited.total_seconds() / 60))
    last = f" {_('Last seen:')} {seen}" if seen else ""
    return _("Timed out after %(minutes)s min.") % {"minutes": minutes} + last


def _canceled(execution: Execution) -> str:
    return _("Canceled by %(name)s.") % {"name": execution.cancel_requested_by}

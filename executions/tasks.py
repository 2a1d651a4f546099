"""Works one task run: a short step under a claim, its result, and the plan that follows from it."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from codestream.core.clock import database_now, now
from codestream.core.database_trouble import OUTAGES
from codestream.core.errors import CodeStreamError
from codestream.core.json_types import JsonObject
from codestream.core.rows import unsynced, update
from codestream.core.storable import storable
from codestream.core.versions import DeletedMeanwhileError
from codestream.core.words import Words, gettext_noop, joined
from codestream.core.work import Claim, LeaseLostError, finish, finishing, present
from endpoints.clients.base import ClientError
from endpoints.clients.image_references import ImageReference
from executions import rollbacks
from executions.engine import admit, advance, break_off
from executions.image_pushes import note_pushes
from executions.models import TaskRun
from executions.restricted import RestrictedError, check_use, named_by, restricted_behind
from executions.run import Run, locked
from executions.runners import runner_for
from executions.runners.base import Done, Hold, Outcome, Stopped, TaskFailedError, Wait
from executions.states import TERMINAL, Status
from executions.task_context import Snapshot, context_of
from executions.task_rules import failure_of, timeout_of
from executions.waiting import is_covered, keep_watch

LONGEST_PAUSE = timedelta(seconds=30)
SOON = timedelta(seconds=1)
MOST_STEPS = 5
"""So often a task that need not wait goes on under the same claim, before others get their turn."""
AT_WORK = frozenset(
    {Status.STARTED, Status.RUNNING, Status.WAITING, Status.CANCELING, Status.ROLLING_BACK}
)
"""The states of a task in which there is something to do for it."""
MOVING = frozenset({Status.STARTED, Status.RUNNING, Status.WAITING})
"""A task in one of these goes where its step says; one that is stopped or rolled back stays."""
MOST_ATTEMPTS = 32_767
"""The column holds no more; nobody needs to know how often it was after that."""
_TEXTS = ("message", "cursor", "input", "output")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The task has failed; how, its definition says."""

    message: str
    output: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The task has come to an end that is neither success nor failure of its own."""

    status: Status
    message: str
    output: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain(Wait):
    """The step failed in a way that may pass."""


Result = Outcome | Failed | Ended


def work_task(claim: Claim) -> None:
    """Do the next step of the task run: start, look again, cancel, roll back or give up."""
    task: TaskRun = claim.row
    if task.status not in AT_WORK:
        _let_in(claim, task)
        return
    result = _steps(claim, task)
    next_look = _next_look(task, result)
    if isinstance(result, Wait | Hold) and _is_nothing_new(task, result):
        if task.status == Status.ROLLING_BACK:
            _plan_anew(claim, task, next_look)
            return
        with finishing(claim, wake_at=next_look):
            _write_cursor(task, result)
            _watch_unless_failed(task, result)
        return
    # The last step may be lost in a power cut, and done again. One that goes on changes something
    # outside next, so its cursor has to be on the disk before.
    is_last = not isinstance(result, Wait | Hold)
    with unsynced() if is_last else nullcontext(), locked(task.stage_run.execution) as run:
        row = _locked_row(run, task)  # ``task`` is as it was claimed, ``row`` as it stands now
        is_over = row.status in TERMINAL
        finish(claim, wake_at=None if is_over else next_look, may_be_lost=is_last)
        if is_over:
            # Ended while the step was under way, and stays so; what was pushed is pushed.
            note_pushes(row, _pushes_of(result))
            return
        _watch_unless_failed(task, result)
        if _asks_again(task, result):
            run.set(row, answer="", answer_comment="", answered_by="", answered_at=None)
        _write(run, row, result)
        advance(run)


def _let_in(claim: Claim, task: TaskRun) -> None:
    """Do nothing for a task that has not begun or is over, but let its execution in: ``admit``
    leaves to this what was too much at once.
    """
    with locked(task.stage_run.execution) as run:
        finish(claim, wake_at=None)
        if run.execution.status == Status.QUEUED and run.pipeline is not None:
            admit(run.pipeline)


def _plan_anew(claim: Claim, task: TaskRun, next_look: datetime | None) -> None:
    """Give the place away that the rollback of the task may wait for, if that was not done."""
    with locked(task.stage_run.execution) as run:
        is_over = _locked_row(run, task).status in TERMINAL
        finish(claim, wake_at=None if is_over else next_look)
        advance(run)


def _steps(claim: Claim, task: TaskRun) -> Result:
    """Do the next step, and under the same claim those after it that need not wait."""
    seen = Snapshot(claim)
    result = _storable(_step(task, seen))
    for _ in range(MOST_STEPS):
        if not (
            isinstance(result, Wait)
            and result.until <= now()
            and _write_to_go_on(claim, task, result)
        ):
            break
        result = _storable(_step(task, seen))
    return result


def _storable(result: Result) -> Result:
    """The result without what no database takes, such as the zero bytes of a log."""
    kept = {name: getattr(result, name) for name in _TEXTS if hasattr(result, name)}
    return replace(result, **storable(kept))


def _next_look(task: TaskRun, result: Result) -> datetime | None:
    """When to look again: at its deadline at the latest, and not sooner where a watch looks."""
    if not isinstance(result, Wait):
        return result.until if isinstance(result, Hold) else None
    until = result.until
    if result.watched is not None and is_covered(task, result.watched):
        until = max(until, result.watched.until)
    left = _time_left(task)
    if left is not None and task.status in MOVING and until > now() + left:
        return max(now() + left, min(until, now() + SOON))
    return until


def _watch_unless_failed(task: TaskRun, result: Result) -> None:
    """A step that failed has not seen what to wait for: that stays as it was."""
    if not isinstance(result, TryAgain):
        keep_watch(task, result.watched if isinstance(result, Wait) else None)


def _write_to_go_on(claim: Claim, task: TaskRun, result: Wait) -> bool:
    """Write down how far the task is and keep the claim, to go on at once; False when somebody
    else wants something of the task, or has it, and when there is more to be written than its row.
    """
    if result.pushes:
        return False
    columns = {"cursor": result.cursor, **_given(input=result.input, output=result.output or None)}
    mine = {"id": task.pk, "epoch": claim.epoch, "wake_seq": claim.wake_seq}
    if not update(TaskRun, {**mine, "status": task.status}, **columns):
        return False
    for name, value in columns.items():
        setattr(task, name, value)
    return True


def fail_task(claim: Claim, message: str) -> None:
    """End the task run because of a fault of ours, unless it was ended meanwhile; the whole
    execution, when that meets a fault as well. A task that was not at work is no part of it: what
    it was woken for is tried again.
    """
    task: TaskRun = claim.row
    if task.status not in AT_WORK:
        with finishing(claim, wake_at=now() + LONGEST_PAUSE):
            return
    try:
        with locked(task.stage_run.execution) as run:
            finish(claim, wake_at=None)
            row = _locked_row(run, task)
            if row.status not in TERMINAL:
                keep_watch(task, None)
                _write(run, row, Failed(message=message))
                advance(run)
    except (LeaseLostError, DeletedMeanwhileError, *OUTAGES):
        raise
    except Exception:
        logger.exception("%s: its failure cannot be written either.", task)
        with locked(task.stage_run.execution) as run:
            finish(claim, wake_at=None)
            if _locked_row(run, task).status not in TERMINAL:
                break_off(run, message)


def _locked_row(run: Run, task: TaskRun) -> TaskRun:
    """The row as it stands now, under the lock."""
    return next(each for each in run.tasks if each.pk == task.pk)


def _step(task: TaskRun, seen: Snapshot) -> Result:
    """Do one step in the outside world; no transaction is open."""
    if task.status == Status.ROLLING_BACK:
        return _roll_back(task)
    runner = runner_for(task.kind)
    try:
        context = context_of(task, seen)
        if task.status == Status.CANCELING:
            return _canceled(task, runner.cancel(context) or Stopped())
        if not task.cursor:  # the runner has not begun
            # Before anything is done, and all at once: who resumes it sees what they allow.
            check_use(task, named_by(task))
        outcome = runner.poll(context) if task.cursor else runner.start(context)
    except CodeStreamError as error:
        return _after_error(task, error)
    # Looked at first: what has ended while no worker was there has not timed out.
    if isinstance(outcome, Wait) and _is_late(task):
        return Failed(message=_timed_out(task, outcome.message), output=outcome.output or None)
    return outcome


def _roll_back(task: TaskRun) -> Result:
    """Start what rolls the task back, or look how far that is."""
    try:
        rollback = rollbacks.start(task)
    except CodeStreamError as error:
        words = Words(
            gettext_noop("The rollback could not start: %(reason)s"), {"reason": error.words}
        )
        return Ended(status=Status.ROLLBACK_FAILED, message=joined([task.words, words]))
    if rollback is None or not rollback.is_over:
        until = now() + rollbacks.LOOK_AGAIN
        return Wait(until=until, message=task.words, cursor=task.cursor)
    if rollback.status == Status.COMPLETED:
        words = Words(gettext_noop("Rolled back by %(execution)s."), {"execution": str(rollback)})
        return Ended(status=Status.ROLLBACK_COMPLETED, message=joined([task.words, words]))
    words = Words(
        gettext_noop("The rollback %(execution)s ended with: %(message)s"),
        {"execution": str(rollback), "message": rollback.words or rollback.status},
    )
    return Ended(status=Status.ROLLBACK_FAILED, message=joined([task.words, words]))


def _after_error(task: TaskRun, error: CodeStreamError) -> Result:
    message = error.words
    if task.status == Status.CANCELING:
        return _canceled(task, Stopped(message=message))
    if things := restricted_behind(task.stage_run.execution, error):
        message = RestrictedError(things).words
        return Hold(message=message, cursor=task.cursor, held_for=tuple(things))
    if not error.retryable:
        output = error.output if isinstance(error, TaskFailedError) else None
        return Failed(message=message, output=output)
    if _is_late(task):
        return Failed(message=_timed_out(task, message))
    return TryAgain(until=_next_try(task, error), message=message, cursor=task.cursor)


def _next_try(task: TaskRun, error: CodeStreamError) -> datetime:
    pause = min(timedelta(seconds=2 ** min(task.attempt, 10)), LONGEST_PAUSE)
    retry_at = error.retry_at if isinstance(error, ClientError) else None
    return max(now() + pause, retry_at) if retry_at else now() + pause


def _write(run: Run, task: TaskRun, result: Result) -> None:
    """Write what the step found; the story says what is new to a reader."""
    before = task.status
    match result:
        case Failed(message=message, output=output):
            run.change(task, failure_of(run, task), message=message, **_given(output=output))
        case Ended(status=status, message=message, output=output):
            run.change(task, status, message=message, **_given(output=output))
        case Done(message=message, output=output):
            columns = _given(output=output or None, input=result.input)
            run.change(task, Status.COMPLETED, message=message, **columns)
        case Wait() | Hold():
            _wait(run, task, result)
    note_pushes(task, _pushes_of(result))
    if task.status != before and task.status not in rollbacks.WORKING:
        _wake_rollbacks(run, task)


def _wake_rollbacks(run: Run, task: TaskRun) -> None:
    """Let the rollback of the task begin, and that of its stage, which may have waited for it."""
    for mate in run.tasks:
        if mate.stage_run_id == task.stage_run_id and mate.status == Status.ROLLING_BACK:
            run.wake(mate)


def _wait(run: Run, task: TaskRun, result: Wait | Hold) -> None:
    """Note that the task waits: RUNNING for the world, mostly, and WAITING for a person."""
    wanted, before = _state_after(task, result), Status(task.status)
    is_news = result.message != task.message
    columns = _given(input=result.input, output=result.output or None)
    columns |= {"cursor": result.cursor, "attempt": _attempt_after(task, result)}
    if isinstance(result, Hold):
        columns["held_for"] = list(result.held_for)
    elif wanted is not Status.WAITING:
        columns["held_for"] = []
    if wanted is not before and before in MOVING:
        if before is Status.WAITING:  # what a person took to answer is not the task's time
            columns["deadline_at"] = database_now(plus=timeout_of(task))
        run.change(task, wanted, message=result.message, **columns)
        return
    run.set(task, message=result.message, **columns)
    if is_news:
        run.tell(task, kind="progress", message=result.message)


def _is_nothing_new(task: TaskRun, result: Wait | Hold) -> bool:
    """Whether nobody would see a difference: then the row and its watch are written, under no other
    lock.
    """
    stays = task.status == _state_after(task, result) or task.status not in MOVING
    quiet = result.message == task.message and result.input is None
    tells = bool(_pushes_of(result)) or result.output not in ({}, task.output)
    return stays and quiet and not tells and not _asks_again(task, result)


def _pushes_of(result: Result) -> tuple[ImageReference, ...]:
    return result.pushes if isinstance(result, Done | Wait) else ()


def _asks_again(task: TaskRun, result: Result) -> bool:
    """Whether the step had an answer and wants another; one that came meanwhile it has not seen."""
    return isinstance(result, Hold) and task.answered_at is not None


def _write_cursor(task: TaskRun, result: Wait | Hold) -> None:
    attempt = _attempt_after(task, result)
    TaskRun.objects.filter(pk=task.pk).update(cursor=result.cursor, attempt=attempt)


def _attempt_after(task: TaskRun, result: Result) -> int:
    return min(task.attempt + isinstance(result, TryAgain), MOST_ATTEMPTS)


def _state_after(task: TaskRun, result: Wait | Hold) -> Status:
    """WAITING for a person, also while an outside system is away before there is an answer."""
    asks = task.status == Status.WAITING and task.answered_at is None
    is_waiting = isinstance(result, Hold) or (asks and isinstance(result, TryAgain))
    return Status.WAITING if is_waiting else Status.RUNNING


def _given(**columns: object) -> dict[str, object]:
    return {name: value for name, value in columns.items() if value is not None}


def _is_late(task: TaskRun) -> bool:
    """Whether its time is over; what waits for a person has all the time that its kind gives."""
    left = _time_left(task)
    return task.status != Status.WAITING and left is not None and left < timedelta()


def _time_left(task: TaskRun) -> timedelta | None:
    """How long it may take yet; None for as long as it likes. By the database's clock: that of this
    machine may be another one than that of who began it.
    """
    return None if task.deadline_at is None else task.deadline_at - present(task)


def _timed_out(task: TaskRun, seen: str) -> Words:
    waited = timeout_of(task) - (_time_left(task) or timedelta())
    minutes = max(1, round(waited.total_seconds() / 60))
    words = Words(gettext_noop("Timed out after %(minutes)s min."), {"minutes": minutes})
    last = Words(gettext_noop("Last seen: %(seen)s"), {"seen": Words.plain(seen)})
    return joined([words, last]) if seen else words


def _canceled(task: TaskRun, stopped: Stopped) -> Ended:
    by = task.stage_run.execution.cancel_requested_by
    words = Words(gettext_noop("Canceled by %(name)s."), {"name": by})
    message = joined([words, stopped.message]) if stopped.message else words
    return Ended(status=Status.CANCELED, message=message, output=stopped.output)

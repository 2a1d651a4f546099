"""What people, pushes and programs can do with executions: each is one transaction, but
``start_locked`` and ``create_execution``, which are parts of their caller's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.prepared import Prepared
from codestream.core.rows import update
from codestream.core.versions import require_present
from codestream.core.words import Words, gettext_noop
from executions.definitions import definition_of
from executions.engine import admit, advance, begin
from executions.models import Execution, StageRun, TaskRun
from executions.places import has_a_place_for, has_queued
from executions.restricted import RESUME
from executions.run import Run, lock_pipeline, locked
from executions.states import Status
from pipelines.definition import PipelineDefinition, Stage, Task
from pipelines.models import Pipeline


def start_execution(
    *,
    pipeline: Pipeline,
    inputs: Mapping[str, str],
    run_as: User | None,
    triggered_by: str,
    source: str = Execution.Source.USER,
    comments: str = "",
    start_key: str | None = None,
    rerun_of: Execution | None = None,
    parent: Execution | None = None,
) -> Execution:
    """Start the pipeline at its present revision, or queue it when all its places are taken.

    ``inputs`` go over the definition's defaults; names it does not declare are left out. A
    ``start_key`` that was used before returns the execution of that time. Raises Refused when
    the pipeline is disabled or deleted, DeletedMeanwhileError when the execution is that it is to
    repeat, and DefinitionError when its source can no longer be read.
    """
    with transaction.atomic():
        present = lock_pipeline(pipeline.pk)
        if rerun_of is not None:
            require_present(rerun_of)
        return start_locked(
            present,
            inputs,
            run_as=run_as,
            triggered_by=triggered_by,
            source=source,
            comments=comments,
            start_key=start_key,
            rerun_of=rerun_of,
            parent=parent,
        )


def start_locked(
    pipeline: Pipeline | None, inputs: Mapping[str, str], *, start_key: str | None, **columns: Any
) -> Execution:
    """Start an execution of the pipeline that ``lock_pipeline`` answered, as ``start_execution``
    does; Refused leaves the transaction whole.

    ``columns`` are those of the execution that say who wants it, and why. A ``start_key`` belongs
    to one pipeline, so nobody else can use it meanwhile.
    """
    if pipeline is None:
        raise Refused(Words(gettext_noop("The pipeline is deleted.")))
    revision = _revision_to_run(pipeline)
    definition = definition_of(revision)
    execution = Execution(
        project_id=pipeline.project_id,
        pipeline=pipeline,
        pipeline_name=pipeline.name,
        revision_id=revision,
        inputs=_inputs(definition, inputs),
        start_key=start_key,
        **columns,
    )
    if start_key is not None and (started := _STARTED.first(start_key)):
        return started
    create_execution(execution, definition, pipeline)
    return execution


def cancel_execution(*, execution: Execution, by: User, reason: str = "") -> None:
    """Ask for the end of the execution; once is enough. Raises Refused when it is over."""
    with locked(execution) as run:
        _refuse_if_over(run)
        if run.execution.cancel_requested_at is None:
            run.set(
                run.execution,
                cancel_requested_at=now(),
                cancel_requested_by=by.username,
                cancel_reason=reason,
            )
            _tell_request(run, gettext_noop("Cancel requested"), by, reason)
        advance(run)
    execution.refresh_from_db()


def pause_execution(*, execution: Execution, by: User) -> None:
    """Let what runs come to its end and start nothing more. Raises Refused when it is over."""
    with locked(execution) as run:
        _refuse_if_over(run)
        if run.execution.pause_requested_at is None:
            requested = {"pause_requested_at": now(), "pause_requested_by": by.username}
            run.set(run.execution, **requested)
            _tell_request(run, gettext_noop("Pause requested"), by)
        advance(run)
    execution.refresh_from_db()


def resume_execution(*, execution: Execution, by: User) -> None:
    """Go on after a pause. Raises Refused when it is over."""
    with locked(execution) as run:
        _refuse_if_over(run)
        if run.execution.pause_requested_at is not None:
            run.set(run.execution, pause_requested_at=None, pause_requested_by="")
            _tell_request(run, gettext_noop("Resumed"), by)
        advance(run)
    execution.refresh_from_db()


def answer_task(*, task: TaskRun, answer: str, by: User, comment: str = "") -> None:
    """Answer a task that waits for a person; the first answer counts.

    Raises Refused when the task does not wait, has its answer already, or waits for an
    administrator to release it.
    """
    with locked(task.stage_run.execution) as run:
        asked = _asked(run, task)
        if asked.held_for:
            raise Refused(_("This task waits for an administrator to resume it."))
        _answer(run, asked, answer=answer, by=by, comment=comment)
    task.refresh_from_db()


def release_task(*, task: TaskRun, by: User) -> None:
    """Let a task use the restricted things that it waits for, and go on; once is enough.

    Raises Refused when it does not wait for any.
    """
    with locked(task.stage_run.execution) as run:
        asked = _asked(run, task)
        if not asked.held_for:
            raise Refused(_("This task does not wait for an administrator any more."))
        allowed = ", ".join(asked.held_for)
        run.set(asked, released=[*asked.released, *asked.held_for], held_for=[])
        _answer(run, asked, answer=RESUME, by=by, comment=allowed)
    task.refresh_from_db()


def _asked(run: Run, task: TaskRun) -> TaskRun:
    """The task under the lock; it has to wait for an answer."""
    asked = next(each for each in run.tasks if each.pk == task.pk)
    if asked.status != Status.WAITING or asked.answered_at is not None:
        raise Refused(_("This task does not wait for an answer any more."))
    return asked


def _answer(run: Run, task: TaskRun, *, answer: str, by: User, comment: str) -> None:
    given = {"answer": answer, "answer_comment": comment, "answered_by": by.username}
    run.set(task, **given, answered_at=now())
    run.wake(task)
    message = f"{answer}: {comment}" if comment else answer
    run.tell(task, kind="request", actor=by.username, message=message)


def _refuse_if_over(run: Run) -> None:
    if run.execution.is_over:
        raise Refused(_("This execution is over already."))


def _tell_request(run: Run, subject: str, by: User, reason: str = "") -> None:
    run.tell(run.execution, kind="request", subject=subject, actor=by.username, message=reason)


def rerun_execution(*, execution: Execution, by: User) -> Execution:
    """Start the pipeline again with the same inputs, at its present revision.

    Raises Refused as ``start_execution`` does, for an undo, and when the execution is deleted.
    """
    if execution.pipeline is None:
        raise Refused(_("The pipeline of this execution is deleted."))
    if execution.source == Execution.Source.UNDO:
        text = gettext_noop(
            "An undo is no run of the pipeline: press Undo beside its task instead."
        )
        raise Refused(Words(text))
    return start_execution(
        pipeline=execution.pipeline,
        inputs=execution.inputs,
        run_as=by,
        triggered_by=by.username,
        rerun_of=execution,
        comments=_("Re-run of %(execution)s") % {"execution": execution},
    )


def _revision_to_run(pipeline: Pipeline) -> UUID:
    if pipeline.state == Pipeline.State.DISABLED:
        words = Words(gettext_noop("Pipeline %(name)s is disabled."), {"name": pipeline.name})
        raise Refused(words)
    if pipeline.current_revision_id is None:
        text = gettext_noop("Pipeline %(name)s has no definition yet.")
        raise Refused(Words(text, {"name": pipeline.name}))
    return pipeline.current_revision_id


def _inputs(definition: PipelineDefinition, given: Mapping[str, str]) -> dict[str, str]:
    values = {item.name: given.get(item.name, item.value) for item in definition.inputs}
    missing = [item.name for item in definition.inputs if item.mandatory and not values[item.name]]
    if missing:
        text = gettext_noop("These inputs are missing: %(names)s.")
        raise Refused(Words(text, {"names": ", ".join(missing)}))
    return values


def create_execution(
    execution: Execution, definition: PipelineDefinition, pipeline: Pipeline
) -> None:
    """Write an execution, running when there is a place for it and nobody before it, else QUEUED.

    Call it with the pipeline locked, which gives it its number. A rollback may pass those for which
    there is no place (docs/decisions/0012).
    """
    execution.index = pipeline.next_index
    run = _run_of(execution, definition, pipeline)
    run.tell(execution, change=("", execution.status), actor=execution.triggered_by)
    has_place = has_a_place_for(execution, pipeline)
    is_next = has_place and not has_queued(pipeline)
    if is_next:
        # Planned on rows that are not written yet: ``create`` writes them as they stand then.
        # Should all be over at once, nobody waits for its place.
        begin(run)
    run.create()
    pipeline.next_index += 1
    update(Pipeline, {"id": pipeline.pk}, next_index=pipeline.next_index)
    if has_place and not is_next:
        # Others wait although there is room for it: they may be those that it passes, or the
        # concurrency was raised meanwhile.
        admit(pipeline)
        execution.refresh_from_db()


def _run_of(execution: Execution, definition: PipelineDefinition, pipeline: Pipeline) -> Run:
    """Make the rows of the execution's parts; nothing is written yet."""
    stages = [
        StageRun(execution=execution, position=position, name=stage.name)
        for position, stage in enumerate(definition.stages)
    ]
    tasks = [
        TaskRun(stage_run=row, position=position, group=group, name=task.name, kind=task.kind)
        for row, stage in zip(stages, definition.stages, strict=True)
        for position, (group, task) in enumerate(_in_groups(stage))
    ]
    return Run(execution, pipeline=pipeline, stages=stages, tasks=tasks)


def _in_groups(stage: Stage) -> Iterator[tuple[int, Task]]:
    """Every task of the stage with the number of its group."""
    return ((group, task) for group, tasks in enumerate(stage.groups) for task in tasks)


_STARTED = Prepared(lambda key: Execution.objects.filter(start_key=key).order_by())

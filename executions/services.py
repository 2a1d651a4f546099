"""What people, pushes and programs can do with executions: each is one transaction."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.utils.translation import gettext as _

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.errors import Refused
from executions.definitions import definition_of
from executions.engine import admit, advance
from executions.history import record
from executions.models import Execution, StageRun, TaskRun
from pipelines.definition import PipelineDefinition, Stage
from pipelines.models import Pipeline, PipelineRevision


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
) -> Execution:
    """Start the pipeline at its present revision, or queue it when all its places are taken.

    ``inputs`` go over the definition's defaults; names it does not declare are left out. A
    ``start_key`` that was used before returns the execution of that time. Raises Refused when
    the pipeline is disabled, and DefinitionError when its source can no longer be read.
    """
    with transaction.atomic():
        locked = Pipeline.objects.select_for_update().get(pk=pipeline.pk)
        started = start_key and Execution.objects.filter(start_key=start_key).first()
        if started:
            return started
        revision = _revision_to_run(locked)
        definition = definition_of(revision)
        execution = Execution.objects.create(
            project=locked.project,
            pipeline=locked,
            pipeline_name=locked.name,
            revision=revision,
            index=locked.next_index,
            inputs=_inputs(definition, inputs),
            run_as=run_as,
            triggered_by=triggered_by,
            source=source,
            comments=comments,
            start_key=start_key,
            rerun_of=rerun_of,
        )
        locked.next_index += 1
        locked.save(update_fields=["next_index"])
        for position, stage in enumerate(definition.stages):
            _create_stage(execution, position, stage)
        record(
            execution,
            "execution",
            subject=str(execution),
            to_status=execution.status,
            actor=triggered_by,
        )
        admit(locked)
        execution.refresh_from_db()
        return execution


def cancel_execution(*, execution: Execution, by: User, reason: str = "") -> None:
    """Ask for the end of the execution; once is enough. Raises Refused when it is over."""
    with transaction.atomic():
        rows = Execution.objects.live().filter(pk=execution.pk)
        if not rows.exists():
            raise Refused(_("This execution is over already."))
        asked = rows.filter(cancel_requested_at=None).update(
            cancel_requested_at=now(), cancel_requested_by=by.username, cancel_reason=reason
        )
        if asked:
            record(
                execution,
                "request",
                subject=_("Cancel requested"),
                actor=by.username,
                message=reason,
            )
        advance(execution.pk)
    execution.refresh_from_db()


def rerun_execution(*, execution: Execution, by: User) -> Execution:
    """Start the pipeline again with the same inputs, at its present revision."""
    if execution.pipeline is None:
        raise Refused(_("The pipeline of this execution is deleted."))
    return start_execution(
        pipeline=execution.pipeline,
        inputs=execution.inputs,
        run_as=by,
        triggered_by=by.username,
        rerun_of=execution,
        comments=_("Re-run of %(execution)s") % {"execution": execution},
    )


def _revision_to_run(pipeline: Pipeline) -> PipelineRevision:
    if pipeline.state == Pipeline.State.DISABLED:
        raise Refused(_("Pipeline %(name)s is disabled.") % {"name": pipeline.name})
    if pipeline.current_revision is None:
        raise Refused(_("Pipeline %(name)s has no definition yet.") % {"name": pipeline.name})
    return pipeline.current_revision


def _inputs(definition: PipelineDefinition, given: Mapping[str, str]) -> dict[str, str]:
    values = {item.name: given.get(item.name, item.value) for item in definition.inputs}
    missing = [item.name for item in definition.inputs if item.mandatory and not values[item.name]]
    if missing:
        raise Refused(_("These inputs are missing: %(names)s.") % {"names": ", ".join(missing)})
    return values


def _create_stage(execution: Execution, position: int, stage: Stage) -> None:
    run = StageRun.objects.create(execution=execution, position=position, name=stage.name)
    tasks = [(group, task) for group, tasks in enumerate(stage.groups) for task in tasks]
    TaskRun.objects.bulk_create(
        TaskRun(stage_run=run, position=number, group=group, name=task.name, kind=task.kind)
        for number, (group, task) in enumerate(tasks)
    )

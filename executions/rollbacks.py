"""Rolls a failed task back by running the pipeline that its definition names."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _

from codestream.core.errors import Refused
from codestream.core.words import Words, gettext_noop
from executions.models import Execution, TaskRun
from executions.run import definition_of_execution
from executions.scopes import masked, scope_of
from executions.services import start_execution
from executions.states import Status
from pipelines.definition import Rollback
from pipelines.expressions import evaluate
from pipelines.models import Pipeline

LOOK_AGAIN = timedelta(seconds=30)
"""The end of the rollback wakes its task; this is for the case that it could not."""


WORKING = (Status.STARTED, Status.RUNNING, Status.CANCELING)
"""A task in one of these changes something; one that waits for a person does not."""


def start(task: TaskRun) -> Execution | None:
    """Start the rollback of a task that failed, once; return its execution, started or found.

    What rolls a whole stage back runs once for all its failed tasks, and not before every task
    that works in it has ended: None until then. Raises Refused and the errors of
    ``start_execution`` when it cannot start.
    """
    stage, execution = task.stage_run, task.stage_run.execution
    rollback = definition_of_execution(execution).rollback_of(stage.name, task.name)
    if rollback is None:
        raise Refused(Words(gettext_noop("The definition names no rollback for this task.")))
    if not rollback.task and stage.tasks.filter(status__in=WORKING).exists():
        return None
    key = f"rollback:{task.pk if rollback.task else stage.pk}"
    started = Execution.objects.filter(start_key=key).first()
    return started or _start(task, rollback, key)


def _start(task: TaskRun, rollback: Rollback, key: str) -> Execution:
    execution = task.stage_run.execution
    rows = Pipeline.objects.filter(project_id=execution.project_id, name=rollback.pipeline)
    pipeline = rows.first()
    if pipeline is None:
        raise Refused(
            Words(
                gettext_noop("The project has no pipeline named %(name)s."),
                {"name": rollback.pipeline},
            )
        )
    return start_execution(
        pipeline=pipeline,
        inputs=_inputs(task, rollback),
        run_as=execution.run_as,
        triggered_by=execution.triggered_by,
        source=Execution.Source.ROLLBACK,
        comments=_("Rolls back %(execution)s") % {"execution": execution},
        start_key=key,
        parent=execution,
    )


def _inputs(task: TaskRun, rollback: Rollback) -> dict[str, str]:
    """Evaluate the inputs. They are stored and shown: raises Refused where one holds a secret."""
    execution = task.stage_run.execution
    scope = scope_of(execution, stage=task.stage_run.name, task=task.name)
    shown = masked(scope, execution)
    values = {name: evaluate(text, shown) for name, text in rollback.inputs.items()}
    secret = [
        name for name, text in rollback.inputs.items() if evaluate(text, scope) != values[name]
    ]
    if secret:
        raise Refused(
            Words(
                gettext_noop(
                    "These inputs would show a secret: %(names)s. The pipeline may use it itself."
                ),
                {"names": ", ".join(secret)},
            )
        )
    return values

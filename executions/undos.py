"""Undoes what one Kubernetes task did, by an execution with one task that is made for it.

The execution belongs to the pipeline and takes its turn like any other; what it runs is no
revision but follows from the task that it undoes. Putting back is the runner's matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from codestream.accounts.models import User
from codestream.core.errors import Refused
from codestream.core.versions import require_present
from codestream.core.words import gettext_noop
from endpoints.clients.kubernetes_objects import Change
from executions.models import Execution, TaskRun
from executions.run import definition_of_undo, lock_pipeline, locked, name_of
from executions.services import create_execution
from executions.states import TERMINAL, Status
from pipelines.kubernetes_task import KIND

PUT_BACK = {
    Change.CREATED.value: gettext_noop("is deleted, unless somebody has sent it again since"),
    Change.CONFIGURED.value: gettext_noop("gets back the fields that it had before"),
    Change.DELETED.value: gettext_noop("is created anew"),
}
"""What becomes of an object, by what the task has done with it."""
MORE_THAN_ITSELF = {
    ("Namespace", Change.CREATED.value): gettext_noop(
        "is deleted with everything in it, also what others have put there, unless somebody has "
        "sent it again since"
    ),
    ("Namespace", Change.DELETED.value): gettext_noop("is created anew, without what was in it"),
    ("CustomResourceDefinition", Change.CREATED.value): gettext_noop(
        "is deleted with every object of its kind, unless somebody has sent it again since"
    ),
    ("CustomResourceDefinition", Change.DELETED.value): gettext_noop(
        "is created anew, without the objects of its kind"
    ),
    ("PersistentVolumeClaim", Change.CREATED.value): gettext_noop(
        "is deleted, and its data too unless its volume is retained; not so where somebody has "
        "sent it again since"
    ),
    ("PersistentVolumeClaim", Change.DELETED.value): gettext_noop(
        "is created anew, without its data"
    ),
}
"""The same of kinds that others live in, by kind and change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """One object that an undo puts back; ``taken_back`` is what the task had changed in it."""

    ref: str
    kind: str
    namespace: str
    change: str
    taken_back: str

    @property
    def words(self) -> str:
        """What becomes of it."""
        return _(MORE_THAN_ITSELF.get((self.kind, self.change), PUT_BACK[self.change]))


def put_back_by(task: TaskRun) -> list[PutBack]:
    """What an undo of the task would put back, in its order; nothing where nothing was changed."""
    if task.kind != KIND or task.status not in TERMINAL or "before" not in task.cursor:
        return []
    # The last one first: what needs the others goes before they do.
    return [
        PutBack(
            ref=each["ref"],
            kind=each["kind"],
            namespace=each["namespace"],
            change=each["change"],
            taken_back=each.get("diff", ""),
        )
        for each in reversed(task.output.get("objects", []))
        if each["change"] in PUT_BACK
    ]


def undos_of(task: TaskRun) -> list[Execution]:
    """The executions that undo the task or have done so, the oldest first."""
    return list(task.undos.order_by("created_at")) if put_back_by(task) else []


def why_not(task: TaskRun) -> str:
    """Why the task cannot be undone, in words; empty where it can."""
    if task.status not in TERMINAL:
        return _("This task is not over yet.")
    if not put_back_by(task):
        return _("This task has changed nothing that could be put back.")
    if task.stage_run.execution.pipeline_id is None:
        return _("The pipeline of this execution is deleted.")
    last = _last_undo(task)
    if last is not None and not last.is_over:
        return _("%(execution)s is undoing it already.") % {"execution": last}
    if last is not None and _is_in_force(last):
        return _("%(execution)s has undone it.") % {"execution": last}
    return ""


def undo_task(*, task: TaskRun, by: User) -> Execution:
    """Start an execution that puts back what the task changed.

    Raises Refused where there is nothing to put back, another one does it or has done it, and when
    the execution is deleted.
    """
    execution = task.stage_run.execution
    with transaction.atomic():
        # Who presses at the same time waits here, and then finds this one.
        pipeline = lock_pipeline(execution.pipeline_id) if execution.pipeline_id else None
        require_present(execution)
        task = TaskRun.objects.select_related("stage_run__execution").get(pk=task.pk)
        reason = why_not(task)
        if reason or pipeline is None:
            raise Refused(reason or _("The pipeline of this execution is deleted."))
        undone = {"task": name_of(task), "execution": execution}
        undo = Execution(
            project_id=execution.project_id,
            pipeline=pipeline,
            pipeline_name=pipeline.name,
            revision_id=execution.revision_id,
            inputs=execution.inputs,
            run_as=by,
            triggered_by=by.username,
            source=Execution.Source.UNDO,
            undoes=task,
            comments=_("Undoes %(task)s of %(execution)s") % undone,
        )
        create_execution(undo, definition_of_undo(task.pk), pipeline)
        with locked(execution) as run:
            words = gettext_noop("Undo requested")
            told = f"{name_of(task)}: {undo}"
            run.tell(run.execution, kind="request", subject=words, actor=by.username, message=told)
    return undo


def _last_undo(task: TaskRun) -> Execution | None:
    return task.undos.order_by("-created_at").first()


def _is_in_force(undo: Execution) -> bool:
    """Whether it put everything back, and was not undone itself since."""
    if undo.status != Status.COMPLETED:
        return False
    own: UUID
    for own in undo.stages.values_list("tasks", flat=True):
        again = _last_undo(TaskRun.objects.get(pk=own))
        if again is not None and _is_in_force(again):
            return False
    return True

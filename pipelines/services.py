"""What is done with pipelines: saved as a new revision, enabled, disabled, deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from codestream.accounts.models import User
from codestream.core.errors import Refused
from codestream.core.versions import DeletedMeanwhileError, require_unchanged
from codestream.projects.models import Project
from pipelines import task_kinds
from pipelines.definition import PipelineDefinition, parse
from pipelines.models import Pipeline, PipelineRevision

WhenSaved = Callable[[Pipeline], object]
_when_saved: list[WhenSaved] = []


def when_saved(call: WhenSaved) -> None:
    """Have this called with every pipeline that is saved, locked, in the same transaction."""
    _when_saved.append(call)


def save_pipeline(
    *, project: Project, source: str, author: User | None, pipeline: Pipeline | None = None
) -> Pipeline:
    """Make a pipeline from its text, or give the one at hand a new revision.

    The name comes from the text; a project named there is not looked at, ``project`` counts. A
    text that is already the current revision makes no new one. A new pipeline takes its state
    from the text, an existing one keeps its own.

    Raises DefinitionError with every problem, Refused when the name is taken, and
    ChangedMeanwhileError or DeletedMeanwhileError.
    """
    definition = parse(source, task_kinds=task_kinds.known())
    state = Pipeline.State(definition.state)
    try:
        with transaction.atomic():
            row = _unchanged(pipeline) if pipeline else Pipeline(project=project, state=state)
            return _save(row, definition, source, author)
    except IntegrityError as error:
        raise Refused(
            _("The project has a pipeline named %(name)s already.") % {"name": definition.name}
        ) from error


def set_state(*, pipeline: Pipeline, state: Pipeline.State) -> None:
    """Enable, disable or release the pipeline. A disabled one starts nothing new.

    Raises Refused when it should be released without being enabled, and DeletedMeanwhileError.
    """
    with transaction.atomic():
        locked = _locked(pipeline)
        if (locked.state, state) == (Pipeline.State.DISABLED, Pipeline.State.RELEASED):
            raise Refused(_("Enable the pipeline before you release it."))
        Pipeline.objects.filter(pk=pipeline.pk).update(state=state)
    pipeline.state = state


def delete_pipeline(*, pipeline: Pipeline) -> None:
    """Delete the pipeline. Raises Refused, naming what still needs it, and DeletedMeanwhileError.

    Its running executions come to their end without it, but nobody would start those that wait.
    """
    try:
        with transaction.atomic():
            locked = _locked(pipeline)
            if waiting := locked.executions.queued().count():
                raise Refused(
                    ngettext(
                        "%(number)s execution of the pipeline waits for its turn. Cancel it first.",
                        "%(number)s executions of the pipeline wait for their turn. "
                        "Cancel them first.",
                        waiting,
                    )
                    % {"number": waiting}
                )
            locked.delete()
    except ProtectedError as error:
        users = ", ".join(sorted({str(user) for user in error.protected_objects})[:5])
        raise Refused(
            _("The pipeline is in use by %(users)s. Disable it, or change that first.")
            % {"users": users}
        ) from error


def delete_pipelines(project: Project) -> None:
    """Delete the pipelines of a project that ends, as ``delete_pipeline`` does."""
    for pipeline in Pipeline.objects.filter(project=project):
        with suppress(DeletedMeanwhileError):
            delete_pipeline(pipeline=pipeline)


def _locked(pipeline: Pipeline) -> Pipeline:
    """Read the row again under a lock, so that revision numbers have no gap and no double. Raises
    DeletedMeanwhileError.
    """
    row = Pipeline.objects.select_for_update(no_key=True).filter(pk=pipeline.pk).first()
    if row is None:
        raise DeletedMeanwhileError(pipeline)
    return row


def _unchanged(pipeline: Pipeline) -> Pipeline:
    require_unchanged(pipeline)
    return _locked(pipeline)


def _save(
    pipeline: Pipeline, definition: PipelineDefinition, source: str, author: User | None
) -> Pipeline:
    pipeline.name = definition.name
    pipeline.description = definition.description
    pipeline.concurrency = definition.concurrency
    pipeline.injects_docker = definition.injects_docker
    pipeline.save()
    current = pipeline.current_revision
    sha256 = hashlib.sha256(source.encode()).hexdigest()
    if current is None or current.sha256 != sha256:
        number = current.number + 1 if current else 1
        pipeline.current_revision = PipelineRevision.objects.create(
            pipeline=pipeline, number=number, source=source, sha256=sha256, author=author
        )
        pipeline.save(update_fields=["current_revision", "updated_at"])
    for call in _when_saved:
        call(pipeline)
    return pipeline

"""Pages of pipelines: the list, one pipeline with its revisions, the editor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from codestream.accounts.models import User
from codestream.accounts.requests import SignedInRequest
from codestream.core.errors import Refused
from codestream.core.pages import answer_deletion, form_status, page, submitted
from codestream.core.versions import ChangedMeanwhileError
from codestream.projects.access import projects_allowing
from codestream.projects.permissions import Action, can, require
from pipelines import services, task_kinds
from pipelines.definition import DefinitionError, InputParameter, Problem, parse
from pipelines.forms import PipelineForm
from pipelines.models import Pipeline, PipelineRevision
from pipelines.starter import STARTER


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRow:
    """A pipeline as the list shows it."""

    pipeline: Pipeline
    may_run: bool

    @property
    def executions(self) -> int:
        """How often it was started; executions are numbered from 1 without a gap."""
        return self.pipeline.next_index - 1

    @property
    def author(self) -> User | None:
        """Who saved the current revision."""
        revision = self.pipeline.current_revision
        return revision.author if revision else None


@login_required
@require_safe
def pipeline_list(request: SignedInRequest) -> HttpResponse:
    """The pipelines of every project that the person sees."""
    runnable = set(projects_allowing(request.user, Action.EXECUTE).values_list("pk", flat=True))
    found = Pipeline.objects.visible_to(request.user)
    rows = [
        PipelineRow(pipeline=each, may_run=_starts(each) and each.project_id in runnable)
        for each in found.select_related("project", "current_revision__author").order_by(
            "project__name", "name"
        )
    ]
    may_create = projects_allowing(request.user, Action.WRITE).exists()
    context = {"nav": "pipelines", "rows": rows, "may_create": may_create}
    return page(request, "pipelines/list.html", context)


@login_required
@require_safe
def detail(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """One pipeline: the text of a revision with line numbers, its inputs, all revisions."""
    pipeline = _visible(request, pk)
    revision = _revision(pipeline, request.GET.get("revision", ""))
    context = {
        "nav": "pipelines",
        "pipeline": pipeline,
        "revision": revision,
        "lines": revision.source.splitlines(),
        "inputs": _inputs(revision.source),
        "revisions": pipeline.revisions.select_related("author"),
        "may_write": can(request.user, Action.WRITE, pipeline.project),
        "may_run": _starts(pipeline) and can(request.user, Action.EXECUTE, pipeline.project),
    }
    return page(request, "pipelines/detail.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """Write a new pipeline."""
    if not projects_allowing(request.user, Action.WRITE).exists():
        raise PermissionDenied
    return _editor(request, _form(request, STARTER, None), None)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Write the next revision of a pipeline."""
    pipeline = _writable(request, pk)
    source = pipeline.current_revision.source if pipeline.current_revision else STARTER
    return _editor(request, _form(request, source, pipeline), pipeline)


@login_required
@require_POST
def change_state(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Enable, disable or release a pipeline."""
    pipeline = _writable(request, pk)
    try:
        state = Pipeline.State(request.POST.get("state", ""))
    except ValueError as error:
        raise BadRequest from error
    try:
        services.set_state(pipeline=pipeline, state=state)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
    return redirect("pipelines:detail", pk)


@login_required
@require_POST
def delete(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Delete a pipeline that no webhook starts any more."""
    pipeline = _writable(request, pk)
    return answer_deletion(
        request,
        partial(services.delete_pipeline, pipeline=pipeline),
        done=_("Pipeline %(name)s deleted.") % {"name": pipeline.name},
        after=reverse("pipelines:list"),
        else_to=reverse("pipelines:detail", args=[pk]),
    )


def _form(request: SignedInRequest, source: str, pipeline: Pipeline | None) -> PipelineForm:
    """The form, bound only when it is to be saved: Validate looks at the text and nothing else."""
    return PipelineForm(
        None if "validate" in request.POST else submitted(request),
        user=request.user,
        pipeline=pipeline,
        project=request.POST.get("project", ""),
        source=request.POST.get("source", source),
        version=request.POST.get("version", ""),
    )


def _editor(
    request: SignedInRequest, form: PipelineForm, pipeline: Pipeline | None
) -> HttpResponse:
    """The editor: shows the form, judges the text, or saves it."""
    validates = "validate" in request.POST
    problems: tuple[Problem, ...] = ()
    try:
        if validates:
            parse(request.POST.get("source", ""), task_kinds=task_kinds.known())
        elif form.is_valid():
            return redirect("pipelines:detail", _saved(request, form, pipeline).pk)
    except DefinitionError as error:
        problems = error.problems
    except ChangedMeanwhileError as refusal:
        form.show_change(refusal)
    except Refused as refusal:
        form.add_error("source", refusal.user_message)
    context = {
        "nav": "pipelines",
        "form": form,
        "pipeline": pipeline,
        "stored": _stored(pipeline) if pipeline and form.is_outdated else None,
        "problems": problems,
        "valid": validates and not problems,
    }
    status = 422 if problems else form_status(form)
    return page(request, "pipelines/edit.html", context, partial="problems", status=status)


def _saved(request: SignedInRequest, form: PipelineForm, pipeline: Pipeline | None) -> Pipeline:
    project = pipeline.project if pipeline else form.cleaned_data["project"]
    saved = services.save_pipeline(
        project=project,
        source=form.cleaned_data["source"],
        author=request.user,
        pipeline=pipeline,
    )
    messages.success(request, _("Pipeline %(name)s saved.") % {"name": saved.name})
    return saved


def _stored(pipeline: Pipeline) -> PipelineRevision | None:
    """The text as it stands now, which may be newer than the pipeline at hand."""
    return pipeline.revisions.first()


def _visible(request: SignedInRequest, pk: UUID) -> Pipeline:
    found = Pipeline.objects.visible_to(request.user)
    return get_object_or_404(found.select_related("project", "current_revision"), pk=pk)


def _writable(request: SignedInRequest, pk: UUID) -> Pipeline:
    pipeline = _visible(request, pk)
    require(request.user, Action.WRITE, pipeline.project)
    return pipeline


def _starts(pipeline: Pipeline) -> bool:
    return pipeline.state != Pipeline.State.DISABLED


def _revision(pipeline: Pipeline, number: str) -> PipelineRevision:
    """The revision of that number, the current one where no number is given."""
    if number and not number.isdecimal():
        raise Http404
    if number:
        return get_object_or_404(pipeline.revisions, number=int(number))
    if pipeline.current_revision is None:
        raise Http404
    return pipeline.current_revision


def _inputs(source: str) -> tuple[InputParameter, ...]:
    """The inputs of a stored revision; none where a newer version no longer reads it."""
    try:
        return parse(source, task_kinds=task_kinds.known()).inputs
    except DefinitionError:
        return ()

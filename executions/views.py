"""Pages of executions: the list, one execution live, the start of a pipeline by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, prefetch_related_objects
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from codestream.accounts.requests import SignedInRequest
from codestream.core.errors import Refused
from codestream.core.keyset import Place, read_rows
from codestream.core.listing import Question, ask
from codestream.core.live import (
    NOTHING_NEW,
    WHILE_LIVE,
    WHILE_MOVING,
    rhythm,
    unchanged,
    version_of,
)
from codestream.core.pages import form_status, page, wants_fragment
from codestream.core.segments import segments_of
from codestream.projects.access import projects_allowing
from codestream.projects.permissions import Action, can, require
from executions import services, undos
from executions.definitions import definition_of
from executions.forms import CancelForm, ExecutionFilter, StartForm
from executions.models import Execution, StageRun, TaskRun
from executions.presentation import (
    SEGMENTS,
    TaskPanel,
    TimelineEntry,
    choose_task,
    columns,
    headline,
    held,
    image_of,
    message_of,
    progress,
)
from executions.states import Status
from pipelines.definition import DefinitionError, InputParameter
from pipelines.models import Pipeline

PAGE_SIZE = 25
LONGEST_TIMELINE = 100


@login_required
@require_safe
@vary_on_headers("HX-Request")
def execution_list(request: SignedInRequest) -> HttpResponse:
    """The executions that the person sees, newest first; live while one of them is."""
    form = ExecutionFilter(request.GET, user=request.user)
    shown, counts = ask(Execution.objects.all(), _question(request, form))
    found = read_rows(Execution.objects.select_related("project", "rerun_of"), shown)
    segments = segments_of(request.GET, "status", SEGMENTS, counts)
    version = version_of([(row.pk, row.version) for row in found], [str(s.count) for s in segments])
    if unchanged(request, version):
        return HttpResponse(status=NOTHING_NEW)
    prefetch_related_objects(found, Prefetch("stages", StageRun.objects.order_by("position")))
    context = {
        "nav": "executions",
        "form": form,
        "segments": segments,
        "shown": shown,
        "rows": [(row, image_of(row), message_of(row)) for row in found],
        "filtered": any(request.GET.get(name) for name in ("q", "project", "pipeline", "status")),
        "version": version,
        "rhythm": rhythm(live=any(not row.is_over for row in found), newest=shown.newest),
        "fragment": wants_fragment(request),
        "may_start": projects_allowing(request.user, Action.EXECUTE).exists(),
    }
    return page(request, "executions/list.html", context, partial="live")


@login_required
@require_safe
@vary_on_headers("HX-Request")
def detail(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """One execution with its stages and one of its tasks; live until it is over."""
    execution = _visible(request, pk)
    if unchanged(request, str(execution.version)):
        return HttpResponse(status=NOTHING_NEW)
    stages = list(execution.stages.order_by("position").prefetch_related("tasks"))
    wanted = request.GET.get("task", "")
    task = choose_task(stages, wanted)
    if wanted and task is None:
        raise Http404
    waiting = held(stages)
    may_execute = can(request.user, Action.EXECUTE, execution.project)
    events = execution.events.order_by("-id")[:LONGEST_TIMELINE]
    context = {
        "nav": "executions",
        "execution": execution,
        "image": image_of(execution),
        "headline": headline(execution, task),
        "columns": columns(stages, task),
        "progress": progress(stages),
        "panel": TaskPanel(task=task) if task else None,
        "undos": undos.undos_of(task) if task else [],
        "timeline": [TimelineEntry(event=event) for event in events],
        "rollbacks": execution.children.order_by("created_at"),
        "push": execution.registry_events.defer("body", "headers").order_by("created_at").first(),
        "rhythm": _rhythm(execution),
        "fragment": wants_fragment(request),
        "held": waiting,
        "may_execute": may_execute,
        "may_undo": may_execute and task is not None and not undos.why_not(task),
        "may_release": bool(waiting) and can(request.user, Action.ADMINISTER, execution.project),
        "cancel_form": CancelForm(),
    }
    return page(request, "executions/detail.html", context, partial="live")


def _rhythm(execution: Execution) -> str:
    """How often its page asks again, as HTMX writes it."""
    if execution.is_over:
        return ""
    return WHILE_MOVING if execution.status == Status.RUNNING else WHILE_LIVE


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """Choose a pipeline, fill in its inputs, start it."""
    pipeline = _pipeline_to_run(request)
    allowed = projects_allowing(request.user, Action.EXECUTE)
    if not allowed.exists():
        raise PermissionDenied
    form = None
    if pipeline is not None:
        data = request.POST if request.method == "POST" else None
        form = StartForm(data, inputs=_inputs(pipeline))
        execution = _started(request, form, pipeline) if form.is_valid() else None
        if execution is not None:
            return redirect("executions:detail", execution.pk)
    offered = Pipeline.objects.runnable().filter(project__in=allowed).select_related("project")
    context = {
        "nav": "executions",
        "pipelines": offered.order_by("project__name", "name"),
        "pipeline": pipeline,
        "form": form,
    }
    status = form_status(form) if form else 200
    return page(request, "executions/new.html", context, status=status)


@login_required
@require_POST
def cancel(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Ask for the end of an execution."""
    form = CancelForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    return _asked(request, pk, partial(services.cancel_execution, reason=reason))


@login_required
@require_POST
def pause(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Let what runs come to its end and start nothing more."""
    return _asked(request, pk, services.pause_execution)


@login_required
@require_POST
def resume(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Go on after a pause."""
    return _asked(request, pk, services.resume_execution)


@login_required
@require_POST
def rerun(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Start the pipeline again with the inputs of this execution."""
    execution = _executable(request, pk)
    try:
        again = services.rerun_execution(execution=execution, by=request.user)
    except (Refused, DefinitionError) as refusal:
        messages.error(request, refusal.user_message)
        return redirect("executions:detail", pk)
    return redirect("executions:detail", again.pk)


@login_required
@require_POST
def release(request: SignedInRequest, pk: UUID, task_pk: UUID) -> HttpResponse:
    """Let a task use the restricted things that it waits for, and go on."""
    execution = _visible(request, pk)
    require(request.user, Action.ADMINISTER, execution.project)
    task = get_object_or_404(TaskRun, pk=task_pk, stage_run__execution=execution)
    try:
        services.release_task(task=task, by=request.user)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
    return redirect("executions:detail", pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
def undo(request: SignedInRequest, pk: UUID, task_pk: UUID) -> HttpResponse:
    """Say object by object what an undo of a task would put back; sent, start it."""
    execution = _executable(request, pk)
    rows = TaskRun.objects.select_related("stage_run__execution")
    task = get_object_or_404(rows, pk=task_pk, stage_run__execution=execution)
    if request.method == "POST":
        try:
            started = undos.undo_task(task=task, by=request.user)
        except (Refused, DefinitionError) as refusal:
            messages.error(request, refusal.user_message)
            return redirect(f"{reverse('executions:detail', args=[pk])}?task={task_pk}")
        return redirect("executions:detail", started.pk)
    context = {
        "nav": "executions",
        "execution": execution,
        "task": task,
        "why_not": undos.why_not(task),
        "objects": undos.put_back_by(task),
    }
    return page(request, "executions/undo.html", context, partial="dialog")


def _asked(request: SignedInRequest, pk: UUID, service: Callable[..., None]) -> HttpResponse:
    """Call the service for the person, and show the execution with what came of it."""
    try:
        service(execution=_executable(request, pk), by=request.user)
    except Refused as refusal:
        messages.error(request, refusal.user_message)
    return redirect("executions:detail", pk)


def _visible(request: SignedInRequest, pk: UUID) -> Execution:
    found = Execution.objects.visible_to(request.user)
    return get_object_or_404(
        found.select_related(
            "project", "pipeline", "revision", "rerun_of", "parent", "undoes__stage_run__execution"
        ),
        pk=pk,
    )


def _executable(request: SignedInRequest, pk: UUID) -> Execution:
    execution = _visible(request, pk)
    require(request.user, Action.EXECUTE, execution.project)
    return execution


def _question(request: SignedInRequest, form: ExecutionFilter) -> Question:
    return Question(
        columns=form.columns(),
        status="status",
        groups=SEGMENTS,
        chosen=request.GET.get("status", ""),
        mentions=form.mentions(),
        place=Place.of(request.GET),
        size=PAGE_SIZE,
    )


def _pipeline_to_run(request: SignedInRequest) -> Pipeline | None:
    """The pipeline that the address names; None where it names none."""
    wanted = request.GET.get("pipeline", "")
    if not wanted:
        return None
    try:
        key = UUID(wanted)
    except ValueError as error:
        raise Http404 from error
    found = Pipeline.objects.visible_to(request.user).select_related("project", "current_revision")
    pipeline = get_object_or_404(found, pk=key)
    require(request.user, Action.EXECUTE, pipeline.project)
    return pipeline


def _inputs(pipeline: Pipeline) -> tuple[InputParameter, ...]:
    """The declared inputs; none where the source can no longer be read, which the start says."""
    if pipeline.current_revision is None:
        return ()
    try:
        return definition_of(pipeline.current_revision.pk).inputs
    except DefinitionError:
        return ()


def _started(request: SignedInRequest, form: StartForm, pipeline: Pipeline) -> Execution | None:
    """Start the pipeline; None leaves the reason why not on the form."""
    try:
        return services.start_execution(
            pipeline=pipeline,
            inputs=form.inputs(),
            run_as=request.user,
            triggered_by=request.user.username,
            comments=form.cleaned_data["comments"],
        )
    except DefinitionError as error:
        words = _("The definition of the pipeline has problems: %(problems)s")
        form.add_error(None, words % {"problems": error.user_message})
    except Refused as refusal:
        form.add_error(None, refusal.user_message)
    return None

"""Executions in the REST API (contracts/code-stream, 3.4 and 3.6)."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.shortcuts import get_object_or_404
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from codestream.accounts.models import User
from codestream.api.lists import answer_list, micros
from codestream.core.json_types import Json
from codestream.projects.access import projects_seen
from executions.models import Execution, StageRun, TaskRun
from executions.telling import told


@api_view(["GET"])
def executions(request: Request) -> Response:
    """The executions that one can see, newest first, without their stages."""
    columns = {"project_id": projects_seen(cast(User, request.user))}
    rows = Execution.objects.select_related("project")
    return answer_list(request, rows, columns, link=link_of, document=summary)


@api_view(["GET"])
def execution(request: Request, pk: UUID) -> Response:
    """One execution with its stages and tasks."""
    rows = Execution.objects.visible_to(cast(User, request.user)).select_related("project")
    row = get_object_or_404(rows.prefetch_related("stages__tasks__image_pushes"), pk=pk)
    stages = list(row.stages.all())
    return Response(
        {
            **summary(row),
            "stageOrder": [stage.name for stage in stages],
            "stages": {stage.name: _stage(row, stage) for stage in stages},
        }
    )


def link_of(row: Execution) -> str:
    """Return the address of an execution in the API."""
    return f"/codestream/api/executions/{row.pk}"


def summary(row: Execution) -> dict[str, Json]:
    """Return an execution without its stages."""
    return {
        "id": str(row.pk),
        "name": row.pipeline_name,
        "project": row.project.name,
        "index": row.index,
        "status": row.status,
        "statusMessage": row.message,
        "comments": row.comments,
        "input": row.inputs,
        "output": row.outputs,
        "_link": link_of(row),
        "_executedBy": row.triggered_by,
        "_source": row.source,
        "_requestTimeInMicros": micros(row.created_at),
        "_startTime": micros(row.started_at),
        "_endTime": micros(row.finished_at),
        "_durationInMicros": _duration(row),
    }


def _stage(row: Execution, stage: StageRun) -> dict[str, Json]:
    tasks = list(stage.tasks.all())
    return {
        "id": f"{row.pk}~{stage.position}",
        "name": stage.name,
        "status": stage.status,
        "taskOrder": [task.name for task in tasks],
        "tasks": {task.name: _task(row, stage, task) for task in tasks},
    }


def _task(row: Execution, stage: StageRun, task: TaskRun) -> dict[str, Json]:
    return {
        "id": f"{row.pk}~{stage.position}.{task.position}",
        "name": task.name,
        "type": task.kind,
        "status": task.status,
        "statusMessage": task.message,
        "input": task.input,
        "output": told(task.output),
        "pushes": [{"image": str(each), "digest": each.digest} for each in task.image_pushes.all()],
        "_startTime": micros(task.started_at),
        "_endTime": micros(task.finished_at),
    }


def _duration(row: Execution) -> int | None:
    start, end = micros(row.started_at), micros(row.finished_at)
    return None if start is None or end is None else end - start

"""Fills an empty database with a service that has run for a while, and says how to sign in to it.

``python -m benchmarks.filling ROWS`` fills the database of the environment and prints JSON (see
``Filled``). The rows of the big tables are made by the database itself.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import django

django.setup()

from django.db import connection, models, transaction  # noqa: E402
from django.test import Client  # noqa: E402

from codestream.accounts.models import ServiceRole, User  # noqa: E402
from codestream.accounts.services import issue_token  # noqa: E402
from codestream.core.keyset import Key  # noqa: E402
from codestream.projects.models import Membership, Project  # noqa: E402
from endpoints.models import Endpoint, EndpointKind  # noqa: E402
from executions.models import Execution, ExecutionEvent, StageRun, TaskRun  # noqa: E402
from pipelines.models import Pipeline, PipelineRevision  # noqa: E402
from webhooks.models import DockerWebhook, RegistryEvent  # noqa: E402

PROJECTS, PIPELINES, LIVE = 20, 200, 40
SEEN_BY_THE_MEMBER = 12
SECONDS_APART = 13
BIG: tuple[type[models.Model], ...] = (
    Execution,
    StageRun,
    TaskRun,
    ExecutionEvent,
    RegistryEvent,
)
SOURCE = """\
name: {name}
input: {{DOCKER_IMAGE: '', DOCKER_TAG: ''}}
stageOrder: [Build, Deploy]
stages:
  Build: {{taskOrder: [Wait], tasks: {{Wait: {{type: POLL}}}}}}
  Deploy: {{taskOrder: [Apply], tasks: {{Apply: {{type: K8S}}}}}}
"""
NUMBERED = """\
WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {rows}),
places AS (
    SELECT p.*, j.name AS project_name, row_number() OVER (ORDER BY j.name, p.name) - 1 AS place
    FROM pipelines_pipeline p JOIN projects_project j ON j.id = p.project_id
)
"""
STATUS = f"""\
CASE WHEN n <= {LIVE} THEN
    CASE n %% 4 WHEN 0 THEN 'QUEUED' WHEN 1 THEN 'WAITING' ELSE 'RUNNING' END
WHEN n %% 50 = 0 THEN 'CANCELED' WHEN n %% 9 = 0 THEN 'FAILED'
WHEN n %% 500 = 1 THEN 'ROLLBACK_COMPLETED' ELSE 'COMPLETED' END
"""
INPUTS = """\
'{"DOCKER_IMAGE": "' || p.project_name || '/web", "DOCKER_TAG": "1.' || (n %% 1000)
|| '.' || (n %% 7) || '", "replicas": "3"}'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a browser needs: sessions and tokens by user, and things to look at.

    The member belongs to twelve of the twenty projects, one of which has been quiet for long.
    """

    sessions: dict[str, str]
    tokens: dict[str, str]
    execution: str
    pipeline: str
    webhook: str
    project: str
    quiet_project: str
    middle: str
    """The key of the execution in the middle of the list."""
    middle_event: str


def fill(rows: int) -> Filled:
    """Make the people and definitions, then ``rows`` executions with all that belongs to them."""
    people = _people()
    projects = _definitions(people["member"])
    _without_indexes(rows)
    newest = Execution.objects.filter(project=projects[0]).order_by("-created_at")
    webhook = DockerWebhook.objects.filter(project=projects[0]).order_by("name").first()
    assert webhook is not None  # noqa: S101 - made above
    return Filled(
        sessions={name: _session(user) for name, user in people.items()},
        tokens={name: issue_token(owner=user, name="b")[1] for name, user in people.items()},
        execution=str(newest.values_list("pk", flat=True)[0]),
        pipeline=str(webhook.pipeline_id),
        webhook=str(webhook.pk),
        project=str(projects[0].pk),
        quiet_project=str(projects[-1].pk),
        middle=_middle(Execution, rows),
        middle_event=_middle(RegistryEvent, rows),
    )


def _people() -> dict[str, User]:
    admin = User(username="admin", email="admin@example.com", is_superuser=True)
    member = User(username="member", email="member@example.com")
    admin.service_role = ServiceRole.ADMINISTRATOR
    for user in (admin, member):
        user.set_unusable_password()
        user.save()
    return {"admin": admin, "member": member}


def _definitions(member: User) -> list[Project]:
    projects = [Project.objects.create(name=f"team-{n:02}") for n in range(PROJECTS)]
    for project in projects[-SEEN_BY_THE_MEMBER + 1 :] + projects[:1]:
        Membership.objects.create(project=project, user=member)
    for project in projects:
        endpoint = Endpoint.objects.create(
            project=project,
            name="hub",
            kind=EndpointKind.DOCKER_REGISTRY,
            properties={"serverType": "DockerHub", "repoURL": f"{project.name}/web"},
        )
        for number in range(PIPELINES // PROJECTS):
            _pipeline(project, endpoint, f"deploy-{number}")
    return projects


def _pipeline(project: Project, endpoint: Endpoint, name: str) -> None:
    source = SOURCE.format(name=name)
    pipeline = Pipeline.objects.create(project=project, name=name, injects_docker=True)
    pipeline.current_revision = PipelineRevision.objects.create(
        pipeline=pipeline,
        number=1,
        source=source,
        sha256=hashlib.sha256(source.encode()).hexdigest(),
    )
    pipeline.save()
    DockerWebhook.objects.create(
        project=project,
        name=f"on-push-{name}",
        endpoint=endpoint,
        pipeline=pipeline,
        api_token="unused",
        mirror_mode=DockerWebhook.MirrorMode.MANUAL,
    )


def _without_indexes(rows: int) -> None:
    """Fill the big tables, and build their indexes afterwards, which is faster."""
    with connection.schema_editor() as editor:
        for model in BIG:
            for index in model._meta.indexes:
                editor.remove_index(model, index)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size = -2000000")
    with transaction.atomic():
        _executions(rows)
        _parts()
        _events()
        _deliveries()
    with connection.schema_editor() as editor:
        for model in BIG:
            for index in model._meta.indexes:
                editor.add_index(model, index)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # what autovacuum does sooner or later


def _executions(rows: int) -> None:
    # The last pipelines, those of the quiet project, ran only in the older half of the time.
    busy = PIPELINES - PIPELINES // PROJECTS
    source = (
        f"series JOIN places p ON p.place = (n * 79) %% CASE WHEN n * 2 > {rows}"
        f" THEN {PIPELINES} ELSE {busy} END"
    )
    made = _ago(f"n * {SECONDS_APART}")
    _insert(
        Execution,
        source,
        begin=NUMBERED.format(rows=rows),
        values={
            "id": _uuid(),
            "created_at": made,
            "updated_at": made,
            "project_id": "p.project_id",
            "pipeline_id": "p.id",
            "pipeline_name": "p.name",
            "revision_id": "p.current_revision_id",
            "index": f"{rows} - n + 1",
            "status": STATUS,
            "message": "CASE WHEN n %% 9 = 0 THEN 'Deploy.Apply: 1 of 3 pods' ELSE '' END",
            "inputs": _json(INPUTS),
            "triggered_by": "'member'",
            "source": "'PUSH'",
            "started_at": made,
            "finished_at": f"CASE WHEN n > {LIVE} THEN {_ago(f'n * {SECONDS_APART} - 40')} END",
        },
    )


def _parts() -> None:
    times = {
        "created_at": "e.created_at",
        "updated_at": "e.created_at",
        "started_at": "e.started_at",
        "finished_at": "e.finished_at",
        "status": "e.status",
    }
    _insert(
        StageRun,
        "executions_execution e CROSS JOIN"
        " (SELECT 0 AS place, 'Build' AS name UNION ALL SELECT 1, 'Deploy') s",
        values=dict(
            id=_uuid(),
            execution_id="e.id",
            position="s.place",
            name="s.name",
            **times,
        ),
    )
    _insert(
        TaskRun,
        "executions_stagerun e",
        values=dict(
            id=_uuid(),
            stage_run_id="e.id",
            position="0",
            group="0",
            name="CASE e.position WHEN 0 THEN 'Wait' ELSE 'Apply' END",
            kind="'K8S'",
            output=_json("""'{"objects": [{"ref": "Deployment/web", "state": "READY"}]}'"""),
            **times,
        ),
    )


def _events() -> None:
    _insert(
        ExecutionEvent,
        "executions_execution e CROSS JOIN"
        " (SELECT 'QUEUED' AS status UNION ALL SELECT 'RUNNING' UNION ALL SELECT '') s",
        values={
            "execution_id": "e.id",
            "kind": "'status'",
            "subject": "e.pipeline_name",
            "to_status": "CASE s.status WHEN '' THEN e.status ELSE s.status END",
            "actor": "'member'",
            "at": "e.created_at",
        },
    )


def _deliveries() -> None:
    body = '{"push_data": {"tag": "1.2.3", "pusher": "ada"}, "repository": {}}'.ljust(600)
    _insert(
        RegistryEvent,
        "executions_execution e JOIN webhooks_dockerwebhook w ON w.pipeline_id = e.pipeline_id"
        " JOIN projects_project p ON p.id = e.project_id",
        values={
            "id": _uuid(),
            "created_at": "e.created_at",
            "updated_at": "e.created_at",
            "webhook_id": "w.id",
            "webhook_name": "w.name",
            "project_id": "p.id",
            "project_name": "p.name",
            "source": "'DELIVERY'",
            "registry": "'dockerhub'",
            "body": f"CAST('{body}' AS {'BLOB' if connection.vendor == 'sqlite' else 'bytea'})",
            "verdict": "CASE WHEN e.\"index\" %% 10 = 0 THEN 'IGNORED' ELSE 'TRIGGERED' END",
            "message": "'Started by a push'",
            "owner": "'ada'",
            "namespace": "p.name",
            "repository": "'web'",
            "image": "p.name || '/web'",
            "tag": """'1.' || (e."index" %% 1000)""",
            "execution_id": 'CASE WHEN e."index" %% 10 = 0 THEN NULL ELSE e.id END',
        },
    )


def _insert(
    model: type[models.Model], origin: str, values: Mapping[str, str], *, begin: str = ""
) -> None:
    """Insert one row for each row of the origin; a column without a value gets its default."""
    columns, texts, params = [], [], []
    for field in model._meta.concrete_fields:
        if isinstance(field, models.AutoField):
            continue
        columns.append(connection.ops.quote_name(str(field.column)))
        if given := values.get(field.attname):
            texts.append(given)
        else:
            texts.append(f"CAST(%s AS {field.db_type(connection)})")
            params.append(field.get_db_prep_save(field.get_default(), connection))
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) {begin}"
            f" SELECT {', '.join(texts)} FROM {origin}",
            params,
        )


def _uuid() -> str:
    sqlite = connection.vendor == "sqlite"
    return "lower(hex(randomblob(16)))" if sqlite else "gen_random_uuid()"


def _json(text: str) -> str:
    return text if connection.vendor == "sqlite" else f"CAST({text} AS jsonb)"


def _ago(seconds: str) -> str:
    if connection.vendor == "sqlite":
        # Six digits, as Django writes them: SQLite compares texts.
        since = f"'now', '-' || ({seconds}) || ' seconds'"
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', {since}) || '000'"
    return f"now() - ({seconds}) * interval '1 second'"


def _middle(model: type[Any], rows: int) -> str:
    ordered = model.objects.order_by("-created_at", "-id").values_list("created_at", "pk")
    return str(Key(*ordered[rows // 2]))


def _session(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


if __name__ == "__main__":
    json.dump(asdict(fill(int(sys.argv[1]))), sys.stdout)

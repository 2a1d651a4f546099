"""What a list costs does not grow with its rows: questions, plans and what is shown of the end."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from codestream.accounts.models import ServiceRole, User
from codestream.accounts.services import issue_token
from codestream.api import lists
from codestream.core import admin, listing
from codestream.core.clock import now
from codestream.core.listing import Tally
from codestream.projects.models import Project
from executions.models import Execution, ExecutionEvent, ImagePush, TaskRun
from executions.states import Status
from pipelines.models import Pipeline
from tests.factories import (
    DockerWebhookFactory,
    ExecutionFactory,
    MembershipFactory,
    PipelineFactory,
    RegistryEventFactory,
    UserFactory,
)
from tests.integration.cast import Cast, get
from tests.integration.plans import scans
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook
from webhooks.refusals import last_refusals
from webhooks.services import count_refusal

EXECUTIONS, ACTIVITY = "/executions/", "/triggers/docker/activity/"
WEBHOOKS = "/triggers/docker/webhooks/"
API = "/codestream/api"
QUERIES = [
    EXECUTIONS,
    f"{EXECUTIONS}?status=FAILED",
    f"{EXECUTIONS}?project={{project}}&status=WAITING",
    f"{EXECUTIONS}?pipeline={{pipeline}}&status=FAILED",
    f"{EXECUTIONS}?project={{project}}&pipeline={{pipeline}}",
    f"{EXECUTIONS}?q=web:1.2",
    f"{EXECUTIONS}?q=absent&status=FAILED",
    f"{EXECUTIONS}{{execution}}/",
    ACTIVITY,
    f"{ACTIVITY}?verdict=FAILED",
    f"{ACTIVITY}?project={{project}}&verdict=IGNORED",
    f"{ACTIVITY}?webhook={{webhook}}&verdict=IGNORED",
    f"{ACTIVITY}?q=absent",
    f"{ACTIVITY}?image=web&tag=absent&webhook={{webhook}}",
    f"{ACTIVITY}?since=2020-01-01&until=2100-01-01&verdict=IGNORED&project={{project}}",
    f"{WEBHOOKS}{{webhook}}/try/",
    f"{API}/registry-events/{{event}}",
    f"{ACTIVITY}{{event}}/",
    f"{API}/executions",
    f"{API}/executions?$top=2&$skip=1",
    f"{API}/executions/{{execution}}",
    f"{API}/registry-events",
]


@pytest.fixture
def pipeline(cast: Cast) -> Pipeline:
    made: Pipeline = PipelineFactory.create(project=cast.project, name="deploy-web")
    return made


@pytest.fixture
def webhook(pipeline: Pipeline) -> DockerWebhook:
    made: DockerWebhook = DockerWebhookFactory.create(project=pipeline.project, pipeline=pipeline)
    return made


@pytest.fixture
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "COUNTED", 3)
    monkeypatch.setattr(listing, "SEARCHED", 3)


def viewer() -> User:
    made: User = UserFactory.create(service_role=ServiceRole.VIEWER)
    return made


def member_of_two(project: Project) -> User:
    member: User = MembershipFactory.create(project=project).user
    MembershipFactory.create(user=member)
    return member


def signed_in(user: User) -> Client:
    token = issue_token(owner=user, name="api")[1]
    client = Client(headers={"Authorization": f"Bearer {token}"})
    client.force_login(user)
    client.get(f"{API}/executions")  # the first use of a token is written down
    return client


def add_runs(webhook: DockerWebhook, count: int) -> str:
    """Executions with their deliveries; the key of the last."""
    rows = ExecutionFactory.create_batch(count, pipeline=webhook.pipeline, status=Status.FAILED)
    for row in rows:
        RegistryEventFactory.create(webhook=webhook, execution=row)
    return str(rows[-1].pk)


@pytest.mark.usefixtures("short_stretches")
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("sees_all", [True, False])
def test_no_list_reads_a_whole_table(
    cast: Cast, webhook: DockerWebhook, query: str, sees_all: bool
) -> None:
    execution = add_runs(webhook, 6)
    project, pipeline = webhook.project_id, webhook.pipeline_id
    client = signed_in(viewer() if sees_all else member_of_two(cast.project))
    keys = {"webhook": webhook.pk, "event": webhook.events.all()[0].pk, "execution": execution}
    url = query.format(project=project, pipeline=pipeline, **keys)

    with CaptureQueriesContext(connection) as asked:
        assert client.get(url).status_code == 200

    assert scans(asked) == []


def test_many_webhooks_make_no_longer_question_of_what_was_refused(pipeline: Pipeline) -> None:
    webhooks = DockerWebhookFactory.create_batch(9, project=pipeline.project)
    for webhook in webhooks[:3]:
        count_refusal(remote_addr="10.0.0.1", reason="wrong_token", webhook=webhook.pk)

    with CaptureQueriesContext(connection) as asked:
        shown = last_refusals(DockerWebhook.objects.all(), most=2)

    assert [each.webhook for each in shown] == [webhooks[2], webhooks[1]]
    assert sum(query["sql"].count("UNION") for query in asked) == 1
    assert scans(asked) == []


@pytest.fixture
def short_administration(db: None, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The administration with lists of three, for who may see it."""
    monkeypatch.setattr(admin, "LISTED", 3)
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client


def add_parts(execution: str) -> None:
    """What happened to its task, and an image that it pushed."""
    task = TaskRun.objects.get(stage_run__execution=UUID(execution))
    ExecutionEvent.objects.create(
        execution_id=execution, task_run=task, kind="status", subject="Build", at=now()
    )
    ImagePush.objects.create(
        execution_id=execution, task_run=task, registry="docker.io", repository="web", tag="1"
    )


@pytest.mark.parametrize(
    "model",
    [
        *("executions/execution", "executions/stagerun", "executions/taskrun"),
        *("executions/executionevent", "executions/imagepush"),
        *("webhooks/registryevent", "webhooks/push", "webhooks/refuseddelivery"),
    ],
)
@pytest.mark.parametrize("query", ["", "?q=absent", "?p=2", "?o=1"])
def test_no_list_of_the_administration_reads_a_whole_table(
    short_administration: Client, webhook: DockerWebhook, model: str, query: str
) -> None:
    add_parts(add_runs(webhook, 6))

    with CaptureQueriesContext(connection) as asked:
        short_administration.get(f"/admin/{model}/{query}")

    assert scans(asked) == []


def test_the_administration_lists_the_newest_and_shows_every_row(
    short_administration: Client, webhook: DockerWebhook
) -> None:
    add_runs(webhook, 5)

    lists = {
        name: short_administration.get(f"/admin/{name}/").context["cl"].queryset.count()
        for name in ("executions/execution", "executions/stagerun", "webhooks/registryevent")
    }

    assert set(lists.values()) == {3}
    oldest = Execution.objects.order_by("created_at")[0]
    executions = "/admin/executions/execution/"
    assert "Only the newest" in short_administration.get(executions).content.decode()
    assert short_administration.get(f"{executions}{oldest.pk}/change/").status_code == 200


@pytest.mark.django_db
def test_a_reading_of_a_whole_table_would_be_noticed() -> None:
    with CaptureQueriesContext(connection) as asked:
        Execution.objects.filter(message="x").first()

    assert len(scans(asked)) == 1


@pytest.mark.parametrize(
    "url", [EXECUTIONS, ACTIVITY, f"{API}/executions", f"{API}/registry-events"]
)
def test_ten_times_the_rows_are_as_many_questions(
    webhook: DockerWebhook, url: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    add_runs(webhook, 3)
    client = signed_in(member_of_two(webhook.project))
    with CaptureQueriesContext(connection) as few:
        client.get(url)

    add_runs(webhook, 30)

    with django_assert_num_queries(len(few)):
        client.get(url)


@pytest.mark.usefixtures("short_stretches")
def test_a_long_list_is_counted_as_far_as_the_limit(cast: Cast, pipeline: Pipeline) -> None:
    ExecutionFactory.create_batch(4, pipeline=pipeline, status=Status.FAILED)
    ExecutionFactory.create_batch(3, pipeline=pipeline, status=Status.COMPLETED)

    segments = cast.client("member").get(EXECUTIONS).context["segments"]

    counts = {each.label: str(each.count) for each in segments if each.count.number}
    assert counts == {"All": "3+", "Failed": "3+", "Completed": "3"}


def test_tallies_add_up_to_the_limit() -> None:
    assert str(Tally(400) + Tally(600)) == "1000"
    assert str(Tally(400) + Tally(601)) == "1000+"
    assert str(Tally(2) + Tally(3, open=True)) == "5+"
    assert str(Tally(0, open=True)) == "0"


@pytest.mark.usefixtures("short_stretches")
def test_a_search_goes_on_where_it_ended(cast: Cast, pipeline: Pipeline) -> None:
    wanted = ExecutionFactory.create(pipeline=pipeline, comments="the one")
    ExecutionFactory.create_batch(7, pipeline=pipeline)
    client = cast.client("member")
    url = f"{EXECUTIONS}?q=the+one"

    first = client.get(url)
    second = client.get(f"{url}&older={first.context['shown'].older}")
    third = client.get(f"{url}&older={second.context['shown'].older}")

    assert "Search older" in first.content.decode()
    assert "Searched back to" in first.content.decode()
    assert "Nothing newer than the time below" in first.content.decode()
    assert [len(each.context["rows"]) for each in (first, second, third)] == [0, 0, 1]
    assert str(wanted.pk) in third.content.decode()
    assert ">Newest<" in third.content.decode()


def test_a_search_shows_all_that_it_found_page_by_page(cast: Cast, pipeline: Pipeline) -> None:
    ExecutionFactory.create_batch(30, pipeline=pipeline)
    client = cast.client("member")
    url = f"{EXECUTIONS}?q=web:1.2"

    first = client.get(url).context
    second = client.get(f"{url}&older={first['shown'].older}").context

    indexes = [row.index for each in (first, second) for row, _image, _message in each["rows"]]
    assert len(indexes) == len(set(indexes)) == 30
    assert [str(each["segments"][0].count) for each in (first, second)] == ["30", "5+"]


def test_a_pipeline_of_another_project_has_no_rows(cast: Cast, pipeline: Pipeline) -> None:
    ExecutionFactory.create(pipeline=pipeline)
    other = MembershipFactory.create(user=cast.users["member"]).project

    html = get(cast, f"{EXECUTIONS}?pipeline={pipeline.pk}&project={other.pk}")

    assert "Nothing matches" in html


def test_a_page_of_the_activity_leads_to_the_next(cast: Cast, webhook: DockerWebhook) -> None:
    RegistryEventFactory.create_batch(51, webhook=webhook, verdict=Verdict.IGNORED)
    client = cast.client("member")

    first = client.get(ACTIVITY)
    second = client.get(f"{ACTIVITY}?older={first.context['shown'].older}")

    assert "50 of 51" in first.content.decode()
    assert len(second.context["rows"]) == 1
    assert (
        client.get(f"{ACTIVITY}?newer={second.context['shown'].newer}").context["rows"]
        == (first.context["rows"])
    )


def test_the_links_of_the_api_lead_over_every_row(webhook: DockerWebhook) -> None:
    add_runs(webhook, 7)
    client = signed_in(member_of_two(webhook.project))
    url, links = f"{API}/executions?$top=3", []

    while url:
        body = client.get(url).json()
        links += body["links"]
        url = body.get("nextPageLink", "")

    assert len(links) == len(set(links)) == 7


def test_the_api_counts_and_skips_as_far_as_its_reach(
    webhook: DockerWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "REACH", 5)
    add_runs(webhook, 7)
    client = signed_in(member_of_two(webhook.project))

    body = client.get(f"{API}/executions?$skip=5").json()

    assert (body["count"], body["totalCount"]) == (2, 5)
    assert client.get(f"{API}/executions?$skip=6").status_code == 400
    assert client.get(f"{API}/executions?$skiptoken=x").status_code == 400

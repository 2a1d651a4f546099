from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from codestream.accounts.models import ServiceRole
from codestream.accounts.services import issue_token
from codestream.core.clock import now
from codestream.core.words import Words
from executions.models import Execution
from executions.presentation import SEGMENTS, message_of
from executions.states import Status
from executions.telling import telling
from pipelines.models import Pipeline
from tests.factories import (
    PIPELINE_SOURCE,
    DockerWebhookFactory,
    ExecutionFactory,
    PipelineFactory,
    RegistryEventFactory,
    UserFactory,
)
from tests.integration.cast import Cast, get, statuses

HTMX = {"HX-Request": "true"}
OBJECTS = {
    "objects": [
        {
            "ref": "Deployment/web",
            "change": "CONFIGURED",
            "state": "PROGRESSING",
            "message": "1 of 4 pods are available",
            "desired": 4,
            "updated": 3,
            "ready": 2,
            "available": 1,
        },
        {"ref": "Service/web", "change": "UNCHANGED", "state": "READY", "message": "exists"},
    ]
}


@pytest.fixture
def pipeline(cast: Cast) -> Pipeline:
    made: Pipeline = PipelineFactory.create(project=cast.project, name="deploy-web")
    return made


@pytest.fixture
def execution(pipeline: Pipeline) -> Execution:
    made: Execution = ExecutionFactory.create(pipeline=pipeline, index=7)
    return made


def address(execution: Execution) -> str:
    return f"/executions/{execution.pk}/"


def test_who_reads_and_who_runs_executions(cast: Cast, execution: Execution) -> None:
    url = address(execution)
    start = f"/executions/new/?pipeline={execution.pipeline_id}"

    assert cast.answers("GET", "/executions/") == statuses(200, 200, 200, 200)
    assert cast.answers("GET", url) == statuses(200, 200, 200, 404)
    assert cast.answers("GET", "/executions/new/") == statuses(200, 200, 403, 403)
    assert cast.answers("GET", start) == statuses(200, 200, 403, 404)
    assert cast.answers("POST", start) == statuses(302, 302, 403, 404)
    assert cast.answers("POST", f"{url}cancel/") == statuses(302, 302, 403, 404)
    assert cast.answers("POST", f"{url}pause/") == statuses(302, 302, 403, 404)
    assert cast.answers("POST", f"{url}resume/") == statuses(302, 302, 403, 404)
    assert cast.answers("POST", f"{url}rerun/") == statuses(302, 302, 403, 404)


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "rerun"])
def test_a_link_alone_changes_nothing(cast: Cast, execution: Execution, action: str) -> None:
    answer = cast.client("member").get(f"{address(execution)}{action}/")

    assert answer.status_code == 405


@pytest.mark.parametrize("status", Status)
def test_every_status_belongs_to_one_segment(status: Status) -> None:
    assert sum(status in statuses for statuses in SEGMENTS.values()) == 1


def test_the_list_says_what_ran_for_which_image(cast: Cast, execution: Execution) -> None:
    html = get(cast, "/executions/")

    assert "deploy-web" in html
    assert "#7" in html
    assert "demo/web:1.2.3" in html
    assert 'data-status="running">Deploy' in html


def test_nobody_sees_the_executions_of_strangers(cast: Cast, execution: Execution) -> None:
    assert "deploy-web" not in get(cast, "/executions/", "outsider")


def test_the_list_asks_every_second_while_something_runs(cast: Cast, execution: Execution) -> None:
    assert 'hx-trigger="every 1s"' in get(cast, "/executions/")


def test_a_list_where_all_is_over_asks_less_often(cast: Cast, pipeline: Pipeline) -> None:
    ExecutionFactory.create(pipeline=pipeline, status=Status.COMPLETED)

    html = get(cast, "/executions/")

    assert 'hx-trigger="every 2s"' in html
    assert "every 1s" not in html


def test_an_older_page_where_all_is_over_is_still(cast: Cast, pipeline: Pipeline) -> None:
    ExecutionFactory.create_batch(26, pipeline=pipeline, status=Status.COMPLETED)
    newest = cast.client("member").get("/executions/").context["shown"]

    html = get(cast, f"/executions/?older={newest.older}")

    assert html.count('<article class="run"') == 1
    assert "hx-trigger" not in html


def test_a_list_that_was_seen_is_not_sent_again(cast: Cast, execution: Execution) -> None:
    client = cast.client("member")
    version = client.get("/executions/").context["version"]
    url = f"/executions/?version={version}"

    assert client.get(url, headers=HTMX).status_code == 204
    Execution.objects.filter(pk=execution.pk).update(version=9)
    answer = client.get(url, headers=HTMX)
    assert answer.status_code == 200
    assert b"<html" not in answer.content


def test_a_polled_list_holds_no_inputs(cast: Cast, execution: Execution) -> None:
    assert "<input" not in get(cast, "/executions/", **HTMX)


@pytest.mark.parametrize("text", ["web:1.2.3", "demo/web", "1.2", "deploy-w", "ada"])
def test_the_search_finds_an_execution_by_what_one_knows(
    cast: Cast, execution: Execution, text: str
) -> None:
    assert "#7" in get(cast, f"/executions/?q={text}")


def test_a_search_that_finds_nothing_says_so(cast: Cast, execution: Execution) -> None:
    assert "Nothing matches" in get(cast, "/executions/?q=other:9")


def test_a_segment_shows_its_statuses_and_all_counts(cast: Cast, execution: Execution) -> None:
    ExecutionFactory.create(pipeline=execution.pipeline, index=8, status=Status.FAILED)

    answer = cast.client("member").get("/executions/?status=FAILED")

    assert [row.index for row, _image, _message in answer.context["rows"]] == [8]
    counts = {each.label: str(each.count) for each in answer.context["segments"]}
    assert counts["All"] == "2"
    assert counts["Running"] == counts["Failed"] == "1"


@pytest.mark.parametrize("query", ["project=x", "pipeline=x", "older=x", "newer=1-x", "status=x"])
def test_a_filter_that_means_nothing_filters_nothing(
    cast: Cast, execution: Execution, query: str
) -> None:
    assert "#7" in get(cast, f"/executions/?{query}")


def test_a_longer_list_asks_the_database_no_more_often(
    cast: Cast, pipeline: Pipeline, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ExecutionFactory.create_batch(5, pipeline=pipeline)
    client = cast.client("member")

    with django_assert_num_queries(10):
        client.get("/executions/")


def test_the_page_of_an_execution_shows_each_object(cast: Cast, pipeline: Pipeline) -> None:
    html = get(cast, address(ExecutionFactory.create(pipeline=pipeline, output=OBJECTS)))

    assert "Deployment/web" in html
    assert "Service/web" in html
    assert 'aria-label="2 of 4 pods ready"' in html
    counted = re.findall(r"<b>(\d)</b> ([\w ]+)", html)
    expected = [("2", "ready"), ("1", "available"), ("3", "up to date"), ("4", "wanted")]
    assert counted == expected
    assert 'width="50%"' in html


def test_the_page_says_why_a_rollout_fails_and_what_was_changed(
    cast: Cast, pipeline: Pipeline
) -> None:
    log = {"pod": "web-1", "container": "web", "lines": ["no such host", "<b>bye</b>"]}
    failure = {
        "ref": "deployment/web",
        "message": "CrashLoopBackOff: exit 1",
        "events": ["BackOff: restarting"],
        "logs": [log],
    }
    pod = {"name": "web-1", "phase": "Running", "ready": False, "reason": "CrashLoopBackOff"}
    told = {"ref": "deployment/web", "diff": "-image: 1\n+image: 2", "pods": [pod], "desired": 1}
    output = {"objects": [told], "failures": [failure]}

    html = get(cast, address(ExecutionFactory.create(pipeline=pipeline, output=output)))

    assert "CrashLoopBackOff: exit 1" in html
    assert "BackOff: restarting" in html
    assert "no such host\n&lt;b&gt;bye&lt;/b&gt;" in html
    assert "+image: 2" in html
    assert '<th scope="row" data-label="Pod"><code>web-1</code></th>' in html


def test_what_is_said_of_an_object_is_read_in_italian_and_told_to_programs_in_english(
    cast: Cast, pipeline: Pipeline
) -> None:
    ready = telling(Words("%(ref)s is rolled out", {"ref": "deployment/web"}))
    reason = telling(Words("it is not ready: %(reason)s", {"reason": "Sick"}))
    output = {
        "objects": [{"ref": "deployment/web", **ready}],
        "failures": [{"ref": "deployment/web", **reason}],
    }
    execution = ExecutionFactory.create(pipeline=pipeline, output=output)

    html = get(cast, address(execution), **{"Accept-Language": "it"})
    headers = {"Authorization": f"Bearer {issue_token(owner=cast.users['viewer'], name='x')[1]}"}
    answer = cast.client("").get(f"/codestream/api/executions/{execution.pk}", headers=headers)

    assert '<td data-label="Messaggio">deployment/web è distribuito</td>' in html
    assert "<p>non è pronto: Sick</p>" in html
    (task,) = answer.json()["stages"]["Deploy"]["tasks"].values()
    assert task["output"] == {
        "objects": [{"ref": "deployment/web", "message": "deployment/web is rolled out"}],
        "failures": [{"ref": "deployment/web", "message": "it is not ready: Sick"}],
    }


def test_a_message_of_the_cluster_cannot_bring_markup(cast: Cast, pipeline: Pipeline) -> None:
    hostile = {"objects": [{"ref": "Service/web", "message": "<script>"}]}

    assert "<script>" not in get(
        cast, address(ExecutionFactory.create(pipeline=pipeline, output=hostile)), **HTMX
    )


def test_a_task_is_chosen_by_its_address(cast: Cast, execution: Execution) -> None:
    task = execution.stages.get().tasks.get()
    client = cast.client("member")

    assert client.get(f"{address(execution)}?task={task.pk}").context["panel"].task == task
    assert client.get(f"{address(execution)}?task={execution.pk}").status_code == 404
    assert client.get(f"{address(execution)}?task=x").status_code == 404


def test_a_live_page_is_sent_again_only_when_something_happened(
    cast: Cast, execution: Execution
) -> None:
    client = cast.client("member")
    url = f"{address(execution)}?version={execution.version}"

    assert client.get(url, headers=HTMX).status_code == 204
    Execution.objects.filter(pk=execution.pk).update(version=execution.version + 1)
    html = client.get(url, headers=HTMX).content.decode()
    assert "<html" not in html
    assert 'hx-trigger="every 500ms"' in html
    assert '<p id="said" hx-swap-oob="innerHTML">deploy-web #7: Running.' in html


def test_the_asking_ends_with_the_execution(cast: Cast, pipeline: Pipeline) -> None:
    html = get(cast, address(ExecutionFactory.create(pipeline=pipeline, status=Status.FAILED)))

    assert "hx-trigger" not in html
    assert "Re-run" in html


def test_a_polled_page_holds_no_inputs(cast: Cast, execution: Execution) -> None:
    assert "<input" not in get(cast, address(execution), **HTMX)


def test_a_viewer_is_offered_nothing_to_change(cast: Cast, execution: Execution) -> None:
    assert "Cancel execution" in get(cast, address(execution))
    assert "Cancel execution" not in get(cast, address(execution), "viewer")
    assert "New execution" not in get(cast, "/executions/", "viewer")


def test_an_execution_leads_to_the_push_that_started_it(cast: Cast, execution: Execution) -> None:
    webhook = DockerWebhookFactory.create(project=cast.project)
    push = RegistryEventFactory.create(webhook=webhook, execution=execution)

    assert f"/triggers/docker/activity/{push.pk}/" in get(cast, address(execution))


def test_the_page_of_an_execution_asks_few_questions(
    cast: Cast, execution: Execution, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = cast.client("member")
    url = f"{address(execution)}?version={execution.version}"

    with django_assert_num_queries(10):
        client.get(address(execution))
    with django_assert_num_queries(3):
        client.get(url, headers=HTMX)


def test_a_pipeline_is_started_with_what_was_entered(cast: Cast, pipeline: Pipeline) -> None:
    entered = {"input-DOCKER_TAG": "2.0", "input-replicas": "3", "comments": "a try"}

    answer = cast.client("member").post(f"/executions/new/?pipeline={pipeline.pk}", entered)

    execution = Execution.objects.get()
    assert answer.headers["Location"] == address(execution)
    assert execution.inputs == {"DOCKER_IMAGE": "", "DOCKER_TAG": "2.0", "replicas": "3"}
    assert (execution.triggered_by, execution.comments) == ("member", "a try")
    assert execution.run_as == cast.users["member"]


def test_the_form_of_a_pipeline_holds_its_defaults(cast: Cast, pipeline: Pipeline) -> None:
    answer = cast.client("member").get(f"/executions/new/?pipeline={pipeline.pk}")

    assert answer.context["form"]["input-replicas"].value() == "1"


def test_a_disabled_pipeline_says_why_it_does_not_start(cast: Cast, pipeline: Pipeline) -> None:
    Pipeline.objects.update(state=Pipeline.State.DISABLED)

    answer = cast.client("member").post(f"/executions/new/?pipeline={pipeline.pk}")

    assert answer.status_code == 422
    assert b"disabled" in answer.content
    assert not Execution.objects.exists()


def test_a_pipeline_that_cannot_be_read_says_so(cast: Cast) -> None:
    broken = PIPELINE_SOURCE.format(name="broken").replace("type: K8S", "type: Unknown")
    pipeline = PipelineFactory.create(project=cast.project, source=broken)

    answer = cast.client("member").post(f"/executions/new/?pipeline={pipeline.pk}")

    assert answer.status_code == 422
    assert b"Unknown" in answer.content


@pytest.mark.parametrize("wanted", ["x", "00000000-0000-0000-0000-000000000000"])
def test_a_pipeline_that_is_not_there_cannot_be_started(cast: Cast, wanted: str) -> None:
    assert cast.client("member").get(f"/executions/new/?pipeline={wanted}").status_code == 404


def test_a_canceled_execution_keeps_who_and_why(cast: Cast, execution: Execution) -> None:
    cast.client("member").post(f"{address(execution)}cancel/", {"reason": "wrong tag"})

    execution.refresh_from_db()
    assert (execution.cancel_requested_by, execution.cancel_reason) == ("member", "wrong tag")


def test_a_paused_execution_says_so_and_offers_to_go_on(cast: Cast, execution: Execution) -> None:
    before = get(cast, address(execution))
    cast.client("member").post(f"{address(execution)}pause/")
    paused = get(cast, address(execution))
    cast.client("member").post(f"{address(execution)}resume/")

    assert f'formaction="{address(execution)}pause/"' in before
    assert f'formaction="{address(execution)}resume/"' in paused
    assert "Paused by" in paused
    assert f'formaction="{address(execution)}pause/"' in get(cast, address(execution))
    execution.refresh_from_db()
    assert execution.status == Status.RUNNING


def test_a_page_that_is_open_learns_of_a_pause(cast: Cast, execution: Execution) -> None:
    cast.client("owner").post(f"{address(execution)}pause/")

    html = get(cast, address(execution), **HTMX)

    assert 'id="pausing" hx-swap-oob="true"' in html
    assert 'id="actions"' not in html


def test_a_page_that_is_open_learns_of_a_cancel(cast: Cast, execution: Execution) -> None:
    cast.client("owner").post(f"{address(execution)}cancel/")

    html = get(cast, address(execution), **HTMX)

    assert '<div class="actions" id="actions" hx-swap-oob="true"' in html
    assert 'id="pausing"' not in html


def test_a_rollback_and_what_it_rolls_back_lead_to_each_other(
    cast: Cast, execution: Execution
) -> None:
    rollback = ExecutionFactory.create(pipeline=execution.pipeline, index=8, parent=execution)

    assert f'href="{address(rollback)}"' in get(cast, address(execution))
    assert f'href="{address(execution)}"' in get(cast, address(rollback))


@pytest.mark.parametrize("action", ["cancel", "pause", "resume"])
def test_what_is_over_cannot_be_changed(cast: Cast, pipeline: Pipeline, action: str) -> None:
    over = ExecutionFactory.create(pipeline=pipeline, status=Status.COMPLETED)

    answer = cast.client("member").post(f"{address(over)}{action}/", follow=True)

    assert b"over already" in answer.content


def test_a_rerun_takes_the_same_inputs(cast: Cast, pipeline: Pipeline) -> None:
    Pipeline.objects.update(next_index=2)
    over = ExecutionFactory.create(pipeline=pipeline, index=1, status=Status.FAILED)

    cast.client("member").post(f"{address(over)}rerun/")

    again = Execution.objects.get(rerun_of=over)
    assert again.inputs == over.inputs


def test_the_execution_of_a_deleted_pipeline_stays_readable(
    cast: Cast, execution: Execution
) -> None:
    Execution.objects.update(pipeline=None)

    assert "deploy-web #7" in get(cast, address(execution))
    answer = cast.client("member").post(f"{address(execution)}rerun/", follow=True)
    assert b"is deleted" in answer.content


@pytest.mark.parametrize("model", ["execution", "stagerun", "taskrun", "executionevent", "worker"])
def test_the_administration_shows_and_does_not_write(execution: Execution, model: str) -> None:
    client = Client()
    client.force_login(
        UserFactory.create(is_staff=True, is_superuser=True, service_role=ServiceRole.ADMINISTRATOR)
    )

    assert client.get(f"/admin/executions/{model}/").status_code == 200
    assert client.get(f"/admin/executions/{model}/add/").status_code == 403


def test_what_failed_is_not_counted_as_done(cast: Cast, execution: Execution) -> None:
    Execution.objects.update(status=Status.FAILED, finished_at=now())
    execution.stages.update(status=Status.FAILED, finished_at=now())

    assert "0 of 1 stages done" in get(cast, address(execution))


@pytest.mark.parametrize(
    ("message", "shown"), [("Execution Completed.", ""), ("Deployed twice.", "Deployed twice.")]
)
def test_a_message_is_shown_when_it_says_more_than_the_status(message: str, shown: str) -> None:
    assert message_of(Execution(status=Status.COMPLETED, message=message)) == shown

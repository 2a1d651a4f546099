"""What is marked restricted stops the run of who may not use it, until an administrator resumes."""

from __future__ import annotations

import pytest
from django.urls import reverse

from codestream.accounts.models import ServiceRole, User
from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.work import wake_all
from codestream.projects.models import Variable
from executions import runners
from executions.models import Execution, TaskRun
from executions.runners.base import Done, Hold, Outcome, TaskContext, Wait
from executions.services import answer_task, cancel_execution, release_task, start_execution
from executions.worker import drain
from pipelines.expressions import evaluate
from pipelines.models import Pipeline, PipelineRevision
from tests.factories import KubernetesFactory, PipelineFactory, UserFactory, VariableFactory
from tests.integration.cast import Cast, get, statuses

pytestmark = pytest.mark.django_db
SOURCE = """\
name: deploy
stageOrder: [Deploy]
stages:
  Deploy:
    taskOrder: [Send]
    tasks:
      Send:
        type: K8S
        endpoints: {kubernetesServer: cluster}
        input:
          action: APPLY
          yaml: |
            apiVersion: v1
            kind: Secret
            metadata: {name: registry}
            stringData: {password: "${var.password}"}
"""
VALUE = "value-of-the-restricted-variable"


class Sender:
    """A task kind that uses its endpoint and its variable; it asks a person if told to."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.asks = False

    def start(self, context: TaskContext) -> Outcome:
        if self.asks and context.answer is None:
            return Hold(message="Send it?", cursor={})
        context.find_endpoint("cluster", "k8s")
        self.sent.append(evaluate("${var.password}", context.scope))
        return Done(message="Sent.", input={"sent": evaluate("${var.password}", context.shown)})

    def poll(self, context: TaskContext) -> Outcome:
        raise AssertionError("it is done in one step")

    def cancel(self, context: TaskContext) -> None:
        """Nothing runs."""


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    made = Sender()
    monkeypatch.setitem(runners._runners, "K8S", made)
    return made


@pytest.fixture
def pipeline(cast: Cast, sender: Sender) -> Pipeline:
    """Uses a restricted variable and an endpoint that is not restricted."""
    VariableFactory(project=cast.project, name="password", type="RESTRICTED", value=VALUE)
    KubernetesFactory(project=cast.project, name="cluster")
    made: Pipeline = PipelineFactory(project=cast.project, source=SOURCE)
    written_by(cast.users["owner"])
    return made


def written_by(author: User | None) -> None:
    PipelineRevision.objects.update(author=author)


def run(pipeline: Pipeline, as_: User | None, source: str = "USER") -> TaskRun:
    execution = start_execution(
        pipeline=pipeline, inputs={}, run_as=as_, triggered_by="ann", source=source
    )
    return work(TaskRun.objects.get(stage_run__execution=execution))


def work(task: TaskRun) -> TaskRun:
    wake_all(TaskRun.objects.filter(pk=task.pk, wake_at__isnull=False))
    drain()
    return TaskRun.objects.select_related("stage_run__execution").get(pk=task.pk)


@pytest.mark.parametrize("source", ["USER", "PUSH"])
@pytest.mark.parametrize(
    ("identity", "author", "status"),
    [
        ("owner", "owner", "COMPLETED"),
        ("owner", "member", "WAITING"),
        ("member", "owner", "WAITING"),
        ("member", "member", "WAITING"),
    ],
)
def test_who_runs_it_and_who_wrote_it_both_have_to_be_administrators(
    cast: Cast, pipeline: Pipeline, identity: str, author: str, status: str, source: str
) -> None:
    written_by(cast.users[author])

    task = run(pipeline, cast.users[identity], source)

    assert task.status == status
    assert task.stage_run.execution.status == status


def test_nobodys_run_and_a_pipeline_by_nobody_wait(cast: Cast, pipeline: Pipeline) -> None:
    assert run(pipeline, None).status == "WAITING"
    written_by(None)
    assert run(pipeline, cast.users["owner"]).status == "WAITING"


def test_a_service_administrator_needs_no_membership(pipeline: Pipeline) -> None:
    chief = UserFactory(service_role=ServiceRole.ADMINISTRATOR)
    written_by(chief)

    assert run(pipeline, chief).status == "COMPLETED"


def test_the_task_says_everything_it_waits_for_before_it_does_anything(
    cast: Cast, pipeline: Pipeline, sender: Sender
) -> None:
    cast.project.endpoints.update(is_restricted=True)

    task = run(pipeline, cast.users["member"])

    assert task.held_for == ["endpoint cluster", "variable password"]
    assert task.message.startswith("Restricted: endpoint cluster, variable password.")
    assert task.attempt == 1
    assert sender.sent == []


def test_a_resumed_task_goes_on_and_the_story_names_who_resumed_it(
    cast: Cast, pipeline: Pipeline, sender: Sender
) -> None:
    task = run(pipeline, cast.users["member"])

    release_task(task=task, by=cast.users["owner"])
    task = work(task)

    execution = task.stage_run.execution
    assert (task.status, execution.status) == ("COMPLETED", "COMPLETED")
    assert sender.sent == [VALUE]
    assert task.input == {"sent": "********"}
    said = execution.events.get(kind="request")
    assert (said.actor, said.message) == ("owner", "RESUME: variable password")


def test_resuming_allows_what_was_shown_and_nothing_else(cast: Cast, pipeline: Pipeline) -> None:
    task = run(pipeline, cast.users["member"])
    cast.project.endpoints.update(is_restricted=True)

    release_task(task=task, by=cast.users["owner"])
    task = work(task)

    assert (task.status, task.held_for) == ("WAITING", ["endpoint cluster"])
    release_task(task=task, by=cast.users["owner"])
    assert work(task).status == "COMPLETED"


def test_a_variable_that_only_shows_when_it_is_used_holds_the_task_as_well(
    cast: Cast, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.tasks.named_by", lambda task: set())

    task = run(pipeline, cast.users["member"])

    assert task.held_for == ["variable password"]


def test_what_gets_restricted_while_the_task_runs_holds_it_where_it_is(
    cast: Cast, pipeline: Pipeline, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    Variable.objects.update(type="SECRET")
    use = sender.start

    def begin(context: TaskContext) -> Outcome:
        cast.project.endpoints.update(is_restricted=True)
        return Wait(until=now(), message="Begun.", cursor={"begun": True})

    monkeypatch.setattr(sender, "start", begin)
    monkeypatch.setattr(sender, "poll", use)

    task = work(run(pipeline, cast.users["member"]))

    assert (task.status, task.cursor) == ("WAITING", {"begun": True})
    release_task(task=task, by=cast.users["owner"])
    assert work(task).status == "COMPLETED"


def test_the_answer_to_a_question_of_the_task_itself_is_another_one(
    cast: Cast, pipeline: Pipeline, sender: Sender
) -> None:
    sender.asks = True
    task = run(pipeline, cast.users["member"])
    release_task(task=task, by=cast.users["owner"])
    task = work(task)
    assert (task.status, task.message, task.held_for) == ("WAITING", "Send it?", [])

    answer_task(task=task, answer="APPROVE", by=cast.users["member"])

    assert work(task).status == "COMPLETED"
    assert sender.sent


def test_an_approval_does_not_release_what_is_restricted(cast: Cast, pipeline: Pipeline) -> None:
    task = run(pipeline, cast.users["member"])

    with pytest.raises(Refused, match="administrator"):
        answer_task(task=task, answer="APPROVE", by=cast.users["owner"])


def test_a_task_is_released_once_and_only_while_it_waits_for_it(
    cast: Cast, pipeline: Pipeline
) -> None:
    task = run(pipeline, cast.users["member"])
    release_task(task=task, by=cast.users["owner"])

    with pytest.raises(Refused):
        release_task(task=task, by=cast.users["owner"])
    with pytest.raises(Refused):
        release_task(task=work(task), by=cast.users["owner"])


def test_a_waiting_task_is_canceled_like_any_other(cast: Cast, pipeline: Pipeline) -> None:
    task = run(pipeline, cast.users["member"])

    cancel_execution(execution=task.stage_run.execution, by=cast.users["member"])

    assert work(task).status == "CANCELED"


def test_a_condition_on_a_restricted_variable_fails_in_words(
    cast: Cast, pipeline: Pipeline
) -> None:
    condition = "        preCondition: \"${var.password} == 'x'\"\n"
    conditional = PipelineFactory(project=cast.project, source=SOURCE + condition)

    task = run(conditional, cast.users["member"])

    assert task.status == "FAILED"
    assert "restricted, and not for this run: variable password." in task.message


def url_of(task: TaskRun) -> str:
    return reverse("executions:release", args=[task.stage_run.execution_id, task.pk])


def test_only_an_administrator_resumes(cast: Cast, pipeline: Pipeline) -> None:
    task = run(pipeline, cast.users["member"])

    answers = cast.answers("POST", url_of(task))

    assert answers == statuses(302, 403, 403, 404)
    assert work(task).status == "COMPLETED"


def test_a_task_of_another_execution_is_not_resumed(cast: Cast, pipeline: Pipeline) -> None:
    task, other = run(pipeline, cast.users["member"]), run(pipeline, cast.users["member"])
    url = reverse("executions:release", args=[other.stage_run.execution_id, task.pk])

    assert cast.client("owner").post(url).status_code == 404


def page_of(execution: Execution) -> str:
    return reverse("executions:detail", args=[execution.pk])


def test_the_page_offers_resume_to_administrators_and_tells_the_others(
    cast: Cast, pipeline: Pipeline
) -> None:
    task = run(pipeline, cast.users["member"])
    page = page_of(task.stage_run.execution)

    assert url_of(task) in get(cast, page, "owner")
    for role in ("member", "viewer"):
        html = get(cast, page, role)
        assert url_of(task) not in html
        assert "An administrator of the project can resume it." in html


def test_the_live_part_takes_the_offer_away_when_it_is_settled(
    cast: Cast, pipeline: Pipeline
) -> None:
    task = run(pipeline, cast.users["member"])
    page = page_of(task.stage_run.execution)
    release_task(task=task, by=cast.users["owner"])

    html = get(cast, page, "owner", **{"HX-Request": "true"})

    assert 'id="held" hx-swap-oob="true"' in html
    assert url_of(task) not in html


def test_resuming_too_late_is_said_on_the_page(cast: Cast, pipeline: Pipeline) -> None:
    task = run(pipeline, cast.users["member"])
    release_task(task=task, by=cast.users["owner"])
    work(task)

    answer = cast.client("owner").post(url_of(task), follow=True)

    assert "does not wait for an answer any more" in answer.text

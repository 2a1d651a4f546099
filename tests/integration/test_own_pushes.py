"""What a task pushes is written down, and the delivery that tells of it starts nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from codestream.core.clock import now
from codestream.core.work import LeaseLostError
from codestream.projects.models import Project
from endpoints.clients.image_references import ImageReference, parse_image_reference
from executions.models import Execution, ImagePush, TaskRun
from executions.runners.base import Done, Outcome, TaskContext, Wait
from executions.worker import drain
from tests.api.test_api import get as get_api
from tests.contracts.kubernetes.manifests import config_map
from tests.factories import (
    DockerWebhookFactory,
    ProjectFactory,
    RegistryEventFactory,
    UserFactory,
    VariableFactory,
)
from tests.integration.cast import Cast, get
from tests.integration.deploys import Target, run
from tests.integration.deploys import pipeline_of as deploying
from tests.integration.deploys import task_of as only_task
from tests.integration.plans import plan_of, scans
from tests.integration.puppets import Puppets, pipeline_of, start, task_of
from tests.integration.test_kubernetes_actions import source_of, task
from tests.integration.test_one_run import deliver, judged, later, payload, step
from tests.integration.test_other_registries import HOST, PIPELINE, envelope, receive, registry
from tests.integration.test_pages_webhooks import LIST, NEW, page_of
from webhooks.models import DockerWebhook, Push, RegistryEvent
from webhooks.services import receive_event, rerun_event

pytestmark = pytest.mark.django_db
IMAGE = "demo/web:1.2.3"
OLD, NEW_ONE = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.fixture
def project() -> Project:
    made: Project = ProjectFactory.create()
    return made


@pytest.fixture
def webhook(project: Project) -> DockerWebhook:
    """Listens to demo/web in Docker Hub, and never learns a digest."""
    made: DockerWebhook = DockerWebhookFactory.create(project=project, pipeline__source=PIPELINE)
    return made


@pytest.fixture
def elsewhere(project: Project) -> DockerWebhook:
    """Listens to a registry whose notifications name the digest."""
    made: DockerWebhook = DockerWebhookFactory.create(
        project=project, endpoint__properties=registry(), pipeline__source=PIPELINE
    )
    return made


def image(text: str, digest: str = "") -> ImageReference:
    return parse_image_reference(f"{text}@{digest}" if digest else text)


def waiting(*images: ImageReference) -> Wait:
    """A task that has announced what it pushes and is at it for an hour."""
    until = now() + timedelta(hours=1)
    return Wait(until=until, message="building", cursor={"seen": True}, pushes=images)


def built(puppets: Puppets, project: Project, outcome: Outcome) -> Execution:
    """An execution whose only task comes to this."""
    puppets.acts["build"] = outcome
    return start(pipeline_of("Main: build", project=project))


def ended(execution: Execution, *, ago: timedelta) -> None:
    """Let its tasks have been over for a while."""
    TaskRun.objects.filter(stage_run__execution=execution).update(
        started_at=now() - ago, finished_at=now() - ago
    )


def pushes_of(execution: Execution) -> list[tuple[str, str]]:
    return [(str(each), each.digest) for each in execution.image_pushes.all()]


# Written down


def test_what_a_task_pushed_is_written_with_its_result(puppets: Puppets, project: Project) -> None:
    execution = built(puppets, project, Done(message="built", pushes=(image(IMAGE, OLD),)))

    assert pushes_of(execution) == [(IMAGE, OLD)]


def test_what_is_announced_gets_its_digest_with_the_result(
    puppets: Puppets, project: Project
) -> None:
    execution = built(puppets, project, waiting(image(IMAGE)))
    assert pushes_of(execution) == [(IMAGE, "")]

    puppets.tell(execution, "build", Done(message="built", pushes=(image(IMAGE, OLD),)))

    assert pushes_of(execution) == [(IMAGE, OLD)]


def test_what_is_told_again_is_written_once(puppets: Puppets, project: Project) -> None:
    execution = built(puppets, project, waiting(image(IMAGE, OLD), image(IMAGE, NEW_ONE)))

    puppets.tell(execution, "build", waiting(image(IMAGE, NEW_ONE), image(IMAGE)))

    assert pushes_of(execution) == [(IMAGE, OLD), (IMAGE, NEW_ONE)]


def test_an_announcement_is_committed_before_the_next_step(
    puppets: Puppets, project: Project
) -> None:
    seen = []

    def build(context: TaskContext) -> Outcome:
        seen.append(ImagePush.objects.count())
        if context.cursor:
            return Done(message="built")
        return Wait(until=now(), message="", cursor={"seen": True}, pushes=(image(IMAGE),))

    puppets.acts["build"] = build
    start(pipeline_of("Main: build", project=project))

    assert seen == [0, 1]


def test_a_worker_that_lost_its_lease_writes_down_no_push(
    puppets: Puppets, project: Project
) -> None:
    def build(context: TaskContext) -> Outcome:
        TaskRun.objects.filter(pk=context.task_id).update(epoch=F("epoch") + 1)
        return Done(message="built", pushes=(image(IMAGE),))

    puppets.acts["build"] = build
    with pytest.raises(LeaseLostError):
        start(pipeline_of("Main: build", project=project))

    assert not ImagePush.objects.exists()


# Judged


def test_an_own_push_starts_nothing_and_says_whose_it_is(
    puppets: Puppets, project: Project, webhook: DockerWebhook
) -> None:
    execution = built(puppets, project, waiting(image(IMAGE)))

    event = deliver(webhook)

    assert (event.verdict, event.reason_code) == ("IGNORED", "own_push")
    assert step(event, "Own push")["outcome"] == "FAILED"
    assert "Own push: task Main.build of scripted #1 pushed it" in event.message
    assert event.push is not None
    assert event.push.made_by == execution.image_pushes.get()
    assert not Execution.objects.exclude(pk=execution.pk).exists()


def test_a_webhook_may_run_on_own_pushes(
    puppets: Puppets, project: Project, webhook: DockerWebhook
) -> None:
    webhook.own_pushes_allowed = True
    webhook.save()
    built(puppets, project, waiting(image(IMAGE)))

    event = deliver(webhook)

    assert event.verdict == "TRIGGERED"
    assert "the webhook runs on own pushes" in step(event, "Own push")["detail"]


@pytest.mark.parametrize(
    ("settle_seconds", "verdicts"),
    [(10, ["IGNORED", "DUPLICATE", "DUPLICATE"]), (0, ["IGNORED", "IGNORED", "IGNORED"])],
)
def test_a_burst_of_an_own_push_starts_nothing(
    puppets: Puppets,
    project: Project,
    webhook: DockerWebhook,
    settle_seconds: int,
    verdicts: list[str],
) -> None:
    webhook.settle_seconds = settle_seconds
    webhook.save()
    built(puppets, project, waiting(image(IMAGE)))

    assert [deliver(webhook).verdict for _ in range(3)] == verdicts
    assert Push.objects.count() == 1


@pytest.mark.parametrize("settle_seconds", [10, 0])
def test_what_a_person_pushes_later_runs(
    puppets: Puppets, project: Project, webhook: DockerWebhook, settle_seconds: int
) -> None:
    webhook.settle_seconds = settle_seconds
    webhook.save()
    built(puppets, project, waiting(image(IMAGE)))
    later(deliver(webhook), seconds=11)

    assert deliver(webhook).verdict == "TRIGGERED"


def test_each_webhook_leaves_the_push_out_once(
    puppets: Puppets, project: Project, webhook: DockerWebhook
) -> None:
    built(puppets, project, waiting(image(IMAGE)))
    other = DockerWebhookFactory.create(project=project, pipeline__source=PIPELINE)

    assert [deliver(each).verdict for each in (webhook, other)] == ["IGNORED", "IGNORED"]


def test_the_rest_of_a_burst_that_started_the_task_is_no_own_push(
    puppets: Puppets, project: Project, webhook: DockerWebhook
) -> None:
    first = deliver(webhook)
    built(puppets, project, waiting(image(IMAGE)))
    assert deliver(webhook).verdict == "DUPLICATE"
    later(first, seconds=11)

    assert deliver(webhook).reason_code == "own_push"


@pytest.mark.parametrize(
    "pushed",
    ["demo/web:1.2.4", "demo/api:1.2.3", "registry.example.com/demo/web:1.2.3", "web:1.2.3"],
)
def test_another_image_is_no_own_push(
    puppets: Puppets, project: Project, webhook: DockerWebhook, pushed: str
) -> None:
    built(puppets, project, waiting(image(pushed)))

    assert deliver(webhook).verdict == "TRIGGERED"


def test_what_another_project_pushes_is_no_own_push(
    puppets: Puppets, webhook: DockerWebhook
) -> None:
    built(puppets, ProjectFactory.create(), waiting(image(IMAGE)))

    assert deliver(webhook).verdict == "TRIGGERED"


def test_a_task_that_has_long_been_over_pushes_no_more(
    puppets: Puppets, project: Project, webhook: DockerWebhook
) -> None:
    execution = built(puppets, project, Done(message="built", pushes=(image(IMAGE),)))
    ended(execution, ago=timedelta(minutes=3))

    assert deliver(webhook).verdict == "TRIGGERED"


def test_the_digest_proves_an_own_push_for_longer(
    puppets: Puppets, project: Project, elsewhere: DockerWebhook
) -> None:
    pushed = image(f"{HOST}/team/app:1.2.3", OLD)
    execution = built(puppets, project, Done(message="built", pushes=(pushed,)))
    ended(execution, ago=timedelta(hours=5))

    assert receive(elsewhere, envelope(digest=NEW_ONE)).verdict == "TRIGGERED"
    assert receive(elsewhere, envelope(digest=OLD)).reason_code == "own_push"


def test_the_own_image_that_a_person_pushes_again_runs(
    puppets: Puppets, project: Project, elsewhere: DockerWebhook
) -> None:
    pushed = image(f"{HOST}/team/app:1.2.3", OLD)
    built(puppets, project, Done(message="built", pushes=(pushed,)))

    verdicts = [
        receive(elsewhere, envelope(digest=digest)).verdict for digest in (OLD, NEW_ONE, OLD)
    ]

    assert verdicts == ["IGNORED", "TRIGGERED", "TRIGGERED"]


def test_what_stood_before_an_own_push_is_a_new_push_when_it_comes_back(
    puppets: Puppets, project: Project, elsewhere: DockerWebhook
) -> None:
    first = receive(elsewhere, envelope(digest=OLD))
    pushed = image(f"{HOST}/team/app:1.2.3", NEW_ONE)
    built(puppets, project, Done(message="built", pushes=(pushed,)))

    assert first.verdict == "TRIGGERED"
    assert receive(elsewhere, envelope(digest=NEW_ONE)).verdict == "IGNORED"
    assert receive(elsewhere, envelope(digest=OLD)).verdict == "TRIGGERED"


def test_an_own_push_can_run_when_a_person_wants_it(
    puppets: Puppets, project: Project, webhook: DockerWebhook
) -> None:
    built(puppets, project, waiting(image(IMAGE)))
    event = deliver(webhook)

    again = judged(rerun_event(event=event, by=UserFactory.create()))

    assert again.verdict == "TRIGGERED"
    assert step(again, "Own push")["detail"] == "Asked for by a person."


@pytest.mark.parametrize(("ago", "verdict"), [(0, "IGNORED"), (3600, "TRIGGERED")])
def test_of_a_push_that_was_found_later_the_time_of_the_push_counts(
    puppets: Puppets, project: Project, webhook: DockerWebhook, ago: int, verdict: str
) -> None:
    webhook.recovery = DockerWebhook.Recovery.ON
    webhook.save()
    built(puppets, project, waiting(image(IMAGE)))
    moment = int(now().timestamp()) - ago + 1
    body = {
        "push_data": {"tag": "1.2.3", "pushed_at": moment},
        "repository": {"repo_name": "demo/web", "name": "web", "namespace": "demo"},
    }
    event = receive_event(
        webhook=webhook, body=json.dumps(body).encode(), headers={}, remote_addr=None
    )
    RegistryEvent.objects.update(source=RegistryEvent.Source.RECOVERED)

    assert judged(event).verdict == verdict


def test_own_pushes_are_found_by_an_index(
    puppets: Puppets, project: Project, webhook: DockerWebhook
) -> None:
    built(puppets, project, waiting(image(IMAGE)))
    receive_event(webhook=webhook, body=payload("1.2.3"), headers={}, remote_addr=None)

    with CaptureQueriesContext(connection) as asked:
        drain()

    if connection.vendor == "sqlite":
        assert [step for step in plan_of(asked) if "image_push_lookup" in step]
        assert scans(asked) == []


# Shown


def test_the_pages_lead_from_the_delivery_to_the_task(cast: Cast, puppets: Puppets) -> None:
    webhook = DockerWebhookFactory.create(project=cast.project, pipeline__source=PIPELINE)
    execution = built(puppets, cast.project, waiting(image(IMAGE)))
    event = deliver(webhook)
    RegistryEventFactory.create(webhook=webhook, tag="2.0", message="Tag does not match")
    place = f"/executions/{execution.pk}/?task={task_of(execution, 'build').pk}"

    html = get(cast, f"/triggers/docker/activity/{event.pk}/")
    listed = get(cast, "/triggers/docker/activity/?verdict=IGNORED&q=own+pushes")

    assert f'id="pushed-by" href="{place}"' in html
    assert (f"/{event.pk}/" in listed, "2.0" in listed) == (True, False)
    assert IMAGE in get(cast, place)


def test_programs_read_what_was_pushed(cast: Cast, puppets: Puppets) -> None:
    webhook = DockerWebhookFactory.create(project=cast.project, pipeline__source=PIPELINE)
    execution = built(puppets, cast.project, waiting(image(IMAGE, OLD)))
    event = deliver(webhook)

    run = get_api(f"executions/{execution.pk}", cast.users["member"]).json()
    delivery = get_api(f"registry-events/{event.pk}", cast.users["member"]).json()

    assert run["stages"]["Main"]["tasks"]["build"]["pushes"] == [{"image": IMAGE, "digest": OLD}]
    assert delivery["pushedBy"] == f"/codestream/api/executions/{execution.pk}"


def test_the_form_keeps_whether_own_pushes_run(cast: Cast, token: str) -> None:
    webhook = DockerWebhookFactory.create(project=cast.project, api_token=token)
    assert "Own pushes" not in get(cast, LIST)
    client = cast.client("member")
    page = client.get(page_of(webhook, "edit"))
    form = page.context["form"]
    entered = {name: form[name].value() or "" for name in form.fields} | {"api_token": token}
    entered |= {"own_pushes_allowed": "on"}
    del entered["pin_digest"]

    client.post(page_of(webhook, "edit"), entered)

    webhook.refresh_from_db()
    assert webhook.own_pushes_allowed
    assert "Own pushes" in get(cast, LIST)


def test_a_draft_keeps_that_the_box_is_ticked(cast: Cast, token: str) -> None:
    asked = {"endpoint": "", "push": "demo/web:1", "own_pushes_allowed": "on"}

    html = cast.client("member").post(f"{NEW}try/", asked).text

    assert "checked" in next(part for part in html.split("<") if 'name="own_pushes_al' in part)


def test_what_was_pushed_goes_with_its_execution(
    puppets: Puppets, project: Project, webhook: DockerWebhook
) -> None:
    execution = built(puppets, project, Done(message="built", pushes=(image(IMAGE),)))
    event = deliver(webhook)

    execution.delete()

    assert not ImagePush.objects.exists()
    event.refresh_from_db()
    assert event.push is not None
    assert event.push.made_by is None


# In a cluster


def builder(namespace: str, pushes: str) -> dict[str, Any]:
    """An object that says what it pushes, as a Job of kaniko would."""
    manifest = config_map(namespace, "build")
    manifest["metadata"]["annotations"] = {"codestream.io/pushes": pushes}
    return manifest


@pytest.mark.parametrize("action", ["APPLY", "CREATE"])
def test_a_pipeline_that_pushes_what_it_listens_to_runs_once(target: Target, action: str) -> None:
    send = task(
        "Build", action, builder(target.namespace, "demo/web:${input.DOCKER_TAG} demo/web:stable")
    )
    source = source_of(send).replace("stageOrder", "input: {DOCKER_TAG: '1.2.3'}\nstageOrder", 1)
    pipeline = deploying(target, source)
    webhook = DockerWebhookFactory.create(project=pipeline.project, pipeline=pipeline)

    execution = run(pipeline)
    events = [deliver(webhook, tag) for tag in ("1.2.3", "stable", "1.2.4")]

    assert execution.status == "COMPLETED"
    assert pushes_of(execution) == [("demo/web:1.2.3", ""), ("demo/web:stable", "")]
    assert [each.reason_code for each in events] == ["own_push", "own_push", "triggered"]


def test_a_declared_push_is_written_down_before_anything_is_sent(target: Target) -> None:
    pipeline = deploying(target, source_of(task("Build", "APPLY", builder("nowhere", IMAGE))))

    execution = run(pipeline)

    assert execution.status == "FAILED"
    assert only_task(execution).output["objects"][0]["state"] == "FAILED"
    assert pushes_of(execution) == [(IMAGE, "")]


@pytest.mark.parametrize(
    "pushes",
    ["demo/no:image:", "demo/web:${var.key}", " ".join(f"demo/web:{tag}" for tag in range(101))],
    ids=["no image", "a secret", "too many"],
)
def test_a_declaration_that_cannot_be_used_fails_before_anything_is_sent(
    target: Target, pushes: str
) -> None:
    pipeline = deploying(
        target, source_of(task("Build", "APPLY", builder(target.namespace, pushes)))
    )
    VariableFactory.create(project=pipeline.project, name="key", type="SECRET", value="s3cret-key")

    execution = run(pipeline)

    assert "configmap/build: codestream.io/pushes: " in execution.message
    assert "s3cret-key" not in execution.message
    assert not only_task(execution).output

"""Two things happen to one webhook, or one execution, at the same time, interleaved at every SQL
statement.

Deliveries are judged one after another where all machines have the same time; the delivery that a
machine with a slow clock wrote down comes to stand before one that is being judged already.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import count

import pytest

from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.versions import DeletedMeanwhileError
from codestream.core.work import Claim, wake
from codestream.projects.services import delete_project
from endpoints.clients.base import Unauthorized
from endpoints.models import Endpoint
from endpoints.services import delete_endpoint, save_endpoint
from executions.models import Execution, TaskRun
from executions.runners.base import Done, TaskFailedError
from executions.tasks import work_task
from executions.worker import drain
from pipelines.models import Pipeline
from pipelines.services import delete_pipeline
from tests.factories import (
    DockerRegistryFactory,
    DockerWebhookFactory,
    PipelineFactory,
    ProjectFactory,
    UserFactory,
)
from tests.integration.claims import taken
from tests.integration.puppets import (
    Puppets,
    pipeline_of,
    start,
    statuses,
    task_of,
    working,
)
from tests.integration.test_one_run import later, payload
from tests.interleaving import Act, interleave
from tests.secrets import replace_secret
from webhooks import mirror_worker
from webhooks.judging import judge_event
from webhooks.mirror_services import retry_mirror
from webhooks.models import DockerWebhook, Push, RemoteHook
from webhooks.services import receive_event, save_webhook, set_enabled

pytestmark = pytest.mark.usefixtures("parallel_database")


def delivered(webhook: DockerWebhook, tag: str, *, clock_behind: timedelta) -> Claim:
    """A delivery that a worker has begun to judge, written down by a machine with this clock."""
    event = receive_event(webhook=webhook, body=payload(tag), headers={}, remote_addr=None)
    later(event, seconds=clock_behind.total_seconds())
    return taken(event)


@pytest.mark.parametrize(
    ("settle_seconds", "verdicts"), [(10, ["DUPLICATE", "TRIGGERED"]), (0, ["TRIGGERED"] * 2)]
)
def test_both_get_their_verdict_and_one_push_is_the_last(
    settle_seconds: int, verdicts: list[str]
) -> None:
    webhook = DockerWebhookFactory.create(settle_seconds=settle_seconds)
    for before in count():
        tag = f"1.{before}"
        first = delivered(webhook, tag, clock_behind=timedelta(0))
        second = delivered(webhook, tag, clock_behind=timedelta(seconds=2))

        reached = interleave(
            partial(judge_event, first), partial(judge_event, second), before=before
        )

        runs = verdicts.count("TRIGGERED")
        assert sorted(webhook.events.filter(tag=tag).values_list("verdict", flat=True)) == verdicts
        assert Execution.objects.filter(comments__endswith=f":{tag}").count() == runs
        assert Push.objects.current().filter(tag=tag).get().sequence == runs
        if not reached:
            assert before > 3, "the first judgement did next to nothing"
            return


@pytest.mark.parametrize("is_edit_first", [True, False])
def test_one_person_edits_a_webhook_while_another_deletes_it(is_edit_first: bool) -> None:
    outcomes: set[str] = set()
    for before in count():
        webhook = DockerWebhookFactory.create()
        assert webhook.remote_hooks.exists()
        read = DockerWebhook.objects.get(pk=webhook.pk)

        def edit(read: DockerWebhook = read, secret: str = f"{uuid.uuid4()}") -> None:
            try:
                save_webhook(read, by=UserFactory.create(), secret=secret)
            except DeletedMeanwhileError:
                outcomes.add("told")
            else:
                outcomes.add("saved")

        acts = (edit, webhook.delete) if is_edit_first else (webhook.delete, edit)
        reached = interleave(*acts, before=before)

        assert not DockerWebhook.objects.exists()
        assert set(RemoteHook.objects.values_list("desired", flat=True)) <= {"ABSENT"}
        if not reached:
            assert before > 3, "it did next to nothing"
            assert outcomes == {"told", "saved"}
            return


def test_a_webhook_is_switched_off_while_somebody_deletes_it() -> None:
    outcomes: set[str] = set()
    for before in count():
        webhook = DockerWebhookFactory.create()
        read = DockerWebhook.objects.get(pk=webhook.pk)

        def switch(read: DockerWebhook = read) -> None:
            try:
                set_enabled(webhook=read, enabled=False, by=UserFactory.create())
            except DeletedMeanwhileError:
                outcomes.add("told")
            else:
                outcomes.add("switched")

        reached = interleave(switch, webhook.delete, before=before)

        assert not DockerWebhook.objects.exists()
        if not reached:
            assert outcomes == {"told", "switched"}
            return


@pytest.mark.parametrize("is_later_by_key", [True, False])
def test_one_rollback_ends_while_a_worker_sees_the_end_of_another_beside_it(
    puppets: Puppets, is_later_by_key: bool
) -> None:
    broken, undone = TaskFailedError("it broke"), Done(message="undone")
    for before in count():
        puppets.acts = {"a": broken, "b": broken, "undo_a": working(), "undo_b": working()}
        execution = start(rolled_back_by_two())
        tasks = sorted((task_of(execution, name) for name in "ab"), key=lambda task: task.pk)
        one, other = reversed(tasks) if is_later_by_key else tasks
        puppets.acts |= {"undo_a": undone, "undo_b": undone}
        work_task(taken(undo_of(one)))
        look, end = taken(task_of(execution, one.name)), taken(undo_of(other))

        reached = interleave(partial(work_task, look), partial(work_task, end), before=before)

        drain()
        assert statuses(execution)[""] == "ROLLBACK_COMPLETED"
        if not reached:
            assert before > 3, "the look did next to nothing"
            return


def rolled_back_by_two() -> Pipeline:
    """A pipeline of two tasks side by side, each of which another pipeline rolls back."""
    project = ProjectFactory.create()
    for task in "ab":
        pipeline_of(f"Main: undo_{task}", name=f"undo {task}", project=project)
    rollbacks = [{"name": f"undo {task}", "stage": "Main", "task": task} for task in "ab"]
    made: Pipeline = pipeline_of("Main: a b", project=project, rollbacks=rollbacks)
    return made


def undo_of(task: TaskRun) -> TaskRun:
    """The task that rolls this one back, with something to do for it."""
    execution = task.stage_run.execution.children.get(pipeline_name=f"undo {task.name}")
    wake(TaskRun, task_of(execution, f"undo_{task.name}").pk)
    return task_of(execution, f"undo_{task.name}")


def test_a_worker_writes_down_a_hook_while_a_person_saves_the_webhook() -> None:
    person = UserFactory.create()
    for before in count():
        webhook = DockerWebhookFactory.create(mirror_mode=DockerWebhook.MirrorMode.AUTO)
        webhook.remote_hooks.update(epoch=1, actual="PRESENT")
        replace_secret(webhook=webhook, by=person)
        hooks = list(webhook.remote_hooks.order_by("pk"))
        # Every other time the later one in the order of keys is the one that stays.
        new, leaving = hooks if before % 2 else reversed(hooks)
        RemoteHook.objects.filter(pk=leaving.pk).update(desired="ABSENT")
        RemoteHook.objects.filter(pk=new.pk).update(desired="PRESENT", wake_at=now())
        held = taken(new)
        read = DockerWebhook.objects.get(pk=webhook.pk)

        reached = interleave(
            partial(mirror_worker._note_seen, held, mirror_worker.Outcome()),
            partial(save_webhook, read, by=person),
            before=before // 2,
        )

        new.refresh_from_db()
        assert new.checked_at is not None
        if not reached and before % 2:
            assert before > 6, "it did next to nothing"
            return


def new_pipeline(webhook: DockerWebhook) -> Act:
    webhook.pipeline = made = PipelineFactory.create(project=webhook.project)
    return partial(delete_pipeline, pipeline=made)


def new_endpoint(webhook: DockerWebhook) -> Act:
    webhook.endpoint = made = DockerRegistryFactory.create(project=webhook.project)
    return partial(delete_endpoint, endpoint=made)


@pytest.mark.parametrize("is_save_first", [True, False])
@pytest.mark.parametrize("needing", [new_pipeline, new_endpoint])
def test_one_person_saves_a_webhook_while_another_deletes_what_it_newly_needs(
    needing: Callable[[DockerWebhook], Act], is_save_first: bool
) -> None:
    outcomes: set[str] = set()
    for before in count():
        webhook = DockerWebhookFactory.create()
        delete = needing(webhook)

        def save(webhook: DockerWebhook = webhook) -> None:
            try:
                save_webhook(webhook, by=UserFactory.create())
            except DeletedMeanwhileError:
                outcomes.add("told")
            else:
                outcomes.add("saved")

        def try_to_delete(delete: Act = delete) -> None:
            with suppress(Refused):
                delete()

        acts = (save, try_to_delete) if is_save_first else (try_to_delete, save)
        reached = interleave(*acts, before=before)

        webhook.refresh_from_db()
        assert Pipeline.objects.filter(pk=webhook.pipeline_id).exists()
        assert Endpoint.objects.filter(pk=webhook.endpoint_id).exists()
        if not reached:
            assert outcomes == {"told", "saved"}
            return


@pytest.mark.parametrize("is_endpoint_first", [True, False])
def test_an_endpoint_and_its_webhooks_are_saved_at_once(is_endpoint_first: bool) -> None:
    person = UserFactory.create()
    for before in count():
        first, second = webhooks_of_one_endpoint()
        endpoint = Endpoint.objects.get(pk=first.endpoint_id)

        def save_endpoint_elsewhere(endpoint: Endpoint = endpoint) -> None:
            save_endpoint(
                endpoint=endpoint,
                name=endpoint.name,
                description="",
                is_restricted=False,
                properties=endpoint.properties | {"repoURL": "https://hub.docker.com/r/demo/api"},
                credentials=endpoint.credentials,
                by=person,
            )

        def save_webhooks(first: DockerWebhook = first, second: DockerWebhook = second) -> None:
            for webhook in (first, second):
                read = DockerWebhook.objects.get(pk=webhook.pk)
                save_webhook(read, by=person, secret=f"{uuid.uuid4()}")

        acts = [save_endpoint_elsewhere, save_webhooks]
        reached = interleave(*(acts if is_endpoint_first else reversed(acts)), before=before)

        wanted = RemoteHook.objects.filter(desired="PRESENT", webhook__in=[first, second])
        assert set(wanted.values_list("repository", flat=True)) == {"api"}
        assert wanted.count() == 2
        if not reached:
            assert before > 6, "it did next to nothing"
            return


def test_two_hooks_of_a_refused_account_are_tried_again_at_once() -> None:
    for before in count():
        webhooks = webhooks_of_one_endpoint()
        hooks = RemoteHook.objects.filter(webhook__in=webhooks)
        hooks.update(error_code=Unauthorized.code, wake_at=None)
        # Every other time the later one in the order of keys is asked for first.
        keyed = [hook.webhook for hook in hooks.order_by("pk" if before % 2 else "-pk")]
        acts = [partial(retry_mirror, webhook=webhook) for webhook in keyed if webhook]

        reached = interleave(*acts, before=before // 2)

        assert set(hooks.values_list("error_code", flat=True)) == {""}
        if not reached and before % 2:
            assert before > 6, "it did next to nothing"
            return


def webhooks_of_one_endpoint() -> tuple[DockerWebhook, DockerWebhook]:
    first = DockerWebhookFactory.create(mirror_mode=DockerWebhook.MirrorMode.AUTO)
    second = DockerWebhookFactory.create(
        mirror_mode=DockerWebhook.MirrorMode.AUTO,
        project=first.project,
        endpoint=first.endpoint,
        pipeline=first.pipeline,
    )
    return first, second


def test_a_project_ends_though_somebody_deletes_one_of_its_pipelines() -> None:
    for before in count():
        project = ProjectFactory.create()
        pipelines = [PipelineFactory.create(project=project) for _ in range(2)]

        def delete_one(pipeline: Pipeline = pipelines[1]) -> None:
            with suppress(DeletedMeanwhileError):
                delete_pipeline(pipeline=pipeline)

        reached = interleave(partial(delete_project, project=project), delete_one, before=before)

        project.refresh_from_db()
        assert project.is_deleted
        assert not Pipeline.objects.filter(project=project).exists()
        if not reached:
            assert before > 3, "it did next to nothing"
            return

"""The button Undo: what it offers to whom, and the execution that puts everything back."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.versions import DeletedMeanwhileError
from codestream.core.work import wake_all
from codestream.operations.retention import clean
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.kubernetes_objects import Body, ref_of, text_at
from endpoints.models import Endpoint
from executions.models import Execution, TaskRun
from executions.runners.kubernetes_reports import report
from executions.services import cancel_execution, release_task, rerun_execution, start_execution
from executions.undos import put_back_by, undo_task
from executions.worker import drain
from pipelines.models import Pipeline
from tests.contracts.kubernetes.manifests import config_map, deployment
from tests.factories import MembershipFactory, UserFactory
from tests.integration.cast import Cast, get, make_cast
from tests.integration.deploys import Target, drive, pipeline_of, run, task_of
from tests.integration.test_kubernetes_actions import (
    WorkerDied,
    deploy,
    die_after,
    objects,
    source_of,
    task,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unbroken_stories")]


def undo(execution: Execution, by: User | None = None, name: str = "") -> Execution:
    """Press the button and drive what it starts to its end."""
    return drive(undo_task(task=task_of(execution, name), by=by or UserFactory()))


def colour(target: Target) -> str:
    found = target.cluster.find(ref_of(config_map(target.namespace)))
    return text_at(found.body, "data", "colour") if found else ""


def blue_then_red(target: Target) -> Execution:
    """An execution that turned the blue settings red and added others."""
    manifest = config_map(target.namespace, colour="${input.colour}")
    tasks = task("Send", "APPLY", manifest)
    pipeline = pipeline_of(target, "input: {colour: blue}\n" + source_of(tasks))
    run(pipeline, colour="blue")
    return run(pipeline, colour="red")


def test_one_press_puts_every_object_back_and_both_stories_say_who(target: Target) -> None:
    red, ann = blue_then_red(target), UserFactory(username="undoing-ann")

    undone = undo(red, by=ann)

    assert undone.status == "COMPLETED", undone.message
    assert colour(target) == "blue"
    assert (undone.source, undone.triggered_by) == ("UNDO", "undoing-ann")
    (told,) = red.events.filter(kind="request")
    assert (told.actor, told.message) == ("undoing-ann", f"Deploy.Send: {undone}")
    (report,) = objects(undone)
    assert (report["change"], report["state"]) == ("CONFIGURED", "READY")
    assert "-  colour: red\n+  colour: blue" in report["diff"]


def test_what_others_have_changed_in_the_object_since_is_put_back_too(target: Target) -> None:
    red = blue_then_red(target)
    ref = ref_of(config_map(target.namespace))
    target.cluster.patch(ref, {"data": {"size": "large"}})

    undone = undo(red)

    assert target.cluster.get(ref).body["data"] == {"colour": "blue"}
    assert "-  size: large" in objects(undone)[0]["diff"]


def test_what_failed_or_was_canceled_can_be_undone_too(target: Target) -> None:
    manifests = (config_map(target.namespace), deployment(target.namespace, typo=1))
    failed = deploy(target, task("Send", "APPLY", *manifests))
    canceled = start_execution(
        pipeline=pipeline_of(
            target, source_of(task("Send", "APPLY", deployment(target.namespace, "demo/sick:1")))
        ),
        inputs={},
        run_as=None,
        triggered_by="ann",
    )
    drain()
    cancel_execution(execution=canceled, by=UserFactory())
    drive(canceled)

    undone = [undo(failed), undo(canceled)]

    assert (failed.status, canceled.status) == ("FAILED", "CANCELED")
    assert [each.status for each in undone] == ["COMPLETED", "COMPLETED"]
    left = [
        each.ref.name
        for kind, api in (("ConfigMap", "v1"), ("Deployment", "apps/v1"))
        for each in target.cluster.list(api, kind, namespace=target.namespace)
    ]
    assert not {"web", "settings"} & set(left)


def test_it_is_pressed_once_until_it_has_failed(target: Target) -> None:
    red, ann = blue_then_red(target), UserFactory()

    first = undo_task(task=task_of(red), by=ann)
    with pytest.raises(Refused, match=f"{first} is undoing it already"):
        undo_task(task=task_of(red), by=ann)
    drive(first)
    with pytest.raises(Refused, match=f"{first} has undone it"):
        undo_task(task=task_of(red), by=ann)
    Execution.objects.filter(pk=first.pk).update(status="FAILED")
    again = undo_task(task=task_of(red), by=ann)
    Execution.objects.filter(pk=first.pk).update(status="COMPLETED")

    assert drive(again).status == "COMPLETED"


def test_an_undo_can_be_undone_and_then_done_again(target: Target) -> None:
    red = blue_then_red(target)
    undone = undo(red)
    assert colour(target) == "blue"

    undo(undone)
    back = colour(target)
    undo(red)

    assert (back, colour(target)) == ("red", "blue")


def test_it_takes_its_turn_in_the_pipeline(target: Target) -> None:
    red = blue_then_red(target)
    Pipeline.objects.update(concurrency=1)
    running = start_execution(
        pipeline=Pipeline.objects.get(), inputs={"colour": "green"}, run_as=None, triggered_by="ann"
    )

    waiting = undo_task(task=task_of(red), by=UserFactory())

    assert (running.status, waiting.status) == ("RUNNING", "QUEUED")
    drive(running)
    assert drive(waiting).status == "COMPLETED"


def test_a_disabled_pipeline_runs_nothing_new_and_undoes_all_the_same(target: Target) -> None:
    red = blue_then_red(target)
    Pipeline.objects.update(state=Pipeline.State.DISABLED)

    assert undo(red).status == "COMPLETED"


def test_a_restricted_cluster_waits_for_an_administrator(target: Target) -> None:
    red = blue_then_red(target)
    member = MembershipFactory(project=red.project, role="MEMBER").user
    owner = MembershipFactory(project=red.project, role="ADMINISTRATOR").user
    Endpoint.objects.update(is_restricted=True)

    undone = undo_task(task=task_of(red), by=member)
    drain()
    held = task_of(undone)
    asked = (held.status, held.held_for, colour(target))
    release_task(task=held, by=owner)

    assert asked == ("WAITING", ["endpoint cluster"], "red")
    assert drive(undone).status == "COMPLETED"
    assert colour(target) == "blue"


def test_a_task_that_changed_nothing_offers_nothing(target: Target) -> None:
    target.cluster.apply(config_map(target.namespace))
    read = deploy(target, task("Read", "GET", config_map(target.namespace)))

    assert put_back_by(task_of(read)) == []
    with pytest.raises(Refused, match="changed nothing that could be put back"):
        undo_task(task=task_of(read), by=UserFactory())


def test_what_is_deleted_meanwhile_is_not_undone(target: Target) -> None:
    red = blue_then_red(target)
    row = task_of(red)
    assert row.stage_run.execution == red
    red.delete()

    with pytest.raises(DeletedMeanwhileError):
        undo_task(task=row, by=UserFactory())

    assert colour(target) == "red"


def test_a_task_that_is_not_over_is_refused(target: Target) -> None:
    manifest = deployment(target.namespace, "demo/sick:1")
    pipeline = pipeline_of(target, source_of(task("Send", "APPLY", manifest)))
    execution = start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")
    drain()

    with pytest.raises(Refused, match="not over yet"):
        undo_task(task=task_of(execution), by=UserFactory())


def test_an_undo_is_no_run_of_the_pipeline(target: Target) -> None:
    undone = undo(blue_then_red(target))

    with pytest.raises(Refused, match="An undo is no run of the pipeline"):
        rerun_execution(execution=undone, by=UserFactory())


def test_what_it_undoes_is_kept_while_it_runs_and_may_go_after(
    target: Target, settings: object
) -> None:
    red = blue_then_red(target)
    settings.RETENTION_EXECUTIONS_PER_PIPELINE = 1  # type: ignore[attr-defined]
    undone = undo_task(task=task_of(red), by=UserFactory())
    clean(lambda: False)
    kept = Execution.objects.filter(pk=red.pk).exists()
    drive(undone)

    clean(lambda: False)

    undone = Execution.objects.get()
    assert kept
    assert (undone.source, undone.undoes) == ("UNDO", None)


def test_an_execution_whose_task_is_gone_fails_in_words(target: Target) -> None:
    undone = undo_task(task=task_of(blue_then_red(target)), by=UserFactory())
    Execution.objects.filter(pk=undone.pk).update(undoes=None)

    assert "whose task it undoes is deleted" in drive(undone).message


@pytest.mark.django_db(transaction=True)
def test_of_two_who_press_at_the_same_time_one_is_told(
    stand_in: KubernetesServer, target: Target, parallel_database: None
) -> None:
    red = blue_then_red(target)
    row, people = task_of(red), [UserFactory(), UserFactory()]

    def press(by: User) -> str:
        try:
            return str(undo_task(task=row, by=by))
        except Refused as refusal:
            return refusal.user_message
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(press, people))

    (undone,) = Execution.objects.filter(source="UNDO")
    assert said == [str(undone), f"{undone} is undoing it already."]
    drive(undone)


def test_a_worker_that_is_killed_in_the_middle_puts_the_rest_back_with_the_next_one(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = [config_map(target.namespace, name, colour="red") for name in ("one", "two")]
    for manifest in manifests:
        target.cluster.apply({**manifest, "data": {"colour": "blue"}})
    undone = undo_task(
        task=task_of(deploy(target, task("Send", "APPLY", *manifests))), by=UserFactory()
    )
    with monkeypatch.context() as dying:
        dying.setattr("executions.runners.kubernetes_undo.report", die_after(report))
        with pytest.raises(WorkerDied):
            drain()
    half = colours(target, manifests)
    TaskRun.objects.update(lease_until=None)
    wake_all(TaskRun.objects.filter(stage_run__execution=undone))

    assert half == {"red", "blue"}
    assert drive(undone).status == "COMPLETED"
    assert colours(target, manifests) == {"blue"}


def colours(target: Target, manifests: Iterable[Body]) -> set[str]:
    lives = [target.cluster.get(ref_of(each)) for each in manifests]
    return {text_at(live.body, "data", "colour") for live in lives}


def test_an_endpoint_that_leads_to_another_cluster_by_now_is_left_alone(
    target: Target, settings: Settings
) -> None:
    red = blue_then_red(target)
    endpoint = Endpoint.objects.get()
    with KubernetesServer(token="other") as server:
        settings.OUTGOING_ALLOW = [*settings.OUTGOING_ALLOW, urlsplit(server.url).netloc]
        Endpoint.objects.update(
            properties={"kubernetesURL": server.url, "authType": "token"},
            credentials={"token": "other"},
            updated_at=now(),
        )
        undone = undo(red)

    assert undone.status == "FAILED"
    assert f"and endpoint cluster leads to {server.url} by now" in undone.message
    assert endpoint.properties["kubernetesURL"] in undone.message
    assert colour(target) == "red"


# The pages


@pytest.fixture
def shop(target: Target) -> tuple[Cast, Target, Execution]:
    """The red settings, in the project of the cast."""
    red = blue_then_red(target)
    cast = make_cast()
    for model in (Execution, Endpoint, Pipeline):
        model.objects.update(project=cast.project)
    red.refresh_from_db()
    return cast, target, red


def page_of(execution: Execution) -> str:
    return f"/executions/{execution.pk}/"


def undo_of(execution: Execution) -> str:
    return f"/executions/{execution.pk}/tasks/{task_of(execution).pk}/undo/"


def test_the_dialog_says_object_by_object_what_will_happen(
    shop: tuple[Cast, Target, Execution],
) -> None:
    cast, target, red = shop

    whole = get(cast, undo_of(red))
    dialog = get(cast, undo_of(red), **{"HX-Request": "true"})

    for text in (whole, dialog):
        assert "configmap/settings" in text
        assert target.namespace in text
        assert "gets back the fields that it had before" in text
        assert "+  colour: red" in text
        assert "What others have changed in these objects since is put back as well" in text
    assert dialog.lstrip().startswith("<dialog")


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("APPLY", "is deleted with everything in it, also what others have put there"),
        ("DELETE", "is created anew, without what was in it"),
    ],
)
def test_it_says_so_where_a_namespace_takes_others_with_it(
    target: Target, action: str, said: str
) -> None:
    name = f"{target.namespace}-other"
    namespace: Body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    if action == "DELETE":
        target.cluster.create(namespace)

    (told,) = put_back_by(task_of(deploy(target, task("Send", action, dict(namespace)))))

    assert said in told.words
    target.cluster.delete(ref_of(namespace))


def test_the_button_is_for_those_who_may_run_the_pipeline(
    shop: tuple[Cast, Target, Execution],
) -> None:
    cast, _, red = shop

    pages = {role: undo_of(red) in get(cast, page_of(red), role) for role in ("member", "viewer")}
    refused = cast.client("viewer").post(undo_of(red)).status_code

    assert pages == {"member": True, "viewer": False}
    assert refused == 403
    assert not Execution.objects.filter(source="UNDO").exists()


def test_a_press_leads_to_the_execution_that_undoes_and_both_pages_name_each_other(
    shop: tuple[Cast, Target, Execution],
) -> None:
    cast, target, red = shop

    answer = cast.client("member").post(undo_of(red))
    undone = drive(Execution.objects.get(source="UNDO"))

    assert answer["Location"] == page_of(undone)
    assert colour(target) == "blue"
    before, after = get(cast, page_of(red)), get(cast, page_of(undone))
    assert "Undone by" in before
    assert page_of(undone) in before
    assert undo_of(red) not in before
    assert "Undoes" in after
    assert page_of(red) in after
    assert "Re-run" not in after
    assert "Undo by member" in get(cast, "/executions/")
    assert "has undone it" in get(cast, undo_of(red))


def test_a_second_press_says_why_not(shop: tuple[Cast, Target, Execution]) -> None:
    cast, _, red = shop
    client = cast.client("member")
    client.post(undo_of(red))

    answer = client.post(undo_of(red), follow=True)

    assert "is undoing it already" in answer.text
    assert Execution.objects.filter(source="UNDO").count() == 1
    drive(Execution.objects.get(source="UNDO"))

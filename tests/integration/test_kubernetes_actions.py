"""What each action of a Kubernetes task does and tells, in the stand-in or a real cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from textwrap import indent
from typing import Any
from urllib.request import Request, urlopen

import pytest

from codestream.core.work import wake_all
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.base import Protocol
from endpoints.clients.kubernetes import Applied, Kubernetes, ObjectRef
from endpoints.clients.kubernetes_errors import UnknownKind
from endpoints.clients.kubernetes_objects import ref_of
from executions import tasks
from executions.models import Execution, TaskRun
from executions.runners import kubernetes_actions
from executions.runners.kubernetes_reports import report
from executions.services import cancel_execution, start_execution
from executions.states import Status
from executions.undos import why_not
from executions.worker import drain
from tests.cluster.kubeconfig import real_access
from tests.contracts.kubernetes.manifests import (
    config_map,
    deployment,
    image_of,
    wait_for,
    widget_with_definition,
)
from tests.factories import PipelineFactory, UserFactory, VariableFactory
from tests.integration.deploys import Target, drive, pipeline_of, run, task_of

pytestmark = pytest.mark.django_db
TASK = """\
      {name}:
        type: K8S
        endpoints: {{kubernetesServer: cluster}}
        input:
          action: {action}
{more}"""


def task(name: str, action: str, *manifests: dict[str, Any], **fields: Any) -> str:
    """A task whose manifests are the documents of one text."""
    more = "".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items())
    if manifests:
        text = "\n---\n".join(json.dumps(manifest) for manifest in manifests)
        more += f"yaml: |\n{indent(text, '  ')}\n"
    return TASK.format(name=name, action=action, more=indent(more, " " * 10))


def source_of(*tasks: str) -> str:
    """A pipeline of one stage with these tasks, one after the other."""
    names = ", ".join(text.strip().partition(":")[0] for text in tasks)
    head = f"name: web-cd\nstageOrder: [Deploy]\nstages:\n  Deploy:\n    taskOrder: [{names}]\n"
    return head + "    tasks:\n" + "".join(tasks)


def deploy(target: Target, *tasks: str, **variables: str) -> Execution:
    pipeline = pipeline_of(target, source_of(*tasks))
    for name, value in variables.items():
        VariableFactory(project=pipeline.project, name=name, type="SECRET", value=value)
    return run(pipeline)


def objects(execution: Execution, name: str = "") -> list[dict[str, Any]]:
    return task_of(execution, name).output["objects"]


def web_of(target: Target) -> ObjectRef:
    return ObjectRef(
        api_version="apps/v1", kind="Deployment", name="web", namespace=target.namespace
    )


def web(target: Target) -> Any:
    return target.cluster.get(web_of(target)).body


def test_what_an_apply_changed_is_kept_as_a_difference(target: Target) -> None:
    deploy(target, task("Send", "APPLY", config_map(target.namespace, colour="blue")))

    changed = deploy(target, task("Send", "APPLY", config_map(target.namespace, colour="red")))
    again = deploy(target, task("Send", "APPLY", config_map(target.namespace, colour="red")))

    (report,) = objects(changed)
    assert report["change"] == "CONFIGURED"
    assert "-  colour: blue\n+  colour: red" in report["diff"]
    assert objects(again)[0]["diff"] == ""


def test_a_value_of_a_secret_is_told_to_have_changed_and_not_told(target: Target) -> None:
    metadata = {"name": "key", "namespace": target.namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}

    deploy(target, task("Send", "APPLY", {**secret, "stringData": {"pin": "first-value"}}))
    execution = deploy(
        target, task("Send", "APPLY", {**secret, "stringData": {"pin": "second-value"}})
    )

    (report,) = objects(execution)
    assert "pin: '******** (changed)'" in report["diff"]
    kept = json.dumps([task_of(execution).output, task_of(execution).cursor])
    assert not any(word in kept for word in ("second-value", "c2Vjb25kLXZhbHVl", "Zmlyc3QtdmFsdWU"))


def test_a_secret_variable_is_hidden_wherever_a_manifest_puts_it(target: Target) -> None:
    manifest = config_map(target.namespace, url="postgres://app:${var.password}@db/shop")

    execution = deploy(target, task("Send", "APPLY", manifest), password="a-password-of-the-shop")

    row = task_of(execution)
    assert execution.status == "COMPLETED"
    assert row.output["response"]["configMaps"]["settings"]["data"]["url"]
    assert "a-password-of-the-shop" not in json.dumps([row.output, row.cursor, row.input])


def test_a_field_of_another_manager_is_told_in_words_and_can_be_forced(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setattr("endpoints.clients.kubernetes.FIELD_MANAGER", "another-team")
        target.cluster.apply(config_map(target.namespace, colour="blue"))
    manifest = config_map(target.namespace, colour="red")

    refused = deploy(target, task("Send", "APPLY", manifest))
    forced = deploy(target, task("Send", "APPLY", manifest, force=True))

    assert refused.status == "FAILED"
    assert '.data.colour is held by "another-team" since 20' in refused.message
    assert forced.status == "COMPLETED"


def test_a_typo_fails_at_once_and_names_the_field(target: Target) -> None:
    execution = deploy(target, task("Send", "APPLY", deployment(target.namespace, replica=3)))

    assert execution.status == "FAILED"
    assert ".spec.replica: field not declared in schema" in execution.message
    assert "Timed out" not in execution.message


def test_a_manifest_of_another_version_fails_at_once_and_says_what_to_take_out(
    target: Target,
) -> None:
    target.cluster.apply(config_map(target.namespace, colour="blue"))
    manifest = config_map(target.namespace, colour="red")
    manifest["metadata"]["resourceVersion"] = "1"

    execution = deploy(target, task("Send", "APPLY", manifest))

    assert execution.status == "FAILED"
    assert "another version of the object" in execution.message
    assert "Take resourceVersion and uid out" in execution.message


def test_a_kind_that_nobody_knows_fails_before_anything_is_changed(target: Target) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}}

    execution = deploy(
        target, task("Send", "APPLY", config_map(target.namespace, colour="blue"), widget)
    )

    assert "does not know kind Widget of example.com/v1" in execution.message
    assert not target.cluster.list(
        "v1", "ConfigMap", namespace=target.namespace, label_selector="name=settings"
    )


def test_what_others_need_is_sent_first(target: Target) -> None:
    name = f"{target.namespace}-late"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}

    execution = deploy(target, task("Send", "APPLY", config_map(name), namespace))

    assert execution.status == "COMPLETED", execution.message
    assert [item["kind"] for item in objects(execution)] == ["Namespace", "ConfigMap"]
    target.cluster.delete(ObjectRef(api_version="v1", kind="Namespace", name=name))


def test_objects_are_read_by_name_and_a_later_task_can_use_them(target: Target) -> None:
    target.cluster.apply(config_map(target.namespace, colour="blue"))
    read = task("Read", "GET", config_map(target.namespace))
    found = "${Deploy.Read.output.response.configMaps.settings.data.colour}"

    execution = deploy(
        target, read, task("Send", "APPLY", config_map(target.namespace, "copy", colour=found))
    )

    copy = ObjectRef(api_version="v1", kind="ConfigMap", name="copy", namespace=target.namespace)
    assert execution.status == "COMPLETED", execution.message
    assert target.cluster.get(copy).body["data"] == {"colour": "blue"}


def test_objects_are_read_by_label(target: Target) -> None:
    for name in ("first", "second", "third"):
        target.cluster.apply(config_map(target.namespace, name))
    any_of_them = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": target.namespace},
    }

    execution = deploy(
        target, task("Read", "GET", any_of_them, filterByLabel="name in (first, third)")
    )

    response = task_of(execution).output["response"]
    assert sorted(response["configMaps"]) == ["first", "third"]


def test_an_object_to_be_read_that_is_not_there_fails_the_task(target: Target) -> None:
    execution = deploy(target, task("Read", "GET", config_map(target.namespace)))

    assert execution.status == "FAILED"
    assert 'configmaps "settings" not found' in execution.message


def test_a_delete_ends_when_everything_is_gone(target: Target) -> None:
    manifests = (config_map(target.namespace), deployment(target.namespace))
    deploy(target, task("Send", "APPLY", *manifests))

    first = deploy(target, task("Remove", "DELETE", *manifests))
    second = deploy(target, task("Remove", "DELETE", *manifests))

    assert first.status == second.status == "COMPLETED"
    assert [(item["kind"], item["change"]) for item in objects(first)] == [
        ("Deployment", "DELETED"),
        ("ConfigMap", "DELETED"),
    ]
    assert {item["message"] for item in objects(second)} == {"was not there"}
    assert target.cluster.find(web_of(target)) is None


def test_what_is_said_of_each_object_is_kept_for_every_language(target: Target) -> None:
    manifest = config_map(target.namespace)
    sent = deploy(target, task("Send", "APPLY", manifest))
    read = deploy(target, task("Read", "GET", manifest))
    undone = deploy_again(sent, undo(sent, "Send"))
    gone = deploy(target, task("Remove", "DELETE", manifest))

    kept = [objects(each)[0]["words"]["text"] for each in (sent, read, undone, gone)]

    assert kept == ["%(ref)s exists", "exists", "is gone", "was not there"]


def test_a_later_task_can_use_the_english_of_an_object_and_not_its_template(
    target: Target,
) -> None:
    sent = task("Send", "APPLY", config_map(target.namespace))
    texts = [f"${{Deploy.Send.output.objects[0].{name}}}" for name in ("message", "words.text")]
    told, hidden = (config_map(target.namespace, "copy", said=text) for text in texts)

    good = deploy(target, sent, task("Tell", "APPLY", told))
    bad = deploy(target, sent, task("Tell", "APPLY", hidden))

    copy = target.cluster.get(ref_of(told)).body
    assert (good.status, bad.status) == ("COMPLETED", "FAILED")
    assert copy["data"] == {"said": "configmap/settings exists"}
    assert "words" in bad.message


def test_why_a_delete_is_refused_holds_no_secret(
    stand_in: KubernetesServer, target: Target
) -> None:
    deploy(target, task("Send", "APPLY", config_map(target.namespace)))
    fail(stand_in, verb="delete", resource="configmaps", webhook="keep", denial="not hunter22")

    execution = deploy(
        target, task("Remove", "DELETE", config_map(target.namespace)), password="hunter22"
    )

    row = task_of(execution)
    assert "denied the request: not ********" in row.message
    assert "hunter22" not in json.dumps([row.output, row.message_words])


def rollback(target: Target, revision: str = "n-1") -> str:
    where = {"resourceType": "deployment", "resourceName": "web", "namespace": target.namespace}
    return task("Back", "ROLLBACK", **where, revision=revision)


def test_a_rollback_goes_back_one_revision_and_an_apply_goes_on_from_there(
    target: Target,
) -> None:
    manifest = deployment(target.namespace, "demo/web:1.0")
    deploy(target, task("Send", "APPLY", manifest))
    deploy(target, task("Send", "APPLY", deployment(target.namespace, "demo/web:2.0")))

    back = deploy(target, rollback(target))
    image = image_of(web(target))
    forth = deploy(target, task("Send", "APPLY", deployment(target.namespace, "demo/web:3.0")))

    assert back.status == "COMPLETED", back.message
    assert image == "demo/web:1.0"
    assert "image: demo/web:1.0" in objects(back)[0]["diff"]
    assert forth.status == "COMPLETED", forth.message
    assert image_of(web(target)) == "demo/web:3.0"


@pytest.mark.parametrize("action", ["APPLY", "DELETE", "ROLLBACK"])
@pytest.mark.parametrize("busy", [3, 1000])
def test_an_object_that_others_write_to_all_the_time_is_changed_when_they_let_go(
    target: Target, monkeypatch: pytest.MonkeyPatch, action: str, busy: int
) -> None:
    for tag in ("1.0", "2.0"):
        manifest = deployment(target.namespace, f"demo/web:{tag}")
        deploy(target, task("Send", "APPLY", manifest))
    left, send = list(range(busy)), Kubernetes._open
    again = task("Again", action, deployment(target.namespace, "demo/web:3.0"))

    def send_after_another(cluster: Kubernetes, method: str, *arguments: Any) -> Any:
        if method in {"PATCH", "DELETE"} and left:
            note: dict[str, Any] = {"metadata": {"annotations": {"seen-by": str(left.pop())}}}
            monkeypatch.setattr(Kubernetes, "_open", send)
            cluster.patch(web_of(target), note)
            monkeypatch.setattr(Kubernetes, "_open", send_after_another)
        return send(cluster, method, *arguments)

    monkeypatch.setattr(Kubernetes, "_open", send_after_another)
    source = source_of(rollback(target) if action == "ROLLBACK" else again)
    execution = start_execution(
        pipeline=pipeline_of(target, source), inputs={}, run_as=None, triggered_by="ann"
    )
    drain()

    row = task_of(execution)
    if busy > 3:
        assert row.message == "web is changed by others all the time; it is tried again."
        left.clear()
    assert drive(execution).status == "COMPLETED", row.message


def test_a_rollback_is_not_resolved_anew_when_its_worker_dies(target: Target) -> None:
    for tag in ("1.0", "2.0", "3.0"):
        image = f"demo/web:{tag}"
        deploy(target, task("Send", "APPLY", deployment(target.namespace, image)))
    back = deploy(target, rollback(target))
    row = task_of(back)

    # As if the worker had died after it had changed the object and before it could say so.
    cursor = {**row.cursor, "patched": False}
    TaskRun.objects.filter(pk=row.pk).update(cursor=cursor, status="RUNNING", finished_at=None)
    wake_all(TaskRun.objects.filter(pk=row.pk))
    drain()

    assert image_of(web(target)) == "demo/web:2.0"


def test_a_revision_that_the_cluster_does_not_hold_is_refused_with_those_it_holds(
    target: Target,
) -> None:
    deploy(target, task("Send", "APPLY", deployment(target.namespace)))

    execution = deploy(target, rollback(target, "7"))

    assert execution.status == "FAILED"
    assert "There is no revision 7: the cluster holds 1." in execution.message


def test_a_crash_loop_fails_with_the_last_words_and_the_events(target: Target) -> None:
    execution = deploy(
        target, task("Send", "APPLY", deployment(target.namespace, "demo/crash:1.0"))
    )

    (failure,) = task_of(execution).output["failures"]
    assert execution.status == "FAILED"
    assert "container web exited with 1" in execution.message
    assert "fatal: cannot reach the database" in execution.message
    assert failure["logs"][0]["lines"]
    assert failure["events"]
    assert objects(execution)[0]["state"] == "FAILED"


def undo(execution: Execution, name: str) -> str:
    return task("Undo", "UNDO", execution=str(execution.pk), task=f"Deploy.{name}")


def deploy_again(before: Execution, text: str) -> Execution:
    """Run a task in another pipeline of the project of an earlier execution."""
    return run(PipelineFactory(project=before.project, source=source_of(text)))


def changes(execution: Execution) -> dict[str, str]:
    return {item["name"]: item["change"] for item in objects(execution)}


def test_an_undo_puts_back_every_object_that_an_apply_changed(target: Target) -> None:
    cluster, namespace = target.cluster, target.namespace
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret"}
    secret["stringData"] = {"pin": "first-value"}
    secret["metadata"] = {"name": "key", "namespace": namespace}
    deploy(target, task("Send", "APPLY", secret, deployment(namespace, "demo/web:1.0")))
    changed = deployment(namespace, "demo/web:2.0", replicas=1)
    changed["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "b"}]
    manifests = (secret | {"stringData": {"pin": "second"}}, changed, config_map(namespace))
    second = deploy(target, task("Send", "APPLY", *manifests))

    undone = deploy_again(second, undo(second, "Send"))

    key = ObjectRef(api_version="v1", kind="Secret", name="key", namespace=namespace)
    spec = web(target)["spec"]
    assert undone.status == "COMPLETED", undone.message
    assert changes(undone) == {"key": "CONFIGURED", "web": "CONFIGURED", "settings": "DELETED"}
    assert cluster.get(key).body["data"] == {"pin": "Zmlyc3QtdmFsdWU="}
    assert (image_of(web(target)), spec["replicas"]) == ("demo/web:1.0", 2)
    assert "env" not in spec["template"]["spec"]["containers"][0]
    assert cluster.find(ref_of(config_map(namespace))) is None
    assert "Zmlyc3Q" not in json.dumps([task_of(undone).output, task_of(undone).cursor])


def test_an_undo_of_a_delete_makes_the_objects_anew(target: Target) -> None:
    manifests = (config_map(target.namespace, colour="blue"), deployment(target.namespace))
    deploy(target, task("Send", "APPLY", *manifests))
    removed = deploy(target, task("Remove", "DELETE", *manifests))

    undone = deploy_again(removed, undo(removed, "Remove"))

    assert undone.status == "COMPLETED", undone.message
    assert set(changes(undone).values()) == {"CREATED"}
    settings = target.cluster.get(ref_of(manifests[0]))
    assert settings.body["data"] == {"colour": "blue"}


def test_an_undo_of_a_task_that_failed_midway_puts_back_what_it_had_sent(target: Target) -> None:
    before = config_map(target.namespace, colour="blue")
    deploy(target, task("Send", "APPLY", before))
    manifests = (config_map(target.namespace, colour="red"), deployment(target.namespace, typo=1))
    broken = deploy(target, task("Send", "APPLY", *manifests))

    undone = deploy_again(broken, undo(broken, "Send"))

    assert (broken.status, undone.status) == ("FAILED", "COMPLETED"), undone.message
    assert changes(undone) == {"settings": "CONFIGURED", "web": "UNCHANGED"}
    assert target.cluster.get(ref_of(before)).body["data"] == {"colour": "blue"}


def test_a_task_that_fails_can_be_undone_by_its_rollback(target: Target) -> None:
    good = deployment(target.namespace, "demo/web:1.0")
    deploy(target, task("Send", "APPLY", good))
    broken = task("Send", "APPLY", deployment(target.namespace, "demo/missing:2.0"))
    inputs = '{execution: "${executionId}"}'
    rollbacks = f"rollbacks:\n- {{name: put-back, stage: Deploy, inputs: {inputs}}}\n"
    pipeline = pipeline_of(target, source_of(broken) + rollbacks)
    put_back = task("Undo", "UNDO", execution="${input.execution}", task="Deploy.Send")
    PipelineFactory(
        project=pipeline.project,
        name="put-back",
        source="input: {execution: ''}\n" + source_of(put_back).replace("web-cd", "put-back"),
    )

    execution = run(pipeline)

    assert execution.status == "ROLLBACK_COMPLETED", execution.message
    assert "ImagePullBackOff" in task_of(execution).message
    assert image_of(web(target)) == "demo/web:1.0"


def test_an_undo_leaves_alone_what_somebody_has_sent_again_since(target: Target) -> None:
    manifest = config_map(target.namespace, colour="blue")
    first = deploy(target, task("Send", "APPLY", manifest))
    deploy(target, task("Send", "APPLY", config_map(target.namespace, colour="red")))

    undone = deploy_again(first, undo(first, "Send"))

    (report,) = objects(undone)
    assert "somebody else has sent it again since" in report["message"]
    assert target.cluster.get(ref_of(manifest)).body["data"] == {"colour": "red"}


def test_an_undo_leaves_alone_what_was_made_anew_while_it_looked(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = config_map(target.namespace, colour="blue")
    sent = deploy(target, task("Send", "APPLY", manifest))
    delete = Kubernetes.delete

    def too_late(cluster: Kubernetes, ref: ObjectRef, **options: Any) -> None:
        monkeypatch.undo()
        cluster.delete(ref)
        cluster.apply(config_map(target.namespace, colour="red"))
        delete(cluster, ref, **options)

    monkeypatch.setattr(Kubernetes, "delete", too_late)
    undone = deploy_again(sent, undo(sent, "Send"))

    assert undone.status == "COMPLETED", undone.message
    assert "somebody else has sent it again since" in objects(undone)[0]["message"]


@pytest.mark.parametrize("execution", ["nonsense", "00000000-0000-0000-0000-000000000000"])
def test_an_undo_of_a_task_that_is_not_the_projects_is_refused(
    target: Target, execution: str
) -> None:
    text = task("Undo", "UNDO", execution=execution, task="Deploy.Send")

    refused = deploy(target, text)

    assert refused.status == "FAILED"
    assert f"no task “Deploy.Send” of execution {execution}" in refused.message


def test_an_undo_reaches_no_task_of_another_project(target: Target) -> None:
    other = deploy(target, task("Send", "APPLY", config_map(target.namespace)))

    refused = deploy(target, undo(other, "Send"))

    assert refused.status == "FAILED"
    assert target.cluster.find(ref_of(config_map(target.namespace))) is not None


def fail(server: KubernetesServer, **wish: Any) -> None:
    with urlopen(Request(f"{server.url}/_control/fail", data=json.dumps(wish).encode())):
        pass


def requests(server: KubernetesServer) -> dict[str, int]:
    with urlopen(f"{server.url}/_control/requests") as answer:
        counts: dict[str, int] = json.load(answer)
        return counts


@pytest.mark.parametrize("wish", [{"status": 503}, {"status": 429}, {"mode": "reset"}])
def test_what_is_worth_another_try_is_tried_again(
    stand_in: KubernetesServer, target: Target, wish: dict[str, Any]
) -> None:
    fail(stand_in, verb="apply", resource="deployments", **wish)

    execution = deploy(target, task("Send", "APPLY", deployment(target.namespace)))

    assert execution.status == "COMPLETED"
    assert requests(stand_in)["apply deployments"] == 2


def canceled_in_the_middle(target: Target, *tasks: str) -> Execution:
    """An execution that was canceled between two steps of its task."""
    pipeline = pipeline_of(target, source_of(*tasks))
    execution = start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")
    drain()
    cancel_execution(execution=execution, by=UserFactory(username="canceling-ann"))
    drain()
    execution.refresh_from_db()
    assert execution.status == "CANCELED"
    return execution


def states(execution: Execution) -> list[tuple[str, str, str]]:
    return [(item["kind"], item["state"], item["change"]) for item in objects(execution)]


def test_a_cancel_in_the_middle_says_of_every_object_whether_it_was_changed(
    stand_in: KubernetesServer, target: Target
) -> None:
    fail(stand_in, verb="apply", resource="deployments", status=503, times=99)
    manifests = (config_map(target.namespace), deployment(target.namespace))

    execution = canceled_in_the_middle(target, task("Send", "APPLY", *manifests))

    assert states(execution) == [
        ("ConfigMap", "SENT", "CREATED"),
        ("Deployment", "NOT_STARTED", ""),
    ]
    assert task_of(execution).message == (
        "Canceled by canceling-ann. 1 of 2 objects changed and left as they are; "
        "the others were not touched."
    )
    assert target.cluster.find(web_of(target)) is None


def test_a_cancel_after_everything_was_sent_speaks_of_no_others(target: Target) -> None:
    sick = deployment(target.namespace, "demo/sick:1")

    execution = canceled_in_the_middle(target, task("Send", "APPLY", sick))

    assert task_of(execution).message == (
        "Canceled by canceling-ann. 1 of 1 objects changed and left as they are."
    )


def test_what_a_dead_worker_had_sent_before_the_cancel_is_found_in_the_cluster(
    stand_in: KubernetesServer, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = (config_map(target.namespace, colour="blue"), deployment(target.namespace))
    fail(stand_in, verb="apply", resource="deployments", status=503, times=99)
    pipeline = pipeline_of(target, source_of(task("Send", "APPLY", *manifests)))
    execution = start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")
    with monkeypatch.context() as dying:
        dying.setattr("executions.runners.kubernetes_send.report", die_after(report))
        with pytest.raises(WorkerDied):
            drain()
    cancel_execution(execution=execution, by=UserFactory())
    wake_all(TaskRun.objects.all())
    TaskRun.objects.update(lease_until=None)
    drain()

    execution.refresh_from_db()
    assert execution.status == "CANCELED"
    assert states(execution)[0] == ("ConfigMap", "SENT", "CREATED")
    assert objects(execution)[0]["message"] == "was sent before the cancel"
    assert "+  colour: blue" in objects(execution)[0]["diff"]


class WorkerDied(BaseException):
    """Ends a step where a killed process would."""


def die_after(made: Any) -> Any:
    """Die as soon as the first object is sent, before that is told to anybody."""

    def report(*args: Any, **told: Any) -> Any:
        if told.get("state") == "SENT":
            raise WorkerDied
        return made(*args, **told)

    return report


def test_a_cancel_while_the_cluster_is_away_says_what_is_not_known(
    stand_in: KubernetesServer, target: Target
) -> None:
    fail(stand_in, verb="apply", resource="deployments", status=503, times=99)
    pipeline = pipeline_of(
        target,
        source_of(
            task("Send", "APPLY", config_map(target.namespace), deployment(target.namespace))
        ),
    )
    execution = start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")
    drain()
    fail(stand_in, verb="get", status=503, times=99)
    cancel_execution(execution=execution, by=UserFactory())
    drain()

    execution.refresh_from_db()
    assert execution.status == "CANCELED"
    assert "1 of 2 objects changed" in task_of(execution).message
    assert "not known of deployment/web: the server is asked to fail" in task_of(execution).message
    assert objects(execution)[1]["message"] == "not known whether it was changed"


def test_a_canceled_delete_says_what_is_gone(stand_in: KubernetesServer, target: Target) -> None:
    manifests = (config_map(target.namespace), deployment(target.namespace))
    deploy(target, task("Send", "APPLY", *manifests))
    fail(stand_in, verb="delete", resource="configmaps", status=503, times=99)

    execution = canceled_in_the_middle(target, task("Remove", "DELETE", *manifests))

    assert states(execution) == [
        ("Deployment", "PROGRESSING", "DELETED"),
        ("ConfigMap", "NOT_STARTED", ""),
    ]


def test_a_task_that_is_canceled_before_its_first_step_changed_nothing(target: Target) -> None:
    pipeline = pipeline_of(target, source_of(task("Send", "APPLY", config_map(target.namespace))))
    execution = start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")

    cancel_execution(execution=execution, by=UserFactory())
    drain()

    assert task_of(execution).message.endswith("Nothing was changed.")
    assert target.cluster.find(ref_of(config_map(target.namespace))) is None


def test_an_object_that_stays_as_it_was_is_told_as_unchanged(target: Target) -> None:
    manifest = config_map(target.namespace, colour="blue")
    deploy(target, task("Send", "APPLY", manifest))

    again = deploy(target, task("Send", "APPLY", manifest))

    assert objects(again)[0]["change"] == "UNCHANGED"
    assert task_of(again).message == "1 objects ready, 0 changed"


def test_ten_objects_are_looked_at_in_a_few_calls(
    stand_in: KubernetesServer, target: Target
) -> None:
    manifests = []
    for number in range(10):
        manifest = deployment(target.namespace, "demo/sick:1.0")
        manifest["metadata"]["name"] = f"web-{number}"
        manifests.append(manifest)
    pipeline = pipeline_of(target, source_of(task("Send", "APPLY", *manifests)))
    start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")
    drain()
    before = requests(stand_in)

    wake_all(TaskRun.objects.all())
    drain()

    after = requests(stand_in)
    calls = {name: after[name] - before.get(name, 0) for name in after}
    assert {name: calls[name] for name in calls if calls[name]} == {
        "list deployments": 1,
        "list pods": 1,
        "list replicasets": 1,
    }


def test_a_custom_resource_waits_for_its_definition_in_the_same_task(
    real_cluster: Kubernetes, target: Target
) -> None:
    definition, widget = widget_with_definition(target.namespace)

    execution = deploy(target, task("Send", "APPLY", widget, definition))

    assert execution.status == "COMPLETED", execution.message
    response = task_of(execution).output["response"]
    assert response["widgets"]["one"]["spec"] == {"size": 3}
    real_cluster.delete(ref_of(definition))


def test_a_definition_that_is_served_just_after_a_refusal_does_not_fail_the_task(
    real_cluster: Kubernetes, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition, widget = widget_with_definition(target.namespace)
    apply, refused = Kubernetes.apply, []

    def apply_slowly(cluster: Kubernetes, manifest: dict[str, Any], **options: Any) -> Applied:
        try:
            return apply(cluster, manifest, **options)
        except UnknownKind:
            refused.append(ref_of(manifest))
            wait_for(lambda: cluster.knows(ref_of(manifest)), bool)
            raise

    monkeypatch.setattr(Kubernetes, "apply", apply_slowly)
    execution = deploy(target, task("Send", "APPLY", widget, definition))

    assert refused == [ref_of(widget)]
    assert execution.status == "COMPLETED", execution.message
    real_cluster.delete(ref_of(definition))


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_set_goes_back_to_its_revision(
    real_cluster: Kubernetes, target: Target, kind: str
) -> None:
    for tag in ("1.0", "2.0"):
        manifest = deployment(target.namespace, f"demo/web:{tag}") | {"kind": kind}
        if kind == "DaemonSet":
            del manifest["spec"]["replicas"]
        else:
            manifest["spec"]["serviceName"] = "web"
        deploy(target, task("Send", "APPLY", manifest))
    where = {"resourceType": kind, "resourceName": "web", "namespace": target.namespace}

    execution = deploy(target, task("Back", "ROLLBACK", **where, revision=1))

    body = real_cluster.get(ref_of(manifest)).body
    assert execution.status == "COMPLETED", execution.message
    assert image_of(body) == "demo/web:1.0"


def test_a_reader_who_may_not_change_is_told_what_right_is_missing(target: Target) -> None:
    reader = real_access("reader")
    if reader is None:
        pytest.skip("this cluster has no reader")

    execution = deploy(
        replace(target, access=reader), task("Send", "APPLY", config_map(target.namespace))
    )

    assert execution.status == "FAILED"
    assert 'User "reader" cannot patch resource "configmaps"' in execution.message


def test_the_rights_to_change_are_enough(real_cluster: Kubernetes, target: Target) -> None:
    nobody, rbac = real_access("nobody"), "rbac.authorization.k8s.io"
    if nobody is None:
        pytest.skip("this cluster has nobody without rights")
    rule: dict[str, Any] = {"apiGroups": ["", "apps"]}
    may = {**rule, "resources": ["configmaps", "deployments"], "verbs": ["get", "create", "patch"]}
    metadata = {"name": "it", "namespace": target.namespace}
    common: dict[str, Any] = {"apiVersion": f"{rbac}/v1", "metadata": metadata}
    real_cluster.create({**common, "kind": "Role", "rules": [may]})
    real_cluster.create(
        {
            **common,
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "it"},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": "nobody"}],
        }
    )
    settings = [config_map(target.namespace, name) for name in ("one", "two", "three")]
    manifests = (*settings, deployment(target.namespace))

    execution = deploy(replace(target, access=nobody), task("Send", "APPLY", *manifests))

    assert execution.status == "COMPLETED", execution.message
    assert {item["state"] for item in objects(execution)} == {"READY"}


class TestTheFirstLook:
    """The step that sends the objects looks at their rollout as well."""

    def send(self, target: Target) -> TaskRun:
        manifests = (config_map(target.namespace, colour="blue"), deployment(target.namespace))
        return task_of(deploy(target, task("Send", "APPLY", *manifests)))

    def test_one_that_fails_leaves_what_was_sent_on_record(
        self, target: Target, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise Protocol("an answer that is none")

        monkeypatch.setattr(kubernetes_actions, "look_at_all", fail)

        sent = self.send(target)

        assert sent.status == Status.FAILED
        assert {each["state"] for each in sent.output["objects"]} == {"SENT"}
        assert why_not(sent) == ""

    def test_one_that_comes_too_late_leaves_what_was_sent_on_record(
        self, target: Target, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The cluster may have been away until the time of the task was over."""
        really_apply, sent = Kubernetes.apply, []

        def apply(*args: Any, **named: Any) -> Applied:
            sent.append(args)
            return really_apply(*args, **named)

        monkeypatch.setattr(Kubernetes, "apply", apply)
        monkeypatch.setattr(tasks, "_is_late", lambda _task: bool(sent))

        late = self.send(target)

        assert "Timed out" in late.message
        assert "NOT_STARTED" not in {each["state"] for each in late.output["objects"]}
        assert why_not(late) == ""

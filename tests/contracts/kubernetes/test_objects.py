"""Create, apply, get, list, delete and watch, as any API server answers them."""

from __future__ import annotations

import json

import pytest

from codestream.core.errors import CodeStreamError
from endpoints.clients.base import Conflict, Invalid, NotFound, Outdated, Unauthorized
from endpoints.clients.kubernetes import (
    FIELD_MANAGER,
    Change,
    ClusterAccess,
    Kubernetes,
    ObjectRef,
)
from endpoints.clients.kubernetes_errors import FieldsHeld
from endpoints.clients.kubernetes_objects import Body, int_at, ref_of, text_at
from endpoints.clients.rollout import RolloutState
from tests.contracts.kubernetes.manifests import (
    config_map,
    deployment,
    end_of_rollout,
    image_of,
    pull_secret,
    wait_for,
    widget_with_definition,
)


def test_the_cluster_tells_its_version(cluster: Kubernetes) -> None:
    assert cluster.version().startswith("v1.")


def test_creating_an_object_a_second_time_conflicts(cluster: Kubernetes, namespace: str) -> None:
    created = cluster.create(config_map(namespace, colour="blue"))

    with pytest.raises(Conflict, match='configmaps "settings" already exists'):
        cluster.create(config_map(namespace, colour="red"))

    assert created.resource == "configmaps"
    assert cluster.get(created.ref).body["data"] == {"colour": "blue"}


def test_applying_the_same_manifest_twice_changes_nothing(
    cluster: Kubernetes, namespace: str
) -> None:
    first = cluster.apply(config_map(namespace, colour="blue"))
    second = cluster.apply(config_map(namespace, colour="blue"))

    assert (first.change, second.change) == (Change.CREATED, Change.UNCHANGED)
    assert first.object.body["metadata"] == second.object.body["metadata"]


def test_applying_a_new_image_leaves_the_rest_alone(cluster: Kubernetes, namespace: str) -> None:
    cluster.apply(deployment(namespace, "demo/web:1.0"))

    applied = cluster.apply(deployment(namespace, "demo/web:2.0"))

    assert applied.change is Change.CONFIGURED
    assert image_of(applied.object.body) == "demo/web:2.0"
    assert int_at(applied.object.body, "metadata", "generation") == 2


def test_a_field_that_is_no_longer_applied_goes_away(cluster: Kubernetes, namespace: str) -> None:
    cluster.apply(config_map(namespace, colour="blue", size="9"))

    applied = cluster.apply(config_map(namespace, colour="blue"))

    assert applied.object.body["data"] == {"colour": "blue"}


def test_a_variable_that_is_no_longer_applied_leaves_its_neighbour(
    cluster: Kubernetes, namespace: str
) -> None:
    manifest = deployment(namespace)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "COLOUR", "value": "blue"}, {"name": "SIZE", "value": "9"}]
    cluster.apply(manifest)
    del container["env"][0]

    body: object = cluster.apply(manifest).object.body

    assert isinstance(body, dict)
    env = body["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env == [{"name": "SIZE", "value": "9"}]


def test_an_unknown_field_in_an_apply_is_final(cluster: Kubernetes, namespace: str) -> None:
    typo = deployment(namespace, replica=3)

    with pytest.raises(Invalid, match=r"\.spec\.replica: field not declared in schema") as refused:
        cluster.apply(typo)

    assert not refused.value.retryable


def test_an_unknown_field_in_a_create_is_invalid(cluster: Kubernetes, namespace: str) -> None:
    typo = deployment(namespace)
    typo["spec"]["template"]["spec"]["hostNetwrk"] = True

    with pytest.raises(Invalid, match=r"spec\.template\.spec\.hostNetwrk"):
        cluster.create(typo)


def test_a_number_where_text_is_needed_is_final(cluster: Kubernetes, namespace: str) -> None:
    manifest = deployment(namespace)
    env = [{"name": "SIZE", "value": 9}]
    manifest["spec"]["template"]["spec"]["containers"][0]["env"] = env

    with pytest.raises(Invalid, match="expected string"):
        cluster.apply(manifest)


def test_a_selector_that_misses_the_pods_is_invalid(cluster: Kubernetes, namespace: str) -> None:
    manifest = deployment(namespace, selector={"matchLabels": {"app": "other"}})

    with pytest.raises(Invalid, match="does not match template `labels`"):
        cluster.apply(manifest)


def test_a_container_without_an_image_is_invalid(cluster: Kubernetes, namespace: str) -> None:
    with pytest.raises(Invalid, match=r"containers\[0\]\.image: Required value"):
        cluster.create(deployment(namespace, ""))


def test_fields_that_another_manager_holds_conflict_and_can_be_forced(
    cluster: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setattr("endpoints.clients.kubernetes.FIELD_MANAGER", "somebody-else")
        cluster.apply(deployment(namespace, "demo/web:1.0"))

    with pytest.raises(Conflict, match=r'image is held by "somebody-else" since 20'):
        cluster.apply(deployment(namespace, "demo/web:2.0"))
    forced = cluster.apply(deployment(namespace, "demo/web:2.0"), force=True)

    assert image_of(forced.object.body) == "demo/web:2.0"


def test_fields_that_are_ours_in_the_eyes_of_the_api_are_forced_once(
    cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def call(method: str, _path: str, query: dict[str, str], **_body: object) -> None:
        asked.append(f"{method} force={query['force']}")
        raise FieldsHeld({".spec.replicas": FIELD_MANAGER})

    monkeypatch.setattr(cluster, "_call", call)
    with pytest.raises(FieldsHeld):
        cluster._apply("/apis", {}, {}, force=False)

    assert asked == ["PATCH force=false", "PATCH force=true"]


def test_a_wrong_token_is_unauthorized_and_not_told(access: ClusterAccess) -> None:
    wrong = ClusterAccess(url=access.url, ca_data=access.ca_data, token="a-wrong-token")

    with Kubernetes(wrong) as stranger, pytest.raises(Unauthorized) as refused:
        stranger.list("v1", "Namespace")

    assert "a-wrong-token" not in refused.value.user_message


def test_nothing_is_created_in_a_namespace_that_does_not_exist(cluster: Kubernetes) -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        cluster.create(config_map("nowhere"))
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        cluster.apply(config_map("nowhere"))


def test_a_deleted_object_is_not_found_and_deleting_it_again_is_fine(
    cluster: Kubernetes, namespace: str
) -> None:
    ref = cluster.create(config_map(namespace)).ref

    cluster.delete(ref)
    cluster.delete(ref)

    with pytest.raises(NotFound):
        cluster.get(ref)


def test_deleting_a_deployment_takes_its_pods_along(cluster: Kubernetes, namespace: str) -> None:
    ref = cluster.apply(deployment(namespace)).object.ref
    wait_for(lambda: cluster.list("v1", "Pod", namespace=namespace), bool)

    cluster.delete(ref)

    wait_for(lambda: cluster.list("v1", "Pod", namespace=namespace), lambda pods: not pods)


def test_objects_are_listed_by_label(cluster: Kubernetes, namespace: str) -> None:
    for name in ("first", "second", "third"):
        cluster.create(config_map(namespace, name))

    found = cluster.list(
        "v1", "ConfigMap", namespace=namespace, label_selector="name in (first, third)"
    )

    assert [str(item.ref) for item in found] == ["configmap/first", "configmap/third"]


def test_an_object_without_a_namespace_is_in_default(cluster: Kubernetes) -> None:
    manifest = config_map("", "without-namespace")
    del manifest["metadata"]["namespace"]

    created = cluster.apply(manifest).object

    assert created.ref.namespace == "default"
    cluster.delete(created.ref)


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [("v1", "Deploymnt"), ("example.com/v1", "Widget"), ("v1/../../version", "ConfigMap")],
)
def test_an_unknown_kind_is_invalid(cluster: Kubernetes, api_version: str, kind: str) -> None:
    with pytest.raises(Invalid, match=f"does not know kind {kind}"):
        cluster.create({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}})


@pytest.mark.parametrize("name", ["..", "../../default/secrets/registry", "a%2fb"])
def test_a_name_cannot_lead_to_another_path(cluster: Kubernetes, name: str) -> None:
    with pytest.raises(Invalid, match="cannot be a name"):
        cluster.get(ObjectRef(api_version="v1", kind="ConfigMap", name=name))


def test_a_bad_pull_secret_is_invalid_and_its_content_not_told(
    cluster: Kubernetes, namespace: str
) -> None:
    with pytest.raises(Invalid) as refused:
        cluster.apply(pull_secret(namespace, '{"auths": the-password-of-the-registry'))

    assert "the-password-of-the-registry" not in refused.value.user_message
    assert "data[.dockerconfigjson]" in refused.value.user_message


def test_a_value_of_a_secret_with_a_wrong_type_is_not_told(
    cluster: Kubernetes, namespace: str
) -> None:
    manifest = pull_secret(namespace, "") | {"stringData": {"pin": 73912846}}

    with pytest.raises(CodeStreamError) as refused:
        cluster.apply(manifest)

    assert "73912846" not in refused.value.user_message


def test_a_good_pull_secret_is_kept_in_base64(cluster: Kubernetes, namespace: str) -> None:
    applied = cluster.apply(pull_secret(namespace, json.dumps({"auths": {}})))

    assert applied.object.body["data"] == {".dockerconfigjson": "eyJhdXRocyI6IHt9fQ=="}


def test_a_namespace_that_is_going_away_takes_nothing_new(
    cluster: Kubernetes, namespace: str
) -> None:
    cluster.create(config_map(namespace))

    cluster.delete(ObjectRef(api_version="v1", kind="Namespace", name=namespace))

    with pytest.raises(CodeStreamError, match=r"being terminated|not found"):
        cluster.create(config_map(namespace, "late"))
    with pytest.raises(Conflict, match="being deleted"):
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})


def test_a_patch_merges_and_takes_away_and_is_not_in_the_way_of_the_next_apply(
    cluster: Kubernetes, namespace: str
) -> None:
    ref = cluster.apply(config_map(namespace, colour="blue", size="9")).object.ref

    patched = cluster.patch(ref, {"data": {"colour": "red", "size": None}})
    applied = cluster.apply(config_map(namespace, colour="green", size="9"))

    assert patched.body["data"] == {"colour": "red"}
    assert applied.object.body["data"] == {"colour": "green", "size": "9"}


@pytest.mark.parametrize("change", ["apply", "patch", "delete"])
def test_a_change_is_refused_when_its_object_has_changed_since(
    cluster: Kubernetes, namespace: str, change: str
) -> None:
    blue = cluster.apply(config_map(namespace, colour="blue")).object
    green = cluster.apply(config_map(namespace, colour="green")).object
    uid = text_at(blue.body, "metadata", "uid")

    def send(seen: Body) -> None:
        match change:
            case "apply":
                cluster.apply(config_map(namespace, colour="red"), force=True, seen=seen)
            case "patch":
                cluster.patch(blue.ref, {"data": {"colour": "red"}}, seen=seen)
            case _:
                cluster.delete(blue.ref, uid=uid, seen=seen)

    with pytest.raises(Outdated):
        send(blue.body)
    assert cluster.get(blue.ref).body["data"] == {"colour": "green"}

    send(green.body)
    after = cluster.find(blue.ref)
    assert after is None or after.body["data"] == {"colour": "red"}


def test_what_is_not_there_is_not_found(cluster: Kubernetes, namespace: str) -> None:
    nothing = ObjectRef(api_version="v1", kind="ConfigMap", name="none", namespace=namespace)
    stranger = ObjectRef(api_version="example.com/v1", kind="Widget", name="none")

    assert cluster.find(nothing) is None
    assert cluster.knows(nothing)
    assert not cluster.knows(stranger)


def test_a_custom_resource_can_be_applied_once_its_definition_is_established(
    real_cluster: Kubernetes, namespace: str
) -> None:
    definition, widget = widget_with_definition(namespace)

    ref = real_cluster.apply(definition).object.ref
    rollout = end_of_rollout(real_cluster, ref)
    wait_for(lambda: real_cluster.knows(ref_of(widget)), bool)
    applied = real_cluster.apply(widget)

    assert rollout.state is RolloutState.READY
    assert applied.object.resource == "widgets"
    real_cluster.delete(ref)


def test_an_object_that_was_made_anew_meanwhile_is_not_deleted(
    cluster: Kubernetes, namespace: str
) -> None:
    old = cluster.create(config_map(namespace))
    cluster.delete(old.ref)
    new = cluster.create(config_map(namespace))

    with pytest.raises(Conflict, match="UID in the precondition"):
        cluster.delete(old.ref, uid=text_at(old.body, "metadata", "uid"))

    assert cluster.find(new.ref) is not None

"""The rights in ``deploy/kubernetes``: what the actions need, and no more."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_objects import ref_of, text_at
from endpoints.clients.kubernetes_rights import needed_rights
from executions.models import Execution
from tests.contracts.kubernetes.manifests import config_map, deployment, pull_secret, wait_for
from tests.integration.deploys import Target
from tests.integration.test_kubernetes_actions import deploy, deploy_again, requests, task, undo

pytestmark = pytest.mark.django_db
MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
LOGIN = '{"auths": {"docker.io": {"username": "robot", "password": "pass"}}}'
RIGHTS_BEHIND = {"apply": {"patch", "create"}, "log": {"get"}}
"""A server-side apply asks for two rights; most other calls are named like theirs."""
FOR_WATCHING = {"watch"}
"""Given for clients that watch a rollout, whether or not they do so now."""


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((MANIFESTS / name).read_text()) if each]


def role(file: str, name: str) -> dict[str, set[str]]:
    """The verbs that a role gives on each resource."""
    named = [each for each in documents(file) if each["metadata"]["name"] == name]
    (rules,) = (each["rules"] for each in named if "rules" in each)
    return {resource: set(rule["verbs"]) for rule in rules for resource in rule["resources"]}


NAMESPACED = role("rights-namespace.yaml", "codestream")


def do_everything(target: Target) -> dict[str, Execution]:
    """Each action, and each way in which pods fail to start that is looked into."""
    namespace = target.namespace
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]},
    }
    private = deployment(namespace, "demo/private-shop:1.0")
    three = [config_map(namespace, name) for name in ("one", "two", "three")]
    any_of_them = config_map(namespace)
    del any_of_them["metadata"]["name"]
    where = {"resourceType": "Deployment", "resourceName": "web", "namespace": namespace}
    everything = (deployment(namespace), *three, pull_secret(namespace, LOGIN), service)
    done = {
        "apply": deploy(target, task("Send", "APPLY", *everything)),
        "another": deploy(target, task("Send", "APPLY", deployment(namespace, "demo/web:2.0"))),
        "create": deploy(target, task("Make", "CREATE", config_map(namespace, "made"))),
        "get": deploy(target, task("Read", "GET", any_of_them, filterByLabel="name")),
        "rollback": deploy(target, task("Back", "ROLLBACK", **where, revision=1)),
        "crash": deploy(target, task("Send", "APPLY", deployment(namespace, "demo/crash:1.0"))),
        "private": deploy(target, task("Send", "APPLY", private)),
    }
    done["undo"] = deploy_again(done["private"], undo(done["private"], "Send"))
    done["undo of the first"] = deploy_again(done["create"], undo(done["create"], "Make"))
    done["delete"] = deploy(target, task("Remove", "DELETE", *everything))
    return done


def assert_all_went_as_they_should(done: dict[str, Execution]) -> None:
    # The undo puts back what crashed before; that it was allowed to is all that counts here.
    failing = {"crash", "private", "undo"}
    ended = {name: each.message for name, each in done.items() if each.status != "COMPLETED"}
    assert set(ended) == failing, ended
    assert "last lines: starting" in ended["crash"]
    assert "the pod names no imagePullSecret" in ended["private"]
    assert not [message for message in ended.values() if "forbidden" in message]


def test_the_rights_are_those_that_the_actions_use_and_no_more(
    stand_in: KubernetesServer, target: Target
) -> None:
    before = requests(stand_in)
    done = do_everything(target)
    calls = [
        name.split() for name, count in requests(stand_in).items() if count > before.get(name, 0)
    ]

    used: dict[str, set[str]] = {}
    for verb, resource in calls:
        place = "pods/log" if verb == "log" else resource
        used.setdefault(place, set()).update(RIGHTS_BEHIND.get(verb, {verb}))
    assert_all_went_as_they_should(done)
    lacking = {name: verbs - NAMESPACED.get(name, set()) for name, verbs in used.items()}
    assert not any(lacking.values()), lacking
    deployed = {"configmaps", "services", "deployments", "secrets"}
    for_what_is_deployed = set().union(*(used[name] for name in deployed))
    unused = {
        name: NAMESPACED[name]
        - FOR_WATCHING
        - (for_what_is_deployed if name in deployed else used[name])
        for name in used
    }
    # With pods of its own a task reads each of them; what it reads of replica sets is a rollback's.
    assert {name: verbs for name, verbs in unused.items() if verbs} == {}


def test_a_role_for_the_whole_cluster_has_the_same_rules() -> None:
    assert role("rights-cluster.yaml", "codestream-deploy") == NAMESPACED
    assert set(role("rights-cluster.yaml", "codestream-cluster")) == {
        "namespaces",
        "customresourcedefinitions",
    }


def test_validate_asks_for_no_right_that_the_role_lacks() -> None:
    lacking = [
        str(right)
        for right in needed_rights("shop")
        if right.verb not in NAMESPACED[right.resource]
    ]

    assert lacking == []


def test_the_account_of_a_namespace_can_do_every_action_and_read_no_list_of_secrets(
    real_cluster: Kubernetes, target: Target
) -> None:
    account = replace(target, access=replace(target.access, token=token_of_account(target)))

    assert_all_went_as_they_should(do_everything(account))

    with Kubernetes(account.access) as cluster, pytest.raises(Exception, match="cannot list"):
        cluster.list("v1", "Secret", namespace=target.namespace)


def token_of_account(target: Target) -> str:
    """Make the account of ``rights-namespace.yaml`` and return its token."""
    manifest: dict[str, Any] = {}
    for each in documents("rights-namespace.yaml"):
        manifest = {**each, "metadata": {**each["metadata"], "namespace": target.namespace}}
        for subject in manifest.get("subjects", []):
            subject["namespace"] = target.namespace
        target.cluster.apply(manifest)
    secret = wait_for(
        lambda: target.cluster.get(ref_of(manifest)),
        lambda live: bool(text_at(live.body, "data", "token")),
    )
    return base64.b64decode(text_at(secret.body, "data", "token")).decode()


@pytest.mark.parametrize("name", sorted(each.name for each in MANIFESTS.iterdir()))
def test_a_real_cluster_takes_every_manifest_as_it_is_written(
    real_cluster: Kubernetes, target: Target, name: str
) -> None:
    for each in documents(name):
        manifest = {**each, "metadata": {**each["metadata"], "namespace": target.namespace}}
        is_of_cluster = each["kind"].startswith("Cluster")
        for subject in manifest.get("subjects", []):
            subject["namespace"] = target.namespace
        made = real_cluster.apply(manifest)
        if is_of_cluster:
            real_cluster.delete(made.object.ref)

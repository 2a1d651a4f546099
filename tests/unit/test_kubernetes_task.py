"""The fields of a Kubernetes task, and the small rules of its reports."""

from __future__ import annotations

from datetime import timedelta

import pytest

from codestream.core.json_types import Json
from executions.runners.kubernetes_actions import pause_after
from executions.runners.kubernetes_reports import camel_plural
from pipelines.kubernetes_task import KubernetesAction, KubernetesTask, RollbackTarget, parse
from pipelines.problems import DefinitionError

CLUSTER = {"kubernetesServer": "cluster"}
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"


def parsed(**fields: Json) -> KubernetesTask:
    return parse(fields, CLUSTER)


@pytest.mark.parametrize("action", ["get", "Create", "APPLY", "delete"])
def test_every_action_with_manifests_is_read_in_any_case(action: str) -> None:
    task = parsed(action=action, yaml=CONFIG_MAP, force="true")

    assert task.action is KubernetesAction(action.upper())
    assert (len(task.manifests), task.force) == (1, True)


@pytest.mark.parametrize(
    ("given", "revision"),
    [(None, "n-1"), ("", "n-1"), (3, "3"), ("N-2", "N-2"), ("${input.to}", "${input.to}")],
)
def test_a_rollback_names_its_workload_and_needs_no_manifest(given: Json, revision: str) -> None:
    task = parsed(
        action="Rollback",
        resourceType="statefulset",
        resourceName="${input.name}",
        namespace="shop",
        revision=given,
    )

    assert task.manifests == ()
    assert task.target == RollbackTarget(
        kind="StatefulSet", name="${input.name}", namespace="shop", revision=revision
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"resourceType": "Job", "resourceName": "web"}, "only these are rolled back: Deployment"),
        ({"resourceType": "Deployment"}, "the name of what is rolled back is missing"),
        (
            {"resourceType": "Deployment", "resourceName": "web", "revision": "latest"},
            "a revision is a number, or n-1",
        ),
    ],
)
def test_a_rollback_that_cannot_be_meant_is_refused(fields: dict[str, Json], told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        parsed(action="ROLLBACK", **fields)


def test_a_search_by_label_needs_no_name_and_a_look_at_one_object_does() -> None:
    nameless = "apiVersion: v1\nkind: Pod\n"

    assert len(parsed(action="GET", yaml=nameless, filterByLabel="app=web").manifests) == 1
    with pytest.raises(DefinitionError, match=r"no metadata\.name"):
        parsed(action="GET", yaml=nameless)


@pytest.mark.parametrize(
    ("kind", "plural", "camel"),
    [
        ("Deployment", "deployments", "deployments"),
        ("ConfigMap", "configmaps", "configMaps"),
        ("Ingress", "ingresses", "ingresses"),
        ("NetworkPolicy", "networkpolicies", "networkPolicies"),
        ("Endpoints", "endpoints", "endpoints"),
    ],
)
def test_plurals_are_spelled_as_expressions_spell_them(kind: str, plural: str, camel: str) -> None:
    assert camel_plural(kind, plural) == camel


def test_what_takes_longer_is_looked_at_less_often() -> None:
    waited = [timedelta(seconds=seconds) for seconds in (1, 29, 30, 120, 9999)]

    pauses = [pause_after(each).total_seconds() for each in waited]

    assert pauses == [1, 1, 2, 5, 5]

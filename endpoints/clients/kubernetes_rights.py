"""Asks a cluster what an account may do, without trying it: SelfSubjectAccessReview. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

from dataclasses import dataclass

from codestream.core.json_types import Json, JsonObject
from codestream.core.words import gettext_noop
from endpoints.clients.base import Protocol

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One verb on one resource; without a namespace, in all of them."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def needed_rights(namespace: str = "") -> tuple[Right, ...]:
    """What a Kubernetes task does with a Deployment and what usually comes with one."""
    needed = (
        *((verb, "deployments", "apps") for verb in ("get", "create", "patch")),
        ("list", "replicasets", "apps"),
        ("list", "pods", ""),
        *((verb, name, "") for name in ("services", "secrets") for verb in ("create", "patch")),
    )
    return tuple(
        Right(verb=verb, resource=resource, group=group, namespace=namespace)
        for verb, resource, group in needed
    )


def review_of(right: Right) -> JsonObject:
    """The question as the API server reads it."""
    attributes: JsonObject = {
        "verb": right.verb,
        "group": right.group,
        "resource": right.resource,
        "namespace": right.namespace,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def read_review(body: Json) -> bool:
    """The answer to the question. Raises Protocol when it is none."""
    status = body.get("status") if isinstance(body, dict) else None
    allowed = status.get("allowed") if isinstance(status, dict) else None
    if not isinstance(allowed, bool):
        raise Protocol(gettext_noop("The cluster did not say whether the account has the right."))
    return allowed

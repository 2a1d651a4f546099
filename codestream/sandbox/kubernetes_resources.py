"""The kinds that the stand-in cluster serves, and how a path names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

Body: TypeAlias = dict[str, Any]

VERSION = "v1.31.0"
VERBS = ("create", "delete", "get", "list", "patch", "watch")
PREFIXES = {"/api/v1/": "v1", "/apis/apps/v1/": "apps/v1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One line of a resource list: ``deployments`` are of kind ``Deployment`` in ``apps/v1``."""

    name: str
    kind: str
    api_version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    counts_generations: bool = False

    @property
    def group(self) -> str:
        """``apps``, or an empty text for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def qualified(self) -> str:
        """The name that messages use: ``deployments.apps``, ``secrets``."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def qualified_kind(self) -> str:
        """The kind that messages use: ``Deployment.apps``, ``Secret``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


NAMESPACES = Resource(name="namespaces", kind="Namespace", namespaced=False, short=("ns",))
SECRETS = Resource(name="secrets", kind="Secret")
CONFIG_MAPS = Resource(name="configmaps", kind="ConfigMap", short=("cm",))
SERVICES = Resource(name="services", kind="Service", short=("svc",))
PODS = Resource(name="pods", kind="Pod", short=("po",))
EVENTS = Resource(name="events", kind="Event", short=("ev",))
DEPLOYMENTS = Resource(
    name="deployments",
    kind="Deployment",
    api_version="apps/v1",
    short=("deploy",),
    counts_generations=True,
)
REPLICA_SETS = Resource(
    name="replicasets",
    kind="ReplicaSet",
    api_version="apps/v1",
    short=("rs",),
    counts_generations=True,
)
RESOURCES = (
    NAMESPACES,
    SECRETS,
    CONFIG_MAPS,
    SERVICES,
    PODS,
    EVENTS,
    DEPLOYMENTS,
    REPLICA_SETS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a path names: a collection, or with ``name`` one object in it."""

    resource: Resource
    namespace: str = ""
    name: str = ""


def parse_target(path: str) -> Target | None:
    """The target of ``/apis/apps/v1/namespaces/shop/deployments/web``; None for any other path."""
    for prefix, api_version in PREFIXES.items():
        if path.startswith(prefix):
            return _target(api_version, path.removeprefix(prefix).strip("/").split("/"))
    return None


def discovery(path: str) -> Body | None:
    """The answer to a discovery path (``/api``, ``/apis/apps/v1``), or None for any other."""
    documents: dict[str, Body] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group("apps", "v1")]},
        "/apis/apps": {"kind": "APIGroup", "apiVersion": "v1", **_group("apps", "v1")},
        "/api/v1": _resource_list("v1"),
        "/apis/apps/v1": _resource_list("apps/v1"),
    }
    return documents.get(path.rstrip("/"))


def _target(api_version: str, parts: list[str]) -> Target | None:
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource = _find(RESOURCES, api_version, parts[0])
    if resource is None or len(parts) > 2 or (namespace and not resource.namespaced):
        return None
    return Target(resource=resource, namespace=namespace, name=parts[1] if len(parts) == 2 else "")


def _find(resources: Iterable[Resource], api_version: str, name: str) -> Resource | None:
    return next((r for r in resources if (r.api_version, r.name) == (api_version, name)), None)


def _group(name: str, version: str) -> Body:
    preferred = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [preferred], "preferredVersion": preferred}


def _resource_list(api_version: str) -> Body:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": [
            {
                "name": resource.name,
                "singularName": resource.kind.lower(),
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": list(VERBS),
                "shortNames": list(resource.short),
            }
            for resource in RESOURCES
            if resource.api_version == api_version
        ],
    }

"""What a cluster says it serves, and the API paths that follow from it.

Pure: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from endpoints.clients.kubernetes_objects import Body, objects_at, text_at

API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?")

LONGEST_TRUST = 600.0
SHORTEST_TRUST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What discovery says of a kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of a collection or of one object; all namespaces when none is given."""
        parts = [group_path(self.api_version)]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts.append(self.plural)
        return "/".join([*parts, quote(name, safe="")] if name else parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The kinds of one apiVersion, as discovery told them at a time of the monotonic clock."""

    kinds: Mapping[str, Resource]
    at: float

    def is_fresh(self, kind: str, now: float) -> bool:
        """Whether to go by it; a kind that is missing may have been installed since."""
        return now - self.at < (LONGEST_TRUST if kind in self.kinds else SHORTEST_TRUST)


def group_path(api_version: str) -> str:
    """``/api/v1`` or ``/apis/apps/v1``, where the resource list of a version is."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def is_path_safe(text: str) -> bool:
    """Whether a name can be one segment of a path, by the rule of the API server itself."""
    return text not in (".", "..") and not {"/", "%"} & set(text)


def minor_version(version: str) -> int:
    """``31`` for ``v1.31.0``; 0 where it cannot be told."""
    found = re.match(r"v1\.(\d{1,4})", version)
    return int(found[1]) if found else 0


def resources_of(api_version: str, resource_list: Body) -> dict[str, Resource]:
    """The resources of an ``APIResourceList`` by kind, without subresources."""
    return {
        text_at(item, "kind"): Resource(
            api_version=api_version,
            kind=text_at(item, "kind"),
            plural=text_at(item, "name"),
            namespaced=item.get("namespaced") is True,
        )
        for item in objects_at(resource_list, "resources")
        if "/" not in text_at(item, "name")
    }

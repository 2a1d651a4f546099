"""What a cluster says it serves, and the API paths that follow from it.

Pure: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from endpoints.clients.kubernetes_objects import Body, objects_at, text_at

API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?")


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


def group_path(api_version: str) -> str:
    """``/api/v1`` or ``/apis/apps/v1``, where the resource list of a version is."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def is_path_safe(text: str) -> bool:
    """Whether a name can be one segment of a path, by the rule of the API server itself."""
    return text not in (".", "..") and not {"/", "%"} & set(text)


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

"""The one door to Kubernetes clusters: create, apply, patch, get, list, watch, delete, read logs.

Uses the package ``kubernetes`` for login and wire only, over guarded connections; the API paths
come from discovery, so every kind that the cluster serves works, custom resources too. Takes and
returns plain objects, never waits for a rollout and never repeats a call. Threads may share a
client, and with it its connections and what discovery told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ProxyError
from urllib3.exceptions import TimeoutError as TimedOut

from codestream.core.http import (
    USER_AGENT,
    Reach,
    origin,
    pool_manager,
    refusal_of_proxy,
    words_of_refusal,
)
from codestream.core.json_types import Json
from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import (
    Blocked,
    ClientError,
    Conflict,
    Invalid,
    NotFound,
    Outdated,
    Protocol,
    Unauthorized,
    Unreachable,
)
from endpoints.clients.kubernetes_access import ClusterAccess, pem
from endpoints.clients.kubernetes_discovery import (
    API_VERSION,
    Resource,
    Served,
    group_path,
    is_path_safe,
    minor_version,
    resources_of,
)
from endpoints.clients.kubernetes_errors import (
    CHECK_PROXY_LOGIN,
    UNKNOWN_FIELD,
    FieldsHeld,
    UnknownKind,
    error_of,
)
from endpoints.clients.kubernetes_marks import METADATA_OF_LIST, METADATA_OF_ONE, Mark, mark_of
from endpoints.clients.kubernetes_objects import (
    CLUSTER_DEFAULT_NAMESPACE,
    Applied,
    Body,
    Change,
    LiveObject,
    ObjectRef,
    is_same_content,
    manager_times,
    objects_at,
    ref_of,
    secret_values,
    text_at,
    version_of,
)
from endpoints.clients.kubernetes_rights import REVIEWS, Right, read_review, review_of
from endpoints.clients.kubernetes_watch import Watch

__all__ = [
    "Applied",
    "Change",
    "ClusterAccess",
    "FieldsHeld",
    "Kubernetes",
    "LiveObject",
    "ObjectRef",
    "Right",
]

FIELD_MANAGER = "codestream"
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
MAX_ANSWER = 32 * 1024 * 1024
LIST_LIMIT = 500

LOG_BYTES = 64 * 1024
# As many as a worker has threads; further ones are opened and closed again.
CONNECTIONS = 16
# The minor version whose server heeds fieldValidation by default.
FIRST_STRICT = 25
PROXY_LOGIN = 407

JSON_BODY = "application/json"
MERGE_BODY = "application/merge-patch+json"
# https://kubernetes.io/docs/reference/using-api/server-side-apply/; JSON is YAML as well.
APPLY_BODY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: dict[str, Json]


class Kubernetes:
    """One cluster, signed in by one account. Reads no kubeconfig and no environment.

    Every method raises a ClientError, or AddressRefused where the address may not be called.
    A namespaced object without a namespace is meant to be in ``default``.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._origin = origin(access.url)
        if not self._origin.startswith(("http://", "https://")):
            raise Invalid(gettext_noop("The cluster address must begin with https:// or http://."))
        self._proxy = origin(access.proxy.url) if access.proxy else ""
        self._api = _api_client(access)
        self._served: dict[str, Served] = {}
        self._version: str | None = None

    def __enter__(self) -> Kubernetes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._api.rest_client.pool_manager.clear()

    def version(self) -> str:
        """The version of the API server, ``v1.31.0``. Many clusters tell it without a login."""
        version = text_at(self._call("GET", "/version").body, "gitVersion")
        if not version:
            raise Protocol(
                Words(
                    gettext_noop("%(place)s answers, and not as a Kubernetes API server does."),
                    {"place": self._origin},
                )
            )
        return version

    def is_allowed(self, right: Right) -> bool:
        """Whether the account may do this, by the cluster's own word."""
        answer = self._call("POST", REVIEWS, body=review_of(right))
        return read_review(answer.body)

    def create(self, manifest: Body) -> LiveObject:
        """Create an object; a field that the cluster does not know is Invalid.

        Raises Conflict when it exists, and NotFound when its namespace does not.
        """
        ref, resource = self._placed(ref_of(manifest))
        if not self._is_strict():
            self._check_fields(manifest, ref, resource)
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        path = resource.path(ref.namespace)
        answer = self._call("POST", path, query, body=_for(manifest, ref))
        return self._live(resource, answer.body)

    def apply(
        self,
        manifest: Body,
        *,
        force: bool = False,
        before: Body | None = None,
        seen: Body | None = None,
    ) -> Applied:
        """Server-side apply as field manager ``codestream``, and what it changed.

        With the object as it was ``seen`` raises Outdated when it has changed since, or is gone; a
        manifest that names another version itself is a Conflict.

        ``before`` is the object to compare with, empty where there was none; when it is not given
        it is read. Raises FieldsHeld, a Conflict, when another manager holds a field at another
        value, unless ``force``. What ``patch`` left behind is no other manager's.
        """
        ref, resource = self._placed(ref_of(manifest))
        path = resource.path(ref.namespace, ref.name)
        if before is None:
            before = self._present(path)
        sent = _for_seen(_for(manifest, ref), seen)
        try:
            answer = self._apply(path, sent, before, force=force)
        except FieldsHeld:
            raise
        except (Outdated, Conflict) as error:
            if _names_another(manifest, seen or {}):
                raise _another() from error
            raise
        change = Change.CREATED if answer.status == 201 else Change.CONFIGURED
        if change is Change.CONFIGURED and is_same_content(before, answer.body):
            change = Change.UNCHANGED
        return Applied(object=self._live(resource, answer.body), change=change)

    def patch(self, ref: ObjectRef, changes: Body, *, seen: Body | None = None) -> LiveObject:
        """Merge ``changes`` into an object, null taking a field away; whole lists are replaced.

        With the object as it was ``seen`` raises Outdated when it has changed since.
        """
        ref, resource = self._placed(ref)
        # With its kind, by which a refusal knows what it must not quote.
        body = _for_seen({"apiVersion": ref.api_version, "kind": ref.kind, **changes}, seen)
        path = resource.path(ref.namespace, ref.name)
        query = {"fieldManager": FIELD_MANAGER}
        answer = self._call("PATCH", path, query, body=body, content_type=MERGE_BODY)
        return self._live(resource, answer.body)

    def get(self, ref: ObjectRef) -> LiveObject:
        """The object as it is now. Raises NotFound."""
        ref, resource = self._placed(ref)
        answer = self._call("GET", resource.path(ref.namespace, ref.name))
        return self._live(resource, answer.body)

    def find(self, ref: ObjectRef) -> LiveObject | None:
        """The object as it is now, or None where there is none."""
        with suppress(NotFound):
            return self.get(ref)
        return None

    def knows(self, ref: ObjectRef) -> bool:
        """Whether the cluster serves objects of this kind."""
        return self._find_resource(ref.api_version, ref.kind) is not None

    def delete(self, ref: ObjectRef, *, uid: str = "", seen: Body | None = None) -> None:
        """Delete an object and, in the background, what it owns; one that is gone is fine.

        With ``uid`` raises Conflict when the object of this name is another one by now, and with
        the object as it was ``seen`` Outdated when it has changed since.
        """
        ref, resource = self._placed(ref)
        # In the query string these options have no effect as soon as there is a body.
        options: dict[str, Json] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        if uid or seen:
            wanted = {"uid": uid, "resourceVersion": version_of(seen or {})}
            options["preconditions"] = {name: text for name, text in wanted.items() if text}
        with suppress(NotFound):
            self._call("DELETE", resource.path(ref.namespace, ref.name), body=options)

    def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> tuple[LiveObject, ...]:
        """All objects of a kind, in one namespace or in all of them."""
        resource = self._resource(api_version, kind)
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        query = {name: value for name, value in selectors.items() if value}
        answer = self._call("GET", resource.path(namespace), query)
        return tuple(self._live(resource, item) for item in objects_at(answer.body, "items"))

    def marks(
        self, api_version: str, kind: str, *, namespace: str = ""
    ) -> tuple[str, tuple[Mark, ...]]:
        """The version of a collection, from which a watch goes on, and the marks of all in it."""
        resource = self._resource(api_version, kind)
        query, found = {"limit": str(LIST_LIMIT)}, []
        while True:
            answer = self._call("GET", resource.path(namespace), query, accept=METADATA_OF_LIST)
            found += [mark_of(item) for item in objects_at(answer.body, "items")]
            going_on = text_at(answer.body, "metadata", "continue")
            if not going_on:
                return text_at(answer.body, "metadata", "resourceVersion"), tuple(found)
            query["continue"] = going_on

    def watch(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        since: str = "",
        seconds: int = 30,
    ) -> Watch:
        """The changes of a collection after the version ``since``, for ``seconds`` at most.

        Without a version what is there comes first, as ADDED.
        """
        resource = self._resource(api_version, kind)
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            **({"resourceVersion": since} if since else {}),
        }
        path, patience = resource.path(namespace), seconds + READ_SECONDS
        response = self._open("GET", path, query, None, JSON_BODY, patience, METADATA_OF_ONE)
        if response.status != 200:
            raise error_of(response.status, self._whole(response))
        return Watch(response=response, unreachable=self._unreachable)

    def log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False
    ) -> str:
        """The last lines that a container wrote, or with ``previous`` the one before it."""
        resource = self._resource("v1", "Pod")
        if not is_path_safe(pod) or not is_path_safe(namespace):
            raise Invalid(
                Words(
                    gettext_noop("%(name)s in namespace %(namespace)s: this cannot be a name."),
                    {"name": pod, "namespace": repr(namespace)},
                )
            )
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(LOG_BYTES)}
        if previous:
            query["previous"] = "true"
        raw, _ = self._read("GET", f"{resource.path(namespace, pod)}/log", query)
        return raw.decode(errors="replace")

    def _apply(self, path: str, body: dict[str, Json], before: Body, *, force: bool) -> _Answer:
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        try:
            return self._call("PATCH", path, query, body=body, content_type=APPLY_BODY)
        except FieldsHeld as error:
            if force or set(error.held.values()) != {FIELD_MANAGER}:
                raise FieldsHeld(error.held, manager_times(before)) from error
        return self._apply(path, body, before, force=True)

    def _present(self, path: str) -> Body:
        with suppress(NotFound):
            return self._call("GET", path).body
        return {}

    def _check_fields(self, manifest: Body, ref: ObjectRef, resource: Resource) -> None:
        """Let an apply that leaves nothing behind refuse what a create would silently drop."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "dryRun": "All"}
        path = resource.path(ref.namespace, ref.name)
        try:
            self._call("PATCH", path, query, body=_for(manifest, ref), content_type=APPLY_BODY)
        except ClientError as error:
            # Whatever else is wrong, the create itself tells better.
            if UNKNOWN_FIELD in error.words:
                raise

    def _is_strict(self) -> bool:
        """Whether the server refuses unknown fields in a create; older ones drop them."""
        if self._version is None:
            self._version = self.version()
        return minor_version(self._version) >= FIRST_STRICT

    def _placed(self, ref: ObjectRef) -> tuple[ObjectRef, Resource]:
        """The address with the namespace that its kind needs, and the kind's resource."""
        if not ref.api_version or not ref.kind or not ref.name:
            raise Invalid(gettext_noop("An object needs apiVersion, kind and metadata.name."))
        if not is_path_safe(ref.name) or not is_path_safe(ref.namespace):
            raise Invalid(
                Words(
                    gettext_noop("%(name)s in namespace %(namespace)s: this cannot be a name."),
                    {"name": str(ref), "namespace": repr(ref.namespace)},
                )
            )
        resource = self._resource(ref.api_version, ref.kind)
        namespace = (ref.namespace or CLUSTER_DEFAULT_NAMESPACE) if resource.namespaced else ""
        return replace(ref, namespace=namespace), resource

    def _resource(self, api_version: str, kind: str) -> Resource:
        found = self._find_resource(api_version, kind)
        if found is None:
            raise UnknownKind(
                Words(
                    gettext_noop(
                        "The cluster does not know kind %(kind)s in apiVersion %(version)s."
                    ),
                    {"kind": kind, "version": api_version},
                )
            )
        return found

    def _find_resource(self, api_version: str, kind: str) -> Resource | None:
        served = self._served.get(api_version)
        if served is None or not served.is_fresh(kind, time.monotonic()):
            served = Served(kinds=self._discover(api_version), at=time.monotonic())
            self._served[api_version] = served
        return served.kinds.get(kind)

    def _discover(self, api_version: str) -> dict[str, Resource]:
        if not API_VERSION.fullmatch(api_version):
            return {}
        try:
            return resources_of(api_version, self._call("GET", group_path(api_version)).body)
        except NotFound:
            return {}

    def _live(self, resource: Resource, body: dict[str, Json]) -> LiveObject:
        # The items of a list do not repeat what they are.
        whole = {"apiVersion": resource.api_version, "kind": resource.kind} | body
        return LiveObject(ref=ref_of(whole), resource=resource.plural, body=whole)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: dict[str, Json] | None = None,
        content_type: str = JSON_BODY,
        accept: str = JSON_BODY,
    ) -> _Answer:
        """Make one call that is answered with an object."""
        raw, status = self._read(
            method, path, query or {}, body=body, content_type=content_type, accept=accept
        )
        return _Answer(status=status, body=_json_object(raw, self._origin))

    def _read(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: dict[str, Json] | None = None,
        content_type: str = JSON_BODY,
        accept: str = JSON_BODY,
    ) -> tuple[bytes, int]:
        """Make one call and read its whole answer; with it the status, which is a success."""
        response = self._open(method, path, query, body, content_type, READ_SECONDS, accept)
        raw = self._whole(response)
        if not 200 <= response.status < 300:
            retry_after = response.headers.get("Retry-After", "")
            secrets = secret_values(body or {})
            raise error_of(response.status, raw, retry_after=retry_after, secrets=secrets)
        return raw, response.status

    def _whole(self, response: Any) -> bytes:
        """The whole answer; its connection may be used again."""
        try:
            raw: bytes = response.read(MAX_ANSWER + 1)
        except HTTPError as error:
            raise self._unreachable(error) from error
        if len(raw) > MAX_ANSWER:
            response.close()
            raise Protocol(
                Words(
                    gettext_noop("%(place)s answered with more than %(limit)s bytes."),
                    {"place": self._origin, "limit": MAX_ANSWER},
                )
            )
        response.release_conn()
        return raw

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: dict[str, Json] | None,
        content_type: str,
        read_seconds: float,
        accept: str = JSON_BODY,
    ) -> Any:
        """Start a call; the urllib3 response, its body not yet read."""
        headers = {"Accept": accept, "Content-Type": content_type}
        request = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._api.call_api(*request, _request_timeout=(CONNECT_SECONDS, read_seconds))
        except (HTTPError, ApiException) as error:
            raise self._unreachable(error) from error
        return answer.response

    def _unreachable(self, error: Exception) -> ClientError:
        """The failure in words. The library's own text is left out: it holds the whole URL."""
        if status := refusal_of_proxy(error):
            return _refusal(self._proxy, status, self._origin)
        if isinstance(error, ProxyError):
            text = gettext_noop("%(proxy)s, the proxy of the endpoint, cannot be reached.")
            return Unreachable(Words(text, {"proxy": self._proxy}))
        if isinstance(error, ApiException):
            words = gettext_noop("%(place)s: the TLS connection or certificate is not good.")
        elif isinstance(error, NameResolutionError):
            words = gettext_noop("%(place)s has a host name that is not known.")
        # A refused connection counts as a time-out too, for historical reasons of the library.
        elif isinstance(error, TimedOut) and not isinstance(error, NewConnectionError):
            words = gettext_noop("%(place)s did not answer in time.")
        else:
            words = gettext_noop("%(place)s cannot be reached or closed the connection.")
        return Unreachable(Words(words, {"place": self._origin}))


def _refusal(proxy: str, status: int, place: str) -> ClientError:
    """What it means that a proxy refused the tunnel to the cluster."""
    what = words_of_refusal(proxy, status, place)
    if status == PROXY_LOGIN:
        return Unauthorized(what, advice=CHECK_PROXY_LOGIN)
    if status < 500:
        return Blocked(what, advice=gettext_noop("Ask its operator to let this server through."))
    return Unreachable(what)


def _api_client(access: ClusterAccess) -> ApiClient:
    # Empty texts, not None: None would make the library look into the environment for a proxy.
    configuration = Configuration(host=access.url.rstrip("/"), proxy="", no_proxy="")
    # The name of the key is the library's own: its one login is called BearerToken.
    if access.token_file:
        configuration.api_key["authorization"] = ""
        hook: Any = partial(_read_token, access.token_file)
        configuration.refresh_api_key_hook = hook
    elif access.authorization:
        configuration.api_key["authorization"] = access.authorization
    client = ApiClient(configuration)
    client.user_agent = USER_AGENT
    client.rest_client.pool_manager = pool_manager(
        Reach.ENDPOINT,
        ca_pem=pem(access.ca_data),
        cert_pem=pem(access.cert_data),
        key_pem=pem(access.key_data),
        verify=access.verify,
        server_name=access.server_name,
        proxy=access.proxy,
        connect_seconds=CONNECT_SECONDS,
        read_seconds=READ_SECONDS,
        connections=CONNECTIONS,
    )
    return client


def _read_token(file: str, configuration: Configuration) -> None:
    try:
        token = Path(file).read_text().strip()
    except OSError as error:
        raise Unauthorized(
            Words(gettext_noop("The token file %(file)s cannot be read."), {"file": file}),
            advice=gettext_noop("A pod has one unless automountServiceAccountToken is off."),
        ) from error
    configuration.api_key["authorization"] = f"Bearer {token}"


def _for(manifest: Body, ref: ObjectRef) -> dict[str, Json]:
    """The manifest as it is sent: with the namespace that the path has."""
    metadata = manifest.get("metadata")
    given = metadata if isinstance(metadata, dict) else {}
    placed = {**given, "namespace": ref.namespace} if ref.namespace else given
    return {**manifest, "metadata": placed}


def _for_seen(body: dict[str, Json], seen: Body | None) -> dict[str, Json]:
    """The body meant for the object as it was seen alone: its version says so as long as it is
    there, its uid when it is not. What a manifest wants itself goes before.
    """
    if not seen:
        return body
    metadata = body.get("metadata")
    given = metadata if isinstance(metadata, dict) else {}
    own = {"uid": text_at(seen, "metadata", "uid"), "resourceVersion": version_of(seen)}
    return {**body, "metadata": {**own, **given}}


def _names_another(manifest: Body, seen: Body) -> bool:
    """Whether the manifest is meant for another object, or another version of it."""
    given = ((text_at(each, "metadata", "uid"), version_of(each)) for each in (manifest, seen))
    return any(wanted and wanted != found for wanted, found in zip(*given, strict=True))


def _another() -> Conflict:
    return Conflict(
        gettext_noop("The manifest is meant for another version of the object than there is."),
        advice=gettext_noop("Take resourceVersion and uid out of the metadata of the manifest."),
    )


def _json_object(raw: bytes, place: str) -> dict[str, Json]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Protocol(
            Words(gettext_noop("%(place)s did not answer with JSON."), {"place": place})
        ) from error
    if not isinstance(value, dict):
        raise Protocol(
            Words(gettext_noop("%(place)s did not answer with a JSON object."), {"place": place})
        )
    return value

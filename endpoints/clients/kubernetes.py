"""The one door to Kubernetes clusters: create, apply, get, list, watch, delete, look at a rollout.

Uses the package ``kubernetes`` for login and wire only, over guarded connections; the API paths
come from discovery, so every kind that the cluster serves works, custom resources too. Takes and
returns plain objects, never waits for a rollout and never repeats a call.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError, NameResolutionError
from urllib3.exceptions import TimeoutError as TimedOut

from codestream.core.http import USER_AGENT, Reach, origin, pool_manager
from codestream.core.json_types import Json
from endpoints.clients.base import Invalid, NotFound, Protocol, Unreachable
from endpoints.clients.kubernetes_access import ClusterAccess, pem
from endpoints.clients.kubernetes_discovery import (
    API_VERSION,
    Resource,
    group_path,
    is_path_safe,
    resources_of,
)
from endpoints.clients.kubernetes_errors import error_of
from endpoints.clients.kubernetes_objects import (
    CLUSTER_DEFAULT_NAMESPACE,
    Applied,
    Body,
    Change,
    LiveObject,
    ObjectRef,
    is_same_content,
    objects_at,
    ref_of,
    secret_values,
    text_at,
)
from endpoints.clients.kubernetes_rights import REVIEWS, Right, read_review, review_of
from endpoints.clients.rollout import (
    TEMPLATE_HASH_LABEL,
    PodState,
    Rollout,
    RolloutState,
    is_observed,
    judge,
    label_selector,
    newest_template_hash,
    pod_state,
    with_pods,
)

__all__ = [
    "Applied",
    "Change",
    "ClusterAccess",
    "Kubernetes",
    "LiveObject",
    "ObjectRef",
    "PodState",
    "Right",
    "Rollout",
    "RolloutState",
]

FIELD_MANAGER = "codestream"
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
MAX_ANSWER = 32 * 1024 * 1024
PIECE = 64 * 1024

JSON_BODY = "application/json"
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
            raise Invalid("The cluster address must begin with https:// or http://.")
        self._api = _api_client(access)
        self._resources: dict[str, dict[str, Resource]] = {}

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
            raise Protocol(f"{self._origin} answers, and not as a Kubernetes API server does.")
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
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        path = resource.path(ref.namespace)
        answer = self._call("POST", path, query, body=_for(manifest, ref))
        return self._live(resource, answer.body)

    def apply(self, manifest: Body, *, force: bool = False) -> Applied:
        """Server-side apply as field manager ``codestream``, and what it changed.

        Raises Conflict when another manager holds a field at another value, unless ``force``.
        """
        ref, resource = self._placed(ref_of(manifest))
        path = resource.path(ref.namespace, ref.name)
        before: Body = {}
        with suppress(NotFound):
            before = self._call("GET", path).body
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        answer = self._call("PATCH", path, query, body=_for(manifest, ref), content_type=APPLY_BODY)
        change = Change.CREATED if answer.status == 201 else Change.CONFIGURED
        if change is Change.CONFIGURED and is_same_content(before, answer.body):
            change = Change.UNCHANGED
        return Applied(object=self._live(resource, answer.body), change=change)

    def get(self, ref: ObjectRef) -> LiveObject:
        """The object as it is now. Raises NotFound."""
        ref, resource = self._placed(ref)
        answer = self._call("GET", resource.path(ref.namespace, ref.name))
        return self._live(resource, answer.body)

    def delete(self, ref: ObjectRef) -> None:
        """Delete an object and, in the background, what it owns; one that is gone is fine."""
        ref, resource = self._placed(ref)
        # In the query string these options have no effect as soon as there is a body.
        options: dict[str, Json] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        with suppress(NotFound):
            self._call("DELETE", resource.path(ref.namespace, ref.name), body=options)

    def list(
        self, api_version: str, kind: str, *, namespace: str = "", label_selector: str = ""
    ) -> tuple[LiveObject, ...]:
        """All objects of a kind, in one namespace or in all of them."""
        resource = self._resource(api_version, kind)
        query = {"labelSelector": label_selector} if label_selector else {}
        answer = self._call("GET", resource.path(namespace), query)
        return tuple(self._live(resource, item) for item in objects_at(answer.body, "items"))

    def watch(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        name: str = "",
        label_selector: str = "",
        seconds: int = 30,
    ) -> Generator[tuple[str, LiveObject], None, None]:
        """What is there as ADDED, then each ADDED, MODIFIED or DELETED, for ``seconds`` at most.

        Close it when done before its end, so that its connection is closed.
        """
        resource = self._resource(api_version, kind)
        query = {"watch": "true", "timeoutSeconds": str(seconds)}
        if name:
            query["fieldSelector"] = f"metadata.name={name}"
        if label_selector:
            query["labelSelector"] = label_selector
        path = resource.path(namespace)
        with closing(self._lines(path, query, read_seconds=seconds + READ_SECONDS)) as lines:
            for line in lines:
                event = _json_object(line, self._origin)
                body = event.get("object")
                if event.get("type") == "ERROR" or not isinstance(body, dict):
                    raise error_of(_code(body), json.dumps(body).encode())
                yield text_at(event, "type"), self._live(resource, body)

    def rollout(self, ref: ObjectRef) -> Rollout:
        """Look once at the rollout of an object. Raises NotFound."""
        live = self.get(ref)
        seen = judge(live.body)
        is_deployment = (live.ref.api_version, live.ref.kind) == ("apps/v1", "Deployment")
        if seen.state is RolloutState.READY or not is_deployment or not is_observed(live.body):
            return seen
        return with_pods(seen, self._new_pods(live))

    def _new_pods(self, deployment: LiveObject) -> tuple[PodState, ...]:
        """The pods of the Deployment's newest revision."""
        namespace, selector = deployment.ref.namespace, label_selector(deployment.body)
        uid = text_at(deployment.body, "metadata", "uid")
        replica_sets = self.list(
            "apps/v1", "ReplicaSet", namespace=namespace, label_selector=selector
        )
        newest = newest_template_hash((item.body for item in replica_sets), uid)
        if not newest:
            return ()
        own = ",".join(filter(None, (selector, f"{TEMPLATE_HASH_LABEL}={newest}")))
        pods = self.list("v1", "Pod", namespace=namespace, label_selector=own)
        return tuple(pod_state(pod.body) for pod in pods)

    def _placed(self, ref: ObjectRef) -> tuple[ObjectRef, Resource]:
        """The address with the namespace that its kind needs, and the kind's resource."""
        if not ref.api_version or not ref.kind or not ref.name:
            raise Invalid("An object needs apiVersion, kind and metadata.name.")
        if not is_path_safe(ref.name) or not is_path_safe(ref.namespace):
            raise Invalid(f"{ref} in namespace {ref.namespace!r}: this cannot be a name.")
        resource = self._resource(ref.api_version, ref.kind)
        namespace = (ref.namespace or CLUSTER_DEFAULT_NAMESPACE) if resource.namespaced else ""
        return replace(ref, namespace=namespace), resource

    def _resource(self, api_version: str, kind: str) -> Resource:
        if api_version not in self._resources:
            self._resources[api_version] = self._discover(api_version)
        found = self._resources[api_version].get(kind)
        if found is None:
            raise Invalid(
                f"The cluster does not know kind {kind} in apiVersion {api_version}.",
                advice="Correct the manifest, or install what defines the kind first.",
            )
        return found

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
    ) -> _Answer:
        """Make one call and read its whole answer."""
        response = self._open(method, path, query or {}, body, content_type, READ_SECONDS)
        try:
            raw = response.read(MAX_ANSWER + 1)
        except HTTPError as error:
            raise self._unreachable(error) from error
        if len(raw) > MAX_ANSWER:
            response.close()
            raise Protocol(f"{self._origin} answered with more than {MAX_ANSWER} bytes.")
        response.release_conn()
        if not 200 <= response.status < 300:
            retry_after = response.headers.get("Retry-After", "")
            secrets = secret_values(body or {})
            raise error_of(response.status, raw, retry_after=retry_after, secrets=secrets)
        return _Answer(status=response.status, body=_json_object(raw, self._origin))

    def _lines(
        self, path: str, query: Mapping[str, str], *, read_seconds: float
    ) -> Generator[bytes, None, None]:
        """The lines of an answer as they arrive."""
        response = self._open("GET", path, query, None, JSON_BODY, read_seconds)
        try:
            if response.status != 200:
                raise error_of(response.status, response.read(MAX_ANSWER))
            rest = b""
            for piece in response.stream(PIECE):
                *lines, rest = (rest + piece).split(b"\n")
                yield from lines
        except HTTPError as error:
            raise self._unreachable(error) from error
        finally:
            response.close()

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: dict[str, Json] | None,
        content_type: str,
        read_seconds: float,
    ) -> Any:
        """Start a call; the urllib3 response, its body not yet read."""
        headers = {"Accept": JSON_BODY, "Content-Type": content_type}
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

    def _unreachable(self, error: Exception) -> Unreachable:
        """The failure in words. The library's own text is left out: it holds the whole URL."""
        if isinstance(error, ApiException):
            return Unreachable(f"{self._origin}: the TLS connection or certificate is not good.")
        if isinstance(error, NameResolutionError):
            return Unreachable(f"{self._origin} has a host name that is not known.")
        if isinstance(error, TimedOut):
            return Unreachable(f"{self._origin} did not answer in time.")
        return Unreachable(f"{self._origin} cannot be reached or closed the connection.")


def _api_client(access: ClusterAccess) -> ApiClient:
    # Empty texts, not None: None would make the library look into the environment for a proxy.
    configuration = Configuration(host=access.url.rstrip("/"), proxy="", no_proxy="")
    if access.authorization:
        # The name of the key is the library's own: its one login is called BearerToken.
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
        connect_seconds=CONNECT_SECONDS,
        read_seconds=READ_SECONDS,
    )
    return client


def _for(manifest: Body, ref: ObjectRef) -> dict[str, Json]:
    """The manifest as it is sent: with the namespace that the path has."""
    metadata = manifest.get("metadata")
    given = metadata if isinstance(metadata, dict) else {}
    placed = {**given, "namespace": ref.namespace} if ref.namespace else given
    return {**manifest, "metadata": placed}


def _json_object(raw: bytes, place: str) -> dict[str, Json]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Protocol(f"{place} did not answer with JSON.") from error
    if not isinstance(value, dict):
        raise Protocol(f"{place} did not answer with a JSON object.")
    return value


def _code(status: Json) -> int:
    code = status.get("code") if isinstance(status, dict) else None
    return code if isinstance(code, int) else 500

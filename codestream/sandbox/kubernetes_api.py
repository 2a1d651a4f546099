"""The verbs of the stand-in API server, over the store: one method per verb.

Wire, login and faults on demand are left to ``kubernetes``; what follows from a stored
Deployment is left to the controllers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codestream.sandbox.kubernetes_answers import (
    already_exists,
    bad_request,
    invalid,
    namespace_terminating,
    not_found,
    overtaken,
    terminating,
)
from codestream.sandbox.kubernetes_merge import Manager, apply, merge, merge_patch, record_update
from codestream.sandbox.kubernetes_reading import (
    check_decoded,
    check_identity,
    check_typed,
    without_nulls,
    writable,
)
from codestream.sandbox.kubernetes_resources import NAMESPACES, Body, Resource, Target
from codestream.sandbox.kubernetes_schema import SHAPES
from codestream.sandbox.kubernetes_selectors import parse_selector
from codestream.sandbox.kubernetes_store import Store, new_namespace, now, random_suffix
from codestream.sandbox.kubernetes_validation import complete, faults_of

Query = Mapping[str, str]


class Api:
    """Answers calls that have passed login. Every method raises ApiError to refuse."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, target: Target) -> Body:
        """One object."""
        body = self._store.get(target)
        if body is None:
            raise not_found(target)
        return body

    def list(self, target: Target, query: Query) -> Body:
        """The objects of a collection that the selectors accept."""
        selector = parse_selector(query)
        with self._store.lock:
            items = self._store.every(target.resource, target.namespace)
            revision = self._store.revision
        return {
            "kind": f"{target.resource.kind}List",
            "apiVersion": target.resource.api_version,
            "metadata": {"resourceVersion": str(revision)},
            # As from the real one, items do not repeat what they are.
            "items": [
                {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
                for body in items
                if selector.accepts(body)
            ],
        }

    def create(self, target: Target, body: Body, query: Query, agent: str) -> Body:
        """A new object; ``fieldValidation=Strict`` refuses unknown fields."""
        resource = target.resource
        check_identity(target, body)
        check_decoded(resource, body, strict=query.get("fieldValidation") == "Strict")
        body = writable(body)
        target = replace(target, name=_chosen_name(body["metadata"]))
        with self._store.lock:
            self._check_vacant(target)
            record_update({}, body, SHAPES[resource.kind], _updater(resource, query, agent))
            return self._put(target, body, None, query)

    def apply(self, target: Target, body: Body, query: Query) -> tuple[Body, bool]:
        """Server-side apply: the object, and whether it is new."""
        resource = target.resource
        if not query.get("fieldManager"):
            raise bad_request(
                'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: '
                "is required for apply patch"
            )
        check_identity(target, body)
        check_typed(target, body)
        manager = Manager(
            name=query["fieldManager"],
            operation="Apply",
            api_version=resource.api_version,
            at=now(),
        )
        force = query.get("force") == "true"
        with self._store.lock:
            before = self._store.get(target)
            if before is None:
                _check_uid_of_none(target, body)
                self._check_namespace(target)
            else:
                _check_version(target, body, before)
            start = before or {"metadata": {"name": target.name}}
            after = apply(start, writable(body), SHAPES[resource.kind], manager, force=force)
            return self._put(target, after, before, query), before is None

    def patch(
        self, target: Target, body: Body, query: Query, agent: str, *, strategic: bool
    ) -> Body:
        """A merge patch; a strategic one merges keyed lists item by item."""
        resource = target.resource
        shape = SHAPES[resource.kind]
        with self._store.lock:
            before = self.get(target)
            _check_version(target, body, before)
            check_decoded(resource, body, strict=False)
            body = writable(body)
            after = merge(before, body, shape) if strategic else merge_patch(before, body)
            check_decoded(resource, after, strict=query.get("fieldValidation") == "Strict")
            record_update(before, after, shape, _updater(resource, query, agent))
            return self._put(target, after, before, query)

    def delete(self, target: Target, query: Query, wanted: Body) -> Body:
        """Take an object away, if it is the ``wanted`` one; a namespace is Terminating first and
        answers as it then is.
        """
        with self._store.lock:
            body = self.get(target)
            _check_preconditions(target, body, wanted)
            if target.resource == NAMESPACES:
                body["metadata"].setdefault("deletionTimestamp", now())
                body["status"] = {"phase": "Terminating"}
                return body if "dryRun" in query else self._store.put(target, body)
            if "dryRun" not in query:
                self._store.remove(target)
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {
                "name": target.name,
                "group": target.resource.group,
                "kind": target.resource.name,
                "uid": body["metadata"]["uid"],
            },
        }

    def _put(self, target: Target, body: Body, before: Body | None, query: Query) -> Body:
        if target.resource == NAMESPACES and before is None:
            body = merge(new_namespace(target.name), body, None)
        body = without_nulls(body)
        complete(body)
        causes = faults_of(body, before)
        if causes:
            raise invalid(target.resource, target.name, causes)
        return body if "dryRun" in query else self._store.put(target, body)

    def _check_vacant(self, target: Target) -> None:
        self._check_namespace(target)
        before = self._store.get(target)
        if before is None:
            return
        if "deletionTimestamp" in before["metadata"]:
            raise namespace_terminating(target)
        raise already_exists(target)

    def _check_namespace(self, target: Target) -> None:
        """Nothing is created in a namespace that does not exist or is going away."""
        if not target.resource.namespaced:
            return
        namespace = self.get(Target(resource=NAMESPACES, name=target.namespace))
        if "deletionTimestamp" in namespace["metadata"]:
            raise terminating(target, target.namespace)


def _check_version(target: Target, body: Body, before: Body) -> None:
    """Optimistic locking: a body that names a version must name the present one."""
    wanted = body["metadata"].get("resourceVersion")
    if wanted and wanted != before["metadata"]["resourceVersion"]:
        raise overtaken(
            target,
            "the object has been modified; please apply your changes to the latest version and "
            "try again",
        )


def _check_uid_of_none(target: Target, body: Body) -> None:
    """A body that names a uid is meant for that object, and makes no other one."""
    if wanted := body["metadata"].get("uid"):
        raise overtaken(
            target,
            f"uid mismatch: the provided object specified uid {wanted}, and no existing object "
            "was found",
        )


def _check_preconditions(target: Target, body: Body, wanted: Body) -> None:
    """What a delete says of the object that it means."""
    uid, version = body["metadata"]["uid"], body["metadata"]["resourceVersion"]
    if wanted.get("uid", uid) != uid:
        raise overtaken(
            target,
            f"the UID in the precondition ({wanted['uid']}) does not match the UID in record "
            f"({uid}). The object might have been deleted and then recreated",
        )
    if wanted.get("resourceVersion", version) != version:
        raise overtaken(
            target,
            f"the ResourceVersion in the precondition ({wanted['resourceVersion']}) does not "
            f"match the ResourceVersion in record ({version}). The object might have been modified",
        )


def _chosen_name(meta: Body) -> str:
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"] + random_suffix()
    return str(meta.get("name", ""))


def _updater(resource: Resource, query: Query, agent: str) -> Manager:
    """Who made a plain write; without ``fieldManager`` the first word of the user agent."""
    name = query.get("fieldManager") or agent.partition("/")[0] or "unknown"
    return Manager(name=name, operation="Update", api_version=resource.api_version, at=now())

"""Reads what a client sends: JSON or YAML, of the right kind, with fields that exist.

A create and a patch answer a wrong field with 400, a server-side apply with 500: so do real
API servers (seen on v1.20 and v1.36), and clients must not take that 500 for an outage.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from codestream.sandbox.kubernetes_answers import ApiError, bad_request
from codestream.sandbox.kubernetes_resources import Body, Resource, Target
from codestream.sandbox.kubernetes_schema import SHAPES, Fault, Problem, problems

WRITABLE_METADATA = (
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
)
GO_TYPES = {"numeric (int or float)": "int32", "string": "string", "boolean": "bool"}


def read_body(raw: bytes) -> Body:
    """The body as a map. Raises ApiError 400 when it is none."""
    value = _parsed(raw)
    if not isinstance(value, dict):
        raise bad_request("the body of the request must be an object")
    if not isinstance(value.setdefault("metadata", {}), dict):
        raise bad_request("metadata must be an object")
    return value


def check_identity(target: Target, body: Body) -> None:
    """Refuse a body of another kind, name or namespace than the path says."""
    resource = target.resource
    given = (body.get("apiVersion"), body.get("kind"))
    if given != (resource.api_version, resource.kind):
        raise bad_request(
            f"{given[1]} in version {json.dumps(given[0])} cannot be handled as a {resource.kind}"
        )
    namespace = body["metadata"].get("namespace")
    if namespace and namespace != target.namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if target.name and body["metadata"].get("name", target.name) != target.name:
        raise bad_request("the name of the object does not match the name on the URL")


def check_decoded(resource: Resource, body: Body, *, strict: bool) -> None:
    """The check of a create or a patch: 400 for a wrong type and, when strict, an unknown field."""
    found = list(problems(body, SHAPES[resource.kind]))
    cannot = f'{resource.kind} in version "v1" cannot be handled as a {resource.kind}'
    for problem in found:
        if problem.fault is Fault.TYPE:
            raise bad_request(f"{cannot}: json: cannot unmarshal into {_go_field(problem)}")
    unknown = [f'unknown field "{p.path}"' for p in found if p.fault is Fault.UNKNOWN]
    if unknown and strict:
        raise bad_request(f"{cannot}: strict decoding error: {', '.join(unknown)}")


def check_typed(target: Target, body: Body) -> None:
    """The check of a server-side apply: 500 without a reason for anything the schema lacks."""
    found = list(problems(body, SHAPES[target.resource.kind]))
    if not found:
        return
    told = [f"{problem.keyed}: {problem.told}" for problem in found]
    listed = told[0] if len(told) == 1 else "errors:\n" + "".join(f"  {line}\n" for line in told)
    place = f"{target.namespace}/{target.name}"
    kind = f"{target.resource.api_version}, Kind={target.resource.kind}"
    message = f"failed to create typed patch object ({place}; {kind}): {listed}"
    raise ApiError(500, "", message)


def writable(body: Body) -> Body:
    """The body without what only the server sets: status, uid, versions, managed fields."""
    meta = body["metadata"]
    kept = {name: meta[name] for name in WRITABLE_METADATA if name in meta}
    return {name: value for name, value in body.items() if name != "status"} | {"metadata": kept}


def without_nulls(value: Any) -> Any:
    """The value without its null members, which count as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        pass
    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise bad_request("the body of the request is neither JSON nor YAML") from error


def _go_field(problem: Problem) -> str:
    word = problem.told.removeprefix("expected ").partition(", got")[0]
    return f"Go struct field {problem.path} of type {GO_TYPES.get(word, word)}"

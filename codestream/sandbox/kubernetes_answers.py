"""The refusals of an API server: every one is a ``Status`` object with a code and a message.

Wording after the API server's own (https://github.com/kubernetes/apimachinery, api/errors).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codestream.sandbox.kubernetes_resources import Body, Resource, Target


class ApiError(Exception):
    """An answer other than success."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.headers = headers or {}

    def status(self) -> Body:
        """The ``Status`` body."""
        body: Body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing wrong with an object: ``field`` as ``spec.template.spec.containers[0].image``."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


def required(path: str, why: str = "") -> Cause:
    """A field that must be there."""
    message = f"Required value: {why}" if why else "Required value"
    return Cause(field=path, message=message, reason="FieldValueRequired")


def not_found(target: Target) -> ApiError:
    """404 for an object."""
    message = f'{target.resource.qualified} "{target.name}" not found'
    return ApiError(404, "NotFound", message, details=_details(target.resource, target.name))


def already_exists(target: Target) -> ApiError:
    """409 for a create of what is there."""
    message = f'{target.resource.qualified} "{target.name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_details(target.resource, target.name))


def terminating(target: Target, namespace: str) -> ApiError:
    """403 for a create in a namespace that is going away."""
    message = (
        f'{target.resource.qualified} "{target.name}" is forbidden: unable to create new content '
        f"in namespace {namespace} because it is being terminated"
    )
    return ApiError(403, "Forbidden", message, details=_details(target.resource, target.name))


def namespace_terminating(target: Target) -> ApiError:
    """409 for a create of a namespace that is going away."""
    message = f'object is being deleted: namespaces "{target.name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_details(target.resource, target.name))


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> ApiError:
    """422 with every cause, each naming its field."""
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    details = _details(resource, name) | {
        "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}
            for cause in causes
        ]
    }
    message = f'{resource.qualified_kind} "{name}" is invalid: {listed}'
    return ApiError(422, "Invalid", message, details=details)


def bad_request(message: str) -> ApiError:
    """400: the body or the query cannot be read."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401, the same for a missing and for a wrong token."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def unknown_path() -> ApiError:
    """404 for a path that no resource answers."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed() -> ApiError:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message)


def gone(wanted: int, oldest: int) -> ApiError:
    """410 for a watch that starts before what is remembered."""
    return ApiError(410, "Expired", f"too old resource version: {wanted} ({oldest})")


def overtaken(target: Target, why: str) -> ApiError:
    """A change is meant for an object, or a state of it, that is not there any more."""
    place = f'{target.resource.qualified} "{target.name}"'
    message = f"Operation cannot be fulfilled on {place}: {why}"
    return ApiError(409, "Conflict", message, details=_details(target.resource, target.name))


def _details(resource: Resource, name: str) -> Body:
    details: Body = {"name": name, "kind": resource.name}
    if resource.group:
        details["group"] = resource.group
    return details

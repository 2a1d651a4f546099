"""Who is let in to the stand-in cluster, and what the account may do there.

The one account may do everything but what is named ``forbidden``, as ``create secrets``.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection

from codestream.sandbox.http_server import Request
from codestream.sandbox.kubernetes_answers import ApiError
from codestream.sandbox.kubernetes_resources import Body, Target

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ACCOUNT = "system:serviceaccount:default:codestream"
OF_APPLY = ("create", "patch")
"""A server-side apply needs the right to patch, and where it makes an object, to create it."""


class Logins:
    """The ways to sign in: a bearer token, a user name with password, a client certificate."""

    def __init__(self, *, token: str, user: str, password: str) -> None:
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._accepted = [f"Bearer {token}", *([f"Basic {basic}"] if user else [])]

    def accept(self, request: Request) -> bool:
        """Whether the request comes from the account."""
        given = request.headers.get("Authorization", "")
        if not given:
            return request.has_certificate
        return any(
            hmac.compare_digest(given.encode(), accepted.encode()) for accepted in self._accepted
        )


class Rights:
    """What the account may do."""

    def __init__(self, forbidden: Collection[str]) -> None:
        self._forbidden = frozenset(forbidden)

    def review(self, body: Body) -> Body:
        """A SelfSubjectAccessReview with its answer."""
        asked = body["spec"]["resourceAttributes"]
        allowed = f"{asked.get('verb')} {asked.get('resource')}" not in self._forbidden
        return {**body, "status": {"allowed": allowed}}

    def check(self, verb: str, target: Target) -> None:
        """Raise ApiError 403 for what the account may not do."""
        for needed in OF_APPLY if verb == "apply" else (verb,):
            if f"{needed} {target.resource.name}" in self._forbidden:
                raise _forbidden(needed, target)


def _forbidden(verb: str, target: Target) -> ApiError:
    resource = target.resource
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    message = (
        f'{resource.qualified} is forbidden: User "{ACCOUNT}" cannot {verb} resource '
        f'"{resource.name}" in API group "{resource.group}" {where}'
    )
    return ApiError(403, "Forbidden", message)

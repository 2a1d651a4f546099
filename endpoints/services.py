"""What is done with endpoints: kept, checked against the real system, deleted."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone
from django.utils.translation import gettext as _

from codestream.accounts.models import User
from codestream.core.certificates import CertificateFacts, read_certificate
from codestream.core.clock import now
from codestream.core.errors import CodeStreamError, Refused
from codestream.core.http import Proxy, Reach, server_certificate
from codestream.core.versions import require_present, require_unchanged
from codestream.core.words import Words, gettext_noop, joined
from endpoints.checks import check
from endpoints.clients.base import RateLimited, ServerFault
from endpoints.models import CheckStatus, Endpoint
from endpoints.usage import users_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What came of a check."""

    status: CheckStatus
    message: Words

    @property
    def has_passed(self) -> bool:
        return self.status == CheckStatus.PASSED


@transaction.atomic
def save_endpoint(
    *,
    endpoint: Endpoint,
    name: str,
    description: str,
    is_restricted: bool,
    properties: dict[str, str],
    credentials: dict[str, str],
    by: User,
) -> Endpoint:
    """Keep an endpoint, new (with its project and kind) or stored; its last check is forgotten.

    Raises Refused when the project has another endpoint of that name, ChangedMeanwhileError and
    DeletedMeanwhileError.
    """
    require_unchanged(endpoint)
    endpoint.name, endpoint.description = name, description
    endpoint.is_restricted = is_restricted
    endpoint.properties, endpoint.credentials = properties, credentials
    endpoint.edited_by = by
    endpoint.last_check_at, endpoint.last_check_message = None, ""
    endpoint.last_check_status = ""
    try:
        with transaction.atomic():
            endpoint.save()
    except IntegrityError as error:
        raise Refused(_("The project has an endpoint with this name.")) from error
    return endpoint


def check_endpoint(*, endpoint: Endpoint) -> CheckResult:
    """Sign in to the real system, for an endpoint that need not be stored; writes nothing."""
    try:
        return CheckResult(status=CheckStatus.PASSED, message=check(endpoint))
    except CodeStreamError as error:
        return CheckResult(status=CheckStatus.FAILED, message=_why(error))


def _why(error: CodeStreamError) -> Words:
    """What is wrong; what may pass by itself is looked at again when a person asks for it."""
    if not isinstance(error, RateLimited | ServerFault):
        return error.words
    if error.retry_at is None:
        again = Words(gettext_noop("Press Validate again in a few minutes."))
    else:
        moment = timezone.localtime(error.retry_at).strftime("%Y-%m-%d %H:%M:%S %Z")
        again = Words(gettext_noop("Press Validate again after %(moment)s."), {"moment": moment})
    return joined([error.words, again])


def validate_endpoint(*, endpoint: Endpoint) -> Endpoint:
    """Sign in to the real system and write down what came of it; talks outside a transaction.

    Raises DeletedMeanwhileError.
    """
    result = check_endpoint(endpoint=endpoint)
    endpoint.last_check_at = now()
    endpoint.last_check_status, endpoint.last_check_message = result.status, result.message
    with transaction.atomic():
        require_present(endpoint)
        endpoint.save(update_fields=["last_check_at", "last_check_status", "last_check_message"])
    return endpoint


def look_at_certificate(
    *, url: str, server_name: str, proxy: Proxy | None = None
) -> CertificateFacts:
    """The certificate that the server shows now, to be accepted or not by a person.

    Raises CodeStreamError when there is none to be seen. Nothing but the host's name is sent.
    """
    shown = server_certificate(Reach.ENDPOINT, url, server_name=server_name, proxy=proxy)
    return read_certificate(shown)


@transaction.atomic
def delete_endpoint(*, endpoint: Endpoint) -> None:
    """Delete the endpoint. Raises Refused, naming what still uses it, and DeletedMeanwhileError."""
    # Who saves a webhook with it holds it, and is seen below.
    require_present(endpoint)
    users = users_of(endpoint)
    if users:
        raise _in_use(users)
    try:
        with transaction.atomic():
            endpoint.delete()
    except ProtectedError as error:
        raise _in_use(sorted(str(user) for user in error.protected_objects)) from error


def _in_use(users: list[str]) -> Refused:
    return Refused(
        _("The endpoint is in use by %(users)s. Change or delete that first.")
        % {"users": ", ".join(users)}
    )

"""Examines the outside systems, and how the webhooks stand in Docker Hub."""

from __future__ import annotations

from collections.abc import Iterator

from codestream.operations.findings import Finding, fail, ok, warn
from endpoints.models import CheckStatus, Endpoint
from endpoints.services import validate_endpoint
from webhooks.mirror_state import MirrorState, mirror_state, state_of
from webhooks.models import DockerWebhook, RemoteHook


def endpoints() -> Iterator[Finding]:
    """Every endpoint answers and knows its credentials; as *Validate* on its page."""
    for endpoint in Endpoint.objects.select_related("project"):
        about = f"endpoint {endpoint.project}/{endpoint}"
        checked = validate_endpoint(endpoint=endpoint)
        if checked.last_check_status == CheckStatus.PASSED:
            yield ok(about, checked.last_check_message)
        else:
            todo = "Open the endpoint's page, correct it and validate it there."
            yield fail(about, checked.last_check_message, todo)


def mirror() -> Iterator[Finding]:
    """Every webhook stands in Docker Hub as it should; nothing of deleted ones is left there."""
    webhooks = DockerWebhook.objects.select_related("project").prefetch_related("remote_hooks")
    for webhook in webhooks:
        yield _graded(f"webhook {webhook.project}/{webhook}", mirror_state(webhook))
    for hook in RemoteHook.objects.filter(webhook=None).select_related("endpoint__project"):
        yield _graded(f"hook {hook.endpoint.project}/{hook} in {hook.place}", state_of(hook))


def _graded(about: str, state: MirrorState) -> Finding:
    if not state.needs_person:
        return ok(about, f"{state.word}.")
    what = f"{state.word}: {state.message}" if state.message else f"{state.word}."
    return warn(about, what, "Open the list of webhooks: it says what can be done.")

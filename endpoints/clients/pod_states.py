"""Says from a pod's body how it is and what keeps it from being ready. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from endpoints.clients.kubernetes_objects import Body, condition, int_at, objects_at, text_at

# Reasons that no further waiting mends without a new manifest or a new secret. ErrImagePull is
# not among them: the kubelet says it once before it has tried again.
HOPELESS = frozenset(
    {"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"}
)
CRASHING = "CrashLoopBackOff"
# What an image does at its first start may depend on something that starts beside it.
MOST_RESTARTS = 3
# What every pod says while nothing is wrong yet.
USUAL = frozenset({"ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """One pod of the new revision; ``reason`` is empty while nothing hinders it.

    ``container`` is the one that hinders it, where it is a container that does.
    """

    name: str
    phase: str
    ready: bool
    reason: str = ""
    message: str = ""
    container: str = ""
    restarts: int = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether no further waiting helps."""
        crashing = self.reason == CRASHING and self.restarts >= MOST_RESTARTS
        return crashing or self.reason in HOPELESS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hindrance:
    reason: str = ""
    message: str = ""
    container: str = ""


def pod_state(body: Body) -> PodState:
    """What one pod says of itself: the first thing that keeps it from being ready."""
    found = _hindrance(body)
    return PodState(
        name=text_at(body, "metadata", "name"),
        phase=text_at(body, "status", "phase"),
        ready=condition(body, "Ready").get("status") == "True",
        reason=found.reason,
        message=found.message,
        container=found.container,
        restarts=max((int_at(each, "restartCount") for each in _containers(body)), default=0),
    )


def _containers(body: Body) -> list[Body]:
    groups = ("initContainerStatuses", "containerStatuses")
    return [each for group in groups for each in objects_at(body, "status", group)]


def _hindrance(body: Body) -> _Hindrance:
    for container in _containers(body):
        found = _of_container(container)
        if found is not None:
            return found
    scheduled = condition(body, "PodScheduled")
    if scheduled.get("status") == "False":
        return _Hindrance(
            reason=text_at(scheduled, "reason"), message=text_at(scheduled, "message")
        )
    return _Hindrance(
        reason=text_at(body, "status", "reason"), message=text_at(body, "status", "message")
    )


def _of_container(container: Body) -> _Hindrance | None:
    name = text_at(container, "name")
    reason = text_at(container, "state", "waiting", "reason")
    if reason == CRASHING:
        ended = _ended(container, "lastState")
        message = f"container {name} {ended}" if ended else f"container {name} ends at once"
        return _Hindrance(reason=reason, message=message, container=name)
    if reason and reason not in USUAL:
        message = text_at(container, "state", "waiting", "message")
        return _Hindrance(reason=reason, message=message, container=name)
    if int_at(container, "state", "terminated", "exitCode"):
        reason = text_at(container, "state", "terminated", "reason") or "Error"
        message = f"container {name} {_ended(container, 'state')}"
        return _Hindrance(reason=reason, message=message, container=name)
    return None


def _ended(container: Body, state: str) -> str:
    """``exited with 1``, and why where that says more."""
    code = int_at(container, state, "terminated", "exitCode", default=-1)
    if code < 0:
        return ""
    reason = text_at(container, state, "terminated", "reason")
    why = f" ({reason})" if reason not in ("", "Error", "Completed") else ""
    return f"exited with {code}{why}"

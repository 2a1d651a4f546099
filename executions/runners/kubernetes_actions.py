"""What every action of a Kubernetes task has: its step, and the waiting for a rollout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Protocol, cast

from codestream.core.clock import now
from codestream.core.crypto import decrypt, encrypt
from codestream.core.json_types import Json, JsonObject
from codestream.core.words import joined
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_diagnosis import diagnose
from endpoints.clients.kubernetes_rollouts import look_at_all
from endpoints.clients.rollout import Rollout, RolloutState
from executions.runners.base import Done, Outcome, TaskContext, TaskFailedError, Wait
from executions.runners.kubernetes_reports import (
    FAILED,
    READY,
    failure_of,
    ref_in,
    reports_in,
    response_of,
    secrets_of,
    summary,
    with_rollout,
)
from pipelines.kubernetes_task import KubernetesTask

FIRST_LOOKS = 30
LONGEST_PAUSE_SECONDS = 5
# After so many looks a pod that runs and is not ready is asked for its reasons.
PATIENT_LOOKS = 15
NOT_READY = "NotReady"


@dataclass(frozen=True)
class Step:
    """One step of a task: what it is to do, and with what."""

    context: TaskContext
    task: KubernetesTask
    cluster: Kubernetes

    @cached_property
    def secrets(self) -> frozenset[str]:
        """What must not be in anything that is kept."""
        return secrets_of(self.context)


class Action(Protocol):
    """One action of the task, in steps that may be repeated."""

    def start(self, step: Step) -> Outcome:
        """Look what is there, and change nothing yet."""
        ...

    def go_on(self, step: Step) -> Outcome:
        """Do the next thing that the cursor leaves to be done."""
        ...


def seal(bodies: Json) -> str:
    """What was read from the cluster, to be kept in a cursor: it may hold secrets."""
    return encrypt(json.dumps(bodies))


def unseal(text: Json) -> list[JsonObject]:
    """What ``seal`` was given."""
    return cast("list[JsonObject]", json.loads(decrypt(str(text))))


def next_step(
    cursor: Mapping[str, Json],
    reports: Sequence[JsonObject],
    message: str,
    *,
    pause: timedelta = timedelta(0),
    shown: JsonObject | None = None,
) -> Wait:
    """Go on in another step, with what has been done so far safely written.

    ``shown`` is the task's input as people may see it.
    """
    objects = cast(Json, list(reports))
    return Wait(
        until=now() + pause,
        message=message,
        cursor={**cursor, "objects": objects},
        output={"objects": objects},
        input=shown,
    )


def follow(step: Step) -> Outcome:
    """Look once at the rollout of every object that is not ready yet."""
    cursor = step.context.cursor
    reports = reports_in(cursor)
    waiting = [at for at, item in enumerate(reports) if item["state"] != READY]
    rollouts = look_at_all(step.cluster, [ref_in(reports[at]) for at in waiting])
    for at, rollout in zip(waiting, rollouts, strict=True):
        reports[at] = with_rollout(reports[at], rollout)
    looks = int(str(cursor.get("looks", 0))) + 1
    findings = _findings(step, rollouts, looks)
    objects = cast(Json, reports)
    output: JsonObject = {"objects": objects}
    if findings:
        output["failures"] = list(findings.values())
    broken = next((each for each in rollouts if each.state is RolloutState.FAILED), None)
    if broken is not None:
        found = cast(JsonObject, findings[_key(broken)])
        message = joined([str(broken.ref), cast(str, found["message"])], by=": ")
        raise TaskFailedError(message, output=_ended(step, output))
    going = next((each for each in rollouts if each.state is RolloutState.PROGRESSING), None)
    if going is None:
        return Done(message=summary(reports), output=_ended(step, output))
    told = cast(JsonObject, findings.get(_key(going), {})).get("message", going.message)
    return Wait(
        until=now() + pause_after(looks),
        message=joined([str(going.ref), cast(str, told)], by=": "),
        cursor={**cursor, "objects": objects, "looks": looks, "findings": findings},
        output=output,
    )


def pause_after(looks: int) -> timedelta:
    """Every second at first; what takes longer is looked at less often."""
    return timedelta(seconds=min(1 + looks // FIRST_LOOKS, LONGEST_PAUSE_SECONDS))


def failed(
    reports: Sequence[JsonObject], message: str, failures: Sequence[Json]
) -> TaskFailedError:
    """The end of a task, with a report of every object as it is left."""
    output: JsonObject = {
        "objects": cast(Json, list(reports)),
        "failures": list(failures),
        "response": {"failures": [message]},
    }
    return TaskFailedError(message, output=output)


def _ended(step: Step, output: JsonObject) -> JsonObject:
    """The output with the objects as the cluster holds them at the end."""
    reports = cast("list[JsonObject]", output["objects"])
    response = response_of(step.cluster, [ref_in(item) for item in reports], step.secrets)
    told = [f"{item['ref']}: {item['message']}" for item in reports if item["state"] == FAILED]
    return {**output, "response": {**response, "failures": cast(Json, told)}}


def _findings(step: Step, rollouts: Sequence[Rollout], looks: int) -> JsonObject:
    """What is known about each rollout that does not get on; asked for once per reason."""
    before = cast(JsonObject, step.context.cursor.get("findings", {}))
    findings: JsonObject = {}
    for rollout in rollouts:
        reason = _trouble(rollout, looks)
        if not reason:
            continue
        known = cast(JsonObject, before.get(_key(rollout), {}))
        if known.get("asked") != reason:
            found = failure_of(rollout.ref, diagnose(step.cluster, rollout), step.secrets)
            known = {**found, "asked": reason}
        findings[_key(rollout)] = known
    return findings


def _trouble(rollout: Rollout, looks: int) -> str:
    """Why it is worth asking; empty while all is well."""
    if rollout.state is RolloutState.READY:
        return ""
    if rollout.state is RolloutState.FAILED:
        return f"{FAILED} {rollout.reason}"
    if rollout.reason:
        return rollout.reason
    lingers = any(pod.phase == "Running" and not pod.ready for pod in rollout.pods)
    return NOT_READY if lingers and looks > PATIENT_LOOKS else ""


def _key(rollout: Rollout) -> str:
    return f"{rollout.ref.namespace}/{rollout.ref}"

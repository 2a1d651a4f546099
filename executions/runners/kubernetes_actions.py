"""What every action of a Kubernetes task has: its step, and the waiting for a rollout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Protocol, TypeVar, cast
from uuid import UUID

from codestream.core.clock import now
from codestream.core.crypto import decrypt, encrypt
from codestream.core.json_types import Json, JsonObject
from codestream.core.words import joined
from endpoints.clients.base import Outdated
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_diagnosis import diagnose
from endpoints.clients.kubernetes_objects import Body, LiveObject, ObjectRef
from endpoints.clients.kubernetes_rollouts import fetch_all, look_at_all
from endpoints.clients.rollout import Rollout, RolloutState
from executions.runners.base import (
    Done,
    Outcome,
    Sight,
    TaskContext,
    TaskFailedError,
    Wait,
    Watched,
)
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
from executions.telling import words_of
from pipelines.kubernetes_task import KubernetesTask

FIRST_LOOKS = timedelta(seconds=30)
LONGEST_PAUSE_SECONDS = 5
# After so long a pod that runs and is not ready is asked for its reasons.
PATIENCE = timedelta(seconds=15)
MOST_LOOKS = 5
"""So often an object that changes all the time is looked at before its change is put off."""
UNASKED = timedelta(hours=1)
"""How long a task sleeps that a watch wakes when there is something to see."""
NOT_READY = "NotReady"
ASKED = "asked"
"""What a finding has for the next look alone, and not for readers."""
Changed = TypeVar("Changed")


@dataclass(frozen=True)
class Step:
    """One step of a task: what it is to do, and with what; ``server`` is where the cluster is."""

    context: TaskContext
    task: KubernetesTask
    cluster: Kubernetes
    endpoint: UUID
    server: str

    @cached_property
    def since(self) -> datetime:
        """When the first look was."""
        text = self.context.cursor.get("since")
        return datetime.fromisoformat(text) if isinstance(text, str) else now()

    @property
    def waited(self) -> timedelta:
        """How long the task has waited since."""
        return now() - self.since

    @cached_property
    def secrets(self) -> frozenset[str]:
        """What must not be in anything that is kept."""
        return secrets_of(self.context)

    def change(self, seen: Body, send: Callable[..., Changed]) -> Changed:
        """``send`` a change of the object as it was ``seen`` (empty: of none).

        Raises LeaseLostError when the task is another worker's by now, and Outdated when the object
        has changed since. In this order nothing is sent that comes too late, however long the
        worker stands still between two of its statements (docs/decisions/0024).
        """
        self.context.require_held()
        return send(seen=seen)

    def change_in_any_case(
        self, ref: ObjectRef, seen: Body, send: Callable[..., Changed]
    ) -> Changed:
        """The same for what is sent whatever the object is by now: if it has changed since, it is
        read again.
        """
        with suppress(Outdated):
            return self.change(seen, send)

        def look_and_send() -> Changed:
            live = self.cluster.find(ref)
            return self.change(live.body if live else {}, send)

        return while_outdated(look_and_send)


def while_outdated(look_and_change: Callable[[], Changed]) -> Changed:
    """Look and change anew for as long as somebody else is faster, some times."""
    for _ in range(MOST_LOOKS - 1):
        with suppress(Outdated):
            return look_and_change()
    return look_and_change()


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


def follow(step: Step, *, known: Mapping[ObjectRef, LiveObject] = MappingProxyType({})) -> Outcome:
    """Look once at the rollout of every object that is not ready yet; those that are ``known`` have
    just been read.
    """
    cursor = step.context.cursor
    reports = reports_in(cursor)
    waiting = [at for at, item in enumerate(reports) if item["state"] != READY]
    rollouts = look_at_all(step.cluster, [ref_in(reports[at]) for at in waiting], known=known)
    for at, rollout in zip(waiting, rollouts, strict=True):
        reports[at] = with_rollout(reports[at], rollout)
    findings = _findings(step, rollouts)
    objects = cast(Json, reports)
    output: JsonObject = {"objects": objects}
    if findings:
        output["failures"] = [
            {name: told for name, told in found.items() if name != ASKED}
            for found in cast("list[JsonObject]", list(findings.values()))
        ]
    broken = next((each for each in rollouts if each.state is RolloutState.FAILED), None)
    if broken is not None:
        found = cast(JsonObject, findings[_key(broken)])
        message = joined([str(broken.ref), words_of(found)], by=": ")
        raise TaskFailedError(message, output=_ended(step, output, rollouts))
    going = next((each for each in rollouts if each.state is RolloutState.PROGRESSING), None)
    if going is None:
        return Done(message=summary(reports), output=_ended(step, output, rollouts))
    finding = cast("JsonObject | None", findings.get(_key(going)))
    told = words_of(finding) if finding else going.message
    return wait(
        step,
        message=joined([str(going.ref), told], by=": "),
        cursor={**cursor, "objects": objects, "findings": findings},
        output=output,
        sights=[_sight(each) for each in rollouts if each.state is RolloutState.PROGRESSING],
        patiently=any(_lingers(each) for each in rollouts),
    )


def wait(
    step: Step,
    *,
    message: str,
    cursor: JsonObject,
    output: JsonObject,
    sights: Sequence[Sight],
    patiently: bool = False,
) -> Wait:
    """Look again in a while, or when a watch has seen a change in one of the ``sights``.

    ``patiently``: there will be more to ask when the patience is over, without any change.
    """
    pause = PATIENCE - step.waited if patiently else timedelta(0)
    unasked = now() + (pause if pause > timedelta(0) else UNASKED)
    watched = Watched(endpoint=step.endpoint, sights=tuple(sights), until=unasked)
    return Wait(
        until=now() + pause_after(step.waited),
        message=message,
        cursor={**cursor, "since": step.since.isoformat()},
        output=output,
        watched=watched if sights else None,
    )


def pause_after(waited: timedelta) -> timedelta:
    """Every second at first; what takes longer is looked at less often."""
    return timedelta(seconds=min(1 + waited // FIRST_LOOKS, LONGEST_PAUSE_SECONDS))


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


def _ended(step: Step, output: JsonObject, rollouts: Sequence[Rollout]) -> JsonObject:
    """The output with the objects as the cluster holds them at the end: as they were looked at just
    now, or else before.
    """
    reports = cast("list[JsonObject]", output["objects"])
    objects = {rollout.ref: rollout.live for rollout in rollouts}
    objects |= fetch_all(step.cluster, {ref_in(item) for item in reports} - objects.keys())
    response = response_of(filter(None, objects.values()), step.secrets)
    told = [f"{item['ref']}: {item['message']}" for item in reports if item["state"] == FAILED]
    return {**output, "response": {**response, "failures": cast(Json, told)}}


def _findings(step: Step, rollouts: Sequence[Rollout]) -> JsonObject:
    """What is known about each rollout that does not get on; asked for once per reason."""
    before = cast(JsonObject, step.context.cursor.get("findings", {}))
    findings: JsonObject = {}
    for rollout in rollouts:
        reason = _trouble(rollout, is_patient=step.waited < PATIENCE)
        if not reason:
            continue
        known = cast(JsonObject, before.get(_key(rollout), {}))
        if known.get(ASKED) != reason:
            diagnosis = diagnose(step.cluster, rollout)
            known = {**failure_of(rollout.ref, diagnosis, step.secrets), ASKED: reason}
        findings[_key(rollout)] = known
    return findings


def _trouble(rollout: Rollout, *, is_patient: bool) -> str:
    """Why it is worth asking; empty while all is well."""
    if rollout.state is RolloutState.READY:
        return ""
    if rollout.state is RolloutState.FAILED:
        return f"{FAILED} {rollout.reason}"
    if rollout.reason:
        return rollout.reason
    return NOT_READY if _lingers(rollout) and not is_patient else ""


def _lingers(rollout: Rollout) -> bool:
    """Whether a pod runs and is not ready."""
    return any(pod.phase == "Running" and not pod.ready for pod in rollout.pods)


def _sight(rollout: Rollout) -> Sight:
    return sight_of(rollout.ref, rollout.seen)


def sight_of(ref: ObjectRef, seen: str) -> Sight:
    """What was seen of the object at this address."""
    return Sight(
        api_version=ref.api_version,
        kind=ref.kind,
        namespace=ref.namespace,
        name=ref.name,
        seen=seen,
    )


def _key(rollout: Rollout) -> str:
    return f"{rollout.ref.namespace}/{rollout.ref}"

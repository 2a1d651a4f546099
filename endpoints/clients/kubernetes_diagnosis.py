"""Finds out why a rollout does not get on: the events and the last log lines of its new pods.

What the account of the endpoint may not read is left out: a diagnosis never fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from codestream.core.words import Words, gettext_noop, joined
from endpoints.clients.base import ClientError
from endpoints.clients.image_pulls import pull_words
from endpoints.clients.kubernetes import Kubernetes
from endpoints.clients.kubernetes_objects import (
    Body,
    ObjectRef,
    int_at,
    objects_at,
    text_at,
)
from endpoints.clients.pod_states import CRASHING, PodState
from endpoints.clients.rollout import Rollout

MOST_PODS = 3
MOST_EVENTS = 10
LOG_LINES = 10
TOLD_LINES = 3
PULLING = frozenset({"ImagePullBackOff", "ErrImagePull"})
PULL_FAILED = re.compile(r"Failed to pull image ")
PROBE_FAILED = re.compile(r"(Readiness|Startup|Liveness) probe failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLog:
    """The last lines that one container of a pod wrote before it ended, or until now."""

    pod: str
    container: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Why a rollout does not get on, in one sentence, and what that was read from."""

    message: Words
    events: tuple[str, ...] = ()
    logs: tuple[PodLog, ...] = ()
    reason: str = ""


def diagnose(cluster: Kubernetes, rollout: Rollout) -> Diagnosis:
    """Look at the object and at some of the pods that are not ready."""
    ailing = [pod for pod in rollout.pods if pod.reason or not pod.ready][:MOST_PODS]
    ailing.sort(key=lambda pod: (not pod.is_hopeless, not pod.reason))
    namespace = rollout.ref.namespace
    own = _events(cluster, namespace, rollout.ref.kind, rollout.ref.name)
    events = [event for event in own if not _is_of_another(event, rollout)]
    for pod in ailing:
        events += _events(cluster, namespace, "Pod", pod.name)
    events.sort(key=_time)
    logs = [log for pod in ailing for log in _logs(cluster, namespace, pod)]
    words = _words(cluster, rollout, ailing[0], events, logs) if ailing else None
    return Diagnosis(
        message=words or Words.plain(rollout.message),
        reason=rollout.reason or (ailing[0].reason if ailing else ""),
        events=tuple(map(_line, events[-MOST_EVENTS:])),
        logs=tuple(logs),
    )


def _words(
    cluster: Kubernetes,
    rollout: Rollout,
    pod: PodState,
    events: Sequence[Body],
    logs: Sequence[PodLog],
) -> Words:
    """What is known beyond the rollout's own message."""
    known = Words.plain(rollout.message)
    if pod.reason in PULLING:
        why = pull_words(
            _body(cluster, rollout.ref.namespace, pod.name),
            _newest(events, pod.name, PULL_FAILED),
            lambda name: _body(cluster, rollout.ref.namespace, name, kind="Secret"),
        )
        return joined(filter(None, (known, why)), by=": ")
    last = [line for log in logs if log.pod == pod.name for line in log.lines][-TOLD_LINES:]
    if pod.reason == CRASHING and last:
        told = Words(gettext_noop("last lines: %(lines)s"), {"lines": " / ".join(last)})
        return joined([known, told], by="; ")
    if not pod.reason and pod.phase == "Running":
        probe = _newest(events, pod.name, PROBE_FAILED)
        why = Words.plain(probe or gettext_noop("no probe has succeeded yet"))
        text = gettext_noop("pod %(name)s runs and is not ready: %(reason)s")
        return joined([known, Words(text, {"name": pod.name, "reason": why})], by="; ")
    return known


def _events(cluster: Kubernetes, namespace: str, kind: str, name: str) -> list[Body]:
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    with suppress(ClientError):
        found = cluster.list("v1", "Event", namespace=namespace, field_selector=selector)
        return [event.body for event in found]
    return []


def _logs(cluster: Kubernetes, namespace: str, pod: PodState) -> Iterable[PodLog]:
    if pod.reason != CRASHING and pod.phase not in ("Running", "Failed"):
        return
    body = _body(cluster, namespace, pod.name)
    first = next((text_at(each, "name") for each in objects_at(body, "spec", "containers")), "")
    container = pod.container or first
    with suppress(ClientError):
        text = cluster.log(
            namespace,
            pod.name,
            container,
            lines=LOG_LINES,
            previous=pod.reason == CRASHING,
        )
        yield PodLog(pod=pod.name, container=container, lines=tuple(text.splitlines()))


def _body(cluster: Kubernetes, namespace: str, name: str, *, kind: str = "Pod") -> Body:
    """The object, or an empty one where it cannot be read."""
    with suppress(ClientError):
        ref = ObjectRef(api_version="v1", kind=kind, name=name, namespace=namespace)
        return cluster.get(ref).body
    return {}


def _newest(events: Sequence[Body], name: str, wanted: re.Pattern[str]) -> str:
    messages = (
        text_at(event, "message")
        for event in reversed(events)
        if text_at(event, "involvedObject", "name") == name
    )
    return next((message for message in messages if wanted.search(message)), "")


def _is_of_another(event: Body, rollout: Rollout) -> bool:
    """Whether it tells of the replica set of another revision than the newest one's."""
    own = {pod.name.rpartition("-")[0] for pod in rollout.pods}
    is_scaling = text_at(event, "reason") == "ScalingReplicaSet"
    return is_scaling and bool(own) and not own & set(text_at(event, "message").split())


def _time(event: Body) -> str:
    return text_at(event, "lastTimestamp") or text_at(event, "eventTime")


def _line(event: Body) -> str:
    about = f"{text_at(event, 'involvedObject', 'kind')}/{text_at(event, 'involvedObject', 'name')}"
    count = int_at(event, "count", default=1)
    times = f" (x{count})" if count > 1 else ""
    return f"{text_at(event, 'reason')} {about.lower()}: {text_at(event, 'message')}{times}"

"""Faults on demand and a count of calls, for tests and for a person who wants to see a failure.

``POST /_control/fail {"verb": "apply", "resource": "deployments", "status": 503, "times": 2}``,
or ``"mode": "reset"`` instead of a status; an empty verb or resource means any. A ``webhook`` is
the name of an admission webhook that denies with the words ``denial``, or cannot be asked.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from codestream.sandbox.http_server import ConnectionDropped
from codestream.sandbox.kubernetes_answers import ApiError, bad_request
from codestream.sandbox.kubernetes_resources import Body

RETRY_AFTER = {429: "1", 503: "1"}
REASONS = {
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the next ``times`` calls of a verb on a resource meet; ``status`` 0 is a reset."""

    verb: str
    resource: str
    status: int
    times: int
    webhook: str = ""
    denial: str = ""

    def meets(self, verb: str, resource: str) -> bool:
        """Whether a call meets this fault."""
        return self.verb in ("", verb) and self.resource in ("", resource) and self.times > 0


class Faults:
    """The faults that are set, and how often each verb was called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._counts: Counter[str] = Counter()

    def add(self, wish: dict[str, Any]) -> None:
        """Set a fault. Raises ApiError 400 when it names neither a status nor mode reset."""
        status, reset = wish.get("status", 0), wish.get("mode") == "reset"
        webhook, denial = str(wish.get("webhook", "")), str(wish.get("denial", ""))
        if webhook:
            status = 400 if denial else 500
        elif not reset and status not in REASONS:
            raise bad_request(f"status must be one of {sorted(REASONS)}, or mode must be reset")
        fault = Fault(
            verb=str(wish.get("verb", "")),
            resource=str(wish.get("resource", "")),
            status=0 if reset else status,
            times=int(wish.get("times", 1)),
            webhook=webhook,
            denial=denial,
        )
        with self._lock:
            self._faults.append(fault)

    def counts(self) -> Body:
        """How often each ``verb resource`` was called since the start."""
        with self._lock:
            return dict(self._counts)

    def meet(self, verb: str, resource: str) -> None:
        """Count a call, and raise what it is to meet."""
        fault = self._take(verb, resource)
        if fault is None:
            return
        if fault.status == 0:
            raise ConnectionDropped
        if fault.webhook:
            raise _admission(fault)
        headers = {"Retry-After": seconds} if (seconds := RETRY_AFTER.get(fault.status)) else {}
        message = f"the server is asked to fail with {fault.status}"
        raise ApiError(fault.status, REASONS[fault.status], message, headers=headers)

    def _take(self, verb: str, resource: str) -> Fault | None:
        with self._lock:
            self._counts[f"{verb} {resource}"] += 1
            fault = next((f for f in self._faults if f.meets(verb, resource)), None)
            if fault is not None:
                self._faults.remove(fault)
                self._faults.append(replace(fault, times=fault.times - 1))
                self._faults = [f for f in self._faults if f.times > 0]
            return fault


def _admission(fault: Fault) -> ApiError:
    """What a real API server answers when an admission webhook is in the way."""
    if fault.denial:
        message = f'admission webhook "{fault.webhook}" denied the request: {fault.denial}'
        return ApiError(fault.status, "BadRequest", message)
    message = (
        f'Internal error occurred: failed calling webhook "{fault.webhook}": failed to call '
        f'webhook: Post "https://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    return ApiError(fault.status, REASONS[500], message)

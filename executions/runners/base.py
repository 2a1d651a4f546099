"""What a task kind offers: start, look again, cancel; each a short step that may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from codestream.core.errors import CodeStreamError
from codestream.core.json_types import JsonObject
from endpoints.clients.image_references import ImageReference
from endpoints.models import Endpoint
from pipelines.scope import RecordedScope


class TaskFailedError(CodeStreamError):
    """The task has failed for good, for the reason given."""

    code = "task_failed"

    def __init__(self, user_message: str, *, output: JsonObject | None = None) -> None:
        super().__init__(user_message)
        self.output = output or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """All that a runner may know. ``scope`` holds secrets; ``shown`` has stars in their place.

    ``cursor`` is what the last step left behind, empty on the first, and ``output`` what the task
    has told so far; ``answer`` what a person said to a task that held. ``require_held`` raises
    LeaseLostError when another worker has the task: to be called before each change outside.
    """

    execution_id: str
    task_id: str
    input: JsonObject
    endpoints: Mapping[str, str]
    scope: RecordedScope
    shown: RecordedScope
    cursor: JsonObject
    output: JsonObject
    find_endpoint: EndpointFinder
    find_task: TaskFinder
    require_held: Callable[[], None]
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person said to a task that waited for it; the word is the task kind's own."""

    word: str
    by: str
    comment: str = ""


class EndpointFinder(Protocol):
    """Finds an endpoint of the execution's project by name; raises TaskFailedError."""

    def __call__(self, name: str, kind: str) -> Endpoint: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTask:
    """A task that is over: what it was given, what it told, and what its last step kept."""

    id: str
    kind: str
    input: JsonObject
    output: JsonObject
    cursor: JsonObject


class TaskFinder(Protocol):
    """Finds a task that does nothing any more, of any execution of the project.

    Raises TaskFailedError.
    """

    def __call__(self, execution_id: str, stage: str, task: str) -> PastTask: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The task has completed. ``pushes`` are images that it pushed (see ``Runner``)."""

    message: str
    output: JsonObject = field(default_factory=dict)
    input: JsonObject | None = None
    pushes: tuple[ImageReference, ...] = ()


class Sight(NamedTuple):
    """An object of a cluster, and what the task saw of it (``kubernetes_marks.sight``)."""

    api_version: str
    kind: str
    namespace: str
    name: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a task waits for in the cluster of an endpoint.

    Where a watch wakes the task when something of it changes, it need not look before ``until``.
    """

    endpoint: UUID
    sights: tuple[Sight, ...]
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not finished: look again at ``until``, with ``cursor``; at once, under the same claim, where
    that has come. ``pushes`` are images that it has pushed, or will (see ``Runner``).
    """

    until: datetime
    message: str
    cursor: JsonObject
    watched: Watched | None = None
    output: JsonObject = field(default_factory=dict)
    input: JsonObject | None = None
    pushes: tuple[ImageReference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The task is WAITING for a person: look again when there is an answer, or at ``until``.

    ``held_for`` is the engine's: the restricted things that an administrator has to allow.
    """

    message: str
    cursor: JsonObject
    until: datetime | None = None
    output: JsonObject = field(default_factory=dict)
    input: JsonObject | None = None
    held_for: tuple[str, ...] = ()


Outcome = Done | Wait | Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What a canceled task leaves behind: ``message`` says it in one sentence."""

    message: str = ""
    output: JsonObject | None = None


class Runner(Protocol):
    """One task kind. Steps may run twice (a worker can die), so each is idempotent.

    ``start`` looks and changes nothing outside: what called for it may not be on the disk yet.
    ``poll`` comes after a cursor that is. A worker may stand still anywhere and go on when another
    one has long finished the task, and later ones: ``TaskContext.require_held``.

    Errors: TaskFailedError and other CodeStreamErrors end the task; a retryable one is tried
    again until the task's deadline.

    Who pushes an image says so *before* it pushes, by a ``Wait`` with ``pushes`` and without a
    digest where none is known yet: that is committed before the next step begins, so the registry
    cannot notify anybody of a push that is not written down. The outcome that follows may name the
    same image with its digest. Naming it again changes nothing. What is only told afterwards may
    come too late: its notification may have been judged, and have started another run.
    """

    def start(self, context: TaskContext) -> Outcome: ...

    def poll(self, context: TaskContext) -> Outcome: ...

    def cancel(self, context: TaskContext) -> Stopped | None: ...

"""Delivers pushes as Docker Hub does, over connections that are kept open.

``python -m benchmarks.client`` does it in a process of its own, so that the sender shares no
interpreter with what is measured (see ``Senders``). Requests and answers are handled as bytes: the
sender has to cost little beside the server.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count, islice, takewhile
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bench import ROOT, BenchmarkError

ANSWER_SECONDS = 60.0
PIECE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """An image that was pushed, and the hook that is to hear of it."""

    hook: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a delivery came to; the times are those of the clock.

    ``event`` names the row that the product stored; it is empty where another server answered.
    """

    hook: str
    tag: str
    status: int
    event: str
    sent: float
    answered: float

    @property
    def milliseconds(self) -> float:
        """How long the sender waited."""
        return (self.answered - self.sent) * 1000


def body_of(tag: str) -> bytes:
    """Return a notification in the form of Docker Hub, of the same size for tags of one length."""
    return json.dumps(
        {
            "callback_url": "https://registry.hub.docker.com/u/demo/web/hook/2141b5bi5i5b02bec211i/",
            "push_data": {"pushed_at": 1_760_000_000, "pusher": "demo", "tag": tag, "images": []},
            "repository": {
                "comment_count": 0,
                "date_created": 1_700_000_000,
                "description": "",
                "full_description": "The shop, as its customers see it.\n",
                "is_official": False,
                "is_private": True,
                "is_trusted": False,
                "name": "web",
                "namespace": "demo",
                "owner": "demo",
                "repo_name": "demo/web",
                "repo_url": "https://hub.docker.com/r/demo/web",
                "star_count": 0,
                "status": "Active",
            },
        }
    ).encode()


def tags(first: int = 0, step: int = 1) -> Iterator[str]:
    """Return tags of one length, without end."""
    return (f"1.{number:012}" for number in count(first, step))


def deliver(pushes: Iterable[Push], *, connections: int = 1) -> list[Answer]:
    """Deliver the pushes in their order, as many at a time as there are connections.

    Raises BenchmarkError when a connection breaks or an answer does not come.
    """
    waiting = iter(pushes)
    answers: list[Answer] = []
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for push in islice(waiting, connections):
            line = _Line(push)
            stack.enter_context(line.socket)
            selector.register(line.socket, selectors.EVENT_READ, line)
        while selector.get_map():
            ready = selector.select(ANSWER_SECONDS)
            if not ready:
                raise BenchmarkError("A push got no answer.")
            for key, _events in ready:
                line = key.data
                answer = line.read()
                if answer is None:
                    continue
                answers.append(answer)
                following = next(waiting, None)
                if following is None:
                    selector.unregister(line.socket)
                else:
                    line.send(following)
    return answers


class _Line:
    """One connection to the server of a hook, with one push under way."""

    def __init__(self, push: Push) -> None:
        place = urlsplit(push.hook)
        self.socket = socket.create_connection((place.hostname or "", place.port or 80))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(push)

    def send(self, push: Push) -> None:
        self._push, self._heard = push, b""
        request = _request(push)
        self._sent = time.time()
        self.socket.sendall(request)

    def read(self) -> Answer | None:
        """Return the answer as soon as all of it is there."""
        piece = self.socket.recv(PIECE)
        if not piece:
            raise BenchmarkError("The server closed a connection without an answer.")
        self._heard += piece
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found or not _is_whole(head, body):
            return None
        answered = time.time()
        status = int(head.split(b" ", 2)[1])
        return Answer(
            hook=self._push.hook,
            tag=self._push.tag,
            status=status,
            event=json.loads(body)["id"] if status == 200 and body[:1] == b"{" else "",
            sent=self._sent,
            answered=answered,
        )


def _request(push: Push) -> bytes:
    place, body = urlsplit(push.hook), body_of(push.tag)
    head = (
        f"POST {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        "User-Agent: Go-http-client/1.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _is_whole(head: bytes, body: bytes) -> bool:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
        if line == b"transfer-encoding: chunked":
            return (b"\r\n" + body).endswith(b"\r\n0\r\n\r\n")
    raise BenchmarkError(f"An answer without a length: {head!r}")


class Senders:
    """Processes that push over one connection each, all at the same time.

    They are started once, so that no interpreter starts while something is measured.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._stack = ExitStack()
        self._turns = count()

    def __enter__(self) -> Senders:
        command = [sys.executable, "-m", "benchmarks.client"]
        self._senders = [
            self._stack.enter_context(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(self._number)
        ]
        for sender in self._senders:
            _hear(sender)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sender in self._senders:
            if sender.stdin is not None:
                sender.stdin.close()
        self._stack.close()

    def push_for(self, seconds: float, hook: str) -> list[Answer]:
        """Let all push to the hook for so long, one push after another, each with its own tag."""
        turn = next(self._turns)
        for place, sender in enumerate(self._senders):
            # A hundred million tags for each turn, dealt to the senders in turn.
            job = {"hook": hook, "seconds": seconds, "first": turn * 10**8 + place}
            assert sender.stdin is not None  # noqa: S101 - it is a pipe
            sender.stdin.write(json.dumps({**job, "step": self._number}) + "\n")
            sender.stdin.flush()
        return [Answer(**answer) for sender in self._senders for answer in _hear(sender)]


def _hear(sender: subprocess.Popen[str]) -> Any:
    assert sender.stdout is not None  # noqa: S101 - it is a pipe
    line = sender.stdout.readline()
    if not line:
        raise BenchmarkError("A sender ended; see above.")
    return json.loads(line)


def _push_on_request() -> None:
    """Say that this process is ready, then push whenever a line asks for it."""
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        answers = deliver(_pushes_for(**job))
        print(json.dumps([asdict(answer) for answer in answers]), flush=True)


def _pushes_for(seconds: float, hook: str, first: int, step: int) -> Iterator[Push]:
    until = time.time() + seconds
    pushes = (Push(hook=hook, tag=tag) for tag in tags(first, step))
    return takewhile(lambda _push: time.time() < until, pushes)


if __name__ == "__main__":
    _push_on_request()

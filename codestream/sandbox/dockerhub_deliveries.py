"""Plays the sending half of Docker Hub: one POST per webhook, once, without a signature."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections import defaultdict, deque
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from codestream.sandbox.dockerhub_repositories import Call, Hook, Repository
from codestream.sandbox.dockerhub_store import Store

SECONDS = 10
MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
CALLBACK = "https://registry.hub.docker.com"
DRIPS = 10
MOST_KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How notifications are sent.

    ``concurrently``, or one after another; the body in ``DRIPS`` parts with ``drip_seconds``
    between them; a ``Content-Length`` that is wrong by ``length_off_by`` bytes.
    """

    concurrently: bool = True
    drip_seconds: float = 0.0
    length_off_by: int = 0


PLAIN = Manner()


def push_body(
    repository: Repository,
    tag: str,
    pusher: str,
    *,
    description: str | None = None,
    callback: str = CALLBACK,
) -> bytes:
    """The notification of the present generation: no digest, no id, ``images`` always empty.

    ``callback`` is the origin of its ``callback_url``, which nobody ought to call.
    """
    full_name = repository.full_name
    body = {
        "callback_url": f"{callback}/u/{full_name}/hook/{uuid.uuid4().hex}/",
        "push_data": {
            "pusher": pusher,
            "pushed_at": int(time.time()),
            "tag": tag,
            "images": [],
            "media_type": MEDIA_TYPE,
        },
        "repository": {
            "status": "Active",
            "namespace": repository.namespace,
            "name": repository.name,
            "repo_name": full_name,
            "repo_url": f"https://hub.docker.com/r/{full_name}",
            "description": "",
            "full_description": description,
            "star_count": 0,
            "is_private": repository.is_private,
            "is_trusted": False,
            "is_official": False,
            "owner": repository.namespace,
            "date_created": repository.date_created,
        },
    }
    return json.dumps(body).encode()


class Deliveries:
    """Sends notifications in the background and writes the outcome into the history."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads: list[threading.Thread] = []
        self._sent: dict[str, deque[bytes]] = defaultdict(lambda: deque(maxlen=MOST_KEPT))

    def send(
        self, repository: Repository, body: bytes, *, times: int = 1, manner: Manner = PLAIN
    ) -> int:
        """Send these bytes to every webhook of the repository; return how often."""
        bodies = [body] * times
        self._sent[repository.full_name].extend(bodies)
        return self._send_all(repository, bodies, manner)

    def replay(self, repository: Repository, last: int, *, backwards: bool) -> int:
        """Send the last notifications once more, byte by byte, one after another."""
        bodies = list(self._sent[repository.full_name])[-last:]
        if backwards:
            bodies.reverse()
        return self._send_all(repository, bodies, Manner(concurrently=False))

    def wait(self) -> None:
        """Return when everything under way has come to its end."""
        for thread in tuple(self._threads):
            thread.join(SECONDS + 5)

    def _send_all(self, repository: Repository, bodies: list[bytes], manner: Manner) -> int:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        with self._store.changing():
            posts = [
                (hook, hook.begin_call(), body) for body in bodies for hook in repository.hooks
            ]
        lines = [[post] for post in posts] if manner.concurrently else [posts]
        for line in lines:
            thread = threading.Thread(target=self._deliver, args=(line, manner), daemon=True)
            self._threads.append(thread)
            thread.start()
        return len(posts)

    def _deliver(self, posts: list[tuple[Hook, Call, bytes]], manner: Manner) -> None:
        for hook, call, body in posts:
            outcome = "success" if _post(hook.hook_url, body, manner) else "error"
            with self._store.changing():
                call.status = outcome


def _post(url: str, body: bytes, manner: Manner) -> bool:
    """Whether the receiver answered 2xx in time. A redirect is followed nowhere."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        with closing(connect(parts.netloc, timeout=SECONDS)) as connection:
            path = parts.path or "/"
            connection.putrequest("POST", f"{path}?{parts.query}" if parts.query else path)
            connection.putheader("Content-Type", "application/json")
            connection.putheader("User-Agent", "webhook/1.0")
            connection.putheader("Content-Length", str(len(body) + manner.length_off_by))
            connection.endheaders()
            _send_body(connection, body, manner)
            return 200 <= connection.getresponse().status < 300
    except (HTTPException, OSError, ValueError):
        return False


def _send_body(connection: HTTPConnection, body: bytes, manner: Manner) -> None:
    size = max(1, -(-len(body) // DRIPS)) if manner.drip_seconds else max(1, len(body))
    for start in range(0, len(body), size):
        connection.send(body[start : start + size])
        time.sleep(manner.drip_seconds)
    if manner.length_off_by > 0 and connection.sock is not None:
        # Nothing more comes; a sender that gave up closes its side.
        connection.sock.shutdown(socket.SHUT_WR)

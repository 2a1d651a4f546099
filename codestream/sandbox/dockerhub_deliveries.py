"""Plays the sending half of Docker Hub: one POST per webhook, once, without a signature."""

from __future__ import annotations

import json
import threading
import time
import uuid
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from codestream.sandbox.dockerhub_repositories import Call, Hook, Repository
from codestream.sandbox.dockerhub_store import Store

SECONDS = 10
MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"


class _StayHere(HTTPRedirectHandler):
    """Follows no redirect: the 3xx becomes an error like any other."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Go nowhere."""
        return


def _opener() -> OpenerDirector:
    return build_opener(ProxyHandler({}), _StayHere())


def push_body(repository: Repository, tag: str, pusher: str) -> dict[str, Any]:
    """The notification of the present generation: no digest, no id, ``images`` always empty."""
    full_name = repository.full_name
    return {
        "callback_url": f"https://registry.hub.docker.com/u/{full_name}/hook/{uuid.uuid4().hex}/",
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
            "full_description": None,
            "star_count": 0,
            "is_private": repository.is_private,
            "is_trusted": False,
            "is_official": False,
            "owner": repository.namespace,
            "date_created": repository.date_created,
        },
    }


class Deliveries:
    """Sends notifications in the background and writes the outcome into the history."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads: list[threading.Thread] = []

    def announce(self, repository: Repository, tag: str, pusher: str) -> int:
        """Notify every webhook of the repository of a push; return how many there are."""
        return self.send(repository, json.dumps(push_body(repository, tag, pusher)).encode())

    def send(self, repository: Repository, body: bytes) -> int:
        """Send these bytes to every webhook of the repository; return how many there are."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        with self._store.changing():
            calls = [(hook, hook.begin_call()) for hook in repository.hooks]
        for hook, call in calls:
            thread = threading.Thread(target=self._deliver, args=(hook, call, body), daemon=True)
            self._threads.append(thread)
            thread.start()
        return len(calls)

    def wait(self) -> None:
        """Return when everything under way has come to its end."""
        for thread in tuple(self._threads):
            thread.join(SECONDS + 5)

    def _deliver(self, hook: Hook, call: Call, body: bytes) -> None:
        outcome = "success" if _post(hook.hook_url, body) else "error"
        with self._store.changing():
            call.status = outcome


def _post(url: str, body: bytes) -> bool:
    """Whether the receiver answered 2xx in time."""
    headers = {"Content-Type": "application/json", "User-Agent": "webhook/1.0"}
    try:
        request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310 checked at creation
        with _opener().open(request, timeout=SECONDS):
            return True
    except (URLError, HTTPException, OSError, ValueError):
        return False

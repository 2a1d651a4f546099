"""What a person or a test does at the Docker Hub stand-in: push, look, and switch on failures."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any
from urllib.parse import urlsplit

from codestream.sandbox.dockerhub_accounts import ADMIN_SCOPE
from codestream.sandbox.dockerhub_deliveries import CALLBACK, PLAIN, Deliveries, Manner, push_body
from codestream.sandbox.dockerhub_failures import Failures, Mode
from codestream.sandbox.dockerhub_habits import Habits
from codestream.sandbox.dockerhub_page import render
from codestream.sandbox.dockerhub_repositories import Hook, Repository
from codestream.sandbox.dockerhub_store import Store
from codestream.sandbox.http_server import (
    Request,
    Response,
    Router,
    html_response,
    json_response,
    redirect_response,
    text_response,
)

NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*")


class HubControl:
    """An application for the page, its form, and the paths under ``/_control/``.

    It asks for no password, so it belongs on a loopback address; a browser may use it from its
    own page only.
    """

    def __init__(
        self, store: Store, failures: Failures, habits: Habits, deliveries: Deliveries
    ) -> None:
        self._store = store
        self._failures = failures
        self._habits = habits
        self._deliveries = deliveries
        self._callbacks = 0
        self._router = Router()
        self._router.add("GET", "/", self._show_page)
        self._router.add("GET", "/healthz", lambda _request: json_response({"ok": True}))
        self._router.add("POST", "/push", self._push_by_form)
        self._router.add("GET", "/_control/state", self._show_state)
        self._router.add("POST", "/_control/push", self._push)
        self._router.add("POST", "/_control/deliver", self._deliver)
        self._router.add("POST", "/_control/replay", self._replay)
        for method in ("GET", "POST"):
            self._router.add(method, "/u/{namespace}/{repository}/hook/{token}/", self._call_back)
        self._router.add("POST", "/_control/fail", self._fail)
        self._router.add("POST", "/_control/heal", self._heal)
        self._router.add("POST", "/_control/habits", self._change_habits)
        self._router.add("POST", "/_control/hook", self._add_hook)
        self._router.add("POST", "/_control/unhook", self._remove_hook)
        self._router.add("POST", "/_control/double", self._double_hook)
        self._router.add("POST", "/_control/account", self._add_account)
        self._router.add("POST", "/_control/repository", self._add_repository)
        self._router.add("POST", "/_control/tokens", self._change_tokens)

    def __call__(self, request: Request) -> Response:
        """Answer; a wrong or missing value is 400, another site's page 403."""
        origin = request.headers.get("Origin")
        if origin and urlsplit(origin).netloc != urlsplit(request.base_url).netloc:
            return json_response({"detail": "Another site's page may not do this."}, 403)
        try:
            return self._router(request)
        except (KeyError, ValueError) as error:
            return json_response({"detail": f"Missing or wrong: {error}"}, 400)

    def push(
        self,
        image: str,
        tag: str,
        pusher: str = "",
        *,
        description: str | None = None,
        callback: str = CALLBACK,
        times: int = 1,
        manner: Manner = PLAIN,
    ) -> int:
        """Play ``docker push``: a new repository is made. Return the number of notifications.

        Each webhook is told ``times``, as of a push for several architectures. Raises ValueError
        when ``image`` is not namespace/repository or the tag is empty. The tag may be one that
        Docker Hub would refuse, to play a hostile sender.
        """
        repository = self._named(image)
        if not tag:
            raise ValueError("tag")
        with self._store.changing():
            repository.push(tag)
        body = push_body(
            repository,
            tag,
            pusher or repository.namespace,
            description=description,
            callback=callback,
        )
        return self._deliveries.send(repository, body, times=times, manner=manner)

    def _named(self, image: str) -> Repository:
        namespace, _, name = image.partition("/")
        if not NAME.fullmatch(namespace) or not NAME.fullmatch(name):
            raise ValueError("image: write namespace/repository")
        return self._store.add_repository(namespace, name)

    def _show_page(self, _request: Request) -> Response:
        repositories = list(self._store.repositories.values())
        example = repositories[0].full_name if repositories else "demo/web"
        return html_response(render(repositories, example))

    def _push_by_form(self, request: Request) -> Response:
        form = request.form()
        self.push(form["image"].strip(), form["tag"].strip())
        return redirect_response("/")

    def _push(self, request: Request) -> Response:
        body = _object(request)
        size = int(body.get("description_bytes", 0))
        sent = self.push(
            f"{body['namespace']}/{body['repository']}",
            str(body["tag"]),
            str(body.get("pusher", "")),
            description="x" * size or None,
            callback=request.base_url,
            times=int(body.get("times", 1)),
            manner=_manner(body),
        )
        return json_response({"notifications": sent}, 201)

    def _deliver(self, request: Request) -> Response:
        body = _object(request)
        repository = self._named(f"{body['namespace']}/{body['repository']}")
        raw = b64decode(body["base64"]) if "base64" in body else str(body["body"]).encode()
        times, manner = int(body.get("times", 1)), _manner(body)
        sent = self._deliveries.send(repository, raw, times=times, manner=manner)
        return json_response({"notifications": sent}, 201)

    def _replay(self, request: Request) -> Response:
        body = _object(request)
        repository = self._named(f"{body['namespace']}/{body['repository']}")
        sent = self._deliveries.replay(repository, int(body["last"]), backwards=True)
        return json_response({"notifications": sent}, 201)

    def _fail(self, request: Request) -> Response:
        body = _object(request)
        self._failures.fail(body["route"], Mode(body["mode"]), times=int(body.get("times", 1)))
        return json_response({}, 201)

    def _heal(self, _request: Request) -> Response:
        self._failures.clear()
        self._habits.forget()
        return json_response({}, 201)

    def _change_habits(self, request: Request) -> Response:
        self._habits.change(_object(request))
        return json_response({}, 201)

    def _add_hook(self, request: Request) -> Response:
        """What a person does in Docker Hub's own page, behind every client's back."""
        body = _object(request)
        repository = self._named(f"{body['namespace']}/{body['repository']}")
        with self._store.changing():
            hook = repository.add_hook(
                str(body["name"]), str(body["url"]), expect_final_callback=False
            )
        return json_response({"slug": hook.slug}, 201)

    def _remove_hook(self, request: Request) -> Response:
        body = _object(request)
        repository = self._named(f"{body['namespace']}/{body['repository']}")
        with self._store.changing():
            repository.hooks.remove(_hook_named(repository, body["slug"]))
        return json_response({}, 201)

    def _double_hook(self, request: Request) -> Response:
        body = _object(request)
        repository = self._named(f"{body['namespace']}/{body['repository']}")
        with self._store.changing():
            hook = _hook_named(repository, body["slug"])
            made = repository.add_hook(
                str(body.get("name", f"{hook.name} again")),
                hook.hook_url,
                expect_final_callback=False,
            )
        return json_response({"slug": made.slug}, 201)

    def _add_account(self, request: Request) -> Response:
        body = _object(request)
        with self._store.changing():
            self._store.accounts.add(
                str(body["username"]),
                str(body["password"]),
                has_second_factor=body.get("two_factor") is True,
                scope=str(body.get("scope", ADMIN_SCOPE)),
                is_organisation=body.get("organisation") is True,
            )
        return json_response({}, 201)

    def _add_repository(self, request: Request) -> Response:
        body = _object(request)
        self._store.add_repository(
            str(body["namespace"]),
            str(body["repository"]),
            is_private=body.get("private") is True,
            admins=body.get("admins"),
        )
        return json_response({}, 201)

    def _change_tokens(self, request: Request) -> Response:
        body = _object(request)
        with self._store.changing():
            if body.get("expire") is True:
                self._store.accounts.generation += 1
            if "seconds" in body:
                self._store.accounts.token_seconds = int(body["seconds"])
        return json_response({}, 201)

    def _call_back(self, _request: Request, **_names: str) -> Response:
        """What is left of the callbacks of old: nothing, or a refusal; that it came is counted."""
        self._callbacks += 1
        if self._habits.callback == 400:
            return text_response("Update not allowed", 400)
        return json_response({"message": "404: Page Not Found"}, 404)

    def _show_state(self, _request: Request) -> Response:
        repositories = [_shown(each) for each in self._store.repositories.values()]
        return json_response({"repositories": repositories, "callbacks": self._callbacks})


def _hook_named(repository: Repository, slug: object) -> Hook:
    hook = repository.hook(str(slug))
    if hook is None:
        raise ValueError("slug")
    return hook


def _shown(repository: Repository) -> dict[str, Any]:
    shown = repository.dump()
    shown["hooks"] = [
        {
            "slug": hook.slug,
            "name": hook.name,
            "url": hook.masked_url,
            "history": [call.status for call in hook.history],
        }
        for hook in repository.hooks
    ]
    return shown


def _manner(body: dict[str, Any]) -> Manner:
    """How a notification is sent: concurrently, in drips, with a length that is not its own."""
    return Manner(
        concurrently=body.get("concurrently", True) is True,
        drip_seconds=float(body.get("drip_seconds", 0)),
        length_off_by=int(body.get("length_off_by", 0)),
    )


def _object(request: Request) -> dict[str, Any]:
    body = request.json()
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object")
    return body

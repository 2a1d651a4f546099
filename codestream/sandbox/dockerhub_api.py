"""The routes of Docker Hub that Codestream uses, answered from the store of the stand-in."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from codestream.sandbox.dockerhub_accounts import ADMIN_SCOPE, Account
from codestream.sandbox.dockerhub_failures import (
    ADMIN_NEEDED,
    TOKEN_TOO_WEAK,
    Failures,
    Mode,
    cloudflare_block,
    name_taken,
    not_found_page,
)
from codestream.sandbox.dockerhub_habits import Habits
from codestream.sandbox.dockerhub_repositories import Hook, Repository
from codestream.sandbox.dockerhub_store import Store
from codestream.sandbox.http_server import (
    Request,
    Response,
    Router,
    json_response,
    redirect_response,
)

PAGE_SIZE = 10
LARGEST_PAGE = 100
CALLS_PER_MINUTE = 600
REPOSITORY = "/v2/repositories/{namespace}/{repository}/"
HOOKS = f"{REPOSITORY}webhook_pipeline/"
Work = Callable[[Repository], Response]
# The protection in front of Docker Hub turns away clients that do not say who they are.
LIBRARY_CLIENT = re.compile(r"python-requests|python-urllib|$", re.IGNORECASE)


class HubApi:
    """An application for the paths under ``/v2/``."""

    def __init__(self, store: Store, failures: Failures, habits: Habits) -> None:
        self._store = store
        self._failures = failures
        self._habits = habits
        self._router = Router()
        for slash in ("", "/"):
            self._router.add("POST", f"/v2/auth/token{slash}", self._auth_token)
            self._router.add("POST", f"/v2/users/login{slash}", self._users_login)
            self._router.add("POST", f"/v2/users/2fa-login{slash}", self._second_factor)
        self._router.add("GET", REPOSITORY, self._show_repository)
        self._router.add("GET", f"{REPOSITORY}tags/", self._list_tags)
        self._router.add("GET", HOOKS, self._list_hooks)
        self._router.add("POST", HOOKS, self._create_hook)
        self._router.add("DELETE", f"{HOOKS}{{slug}}/", self._delete_hook)
        self._router.add("GET", f"{HOOKS}{{slug}}/history/", self._show_history)

    def __call__(self, request: Request) -> Response:
        """Answer as Docker Hub does, its protection in front included."""
        if LIBRARY_CLIENT.match(request.headers.get("User-Agent", "")):
            return cloudflare_block()
        if request.path.startswith("/v2/repositories/") and not request.path.endswith("/"):
            query = f"?{urlencode(request.query)}" if request.query else ""
            return redirect_response(f"{request.base_url}{request.path}/{query}", 301)
        answer = self._router(request)
        return _with_headers(answer)

    def _auth_token(self, request: Request) -> Response:
        body = _object(request)
        username, password = str(body.get("identifier", "")), str(body.get("secret", ""))
        return self._failures.suffer(
            "login", lambda: self._sign_in(username, password, "access_token")
        )

    def _users_login(self, request: Request) -> Response:
        body = _object(request)
        username, password = str(body.get("username", "")), str(body.get("password", ""))
        return self._failures.suffer("login", lambda: self._sign_in(username, password, "token"))

    def _second_factor(self, _request: Request) -> Response:
        return json_response({"detail": "Incorrect authentication credentials"}, 401)

    def _sign_in(self, username: str, password: str, key: str) -> Response:
        accounts = self._store.accounts
        if accounts.is_locked(username):
            return json_response({"detail": "Too many failed login attempts", "error": False}, 429)
        account = accounts.check(username, password)
        if account is None:
            return json_response({"detail": "Incorrect authentication credentials"}, 401)
        if account.has_second_factor:
            detail = "Require secondary authentication on MFA enabled account"
            token = secrets.token_urlsafe(16)
            status = self._habits.second_factor
            return json_response({"detail": detail, "login_2fa_token": token}, status)
        return json_response({key: accounts.issue_token(account)})

    def _show_repository(self, request: Request, namespace: str, repository: str) -> Response:
        def work() -> Response:
            account = self._account(request)
            found = self._visible(account, namespace, repository)
            return self._not_found() if found is None else json_response(_detail(found, account))

        return self._failures.suffer("repository", work)

    def _list_tags(self, request: Request, namespace: str, repository: str) -> Response:
        def work() -> Response:
            found = self._visible(self._account(request), namespace, repository)
            if found is None:
                return self._not_found()
            rows = [
                {
                    "name": name,
                    "digest": tag.digest,
                    "last_updated": tag.last_updated,
                    "tag_last_pushed": tag.last_updated,
                }
                for name, tag in found.tags.items()
            ]
            return _page(request, sorted(rows, key=lambda row: row["last_updated"], reverse=True))

        return self._failures.suffer("tags", work)

    def _list_hooks(self, request: Request, namespace: str, repository: str) -> Response:
        def work(managed: Repository) -> Response:
            return _page(request, [_hook(hook) for hook in managed.hooks])

        def moving(managed: Repository) -> Response:
            answer = work(managed)
            with self._store.changing():
                managed.move_first_to_end()
            return answer

        def old(managed: Repository) -> Response:
            return _page(request, [_hook(hook) for hook in managed.hooks[:-1]])

        own = {Mode.LIST_MOVES: moving, Mode.LIST_IS_OLD: old}
        return self._managed("list", request, namespace, repository, work, own)

    def _create_hook(self, request: Request, namespace: str, repository: str) -> Response:
        def work(managed: Repository) -> Response:
            body = _object(request)
            with self._store.changing():
                if faults := _faults(body):
                    return json_response(faults, 400)
                if any(hook.name == body["name"] for hook in managed.hooks):
                    return name_taken(body["name"], self._habits.name_taken)
                hook = managed.add_hook(
                    body["name"],
                    body["webhooks"][0]["hook_url"],
                    expect_final_callback=body.get("expect_final_callback") is True,
                )
            return json_response(_hook(hook), 201)

        return self._managed("create", request, namespace, repository, work)

    def _delete_hook(
        self, request: Request, namespace: str, repository: str, slug: str
    ) -> Response:
        def work(managed: Repository) -> Response:
            with self._store.changing():
                hook = managed.hook(slug)
                if hook is None:
                    return self._not_found()
                managed.hooks.remove(hook)
            return Response(status=204)

        return self._managed("delete", request, namespace, repository, work)

    def _show_history(
        self, request: Request, namespace: str, repository: str, slug: str
    ) -> Response:
        def work(managed: Repository) -> Response:
            hook = managed.hook(slug)
            if hook is None:
                return self._not_found()
            calls = [
                {"uuid": call.uuid, "status": call.status, "created": call.created}
                for call in reversed(hook.history)
            ]
            return _page(request, calls)

        return self._managed("history", request, namespace, repository, work)

    def _managed(
        self,
        route: str,
        request: Request,
        namespace: str,
        repository: str,
        work: Work,
        own: Mapping[Mode, Work] | None = None,
    ) -> Response:
        """Do work that only an administrator of the repository may do."""

        def allowed(work: Work) -> Callable[[], Response]:
            return lambda: self._if_allowed(request, namespace, repository, work)

        plays = {mode: allowed(play) for mode, play in (own or {}).items()}
        return self._failures.suffer(route, allowed(work), plays)

    def _if_allowed(
        self, request: Request, namespace: str, repository: str, work: Work
    ) -> Response:
        account = self._account(request)
        if account is None:
            return json_response({"detail": "Incorrect authentication credentials"}, 401)
        found = self._visible(account, namespace, repository)
        if found is None:
            return self._not_found()
        if account.username not in found.admins:
            if self._habits.no_right == 404:
                return self._not_found()
            return json_response({"detail": ADMIN_NEEDED}, 403)
        if account.scope != ADMIN_SCOPE:
            return json_response({"errinfo": {}, "message": TOKEN_TOO_WEAK}, 403)
        if account.is_organisation and not self._habits.organisation_tokens:
            message = "token issued from organization access token is not allowed"
            return json_response({"errinfo": {}, "message": message}, 403)
        return work(found)

    def _not_found(self) -> Response:
        if self._habits.not_found == "html":
            return not_found_page()
        return json_response({"detail": "Object not found"}, 404)

    def _account(self, request: Request) -> Account | None:
        return self._store.accounts.identify(request.headers.get("Authorization", ""))

    def _visible(
        self, account: Account | None, namespace: str, repository: str
    ) -> Repository | None:
        found = self._store.repositories.get(f"{namespace}/{repository}")
        if found is None or not found.is_private:
            return found
        return found if account is not None and account.username in found.admins else None


def _faults(body: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with a new webhook, as Docker Hub says it; empty when nothing is."""
    name, hooks = body.get("name"), body.get("webhooks")
    if not isinstance(name, str) or not name:
        return {"name": ["This field is required."]}
    if len(name) < 3:
        return {"name": ["Ensure this field has at least 3 characters."]}
    if not isinstance(hooks, list) or not hooks:
        return {"webhooks": ["This field is required."]}
    if not all(isinstance(hook, dict) and _is_http_url(hook.get("hook_url")) for hook in hooks):
        return {"webhooks": [{"hook_url": ["Invalid value."]}]}
    return {}


def _is_http_url(value: object) -> bool:
    if not isinstance(value, str) or re.search(r"\s", value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _hook(hook: Hook) -> dict[str, Any]:
    times = {"created": hook.created, "last_updated": hook.last_updated}
    return {
        "slug": hook.slug,
        "name": hook.name,
        "expect_final_callback": hook.expect_final_callback,
        "webhooks": [{"name": hook.name, "hook_url": hook.hook_url, **times}],
        **times,
    }


def _detail(repository: Repository, account: Account | None) -> dict[str, Any]:
    is_admin = account is not None and account.username in repository.admins
    return {
        "user": repository.namespace,
        "namespace": repository.namespace,
        "name": repository.name,
        "repository_type": "image",
        "status": 1,
        "is_private": repository.is_private,
        "permissions": {"read": True, "write": is_admin, "admin": is_admin},
    }


def _page(request: Request, rows: list[Any]) -> Response:
    """One page of the rows in the usual envelope, with absolute links."""
    size = min(_positive(request, "page_size", PAGE_SIZE), LARGEST_PAGE)
    number = _positive(request, "page", 1)
    start = (number - 1) * size
    if start and start >= len(rows):
        return json_response({"detail": "Invalid page."}, 404)

    def link(page: int) -> str:
        return f"{request.base_url}{request.path}?page={page}&page_size={size}"

    return json_response(
        {
            "count": len(rows),
            "next": link(number + 1) if start + size < len(rows) else None,
            "previous": link(number - 1) if number > 1 else None,
            "results": rows[start : start + size],
        }
    )


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return max(int(text), 1) if text.isdecimal() else default


def _object(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _with_headers(answer: Response) -> Response:
    limits = {
        "X-RateLimit-Limit": str(CALLS_PER_MINUTE),
        "X-RateLimit-Remaining": str(CALLS_PER_MINUTE - 1),
        "X-RateLimit-Reset": str(int(time.time()) + 60),
    }
    return Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        headers={**limits, **answer.headers},
        is_cut_off=answer.is_cut_off,
    )

"""Signing in to a registry, by password and by token, and what it means when that fails."""

from __future__ import annotations

import base64

import pytest
from pytest_django.fixtures import Settings

from codestream.sandbox.http_server import (
    Application,
    ConnectionDropped,
    HttpServer,
    Request,
    Response,
    json_response,
    text_response,
)
from endpoints.clients.base import (
    Blocked,
    ClientError,
    Forbidden,
    NotFound,
    Protocol,
    RateLimited,
    ServerFault,
    Unauthorized,
    Unreachable,
)
from endpoints.clients.docker_registry import DockerRegistry

PASSWORD = "registry-pass-0815"
BASIC = "Basic " + base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
TAGS = "/v2/acme/web/tags/list"


def by_password(request: Request) -> Response:
    """A registry that takes the password itself."""
    if request.headers.get("Authorization") != BASIC:
        return json_response({}, 401, {"WWW-Authenticate": 'Basic realm="registry"'})
    if request.path != TAGS:
        return json_response({"errors": [{"code": "NAME_UNKNOWN"}]}, 404)
    return json_response({"name": "acme/web", "tags": ["1"]})


def by_token(request: Request, realm: str = "") -> Response:
    """A registry that wants a token, made at ``realm``, else by itself."""
    given = request.headers.get("Authorization")
    if request.path == "/auth/token":
        right = given == BASIC and request.query == {"service": "dtr", "scope": "pull"}
        return json_response({"token": "t0ken"}) if right else json_response({}, 401)
    if given == "Bearer t0ken":
        return json_response({"name": "acme/web", "tags": None})
    where = realm or f"{request.base_url}/auth/token"
    challenge = f'Bearer realm="{where}",service="dtr",scope="pull",error="insufficient_scope"'
    return json_response({}, 401, {"WWW-Authenticate": challenge})


def drop(_request: Request) -> Response:
    raise ConnectionDropped


def ask(
    settings: Settings,
    application: Application,
    *,
    password: str = PASSWORD,
    repository: str = "web",
) -> None:
    with HttpServer(application) as server:
        settings.OUTGOING_ALLOW = [server.url.removeprefix("http://")]
        with DockerRegistry(server.url, "robot", password) as registry:
            registry.check_repository("acme", repository)


@pytest.mark.parametrize("application", [by_password, by_token])
def test_the_right_password_opens_the_registry(
    settings: Settings, application: Application
) -> None:
    ask(settings, application)


@pytest.mark.parametrize("application", [by_password, by_token])
def test_a_wrong_password_is_refused(settings: Settings, application: Application) -> None:
    with pytest.raises(Unauthorized) as refused:
        ask(settings, application, password="wrong-password")

    assert "wrong-password" not in refused.value.user_message


def test_a_missing_repository_is_named(settings: Settings) -> None:
    with pytest.raises(NotFound, match="acme/gone"):
        ask(settings, by_password, repository="gone")


def test_the_password_is_not_sent_to_a_foreign_maker_of_tokens(settings: Settings) -> None:
    asked: list[Request] = []

    def foreign(request: Request) -> Response:
        asked.append(request)
        return json_response({"token": "t0ken"})

    with HttpServer(foreign) as other:
        settings.OUTGOING_ALLOW = [other.url.removeprefix("http://")]
        with pytest.raises(Blocked, match="another address"):
            ask(settings, lambda request: by_token(request, f"{other.url}/auth/token"))

    assert asked == []


@pytest.mark.parametrize(
    ("application", "error"),
    [
        (lambda _request: json_response({"errors": []}, 403), Forbidden),
        (lambda _request: text_response("<html>Access denied</html>", 403), Blocked),
        (lambda _request: text_response("slow down", 429), RateLimited),
        (lambda _request: text_response("oops", 502), ServerFault),
        (lambda _request: text_response("<html>Welcome</html>"), Protocol),
        (lambda _request: json_response([]), Protocol),
        (drop, Unreachable),
    ],
)
def test_every_refusal_says_what_its_reader_must_do(
    settings: Settings, application: Application, error: type[ClientError]
) -> None:
    with pytest.raises(error):
        ask(settings, application)

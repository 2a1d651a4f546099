"""How the answers of Docker Hub are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from codestream.core.http import Response
from endpoints.clients.base import ClientError, Conflict, Invalid, Protocol, ServerFault
from endpoints.clients.dockerhub_answers import explanation, refusal, retry_at

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def answer(body: object, status: int = 400, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=names, body=raw)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": "Object not found"}, "Object not found"),
        ({"message": "404: Page Not Found", "errinfo": {}}, "404: Page Not Found"),
        ({"webhooks": [{"hook_url": ["Invalid value."]}]}, "hook_url: Invalid value"),
        ({"name": ["Too short.", "Too plain."]}, "name: Too short; name: Too plain"),
        ({"fields": {"a": "bad"}, "text": "no good"}, "no good"),
        (b"Too Many\n Requests (HAP429).", "Too Many Requests (HAP429)"),
        (b"<!DOCTYPE html><h1>404</h1>", ""),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (b"a\x00\x1b[31mb", "a[31mb"),
        (b"", ""),
    ],
)
def test_an_error_of_any_shape_becomes_one_plain_line(body: object, said: str) -> None:
    assert explanation(answer(body)) == said


def test_a_long_error_is_cut_after_its_secrets_are_hidden() -> None:
    said = explanation(answer({"detail": "x" * 195 + "top-secret"}), ["top-secret"])
    assert said == "x" * 195 + "*****"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"name": ["bad"]}, Invalid),
        (400, {"name": ["A hook with 'x' name already exists"]}, Conflict),
        (409, {"detail": "taken"}, Conflict),
        (301, b"", Protocol),
        (405, {"detail": "no"}, Protocol),
        (410, b"", ServerFault),
        (504, b"", ServerFault),
        (599, b"", ServerFault),
    ],
)
def test_the_status_alone_decides_the_error(
    status: int, body: object, error: type[ClientError]
) -> None:
    assert type(refusal(answer(body, status), "do it", now=NOW)) is error


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x_retry_after": str(int(NOW.timestamp()) + 90)}, 90),
        ({"retry_after": "30"}, 30),
        ({"retry_after": "Thu, 01 Jan 2026 12:02:00 GMT"}, 120),
        ({"retry_after": "86400"}, 3600),
        ({"x_retry_after": str(int(NOW.timestamp()) - 90)}, 0),
        ({"retry_after": "9" * 50}, 3600),
    ],
)
def test_the_time_to_come_back_is_read_in_every_form_and_at_most_an_hour(
    headers: dict[str, str], wait: int
) -> None:
    assert retry_at(answer({}, 429, **headers), NOW) == NOW + timedelta(seconds=wait)


@pytest.mark.parametrize("text", ["soon", "-5", "", "١٢"])
def test_an_unreadable_time_to_come_back_is_none(text: str) -> None:
    assert retry_at(answer({}, 429, retry_after=text), NOW) is None

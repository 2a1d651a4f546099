"""What the redaction hides, and what it leaves readable."""

from __future__ import annotations

import base64
import logging
import sys
import uuid
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestream.core.json_types import Json
from codestream.core.redact import (
    MASK,
    RedactingFilter,
    redact_body,
    redact_headers,
    redact_object,
    redact_text,
)

SECRET = "p&ss w/rd+42="


@pytest.mark.parametrize(
    "text",
    [
        f"login with {SECRET} failed",
        f"https://hub.test/?key={quote(SECRET, safe='')}",
        f"data: {base64.b64encode(SECRET.encode()).decode()}",
        f"data: {base64.urlsafe_b64encode(SECRET.encode()).decode()}",
    ],
)
def test_a_given_secret_is_hidden_in_every_spelling(text: str) -> None:
    assert MASK in redact_text(text, [SECRET])
    assert SECRET not in redact_text(text, [SECRET])
    assert len(redact_text(text, [SECRET])) < len(text) + len(MASK)


@given(before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_a_secret_inside_a_longer_base64_text_is_hidden(before: bytes, after: bytes) -> None:
    secret = b"hunter2-hunter2"
    text = base64.b64encode(before + secret + after).decode()

    shown = redact_text(text, [secret.decode()])

    assert MASK in shown
    assert len(shown) <= len(text) - 18 + len(MASK)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("POST /hook?secureToken=abc123&x=1", f"POST /hook?secureToken={MASK}&x=1"),
        (
            "DETAIL:  Failing row contains (1, two\nlines, \\x7b22, {}).\nCONTEXT",
            f"DETAIL:  Failing row contains {MASK}.\nCONTEXT",
        ),
        ("q=secureToken%3Dabc123", f"q=secureToken%3D{MASK}"),
        ('{"secureToken": "abc123"}', f'{{"secureToken": "{MASK}"}}'),
        ("Authorization: Bearer abc.def", f"Authorization: {MASK}"),
        ("Authorization=Basic dXNlcg==", f"Authorization={MASK}"),
        ("sent bearer abcdefgh.ijk to it", f"sent bearer {MASK} to it"),
        ("GET https://me:pw@hub.test/v2/", f"GET https://{MASK}@hub.test/v2/"),
        ("key dckr_pat_Ab-c9_", f"key dckr_pat_{MASK}"),
        ("key cs_0123456789abcdefXYZ.", f"key cs_{MASK}."),
        (
            "Invalid request from ip=127.0.0.1: Invalid HTTP Version: 'abc123 HTTP/1.1'",
            f"Invalid request from ip=127.0.0.1: {MASK}",
        ),
        (
            f"/registry-webhook-listeners/{uuid.UUID(int=7)}&k=k1 40",
            f"/registry-webhook-listeners/{uuid.UUID(int=7)}&{MASK} 40",
        ),
        (
            f"POST /api/registry-webhook-listeners/{uuid.UUID(int=7)}/k1 40",
            f"POST /api/registry-webhook-listeners/{uuid.UUID(int=7)}/{MASK} 40",
        ),
    ],
)
def test_what_looks_like_a_secret_is_hidden_unasked(text: str, shown: str) -> None:
    assert redact_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        f'"POST /registry-webhook-listeners/{uuid.UUID(int=7)}/" 200 1',
        f'"POST /registry-webhook-listeners/{uuid.UUID(int=7)}" 200 1',
        f"/registry-webhook-listeners/{uuid.UUID(int=7)}",
        f"(/pipeline/api/registry-webhooks/{uuid.UUID(int=7)}), and",
        "mail to ops@example.com",
        "the bearer of news",
        "https://hub.test/a@b",
        "cs_short",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact_text(text, ["", "a"]) == text


def test_headers_that_carry_credentials_become_stars() -> None:
    headers = {
        "Authorization": "Bearer x",
        "Cookie": "a=b",
        "X-Gitlab-Token": "t",
        "X-Hub-Signature-256": "s",
        "Content-Type": "application/json",
        "Referer": "https://a.test/?secureToken=q1w2",
    }

    assert redact_headers(headers) == {
        "Authorization": MASK,
        "Cookie": MASK,
        "X-Gitlab-Token": MASK,
        "X-Hub-Signature-256": MASK,
        "Content-Type": "application/json",
        "Referer": f"https://a.test/?secureToken={MASK}",
    }


def test_the_values_of_a_secret_are_hidden_also_inside_a_list() -> None:
    secret: Json = {
        "kind": "Secret",
        "metadata": {"name": "pull", "managedFields": [{"manager": "x"}]},
        "data": {"a": "YQ=="},
        "stringData": {"b": "plain"},
    }

    assert redact_object({"kind": "List", "items": [secret]}) == {
        "kind": "List",
        "items": [
            {
                "kind": "Secret",
                "metadata": {"name": "pull"},
                "data": {"a": MASK},
                "stringData": {"b": MASK},
            }
        ],
    }


def test_a_typo_in_the_name_of_the_field_gives_no_value_of_a_secret_away() -> None:
    shown = redact_object({"kind": "Secret", "stringdata": {"pin": "plain"}})

    assert shown == {"kind": "Secret", "stringdata": {"pin": MASK}}


def test_a_config_map_stays_readable() -> None:
    config: Json = {"kind": "ConfigMap", "data": {"colour": "blue"}}
    assert redact_object(config) == config


def _record(message: object, *args: object) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, __file__, 1, message, args, None)


def test_the_log_filter_hides_a_secret_in_the_arguments() -> None:
    record = _record("%s %s", "GET /hook?secureToken=abc", 200)

    assert RedactingFilter().filter(record)

    assert record.getMessage() == f"GET /hook?secureToken={MASK} 200"


def test_the_log_filter_hides_a_secret_in_a_traceback() -> None:
    record = _record("it broke")
    try:
        raise ValueError("secureToken=abc")
    except ValueError:
        record.exc_info = sys.exc_info()

    RedactingFilter().filter(record)

    assert f"secureToken={MASK}" in logging.Formatter().format(record)
    assert "abc" not in logging.Formatter().format(record)


def test_a_record_with_the_wrong_arguments_is_kept() -> None:
    record = _record("%d", "secureToken=abc")

    RedactingFilter().filter(record)

    assert record.getMessage() == f"%d ('secureToken={MASK}',)"


@pytest.mark.parametrize(
    "body",
    [
        '{"password": "hidden-value", "tag": "1.2.3"}',
        '{"tag": "1.2.3", "secret_token":"hidden-value"}',
        r'{"tag": "1.2.3", "apiKey" : "hidden-value\"hidden-value"}',
        '{"callback_url": "https://hub.test/u/a/b/hook/hidden-value/", "tag": "1.2.3"}',
        r'{"callback_url": "https:\/\/hub.test\/hook\/hidden-value\/", "tag": "1.2.3"}',
        '{"url": "https://hidden-value@hub.test/x", "tag": "1.2.3"}',
        '{"note": "the-secret-of-the-webhook", "tag": "1.2.3"}',
    ],
)
def test_a_body_is_shown_without_what_its_sender_kept_to_itself(body: str) -> None:
    shown = redact_body(body, ["the-secret-of-the-webhook"])

    assert MASK in shown
    assert "hidden-value" not in shown
    assert "the-secret" not in shown
    assert '"tag": "1.2.3"' in shown


def test_a_body_without_secrets_is_shown_as_it_came() -> None:
    body = (
        '{"push_data": {"tag": "token", "pusher": "secret"}, "callback_url": "https://hub.test/"}'
    )
    assert redact_body(body) == body

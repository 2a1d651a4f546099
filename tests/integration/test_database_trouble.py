"""What people, programs and probes get while the database does not do its work."""

from __future__ import annotations

import json
import logging
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from tests.database_failures import (
    failing_database,
    full_file,
    locked_file,
    missing_table,
    no_server,
)
from tests.integration.cast import ROLES, Cast
from webhooks.models import DockerWebhook

pytestmark = pytest.mark.django_db
PAGE = "/executions/"
API = "/codestream/api/executions"


def somebody(**headers: str) -> Client:
    """A client to which a fault of ours is an answer, as it is to a browser."""
    return Client(raise_request_exception=False, headers=headers)


def sign_in() -> Any:
    return somebody().post("/account/sign-in/", {"username": "ann", "password": "a-password"})


@pytest.mark.parametrize("role", [role for role in ROLES if role != "anonymous"])
def test_every_role_reads_what_happened_and_what_to_do(
    cast: Cast, role: str, tmp_path: Path
) -> None:
    client = cast.client(role)
    client.raise_request_exception = False
    with failing_database(full_file(tmp_path)):
        answer = client.get(f"{PAGE}?status=FAILED", headers={"X-Request-ID": "trace-12345678"})

    text = answer.content.decode()
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert "<h1>The database is full</h1>" in text
    assert "Free some space" in text
    assert "<code>trace-12345678</code>" in text
    assert f'href="{PAGE}?status=FAILED"' in text
    assert text.startswith("<!doctype html>")


def test_causes_are_told_apart(tmp_path: Path) -> None:
    codes = []
    for driver in (full_file(tmp_path), locked_file(tmp_path), no_server()):
        with failing_database(driver):
            codes.append(sign_in().headers["X-Trouble"])

    assert codes == ["database_full", "database_locked", "database_unreachable"]


def test_a_part_of_a_page_is_answered_with_a_note(cast: Cast, tmp_path: Path) -> None:
    client = cast.client("member")
    client.raise_request_exception = False
    with failing_database(locked_file(tmp_path)):
        answer = client.get(PAGE, headers={"HX-Request": "true"})

    assert answer.status_code == 503
    assert answer.content.decode().startswith('<div class="note toast"')
    assert "The database is locked" in answer.content.decode()


def test_who_sent_a_form_is_told_to_look_before_sending_it_again(tmp_path: Path) -> None:
    with failing_database(locked_file(tmp_path)):
        text = sign_in().content.decode()

    assert "Look whether what you sent was saved" in text
    assert "Try again</a>" not in text


def test_programs_get_a_code_and_words(cast: Cast, tmp_path: Path) -> None:
    with failing_database(full_file(tmp_path)):
        answer = somebody(Authorization="Bearer cs_unknown-token-0000000").get(API)

    body = answer.json()
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert (body["code"], body["status"], body["path"]) == ("database_full", 503, API)
    assert "Free some space" in body["message"]


def test_a_delivery_that_cannot_be_written_down_is_not_taken(
    webhook: DockerWebhook, tmp_path: Path
) -> None:
    url = f"{webhook.listener_path}?secureToken={webhook.secrets.get().secret}"
    with failing_database(full_file(tmp_path)):
        answer = somebody().post(url, "{}", content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (503, "database_full")


def test_it_is_logged_once_without_a_query_or_a_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with failing_database(no_server()), caplog.at_level(logging.INFO):
        somebody().get(f"{API}?secureToken=very-secret", headers={"Authorization": "Bearer cs_x"})

    (line,) = [line for line in caplog.messages if "was not answered" in line]
    assert line.startswith(f"database_unreachable: GET {API} was not answered: ")
    assert not [each for each in caplog.records if each.exc_info]
    assert "very-secret" not in caplog.text
    assert "pass-word" not in caplog.text


def test_a_statement_that_is_wrong_stays_a_fault_of_ours(cast: Cast, tmp_path: Path) -> None:
    client = cast.client("member")
    client.raise_request_exception = False
    with failing_database(missing_table(tmp_path)):
        answer = client.get(PAGE)

    assert answer.status_code == 500
    assert "X-Trouble" not in answer.headers


def test_readiness_and_the_doctor_name_the_same_cause(tmp_path: Path) -> None:
    out = StringIO()
    with failing_database(full_file(tmp_path)):
        answer = Client().get("/readyz")
        with pytest.raises(SystemExit):
            call_command("doctor", offline=True, json=True, stdout=out)

    last = json.loads(out.getvalue())[-1]
    assert answer.json()["problems"] == {"database": "it does not answer (database_full)"}
    assert last["what"].startswith("The database is full: ")
    assert last["todo"].startswith("Free some space")

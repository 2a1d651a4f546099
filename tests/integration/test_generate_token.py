"""Generate token: the dialog over a webhook's form, and the throttle behind it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from codestream.accounts import throttle
from codestream.accounts.models import ApiToken, PasswordTry
from codestream.accounts.services import find_token
from codestream.core.clock import now
from tests.integration.cast import Cast, get, statuses

URL = "/triggers/docker/webhooks/token/"
HTMX = {"HX-Request": "true"}
PASSWORD = "correct horse battery"


def generate(
    cast: Cast, name: str = "member", password: str = PASSWORD, *, address: str = "10.0.0.1"
) -> Any:
    entered = {"username": name, "password": password, "project": "Shop"}
    return cast.client("member").post(URL, entered, headers=HTMX, REMOTE_ADDR=address)


def test_who_may_write_in_a_project_may_generate_a_token(cast: Cast) -> None:
    assert cast.answers("GET", URL) == statuses(200, 200, 403, 403)
    assert cast.answers("POST", URL) == statuses(422, 422, 403, 403)


@pytest.mark.parametrize("name", ["member", "member@example.com", "MEMBER@example.com "])
def test_a_right_password_gives_a_token_of_that_account_for_six_months(
    cast: Cast, name: str
) -> None:
    answer = generate(cast, name)

    token = find_token(answer.context["secret"])
    assert token is not None
    assert token.owner == cast.users["member"]
    assert timedelta(days=180) < token.expires_at - now() < timedelta(days=186)
    assert answer.context["secret"] in answer.text
    assert "not to you" not in answer.text


def test_the_token_is_in_one_answer_that_nobody_keeps(cast: Cast) -> None:
    answer = generate(cast)
    secret = answer.context["secret"]

    assert "no-store" in answer.headers["Cache-Control"]
    assert 'autocomplete="off"' in answer.text
    assert secret not in get(cast, URL) + get(cast, "/account/tokens/")
    assert secret not in str(answer.client.session.items())
    assert not ApiToken.objects.filter(digest=secret).exists()


def test_a_line_says_when_the_token_is_not_ones_own(cast: Cast) -> None:
    answer = generate(cast, "owner")

    token = find_token(answer.context["secret"])
    assert token is not None
    assert token.owner == cast.users["owner"]
    assert "This token belongs to owner, not to you (member)" in answer.text


@pytest.mark.parametrize(("name", "password"), [("member", "wrong-one"), ("nobody", PASSWORD)])
def test_a_wrong_name_or_password_is_refused_in_the_same_words(
    cast: Cast, name: str, password: str
) -> None:
    answer = generate(cast, name, password)

    assert answer.status_code == 422
    assert "do not fit together" in answer.text
    assert password not in answer.text
    assert not ApiToken.objects.exists()


def test_a_closed_account_gets_no_token(cast: Cast) -> None:
    owner = cast.users["owner"]
    owner.is_active = False
    owner.save()

    assert generate(cast, "owner").status_code == 422


def test_the_sixth_try_in_a_minute_has_to_wait(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        assert generate(cast).status_code == 200

    answer = generate(cast, "MEMBER@example.com")

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert "Five tries a minute are allowed." in answer.text
    assert ApiToken.objects.count() == 5
    later = now() + timedelta(seconds=int(answer.headers["Retry-After"]))
    monkeypatch.setattr(throttle, "now", lambda: later)
    assert generate(cast).status_code == 200


def test_neither_another_account_nor_another_address_has_to_wait(cast: Cast) -> None:
    for _ in range(6):
        generate(cast)

    assert generate(cast, "owner").status_code == 200
    assert generate(cast, address="10.0.0.2").status_code == 200


def test_wrong_passwords_in_the_dialog_keep_nobody_from_signing_in(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        generate(cast, "owner", "wrong-one", address="127.0.0.1")
    later = now() + timedelta(minutes=2)
    monkeypatch.setattr(throttle, "now", lambda: later)

    entered = {"username": "owner@example.com", "password": PASSWORD}
    signed_in = cast.client("anonymous").post("/account/sign-in/", entered)
    dialog = generate(cast, "owner", address="127.0.0.1")

    assert signed_in.status_code == 302
    assert "rests for 15 minutes" in dialog.text
    assert not ApiToken.objects.exists()


def test_wrong_passwords_at_the_sign_in_make_it_rest(cast: Cast) -> None:
    entered = {"username": "member@example.com", "password": "wrong-one"}
    for _ in range(5):
        cast.client("anonymous").post("/account/sign-in/", entered)

    answer = cast.client("anonymous").post("/account/sign-in/", entered | {"password": PASSWORD})

    assert answer.status_code == 422
    assert "rests for 15 minutes" in answer.text


def test_people_behind_one_proxy_are_counted_apart(cast: Cast, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]

    def sign_in(address: str, password: str) -> int:
        sent = {"X-Forwarded-For": address}
        data = {"username": "member", "password": password}
        client = cast.client("anonymous")
        return client.post("/account/sign-in/", data, headers=sent).status_code

    for _ in range(5):
        sign_in("198.51.100.1", "wrong-one")

    assert sign_in("198.51.100.1", PASSWORD) == 422
    assert sign_in("203.0.113.9", PASSWORD) == 302


def test_the_throttle_keeps_no_name_and_forgets_after_a_while(
    cast: Cast, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(cast, "nobody-we-know")
    assert "nobody" not in str(list(PasswordTry.objects.values_list("key", flat=True)))

    later = now() + timedelta(hours=1)
    monkeypatch.setattr(throttle, "now", lambda: later)
    generate(cast, "owner")

    assert not PasswordTry.objects.filter(at__lt=later).exists()


def test_a_rest_lasts_fifteen_minutes_from_the_last_failure(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = now()
    guesses = throttle.PasswordThrottle(
        purpose=throttle.Purpose.SIGN_IN, account="ada", address="10.0.0.1"
    )
    for minute in (0, 3, 6, 9, 12):
        monkeypatch.setattr(throttle, "now", lambda minute=minute: start + minute * MINUTE)
        assert not guesses.rests()
        guesses.failed()

    for minute, rests in ((12, True), (26, True), (28, False)):
        monkeypatch.setattr(throttle, "now", lambda minute=minute: start + minute * MINUTE)
        assert guesses.rests() is rests


MINUTE = timedelta(minutes=1)


def test_without_a_script_it_is_a_page(cast: Cast) -> None:
    client = cast.client("member")

    page = client.get(URL, {"project": "Shop"})
    answer = client.post(URL, {"username": "member", "password": PASSWORD})

    assert "<html" in page.text
    assert 'value="member@example.com"' in page.text
    assert answer.context["secret"] in answer.text


def test_the_form_of_a_webhook_opens_the_dialogs_over_itself(cast: Cast) -> None:
    html = get(cast, "/triggers/docker/webhooks/new/")

    assert f'hx-get="{URL}"' in html
    assert 'hx-target="#token-dialog"' in html
    assert 'hx-get="/variables/dialog/"' in html

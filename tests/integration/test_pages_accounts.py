from __future__ import annotations

from typing import cast

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from codestream.accounts.models import ApiToken, User
from codestream.accounts.services import issue_token
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
SIGN_IN = "/account/sign-in/"


@pytest.fixture
def user() -> User:
    made: User = UserFactory.create(username="ada", email="ada@example.com", password=PASSWORD)
    return made


@pytest.fixture
def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def sign_in(name: str, password: str, **more: str) -> HttpResponse:
    answer = Client().post(SIGN_IN, {"username": name, "password": password, **more})
    return cast("HttpResponse", answer)


@pytest.mark.parametrize("name", ["ada", "ada@example.com", "ADA@EXAMPLE.COM"])
def test_one_signs_in_by_name_or_by_address(user: User, name: str) -> None:
    assert sign_in(name, PASSWORD, next="/projects/").headers["Location"] == "/projects/"


def test_sign_in_never_leads_to_another_site(user: User) -> None:
    answer = sign_in("ada", PASSWORD, next="https://evil.example/")

    assert answer.headers["Location"] == "/"


def test_a_wrong_password_is_refused_in_words_and_not_sent_back(user: User) -> None:
    answer = sign_in("ada", "wrong-password-42")

    assert answer.status_code == 422
    assert "do not fit together" in answer.text
    assert "wrong-password-42" not in answer.text


def test_after_five_failures_the_right_password_has_to_wait_too(user: User) -> None:
    for _ in range(5):
        sign_in("ada", "wrong")

    answer = sign_in("ada", PASSWORD)

    assert answer.status_code == 422
    assert "rests for 15 minutes" in answer.text


def test_the_rest_of_one_name_does_not_stop_another(user: User) -> None:
    UserFactory.create(username="bob", password=PASSWORD)
    for _ in range(5):
        sign_in("ada", "wrong")

    assert sign_in("bob", PASSWORD).status_code == 302


def test_a_success_forgets_the_failures(user: User) -> None:
    for _ in range(4):
        sign_in("ada", "wrong")
    sign_in("ada", PASSWORD)
    for _ in range(4):
        sign_in("ada", "wrong")

    assert sign_in("ada", PASSWORD).status_code == 302


def test_signing_out_needs_a_post(signed_in: Client) -> None:
    assert signed_in.get(reverse("accounts:sign-out")).status_code == 405
    signed_in.post(reverse("accounts:sign-out"))
    assert signed_in.get("/account/tokens/").status_code == 302


def test_a_new_token_is_shown_in_its_own_answer_and_never_again(
    signed_in: Client, user: User
) -> None:
    answer = signed_in.post("/account/tokens/new/", {"name": "for the hub"})
    secret = answer.context["secret"]

    assert secret in answer.text
    assert secret not in signed_in.get("/account/tokens/").text
    assert ApiToken.objects.get(owner=user).digest not in answer.text


def test_a_new_token_is_not_kept_in_the_session(signed_in: Client) -> None:
    secret = signed_in.post("/account/tokens/new/", {"name": "x"}).context["secret"]

    assert secret not in str(dict(signed_in.session))


def test_a_token_needs_a_name(signed_in: Client) -> None:
    answer = signed_in.post("/account/tokens/new/", {"name": ""})

    assert answer.status_code == 422
    assert not ApiToken.objects.exists()


def test_one_revokes_a_token_of_ones_own(signed_in: Client, user: User) -> None:
    token, _ = issue_token(owner=user, name="old")

    signed_in.post(reverse("accounts:revoke-token", args=[token.pk]))

    token.refresh_from_db()
    assert not token.is_live


def test_the_token_of_another_does_not_exist_for_me(signed_in: Client) -> None:
    token, _ = issue_token(owner=UserFactory.create(), name="theirs")

    answer = signed_in.post(reverse("accounts:revoke-token", args=[token.pk]))

    assert answer.status_code == 404
    assert "theirs" not in signed_in.get("/account/tokens/").text


@pytest.mark.parametrize("url", ["/account/tokens/", "/account/tokens/new/"])
def test_tokens_need_a_signed_in_person(url: str) -> None:
    client = Client()
    answer = client.get(url) if url.endswith("tokens/") else client.post(url)

    assert answer.headers["Location"].startswith(SIGN_IN)


def test_the_list_of_tokens_asks_the_database_the_same_however_long(
    signed_in: Client, user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        issue_token(owner=user, name=f"token {number}")

    with django_assert_num_queries(3):
        signed_in.get("/account/tokens/")


def test_every_page_forbids_scripts_from_elsewhere(client: Client) -> None:
    policy = client.get(SIGN_IN).headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_no_page_carries_inline_script_or_style(signed_in: Client) -> None:
    html = signed_in.get("/account/tokens/").text

    assert "<style" not in html
    assert " style=" not in html
    assert "<script>" not in html


def test_every_place_of_the_navigation_leads_somewhere(signed_in: Client) -> None:
    assert 'href=""' not in signed_in.get("/account/tokens/").text


def test_the_theme_is_kept_in_a_cookie_and_written_by_the_server(signed_in: Client) -> None:
    signed_in.post("/theme/", {"theme": "dark", "next": "/account/tokens/"})

    assert 'data-theme="dark"' in signed_in.get("/account/tokens/").text


def test_the_theme_form_goes_back_to_this_site_only(signed_in: Client) -> None:
    answer = signed_in.post("/theme/", {"theme": "dark", "next": "//evil.example/"})

    assert answer.headers["Location"] == "/"


def test_an_unknown_address_says_what_to_do(signed_in: Client) -> None:
    answer = signed_in.get("/no/such/page/")

    assert answer.status_code == 404
    assert "Check the address" in answer.text


def test_a_form_without_its_token_says_what_to_do() -> None:
    answer = Client(enforce_csrf_checks=True).post(SIGN_IN, {"username": "ada"})

    assert answer.status_code == 403
    assert "The form has expired" in answer.text


def test_a_request_that_is_too_large_is_answered_413(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    answer = Client().post(SIGN_IN, "x" * 200, content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 413
    assert "too large" in answer.text


@pytest.fixture
def after_session(settings: Settings) -> Client:
    """Somebody whose session has ended while a page of theirs is open."""
    name = "codestream.accounts.middleware.whole_page_sign_in"
    if name not in settings.MIDDLEWARE:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, name]
    return Client()


def test_a_part_asked_for_after_the_session_leads_the_whole_page_to_the_sign_in(
    after_session: Client,
) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/executions/?q=web"}

    answer = after_session.get("/executions/?version=1", headers=headers)

    assert answer.status_code == 200
    assert answer.headers["HX-Redirect"] == f"{SIGN_IN}?next=%2Fexecutions%2F%3Fq%3Dweb"
    assert "Location" not in answer.headers
    assert answer.content == b""


def test_a_page_asked_for_after_the_session_is_redirected_as_ever(after_session: Client) -> None:
    answer = after_session.get("/executions/")

    assert answer.headers["Location"] == f"{SIGN_IN}?next=/executions/"


def test_the_address_of_a_new_token_leads_to_the_list(signed_in: Client) -> None:
    assert signed_in.get("/account/tokens/new/").headers["Location"] == "/account/tokens/"


def test_without_a_chosen_theme_both_are_offered(signed_in: Client) -> None:
    html = signed_in.get("/account/tokens/").text

    assert 'top-item in-dark" name="theme" value="light"' in html
    assert 'top-item in-light" name="theme" value="dark"' in html


def test_with_a_chosen_theme_the_other_is_offered(signed_in: Client) -> None:
    signed_in.post("/theme/", {"theme": "dark"})

    html = signed_in.get("/account/tokens/").text

    assert 'value="light"' in html
    assert 'value="dark"' not in html


def choose_language(client: Client, language: str) -> HttpResponse:
    answer = client.post("/account/language/", {"language": language, "next": "/account/tokens/"})
    return cast("HttpResponse", answer)


def language_of_page(client: Client, *, browser: str) -> str:
    answer = client.get("/account/tokens/", headers={"accept-language": browser})
    assert f'<html lang="{answer.headers["Content-Language"]}"' in answer.text
    return answer.headers["Content-Language"]


@pytest.mark.parametrize("browser", ["en", "it", "de"])
def test_the_chosen_language_goes_before_that_of_the_browser(
    user: User, signed_in: Client, browser: str
) -> None:
    assert choose_language(signed_in, "it").headers["Location"] == "/account/tokens/"

    user.refresh_from_db()
    assert user.language == "it"
    assert language_of_page(signed_in, browser=browser) == "it"


def test_the_language_goes_with_the_account_and_not_with_the_browser(signed_in: Client) -> None:
    choose_language(signed_in, "it")
    other = Client()
    other.force_login(UserFactory.create())

    assert language_of_page(other, browser="en") == "en"
    assert language_of_page(signed_in, browser="en") == "it"


def test_one_goes_back_to_the_language_of_the_browser(signed_in: Client) -> None:
    choose_language(signed_in, "it")
    choose_language(signed_in, "")

    assert language_of_page(signed_in, browser="en") == "en"
    assert language_of_page(signed_in, browser="it") == "it"


def test_an_unknown_language_changes_nothing(user: User, signed_in: Client) -> None:
    choose_language(signed_in, "it")
    choose_language(signed_in, "tlh")

    user.refresh_from_db()
    assert user.language == "it"


def test_the_menu_says_which_language_is_chosen(signed_in: Client) -> None:
    choose_language(signed_in, "it")

    html = signed_in.get("/account/tokens/").text

    assert 'name="language" value="it" lang="it" aria-pressed="true"' in html
    assert html.count('aria-pressed="false"') == 2

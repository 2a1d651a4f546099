"""How the client reads answers and credentials, without a server."""

from __future__ import annotations

import base64
import json

import pytest

from codestream.core.json_types import JsonObject
from endpoints.clients.base import (
    Blocked,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Protocol,
    RateLimited,
    ServerFault,
    Unauthorized,
)
from endpoints.clients.kubernetes_access import ClusterAccess, pem
from endpoints.clients.kubernetes_errors import error_of
from endpoints.clients.kubernetes_objects import secret_values


def status_body(message: str) -> bytes:
    return json.dumps({"kind": "Status", "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, Protocol),
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, ServerFault),
        (418, Protocol),
        (422, Invalid),
        (429, RateLimited),
        (500, ServerFault),
        (503, ServerFault),
        (504, ServerFault),
    ],
)
def test_every_status_is_one_decision(status: int, kind: type[ClientError]) -> None:
    assert type(error_of(status, status_body("so it is"))) is kind


@pytest.mark.parametrize(
    "message",
    [
        "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): errors",
        ".spec.replica: field not declared in schema",
    ],
)
def test_a_typo_that_the_server_calls_its_own_fault_is_not_tried_again(message: str) -> None:
    error = error_of(500, status_body(message))

    assert isinstance(error, Invalid)
    assert not error.retryable


def test_a_page_from_something_in_front_of_the_cluster_is_told_apart() -> None:
    assert isinstance(error_of(403, b"<html>Access denied</html>"), Blocked)
    assert isinstance(error_of(502, b"<html>Bad gateway</html>"), ServerFault)


def test_half_a_secret_that_the_server_quotes_is_left_out_of_the_message() -> None:
    told = (
        'Secret in version "v1" cannot be handled as a Secret: v1.Secret.Data: decode base64: '
        "illegal base64 data at input byte 7, error found in #10 byte of "
        '...|4-plain!!"}}|..., bigger context ...|"data": {"pw": "hunter4-plain!!"}}|...'
    )

    error = error_of(400, status_body(told), secrets=("hunter4-plain!!",))

    assert error.user_message.endswith("at input byte 7. Correct the manifest.")
    assert "plain" not in error.user_message


@pytest.mark.parametrize("name", ["data", "stringData", "stringdata"])
def test_every_value_of_a_secret_is_known_also_where_it_should_be_none(name: str) -> None:
    values: JsonObject = {"pin": 7123, "list": ["one", {"more": "two"}], "empty": ""}

    assert secret_values({"kind": "Secret", name: values}) == ("7123", "one", "two")
    assert secret_values({"kind": "ConfigMap", name: values}) == ()


def test_the_secrets_that_were_sent_are_masked_in_the_message() -> None:
    error = error_of(422, status_body("Invalid value: 'hunter22'"), secrets=("hunter22",))

    assert error.user_message == "Invalid value: '********'. Correct the manifest."


def test_a_token_signs_in_before_a_name_and_a_name_before_nothing() -> None:
    both = ClusterAccess(url="https://cluster", token=" abc\n", username="jo", password="pw")
    named = ClusterAccess(url="https://cluster", username="jo", password="pw")

    assert both.authorization == "Bearer abc"
    assert named.authorization == "Basic " + base64.b64encode(b"jo:pw").decode()
    assert ClusterAccess(url="https://cluster").authorization == ""


def test_certificates_are_taken_plain_and_in_base64() -> None:
    plain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

    assert pem(plain) == plain.encode()
    assert pem(base64.b64encode(plain.encode()).decode()) == plain.encode()
    assert pem("  ") is None
    with pytest.raises(Invalid, match="neither PEM nor base64"):
        pem("*")


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_denial_by_a_policy_is_final_whatever_its_status(status: int) -> None:
    webhook = 'admission webhook "policy.example.com" denied the request: no latest'
    policy = "ValidatingAdmissionPolicy 'tags' with binding 'all' denied request: no latest"

    errors = [error_of(status, status_body(message)) for message in (webhook, policy)]

    assert {type(error) for error in errors} == {Invalid}
    assert all("A policy of the cluster refuses" in error.user_message for error in errors)


def test_an_admission_webhook_that_cannot_be_asked_is_asked_again() -> None:
    message = 'Internal error occurred: failed calling webhook "policy.example.com": refused'

    error = error_of(500, status_body(message))

    assert error.retryable
    assert "could not ask this admission webhook" in error.user_message


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ('pods "web" is forbidden: exceeded quota: small, requested: pods=1', "quota raised"),
        ("forbidden: unable to create new content because it is being terminated", "is gone"),
        ('User "reader" cannot patch resource "secrets"', "the right to do this"),
    ],
)
def test_what_is_forbidden_for_another_reason_than_rights_says_what_helps(
    message: str, advice: str
) -> None:
    assert advice in error_of(403, status_body(message)).user_message

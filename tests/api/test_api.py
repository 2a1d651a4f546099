"""Executions and deliveries as programs read them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from codestream.accounts.models import User
from codestream.accounts.services import issue_token, revoke_token
from executions.services import start_execution
from tests.factories import DockerWebhookFactory, MembershipFactory, PipelineFactory, UserFactory
from webhooks.services import receive_event

pytestmark = pytest.mark.django_db


def get(path: str, user: User | None = None, base: str = "/codestream/api/") -> Any:
    headers = {}
    if user is not None:
        headers["Authorization"] = f"Bearer {issue_token(owner=user, name='api')[1]}"
    return Client().get(f"{base}{path}", headers=headers)


@pytest.fixture
def member() -> User:
    pipeline = PipelineFactory()
    for tag in ("1.0", "1.1", "1.2"):
        start_execution(
            pipeline=pipeline,
            inputs={"DOCKER_IMAGE": "demo/web", "DOCKER_TAG": tag},
            run_as=None,
            triggered_by="ann",
        )
    return MembershipFactory(project=pipeline.project).user


def test_lists_have_the_envelope_and_keep_the_order_of_links(member: User) -> None:
    body = get("executions", member).json()

    assert (body["count"], body["totalCount"]) == (3, 3)
    assert [body["documents"][link]["index"] for link in body["links"]] == [3, 2, 1]


def test_a_page_is_as_long_as_it_was_asked_for(member: User) -> None:
    body = get("executions?$top=2&$skip=2", member).json()

    assert (body["count"], body["totalCount"], len(body["links"])) == (1, 3, 1)


def test_a_bad_page_says_what_is_wrong(member: User) -> None:
    answer = get("executions?$top=many", member)

    assert answer.status_code == 400
    assert "$top" in answer.json()["message"]


def test_an_execution_has_its_stages_and_tasks(member: User) -> None:
    link = get("executions", member).json()["links"][0]

    body = get(link.removeprefix("/codestream/api/"), member).json()

    assert body["status"] == "RUNNING"
    assert body["input"]["DOCKER_TAG"] == "1.2"
    assert body["stages"]["Deploy"]["tasks"]["Apply"]["type"] == "K8S"


def test_both_bases_answer_alike(member: User) -> None:
    bases = ("/codestream/api/", "/pipeline/api/")

    first, second = (get("executions", member, base).json() for base in bases)

    assert first == second


@pytest.mark.parametrize("path", ["executions", "registry-events"])
def test_without_a_token_the_answer_is_401_in_words(path: str, db: None) -> None:
    answer = get(path)

    assert answer.status_code == 401
    assert answer.json()["message"]


def test_a_revoked_token_opens_nothing(db: None) -> None:
    token, text = issue_token(owner=UserFactory(), name="old")
    revoke_token(token=token)

    answer = Client().get("/codestream/api/executions", headers={"Authorization": f"Bearer {text}"})

    assert answer.status_code == 401


def test_an_outsider_sees_nothing_and_gets_404(member: User) -> None:
    outsider = UserFactory()
    link = get("executions", member).json()["links"][0].removeprefix("/codestream/api/")

    assert get("executions", outsider).json()["totalCount"] == 0
    assert get(link, outsider).status_code == 404


def test_deliveries_carry_their_verdict(db: None) -> None:
    webhook = DockerWebhookFactory(name="release")
    event = receive_event(webhook=webhook, body=b"{}", headers={}, remote_addr=None)
    user = MembershipFactory(project=webhook.project).user

    body = get("registry-events", user).json()
    one = get(f"registry-events/{event.pk}", user).json()

    document = body["documents"][f"/codestream/api/registry-events/{event.pk}"]
    assert (document["name"], document["verdict"]) == ("release", "PENDING")
    assert one["steps"] == []


def test_an_address_that_is_none_answers_json_too(member: User) -> None:
    answer = get("no-such-thing", member)

    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    assert answer.json()["message"]

"""With whose rights a webhook starts its pipeline, and who may decide that."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from codestream.accounts.models import ApiToken, User
from codestream.accounts.services import issue_token
from codestream.core.clock import now
from codestream.projects.models import Variable
from tests.factories import (
    DockerRegistryFactory,
    DockerWebhookFactory,
    PipelineFactory,
    UserFactory,
    VariableFactory,
)
from tests.integration.cast import Cast, opened
from webhooks.models import DockerWebhook

pytestmark = pytest.mark.django_db
NOT_YOURS = "not yours"


def token_of(user: User) -> str:
    return issue_token(owner=user, name="trigger")[1]


@pytest.fixture
def webhook(cast: Cast) -> DockerWebhook:
    """A webhook that carries the project administrator's token."""
    return DockerWebhookFactory(project=cast.project, api_token=token_of(cast.users["owner"]))


def edit(cast: Cast, webhook: DockerWebhook, role: str = "member", **changes: str) -> Any:
    entered = {
        "name": webhook.name,
        "endpoint": str(webhook.endpoint_id),
        "pipeline": str(webhook.pipeline_id),
        "mirror_mode": webhook.mirror_mode,
        "settle_seconds": "10",
        "recovery": "OFF",
        **opened(webhook),
        **changes,
    }
    return cast.client(role).post(f"/triggers/docker/webhooks/{webhook.pk}/edit/", entered)


def other_pipeline(cast: Cast) -> str:
    return str(PipelineFactory(project=cast.project).pk)


def test_a_member_may_rename_a_webhook_that_runs_as_somebody_else(
    cast: Cast, webhook: DockerWebhook
) -> None:
    assert edit(cast, webhook, name="renamed").status_code == 302


def test_a_member_may_not_point_somebody_elses_rights_at_another_pipeline(
    cast: Cast, webhook: DockerWebhook
) -> None:
    answer = edit(cast, webhook, pipeline=other_pipeline(cast))

    assert answer.status_code == 422
    assert NOT_YOURS in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "value", "label"),
    [
        ("image_pattern", ".*", "Image"),
        ("tag_pattern", ".*", "Tag"),
        ("settle_seconds", "0", "Settle window in seconds"),
        ("pin_digest", "on", "Pin the digest"),
        ("recovery", "ON", "Pushes without a delivery"),
    ],
)
def test_a_member_may_not_let_other_pushes_run_with_somebody_elses_rights(
    cast: Cast, webhook: DockerWebhook, field: str, value: str, label: str
) -> None:
    refused = edit(cast, webhook, **{field: value})
    own = edit(cast, webhook, "owner", **{field: value})

    (error,) = refused.context["form"].errors["api_token"]
    assert refused.status_code == 422
    assert NOT_YOURS in error
    assert error.endswith(f"{label}.")
    assert own.status_code == 302


def test_the_administration_leaves_what_runs_to_the_page_that_asks_for_a_token(
    cast: Cast, webhook: DockerWebhook
) -> None:
    address = f"/admin/webhooks/dockerwebhook/{webhook.pk}/change/"

    client = Client()
    client.force_login(UserFactory(is_superuser=True, is_staff=True))

    fields = client.get(address).context["adminform"].form.fields

    assert not fields.keys() & {"endpoint", "pipeline", "image_pattern", "tag_pattern", "recovery"}


def test_a_token_of_ones_own_lifts_that(cast: Cast, webhook: DockerWebhook) -> None:
    own = token_of(cast.users["member"])

    answer = edit(cast, webhook, pipeline=other_pipeline(cast), api_token=own)

    assert answer.status_code == 302


def test_a_member_may_not_borrow_a_token_through_a_variable(
    cast: Cast, webhook: DockerWebhook
) -> None:
    VariableFactory(
        project=cast.project,
        name="admins",
        type=Variable.Type.SECRET,
        value=token_of(cast.users["owner"]),
    )

    answer = edit(cast, webhook, api_token="${var.admins}")

    assert answer.status_code == 422
    assert "belongs to owner" in answer.content.decode()


def test_an_administrator_may_not_point_somebody_elses_rights_either(cast: Cast) -> None:
    webhook = DockerWebhookFactory(
        project=cast.project, api_token=token_of(cast.users["member"]), inputs={"replicas": "2"}
    )

    changes: list[dict[str, str]] = [
        {"pipeline": other_pipeline(cast)},
        {"endpoint": str(DockerRegistryFactory(project=cast.project).pk)},
        {"input-replicas": "3"},
        {},
        {"input-replicas": "2", "api_token": token_of(cast.users["viewer"])},
    ]
    for change in changes:
        assert NOT_YOURS in edit(cast, webhook, "owner", **change).text or (
            "belongs to viewer" in edit(cast, webhook, "owner", **change).text
        )
    own = token_of(cast.users["owner"])
    answer = edit(cast, webhook, "owner", pipeline=other_pipeline(cast), api_token=own)
    assert answer.status_code == 302


def test_an_administrator_may_give_a_webhook_of_ones_own_the_token_of_a_robot(
    cast: Cast, webhook: DockerWebhook
) -> None:
    assert edit(cast, webhook, "owner", api_token=token_of(cast.users["member"])).status_code == 302


def test_the_reference_that_is_stored_already_is_not_a_new_token(cast: Cast) -> None:
    value = token_of(cast.users["owner"])
    VariableFactory(project=cast.project, name="hub", type="SECRET", value=value)
    webhook = DockerWebhookFactory(project=cast.project, api_token="${var.hub}")

    assert edit(cast, webhook, name="renamed", api_token="${var.hub}").status_code == 302
    answer = edit(cast, webhook, pipeline=other_pipeline(cast), api_token="${var.hub}")
    assert NOT_YOURS in answer.text


def test_whoever_keeps_a_dead_token_may_change_nothing_that_it_would_start(
    cast: Cast, webhook: DockerWebhook
) -> None:
    ApiToken.objects.update(revoked_at=now())

    assert NOT_YOURS in edit(cast, webhook, pipeline=other_pipeline(cast)).text

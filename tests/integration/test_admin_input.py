"""What the administration cannot read in an address or a form is the sender's mistake."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import DataError
from django.test import Client

from codestream.projects.models import Variable

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path",
    [
        "projects/variable/add/?project=abc",
        "projects/membership/add/?user=abc",
        "pipelines/pipeline/?concurrency__in=99999999999999999999",
        "webhooks/registryevent/?body=a",
    ],
)
def test_no_key_and_no_number_in_an_address_is_refused(admin_client: Client, path: str) -> None:
    answer = admin_client.get(f"/admin/{path}")

    assert answer.status_code == 400
    assert "The request was not understood" in answer.content.decode()


def test_a_key_in_a_form_that_is_none_is_refused(admin_client: Client) -> None:
    given = {"project": "abc", "name": "region", "type": Variable.Type.REGULAR}

    answer = admin_client.post("/admin/projects/variable/add/", given)

    assert answer.status_code == 400
    assert not Variable.objects.exists()


@pytest.mark.parametrize("place", ["auth/group", "accounts/user", "endpoints/endpoint"])
def test_a_row_to_be_deleted_whose_key_is_none_is_refused(admin_client: Client, place: str) -> None:
    group = Group.objects.create(name="on call")
    given = {"action": "delete_selected", "_selected_action": ["abc"]}

    answer = admin_client.post(f"/admin/{place}/", given)

    assert answer.status_code == 400
    assert Group.objects.get() == group


@pytest.mark.parametrize(
    "path", ["execution/?status__exact=a%00b", "execution/?q=a%00b", "executionevent/?kind=%00"]
)
def test_a_nul_in_a_filter_is_no_fault(admin_client: Client, path: str) -> None:
    """SQLite looks for it and finds nothing."""
    answer = admin_client.get(f"/admin/executions/{path}")

    assert answer.status_code in {200, 302, 400}


def test_what_the_database_cannot_read_on_a_page_of_ours_stays_a_fault(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise DataError

    monkeypatch.setattr("executions.views.read_rows", fail)
    admin_client.raise_request_exception = False

    assert admin_client.get("/executions/").status_code == 500

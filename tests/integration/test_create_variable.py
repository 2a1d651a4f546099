"""Create variable: the dialog beside every secret field."""

from __future__ import annotations

import json

import pytest

from codestream.projects.models import Project, Variable
from tests.factories import VariableFactory
from tests.integration.cast import Cast, statuses

URL = "/variables/dialog/"
SECRET = "s3cret-value-of-a-variable"
HTMX = {"HX-Request": "true"}
ENTERED = {
    "project": "Shop",
    "name": "hub-password",
    "type": "SECRET",
    "value": SECRET,
    "source": "id_password",
}


def test_who_may_write_creates_a_variable(cast: Cast) -> None:
    assert cast.answers("GET", URL) == statuses(200, 200, 403, 403)
    assert cast.answers("POST", URL) == statuses(422, 422, 403, 403)


def test_the_field_gets_the_reference_and_nobody_the_value(cast: Cast) -> None:
    answer = cast.client("member").post(URL, ENTERED, headers=HTMX)

    told = json.loads(answer.headers["HX-Trigger"])["variable-created"]
    assert answer.status_code == 204
    assert (told["field"], told["reference"]) == ("id_password", "${var.hub-password}")
    assert SECRET not in str(answer.headers)
    assert Variable.objects.get(project=cast.project, type="SECRET").value == SECRET


def test_another_field_than_the_source_may_get_the_reference(cast: Cast) -> None:
    answer = cast.client("member").post(URL, ENTERED | {"target": "id_api_token"}, headers=HTMX)

    assert json.loads(answer.headers["HX-Trigger"])["variable-created"]["field"] == "id_api_token"


def test_the_dialog_is_a_page_where_there_is_no_script(cast: Cast) -> None:
    client = cast.client("member")

    page = client.get(URL, {"project": "Shop"})
    after = client.post(URL, ENTERED, follow=True)

    assert "<html" in page.text
    assert "refer to it as ${var.hub-password}" in after.text


def test_the_dialog_asks_for_the_project_only_where_it_is_not_known(cast: Cast) -> None:
    client = cast.client("member")

    known = client.get(URL, {"project": "Shop"}, headers=HTMX)
    unknown = client.get(URL, {"project": "Nowhere"}, headers=HTMX)

    assert known.context["form"]["project"].is_hidden
    assert not unknown.context["form"]["project"].is_hidden
    assert "<html" not in known.text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "not a name"}, "name"),
        ({"name": "taken"}, "name"),
        ({"value": ""}, "value"),
        ({"type": "REGULAR"}, "type"),
        ({"type": "RESTRICTED"}, "type"),
        ({"project": "Foreign"}, "project"),
        ({"source": "<b>"}, "source"),
    ],
)
def test_a_refused_variable_says_so_beside_the_field(
    cast: Cast, change: dict[str, str], field: str
) -> None:
    Project.objects.create(name="Foreign")
    VariableFactory.create(project=cast.project, name="taken")

    answer = cast.client("member").post(URL, ENTERED | change, headers=HTMX)

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert SECRET not in answer.text
    assert not Variable.objects.exclude(name="taken").exists()


def test_an_administrator_makes_a_restricted_one(cast: Cast) -> None:
    cast.client("owner").post(URL, ENTERED | {"type": "RESTRICTED"}, headers=HTMX)

    assert Variable.objects.get(name="hub-password").type == Variable.Type.RESTRICTED

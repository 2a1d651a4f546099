from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from codestream.accounts.models import ServiceRole
from codestream.projects.models import Membership, Project, Variable
from tests.factories import MembershipFactory, ProjectFactory, UserFactory, VariableFactory
from tests.integration.cast import Cast, opened, statuses

SECRET = "s3cret-value-of-a-variable"


@pytest.fixture
def member_url(cast: Cast) -> str:
    membership = cast.project.memberships.get(user__username="viewer")
    return f"/projects/{cast.project.pk}/members/{membership.pk}"


def test_everybody_sees_a_list_and_only_ones_own_projects_in_it(cast: Cast) -> None:
    assert cast.answers("GET", "/projects/") == statuses(200, 200, 200, 200)
    assert "Shop" in cast.client("viewer").get("/projects/").text
    assert "Shop" not in cast.client("outsider").get("/projects/").text


def test_a_project_is_read_by_its_people_only(cast: Cast) -> None:
    url = f"/projects/{cast.project.pk}/"

    assert cast.answers("GET", url) == statuses(200, 200, 200, 404)


def test_only_an_administrator_of_the_service_makes_a_project(cast: Cast) -> None:
    assert cast.answers("GET", "/projects/new/") == statuses(403, 403, 403, 403)
    assert cast.answers("POST", "/projects/new/", name="x") == statuses(403, 403, 403, 403)


def test_who_makes_a_project_administers_it(client: Client, db: None) -> None:
    chief = UserFactory.create(service_role=ServiceRole.ADMINISTRATOR)
    client.force_login(chief)

    client.post("/projects/new/", {"name": "Retail"})

    assert Membership.objects.get(project__name="Retail").role == Membership.Role.ADMINISTRATOR


def test_the_name_of_a_project_is_taken_whatever_its_case(client: Client, db: None) -> None:
    ProjectFactory.create(name="Retail")
    client.force_login(UserFactory.create(service_role=ServiceRole.ADMINISTRATOR))

    answer = client.post("/projects/new/", {"name": "RETAIL"})

    assert answer.status_code == 422
    assert "Another project has this name." in answer.text


def test_only_a_project_administrator_adds_people(cast: Cast) -> None:
    url = f"/projects/{cast.project.pk}/members/"

    answers = cast.answers("POST", url, username="nobody", role="MEMBER")

    assert answers == statuses(422, 403, 403, 404)


def test_a_person_is_added_by_address(cast: Cast) -> None:
    person = UserFactory.create(email="new@example.com")
    url = f"/projects/{cast.project.pk}/members/"

    cast.client("owner").post(url, {"username": "NEW@example.com", "role": "VIEWER"})

    assert cast.project.memberships.get(user=person).role == Membership.Role.VIEWER


def test_a_person_is_not_added_twice(cast: Cast) -> None:
    url = f"/projects/{cast.project.pk}/members/"

    answer = cast.client("owner").post(url, {"username": "member", "role": "VIEWER"})

    assert answer.status_code == 422
    assert "belongs to the project already" in answer.text


def test_only_a_project_administrator_changes_a_role(cast: Cast, member_url: str) -> None:
    answers = cast.answers("POST", f"{member_url}/role/", role="MEMBER")

    assert answers == statuses(302, 403, 403, 404)


def test_an_unknown_role_is_refused(cast: Cast, member_url: str) -> None:
    assert cast.client("owner").post(f"{member_url}/role/", {"role": "KING"}).status_code == 422


def test_only_a_project_administrator_removes_people(cast: Cast, member_url: str) -> None:
    assert cast.client("member").post(f"{member_url}/remove/").status_code == 403
    cast.client("owner").post(f"{member_url}/remove/")
    assert not cast.project.memberships.filter(user__username="viewer").exists()


def test_a_project_keeps_its_last_administrator(cast: Cast) -> None:
    membership = cast.project.memberships.get(user__username="owner")
    url = f"/projects/{cast.project.pk}/members/{membership.pk}/remove/"

    answer = cast.client("owner").post(url, follow=True)

    assert "at least one administrator" in answer.text
    assert cast.project.memberships.filter(pk=membership.pk).exists()


def test_a_member_of_one_project_is_not_reached_through_another(
    cast: Cast, member_url: str
) -> None:
    other = MembershipFactory.create(user=cast.users["owner"], role=Membership.Role.ADMINISTRATOR)
    url = member_url.replace(str(cast.project.pk), str(other.project.pk))

    assert cast.client("owner").post(f"{url}/remove/").status_code == 404


def test_write_controls_are_shown_to_those_who_may_write(cast: Cast) -> None:
    url = f"/projects/{cast.project.pk}/"

    assert "Add a person" in cast.client("owner").get(url).text
    assert "Add a person" not in cast.client("member").get(url).text


@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_the_list_of_projects_asks_the_same_however_long(
    cast: Cast, role: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        MembershipFactory.create(user=cast.users[role])
    client = cast.client(role)

    with django_assert_num_queries(3):
        client.get("/projects/")


def test_variables_are_changed_by_members_and_administrators(cast: Cast) -> None:
    url = f"/variables/{VariableFactory.create(project=cast.project).pk}/"

    assert cast.answers("GET", url) == statuses(200, 200, 403, 404)
    assert cast.answers("POST", url) == statuses(422, 422, 403, 404)


def test_a_restricted_variable_is_changed_by_administrators_only(cast: Cast) -> None:
    variable = VariableFactory.create(project=cast.project, type=Variable.Type.RESTRICTED)

    answers = cast.answers("GET", f"/variables/{variable.pk}/")

    assert answers == statuses(200, 403, 403, 404)


def test_a_new_variable_needs_a_project_to_write_in(cast: Cast) -> None:
    assert cast.answers("GET", "/variables/new/") == statuses(200, 200, 403, 403)


def test_a_variable_is_made_in_the_project_that_was_named(cast: Cast) -> None:
    entered = {"project": "Shop", "type": "REGULAR", "name": "env", "value": "dev"}

    cast.client("member").post("/variables/new/", entered)

    assert Variable.objects.get(project=cast.project, name="env").value == "dev"


def test_a_variable_cannot_be_put_into_the_project_of_others(cast: Cast) -> None:
    Project.objects.create(name="Foreign")
    entered = {"project": "Foreign", "type": "REGULAR", "name": "env", "value": "dev"}

    answer = cast.client("member").post("/variables/new/", entered)

    assert answer.status_code == 422
    assert not Variable.objects.exists()


def test_a_member_does_not_make_a_restricted_variable(cast: Cast) -> None:
    entered = {"project": "Shop", "type": "RESTRICTED", "name": "k", "value": SECRET}

    assert cast.client("member").post("/variables/new/", entered).status_code == 422
    assert cast.client("owner").post("/variables/new/", entered).status_code == 302


@pytest.mark.parametrize("kind", [Variable.Type.SECRET, Variable.Type.RESTRICTED])
def test_a_secret_value_reaches_no_page(cast: Cast, kind: str | None) -> None:
    variable = VariableFactory.create(project=cast.project, type=kind, value=SECRET)
    client = cast.client("owner")

    pages = [client.get("/variables/"), client.get(f"/variables/{variable.pk}/")]

    assert all(SECRET not in answer.text for answer in pages)
    assert "********" in pages[0].text


def test_a_secret_value_is_not_sent_back_after_an_error(cast: Cast) -> None:
    entered = {"project": "Shop", "type": "SECRET", "name": "not a name", "value": SECRET}

    answer = cast.client("owner").post("/variables/new/", entered)

    assert answer.status_code == 422
    assert SECRET not in answer.text


def test_an_empty_value_keeps_the_stored_secret(cast: Cast) -> None:
    variable = VariableFactory.create(project=cast.project, type=Variable.Type.SECRET, value=SECRET)
    entered = {"type": "SECRET", "name": "renamed", "value": ""}

    cast.client("member").post(f"/variables/{variable.pk}/", entered | opened(variable))

    variable.refresh_from_db()
    assert (variable.name, variable.value) == ("renamed", SECRET)


def test_a_stored_secret_is_not_made_readable(cast: Cast) -> None:
    variable = VariableFactory.create(project=cast.project, type=Variable.Type.SECRET, value=SECRET)
    entered = {"type": "REGULAR", "name": variable.name, "value": ""}

    answer = cast.client("owner").post(f"/variables/{variable.pk}/", entered | opened(variable))

    variable.refresh_from_db()
    assert answer.status_code == 422
    assert variable.type == Variable.Type.SECRET


def test_two_variables_of_a_project_have_two_names(cast: Cast) -> None:
    VariableFactory.create(project=cast.project, name="env")
    entered = {"project": "Shop", "type": "REGULAR", "name": "env", "value": "x"}

    assert cast.client("member").post("/variables/new/", entered).status_code == 422


def test_variables_are_deleted_by_those_who_may_change_them(cast: Cast) -> None:
    variable = VariableFactory.create(project=cast.project)
    url = f"/variables/{variable.pk}/delete/"

    assert cast.client("viewer").post(url).status_code == 403
    assert cast.client("member").post(url).status_code == 302
    assert not Variable.objects.exists()


def test_the_list_of_variables_asks_the_same_however_long(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        VariableFactory.create(project=cast.project)
    client = cast.client("member")

    with django_assert_num_queries(5):
        client.get("/variables/")


@pytest.mark.parametrize("role", ["outsider", "anonymous"])
def test_the_variables_of_others_are_not_listed(cast: Cast, role: str) -> None:
    VariableFactory.create(project=cast.project, name="private-name")

    assert "private-name" not in cast.client(role).get("/variables/").text


def test_the_administration_shows_no_value_of_a_variable(client: Client, cast: Cast) -> None:
    variable = VariableFactory.create(project=cast.project, value=SECRET)
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))

    answer = client.get(f"/admin/projects/variable/{variable.pk}/change/")

    assert answer.status_code == 200
    assert SECRET not in answer.text

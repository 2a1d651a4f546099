"""A project is changed and deleted by its administrator; its history stays."""

from __future__ import annotations

from typing import Any

import pytest

from codestream.accounts.models import ServiceRole, User
from codestream.core.errors import Refused
from codestream.projects import belongings
from codestream.projects.access import projects_allowing
from codestream.projects.models import Project, Variable
from codestream.projects.permissions import Action, can
from codestream.projects.services import create_project, delete_project
from endpoints.models import Endpoint
from executions.models import Execution
from executions.states import Status
from pipelines.models import Pipeline
from tests.factories import (
    DockerRegistryFactory,
    DockerWebhookFactory,
    ExecutionFactory,
    PipelineFactory,
    ProjectFactory,
    RegistryEventFactory,
    UserFactory,
    VariableFactory,
)
from tests.integration.cast import Cast, get, opened
from webhooks.models import DockerWebhook, RegistryEvent, RemoteHook
from webhooks.services import delete_webhook


def delete(cast: Cast) -> Any:
    return cast.client("owner").post(f"/projects/{cast.project.pk}/delete/", follow=True)


@pytest.fixture
def chief(db: None) -> User:
    return UserFactory(username="chief", service_role=ServiceRole.ADMINISTRATOR)


def test_a_project_gets_another_name_and_description(cast: Cast) -> None:
    url = f"/projects/{cast.project.pk}/edit/"
    entered = {"name": "Store", "description": "Sells"} | opened(cast.project)

    answer = cast.client("owner").post(url, entered, follow=True)

    cast.project.refresh_from_db()
    assert (cast.project.name, cast.project.description) == ("Store", "Sells")
    assert "Project Store saved." in answer.text
    assert url in get(cast, f"/projects/{cast.project.pk}/", "owner")
    assert url not in get(cast, f"/projects/{cast.project.pk}/", "member")


def test_the_name_of_another_project_is_refused_and_nothing_changed(cast: Cast) -> None:
    ProjectFactory(name="Taken")
    url = f"/projects/{cast.project.pk}/edit/"
    entered = {"name": "TAKEN", "description": "Sells"} | opened(cast.project)

    answer = cast.client("owner").post(url, entered)

    assert answer.status_code == 422
    assert "Another project has this name." in answer.text
    assert "<h1>Shop</h1>" in answer.text
    assert Project.objects.get(pk=cast.project.pk).name == "Shop"


def test_a_webhook_keeps_its_project(cast: Cast) -> None:
    DockerWebhookFactory(project=cast.project, name="push")

    answer = delete(cast)

    assert "in use by webhook push. End or delete that first." in answer.text
    assert "<li>webhook push</li>" in answer.text
    assert Project.objects.live().filter(pk=cast.project.pk).exists()


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.WAITING])
def test_an_execution_that_is_not_over_keeps_its_project(cast: Cast, status: Status) -> None:
    pipeline = PipelineFactory(project=cast.project, name="deploy")
    ExecutionFactory(pipeline=pipeline, index=7, status=status)

    answer = delete(cast)

    assert "in use by execution deploy #7." in answer.text
    assert Pipeline.objects.filter(pk=pipeline.pk).exists()


def test_a_hook_left_in_docker_hub_keeps_its_project(cast: Cast) -> None:
    mode = DockerWebhook.MirrorMode.AUTO
    webhook = DockerWebhookFactory(project=cast.project, mirror_mode=mode)
    RemoteHook.objects.update(actual=RemoteHook.Presence.PRESENT, slug="there")
    delete_webhook(webhook=webhook)
    hook = RemoteHook.objects.get(webhook=None)

    answer = delete(cast)

    assert f"in use by {hook.remote_name}, left in Docker Hub." in answer.text
    assert Endpoint.objects.filter(pk=hook.endpoint_id).exists()
    hook.delete()
    assert "Project Shop deleted." in delete(cast).text


def test_of_many_users_a_few_are_named(cast: Cast) -> None:
    for _ in range(7):
        DockerWebhookFactory(project=cast.project)

    assert "and 2 more. End or delete that first." in delete(cast).text


def test_a_deleted_project_leaves_its_history_only(cast: Cast, chief: User) -> None:
    pipeline = PipelineFactory(project=cast.project)
    execution = ExecutionFactory(pipeline=pipeline, status=Status.COMPLETED)
    webhook = DockerWebhookFactory(project=cast.project, pipeline=pipeline)
    event = RegistryEventFactory(webhook=webhook)
    delete_webhook(webhook=webhook)
    RemoteHook.objects.all().delete()
    DockerRegistryFactory(project=cast.project)
    VariableFactory(project=cast.project)
    other = VariableFactory()

    delete(cast)

    rows = Endpoint, Pipeline, Variable
    assert [list(each.objects.filter(project=cast.project)) for each in rows] == [[], [], []]
    assert list(Variable.objects.all()) == [other]
    assert not cast.project.memberships.exists()
    assert Execution.objects.get() == execution
    assert RegistryEvent.objects.get() == event
    assert list(Execution.objects.visible_to(chief)) == [execution]
    assert not Execution.objects.visible_to(cast.users["owner"]).exists()


def test_in_a_deleted_project_one_may_only_read(cast: Cast, chief: User) -> None:
    execution = ExecutionFactory(
        pipeline=PipelineFactory(project=cast.project), status=Status.COMPLETED
    )
    delete(cast)
    cast.project.refresh_from_db()
    cast.users["chief"] = chief

    allowed = {action for action in Action if can(chief, action, cast.project)}
    page = cast.client("chief").get(f"/executions/{execution.pk}/")
    again = cast.client("chief").post(f"/executions/{execution.pk}/rerun/")

    assert allowed == {Action.READ}
    assert cast.project not in projects_allowing(chief, Action.WRITE)
    assert (page.status_code, again.status_code) == (200, 403)
    assert cast.client("chief").get(f"/projects/{cast.project.pk}/").status_code == 404
    assert "Shop" not in get(cast, "/projects/", "chief")


def test_the_name_of_a_deleted_project_is_free(cast: Cast, chief: User) -> None:
    delete(cast)

    again = create_project(name="Shop", description="", creator=chief)

    assert list(Project.objects.live()) == [again]


def test_what_begins_while_a_project_is_deleted_keeps_it(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = PipelineFactory(project=cast.project, name="deploy")
    VariableFactory(project=cast.project)
    delete_all = belongings.delete_all

    def begin_and_delete(project: Project) -> None:
        ExecutionFactory(pipeline=pipeline, index=1, status=Status.RUNNING)
        delete_all(project)

    monkeypatch.setattr(belongings, "delete_all", begin_and_delete)
    with pytest.raises(Refused, match="execution deploy #1"):
        delete_project(project=cast.project)

    assert Project.objects.live().filter(pk=cast.project.pk).exists()
    assert Pipeline.objects.filter(pk=pipeline.pk).exists()
    assert Variable.objects.exists()


def test_the_administration_deletes_no_project_and_no_variable(cast: Cast) -> None:
    variable = VariableFactory(project=cast.project)
    cast.users["root"] = UserFactory(is_staff=True, is_superuser=True)
    urls = [
        f"/admin/projects/project/{cast.project.pk}/delete/",
        f"/admin/projects/variable/{variable.pk}/delete/",
    ]

    assert [cast.client("root").post(url).status_code for url in urls] == [403, 403]

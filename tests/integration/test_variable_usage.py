"""A variable that something needs is not deleted."""

from __future__ import annotations

from typing import Any

import pytest

from codestream.projects.models import Variable
from pipelines.usage import variables_in
from tests.factories import (
    PIPELINE_SOURCE,
    DockerRegistryFactory,
    DockerWebhookFactory,
    PipelineFactory,
    ProjectFactory,
    VariableFactory,
)
from tests.integration.cast import Cast


@pytest.fixture
def variable(cast: Cast) -> Variable:
    return VariableFactory(project=cast.project, name="hub-token", type=Variable.Type.SECRET)


def delete(cast: Cast, variable: Variable) -> Any:
    return cast.client("member").post(f"/variables/{variable.pk}/delete/", follow=True)


def test_what_signs_in_with_a_variable_keeps_it(cast: Cast, variable: Variable) -> None:
    credentials = {"username": "robot", "password": "${var.hub-token}"}
    DockerRegistryFactory(project=cast.project, name="our-hub", credentials=credentials)

    answer = delete(cast, variable)

    assert "in use by endpoint our-hub. Change or delete that first." in answer.text
    assert "<li>endpoint our-hub</li>" in answer.text
    assert Variable.objects.filter(pk=variable.pk).exists()


def test_a_webhook_whose_token_is_in_a_variable_keeps_it(cast: Cast, variable: Variable) -> None:
    DockerWebhookFactory(project=cast.project, name="push", api_token="${var.hub-token}")

    answer = delete(cast, variable)

    assert "in use by webhook push." in answer.text
    assert Variable.objects.filter(pk=variable.pk).exists()


def test_a_variable_that_is_needed_keeps_its_name(cast: Cast, variable: Variable) -> None:
    DockerWebhookFactory(project=cast.project, name="push", api_token="${var.hub-token}")
    entered = {"type": "SECRET", "name": "renamed", "value": "", "description": "of the robot"}
    client, url = cast.client("member"), f"/variables/{variable.pk}/"
    entered["version"] = client.get(url).context["form"]["version"].value()

    renamed = client.post(url, entered)
    described = client.post(url, entered | {"name": "hub-token"})

    variable.refresh_from_db()
    assert (renamed.status_code, described.status_code) == (422, 302)
    assert "in use by webhook push." in renamed.text
    assert (variable.name, variable.description) == ("hub-token", "of the robot")


def test_neither_another_name_nor_another_project_keeps_it(cast: Cast, variable: Variable) -> None:
    longer = {"username": "robot", "password": "${var.hub-token-2}"}
    same = {"username": "robot", "password": "${var.hub-token}"}
    DockerRegistryFactory(project=cast.project, credentials=longer)
    DockerRegistryFactory(project=ProjectFactory(), credentials=same)
    DockerWebhookFactory(project=ProjectFactory(), api_token="${var.hub-token}")

    answer = delete(cast, variable)

    assert "Variable hub-token deleted." in answer.text
    assert not Variable.objects.filter(pk=variable.pk).exists()


def test_pipelines_that_mention_it_are_named_and_keep_it_not(
    cast: Cast, variable: Variable
) -> None:
    source = PIPELINE_SOURCE.format(name="deploy") + "\n# ${var.hub-token}"
    PipelineFactory(project=cast.project, name="deploy", source=source)
    page = cast.client("member").get(f"/variables/{variable.pk}/")

    answer = delete(cast, variable)

    assert "<li>pipeline deploy</li>" in page.text
    assert "Variable hub-token deleted. Still mentioned by pipeline deploy." in answer.text
    assert not Variable.objects.filter(pk=variable.pk).exists()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("image: ${var.tag}", {"tag"}),
        ("image: ${ var['a-tag'] }-${var.b}", {"a-tag", "b"}),
        ("image: $${var.tag}", set()),
        ("image: ${input.tag} ${var} ${", set()),
    ],
)
def test_variables_are_found_in_a_text(source: str, expected: set[str]) -> None:
    assert variables_in(source) == expected

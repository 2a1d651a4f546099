"""The same form in two windows: the later save does not undo the earlier one unseen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from codestream.accounts.models import User
from codestream.accounts.services import issue_token
from codestream.core.versions import ChangedMeanwhileError
from codestream.projects.models import Project, Variable
from codestream.projects.services import save_variable, update_project
from endpoints.models import Endpoint
from endpoints.services import save_endpoint, validate_endpoint
from pipelines.models import Pipeline
from pipelines.services import save_pipeline
from tests.factories import (
    PIPELINE_SOURCE,
    DockerRegistryFactory,
    DockerWebhookFactory,
    PipelineFactory,
    VariableFactory,
)
from tests.integration.cast import Cast
from webhooks.models import DockerWebhook
from webhooks.services import save_webhook

Entered = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A page with a form, opened by somebody; what it shows is sent with every save."""

    cast: Cast
    url: str
    entered: Entered
    version: str
    role: str = "member"

    def save(self, **changed: str) -> Any:
        sent = self.entered | changed | {"version": self.version}
        return self.cast.client(self.role).post(self.url, sent)


@pytest.fixture
def endpoint(cast: Cast) -> Endpoint:
    return DockerRegistryFactory(project=cast.project)


@pytest.fixture
def variable(cast: Cast) -> Variable:
    return VariableFactory(project=cast.project)


@pytest.fixture
def webhook(cast: Cast, endpoint: Endpoint) -> DockerWebhook:
    _, token = issue_token(owner=cast.users["member"], name="webhook")
    return DockerWebhookFactory(project=cast.project, endpoint=endpoint, api_token=token)


@pytest.fixture
def project(cast: Cast) -> Project:
    return cast.project


@pytest.fixture(params=["endpoint", "project", "variable", "webhook"])
def row(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def open_window(cast: Cast, row: Any) -> Callable[[], Window]:
    urls = {
        Endpoint: f"/endpoints/{row.pk}/",
        Variable: f"/variables/{row.pk}/",
        DockerWebhook: f"/triggers/docker/webhooks/{row.pk}/edit/",
        Project: f"/projects/{row.pk}/edit/",
    }
    role = "owner" if isinstance(row, Project) else "member"

    def window() -> Window:
        page = cast.client(role).get(urls[type(row)])
        shown = {field.name: field.value() for field in page.context["form"]}
        entered = {name: str(value) for name, value in shown.items() if value}
        return Window(
            cast=cast,
            url=urls[type(row)],
            entered=entered,
            version=version_in(page.text),
            role=role,
        )

    return window


def save(row: Endpoint | Project | Variable | DockerWebhook, *, by: User) -> None:
    if isinstance(row, Endpoint):
        save_endpoint(
            endpoint=row,
            name=row.name,
            description=row.description,
            is_restricted=row.is_restricted,
            properties=row.properties,
            credentials=row.credentials,
            by=by,
        )
    elif isinstance(row, Project):
        update_project(project=row, name=row.name, description=row.description)
    elif isinstance(row, Variable):
        save_variable(variable=row, by=by)
    else:
        save_webhook(row, by=by)


def version_in(html: str) -> str:
    (found,) = re.findall(r'name="version" value="([^"]+)"', html)
    return str(found)


def test_the_later_save_is_told_and_changes_nothing(
    open_window: Callable[[], Window], row: Any
) -> None:
    first, second = open_window(), open_window()

    saved = first.save(description="of the first")
    refused = second.save(name="second", description="of the second")

    row.refresh_from_db()
    assert (saved.status_code, refused.status_code) == (302, 422)
    assert row.description == "of the first"
    assert "This was changed since you opened it: " in refused.text
    assert 'value="second"' in refused.text
    assert "of the second" in refused.text


@pytest.mark.parametrize("row", ["endpoint", "variable", "webhook"], indirect=True)
def test_who_saved_earlier_is_named(open_window: Callable[[], Window]) -> None:
    first, second = open_window(), open_window()
    first.save(description="of the first")

    assert "last edited by member." in second.save(description="of the second").text


def test_a_save_that_says_not_what_it_was_opened_on_changes_nothing(
    open_window: Callable[[], Window], row: Any
) -> None:
    before = row.description

    refused = replace(open_window(), version="").save(description="of nobody knows when")

    row.refresh_from_db()
    assert (refused.status_code, row.description) == (422, before)
    assert "It is not known which state you opened." in refused.text
    assert "of nobody knows when" in refused.text


def test_what_is_stored_is_shown_beside_what_was_entered(
    open_window: Callable[[], Window],
) -> None:
    first, second = open_window(), open_window()
    first.save(description="of the first")

    refused = second.save(description="of the second")

    assert "Stored now: of the first" in refused.text


def test_no_stored_secret_is_shown_beside_what_was_entered(cast: Cast) -> None:
    secret = "the-stored-secret"
    variable = VariableFactory(project=cast.project, type=Variable.Type.SECRET, value=secret)
    entered = {"type": "SECRET", "name": variable.name, "value": "another"}

    refused = cast.client("member").post(f"/variables/{variable.pk}/", entered)

    assert refused.status_code == 422
    assert secret not in refused.text


def test_who_was_told_may_save_again(open_window: Callable[[], Window], row: Any) -> None:
    first, second = open_window(), open_window()
    first.save(description="of the first")
    refused = second.save(description="of the second")

    saved = replace(second, version=version_in(refused.text)).save(description="of the second")

    row.refresh_from_db()
    assert saved.status_code == 302
    assert row.description == "of the second"


def test_another_mistake_forgets_not_how_old_the_window_is(
    open_window: Callable[[], Window], row: Any
) -> None:
    window = open_window()
    refused = window.save(name="")

    assert version_in(refused.text) == window.version
    assert "This was changed" not in refused.text
    assert window.save().status_code == 302


def test_a_validation_makes_no_window_old(cast: Cast, endpoint: Endpoint) -> None:
    endpoint.properties = {"serverType": "DockerHub", "repoURL": "http://127.0.0.1:9/r/demo/web"}
    endpoint.save()
    before = Endpoint.objects.get(pk=endpoint.pk).updated_at

    validate_endpoint(endpoint=endpoint)

    assert Endpoint.objects.get(pk=endpoint.pk).updated_at == before


def test_between_reading_and_saving_nobody_gets_in(cast: Cast, row: Any) -> None:
    stale = type(row).objects.get(pk=row.pk)
    row.save()

    with pytest.raises(ChangedMeanwhileError):
        save(stale, by=cast.users["member"])


SOURCE = PIPELINE_SOURCE.format(name="deploy-web")


@pytest.fixture
def pipeline(cast: Cast) -> Pipeline:
    return PipelineFactory(project=cast.project, name="deploy-web")


@pytest.fixture
def open_editor(cast: Cast, pipeline: Pipeline) -> Callable[[], Window]:
    url = f"/pipelines/{pipeline.pk}/edit/"

    def window() -> Window:
        version = version_in(cast.client("member").get(url).text)
        return Window(cast=cast, url=url, entered={"source": SOURCE}, version=version)

    return window


def test_the_later_text_of_a_pipeline_is_kept_on_the_page_only(
    open_editor: Callable[[], Window], pipeline: Pipeline
) -> None:
    first, second = open_editor(), open_editor()

    first.save(source=f"{SOURCE}# of the first\n")
    refused = second.save(source=f"{SOURCE}# of the second\n")

    assert refused.status_code == 422
    assert "This was changed since you opened it: " in refused.text
    assert "last edited by member." in refused.text
    assert "# of the second" in str(refused.context["form"]["source"])
    assert list(pipeline.revisions.values_list("number", flat=True)) == [2, 1]


def test_the_stored_text_is_shown_beside_the_later_one(open_editor: Callable[[], Window]) -> None:
    first, second = open_editor(), open_editor()
    first.save(source=f"{SOURCE}# of the first\n")

    refused = second.save(source=SOURCE)

    assert "Stored now: revision 2" in refused.text
    assert "<span># of the first</span>" in refused.text


def test_a_text_that_says_not_what_it_was_written_over_is_not_saved(
    open_editor: Callable[[], Window], pipeline: Pipeline
) -> None:
    refused = replace(open_editor(), version="").save(source=f"{SOURCE}#\n")

    assert refused.status_code == 422
    assert "It is not known which state you opened." in refused.text
    assert pipeline.revisions.count() == 1


def test_who_was_told_may_save_the_text(
    open_editor: Callable[[], Window], pipeline: Pipeline
) -> None:
    first, second = open_editor(), open_editor()
    first.save(source=f"{SOURCE}# of the first\n")
    told = replace(second, version=version_in(second.save(source=f"{SOURCE}# 2\n").text))

    assert told.save(source=f"{SOURCE}# 2\n").status_code == 302
    assert pipeline.revisions.get(number=3).source.endswith("# 2\n")


def test_validating_forgets_not_how_old_the_editor_is(open_editor: Callable[[], Window]) -> None:
    first, second = open_editor(), open_editor()
    first.save(source=f"{SOURCE}# of the first\n")

    validated = second.save(validate="1")

    assert version_in(validated.text) == second.version


def test_between_reading_and_saving_a_pipeline_nobody_gets_in(
    cast: Cast, pipeline: Pipeline
) -> None:
    stale = Pipeline.objects.get(pk=pipeline.pk)
    pipeline.save()

    with pytest.raises(ChangedMeanwhileError):
        save_pipeline(project=cast.project, source=SOURCE, author=None, pipeline=stale)

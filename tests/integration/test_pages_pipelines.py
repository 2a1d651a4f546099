from __future__ import annotations

import pytest
from pytest_django import DjangoAssertNumQueries

from pipelines import services
from pipelines.definition import DefinitionError
from pipelines.models import Pipeline, PipelineRevision
from pipelines.starter import STARTER
from tests.factories import PIPELINE_SOURCE, DockerWebhookFactory, PipelineFactory
from tests.integration.cast import Cast, opened, statuses

SOURCE = PIPELINE_SOURCE.format(name="deploy-web")
BROKEN = SOURCE.replace("stageOrder: [Deploy]", "stageOrder: [Deplyo]")


@pytest.fixture
def pipeline(cast: Cast) -> Pipeline:
    made: Pipeline = PipelineFactory.create(project=cast.project, name="deploy-web")
    return made


def test_who_reads_and_who_writes_a_pipeline(cast: Cast, pipeline: Pipeline) -> None:
    url = f"/pipelines/{pipeline.pk}/"

    assert cast.answers("GET", "/pipelines/") == statuses(200, 200, 200, 200)
    assert cast.answers("GET", url) == statuses(200, 200, 200, 404)
    assert cast.answers("GET", f"{url}edit/") == statuses(200, 200, 403, 404)
    assert cast.answers("POST", f"{url}edit/", source="") == statuses(422, 422, 403, 404)
    assert cast.answers("GET", "/pipelines/new/") == statuses(200, 200, 403, 403)
    assert cast.answers("POST", f"{url}state/", state="DISABLED") == statuses(302, 302, 403, 404)


def test_a_new_pipeline_has_its_first_revision(cast: Cast) -> None:
    cast.client("member").post("/pipelines/new/", {"project": "Shop", "source": SOURCE})

    pipeline = Pipeline.objects.get(project=cast.project, name="deploy-web")
    assert pipeline.injects_docker
    revision = PipelineRevision.objects.get(pipeline=pipeline)
    assert (revision.number, revision.source) == (1, SOURCE)
    assert revision.author == cast.users["member"]


def test_line_ends_of_the_browser_do_not_change_the_text(cast: Cast) -> None:
    entered = {"project": "Shop", "source": SOURCE.replace("\n", "\r\n")}

    cast.client("member").post("/pipelines/new/", entered)

    assert PipelineRevision.objects.get().source == SOURCE


def test_what_a_new_pipeline_begins_with_can_be_saved(cast: Cast) -> None:
    answer = cast.client("member").post("/pipelines/new/", {"project": "Shop", "source": STARTER})

    assert answer.status_code == 302


def test_saving_the_same_text_makes_no_revision(cast: Cast, pipeline: Pipeline) -> None:
    for source in (SOURCE, SOURCE + "# a note\n", SOURCE + "# a note\n"):
        pipeline = services.save_pipeline(
            project=cast.project, source=source, author=None, pipeline=pipeline
        )

    assert list(pipeline.revisions.values_list("number", flat=True)) == [2, 1]


def test_a_pipeline_keeps_its_state_when_its_text_changes(cast: Cast, pipeline: Pipeline) -> None:
    cast.client("member").post(f"/pipelines/{pipeline.pk}/state/", {"state": "DISABLED"})

    entered = {"source": SOURCE + "#\n"} | opened(pipeline)
    cast.client("member").post(f"/pipelines/{pipeline.pk}/edit/", entered)

    pipeline.refresh_from_db()
    assert pipeline.state == Pipeline.State.DISABLED
    assert pipeline.current_revision == pipeline.revisions.get(number=2)


def test_every_problem_is_shown_with_its_line(cast: Cast, pipeline: Pipeline) -> None:
    entered = {"source": BROKEN} | opened(pipeline)
    answer = cast.client("member").post(f"/pipelines/{pipeline.pk}/edit/", entered)

    assert answer.status_code == 422
    assert "Line 7" in answer.text
    assert "Line 9" in answer.text
    assert "Deplyo" in answer.text
    assert pipeline.revisions.count() == 1


def test_validate_saves_nothing_and_answers_a_fragment(cast: Cast, pipeline: Pipeline) -> None:
    answer = cast.client("member").post(
        f"/pipelines/{pipeline.pk}/edit/",
        {"source": SOURCE + "# new\n", "validate": "1"},
        headers={"HX-Request": "true"},
    )

    assert answer.status_code == 200
    assert "No problems found." in answer.text
    assert "<html" not in answer.text
    assert pipeline.revisions.count() == 1


def test_validate_without_htmx_keeps_what_was_written(cast: Cast) -> None:
    written = SOURCE.replace("deploy-web", "not-yet-saved")
    entered = {"project": "Shop", "source": written, "validate": "1"}

    answer = cast.client("member").post("/pipelines/new/", entered)

    assert answer.status_code == 200
    assert "name: not-yet-saved" in answer.text
    assert 'value="Shop"' in answer.text


def test_a_name_that_is_taken_is_refused_in_words(cast: Cast, pipeline: Pipeline) -> None:
    answer = cast.client("member").post("/pipelines/new/", {"project": "Shop", "source": SOURCE})

    assert answer.status_code == 422
    assert "a pipeline named deploy-web already" in answer.text


def test_a_text_with_problems_makes_no_pipeline(cast: Cast) -> None:
    with pytest.raises(DefinitionError):
        services.save_pipeline(project=cast.project, source=BROKEN, author=None)

    assert not Pipeline.objects.exists()


def test_an_older_revision_can_be_read(cast: Cast, pipeline: Pipeline) -> None:
    services.save_pipeline(
        project=cast.project, source=SOURCE + "# second\n", author=None, pipeline=pipeline
    )
    client = cast.client("viewer")

    assert "# second" in client.get(f"/pipelines/{pipeline.pk}/").text
    assert "# second" not in client.get(f"/pipelines/{pipeline.pk}/?revision=1").text
    assert client.get(f"/pipelines/{pipeline.pk}/?revision=9").status_code == 404
    assert client.get(f"/pipelines/{pipeline.pk}/?revision=x").status_code == 404


def test_the_text_is_shown_and_never_taken_as_markup(cast: Cast) -> None:
    source = SOURCE + "# <script>alert(1)</script>\n"
    pipeline = PipelineFactory.create(project=cast.project, name="deploy-web", source=source)

    assert "<script>alert" not in cast.client("viewer").get(f"/pipelines/{pipeline.pk}/").text


def test_a_viewer_sees_no_way_to_run_or_change(cast: Cast, pipeline: Pipeline) -> None:
    html = cast.client("viewer").get(f"/pipelines/{pipeline.pk}/").text

    assert "/edit/" not in html
    assert "?pipeline=" not in html


def test_a_disabled_pipeline_offers_no_run(cast: Cast, pipeline: Pipeline) -> None:
    client = cast.client("member")
    assert f"?pipeline={pipeline.pk}" in client.get("/pipelines/").text

    client.post(f"/pipelines/{pipeline.pk}/state/", {"state": "DISABLED"})

    assert f"?pipeline={pipeline.pk}" not in client.get("/pipelines/").text


def test_only_an_enabled_pipeline_is_released(cast: Cast) -> None:
    pipeline = PipelineFactory.create(project=cast.project, state=Pipeline.State.DISABLED)

    answer = cast.client("owner").post(
        f"/pipelines/{pipeline.pk}/state/", {"state": "RELEASED"}, follow=True
    )

    assert "Enable the pipeline before you release it." in answer.text


def test_an_unknown_state_is_a_bad_request(cast: Cast, pipeline: Pipeline) -> None:
    answer = cast.client("owner").post(f"/pipelines/{pipeline.pk}/state/", {"state": "MAYBE"})

    assert answer.status_code == 400


def test_deleting_a_pipeline_keeps_its_revisions_for_the_executions(
    cast: Cast, pipeline: Pipeline
) -> None:
    cast.client("member").post(f"/pipelines/{pipeline.pk}/delete/")

    assert not Pipeline.objects.exists()
    assert PipelineRevision.objects.count() == 1


def test_a_pipeline_that_a_webhook_starts_says_so(cast: Cast, pipeline: Pipeline) -> None:
    DockerWebhookFactory.create(project=cast.project, pipeline=pipeline, name="release-hook")

    answer = cast.client("member").post(f"/pipelines/{pipeline.pk}/delete/", follow=True)

    assert "release-hook" in answer.text


def test_the_list_asks_the_same_however_long(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        PipelineFactory.create(project=cast.project)
    client = cast.client("member")

    with django_assert_num_queries(5):
        client.get("/pipelines/")


@pytest.mark.parametrize("role", ["outsider", "anonymous"])
def test_the_pipelines_of_others_are_not_listed(cast: Cast, pipeline: Pipeline, role: str) -> None:
    assert pipeline.name not in cast.client(role).get("/pipelines/").text

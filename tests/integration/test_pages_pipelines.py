from __future__ import annotations

import pytest

from pipelines import services
from pipelines.definition import DefinitionError
from pipelines.models import Pipeline, PipelineRevision
from pipelines.starter import STARTER
from tests.factories import PIPELINE_SOURCE, DockerWebhookFactory, PipelineFactory
from tests.integration.cast import statuses

SOURCE = PIPELINE_SOURCE.format(name="deploy-web")
BROKEN = SOURCE.replace("stageOrder: [Deploy]", "stageOrder: [Deplyo]")


@pytest.fixture
def pipeline(cast) -> Pipeline:
    return PipelineFactory(project=cast.project, name="deploy-web")


def test_who_reads_and_who_writes_a_pipeline(cast, pipeline):
    url = f"/pipelines/{pipeline.pk}/"

    assert cast.answers("GET", "/pipelines/") == statuses(200, 200, 200, 200)
    assert cast.answers("GET", url) == statuses(200, 200, 200, 404)
    assert cast.answers("GET", f"{url}edit/") == statuses(200, 200, 403, 404)
    assert cast.answers("POST", f"{url}edit/", source="") == statuses(422, 422, 403, 404)
    assert cast.answers("GET", "/pipelines/new/") == statuses(200, 200, 403, 403)
    assert cast.answers("POST", f"{url}state/", state="DISABLED") == statuses(302, 302, 403, 404)


def test_a_new_pipeline_has_its_first_revision(cast):
    cast.client("member").post("/pipelines/new/", {"project": "Shop", "source": SOURCE})

    pipeline = Pipeline.objects.get(project=cast.project, name="deploy-web")
    assert pipeline.injects_docker
    assert (pipeline.current_revision.number, pipeline.current_revision.source) == (1, SOURCE)
    assert pipeline.current_revision.author == cast.users["member"]


def test_line_ends_of_the_browser_do_not_change_the_text(cast):
    entered = {"project": "Shop", "source": SOURCE.replace("\n", "\r\n")}

    cast.client("member").post("/pipelines/new/", entered)

    assert PipelineRevision.objects.get().source == SOURCE


def test_what_a_new_pipeline_begins_with_can_be_saved(cast):
    answer = cast.client("member").post("/pipelines/new/", {"project": "Shop", "source": STARTER})

    assert answer.status_code == 302


def test_saving_the_same_text_makes_no_revision(cast, pipeline):
    for source in (SOURCE, SOURCE + "# a note\n", SOURCE + "# a note\n"):
        services.save_pipeline(
            project=cast.project, source=source, author=None, pipeline=pipeline
        )

    assert list(pipeline.revisions.values_list("number", flat=True)) == [2, 1]


def test_a_pipeline_keeps_its_state_when_its_text_changes(cast, pipeline):
    cast.client("member").post(f"/pipelines/{pipeline.pk}/state/", {"state": "DISABLED"})

    cast.client("member").post(f"/pipelines/{pipeline.pk}/edit/", {"source": SOURCE + "#\n"})

    pipeline.refresh_from_db()
    assert pipeline.state == Pipeline.State.DISABLED
    assert pipeline.current_revision.number == 2


def test_every_problem_is_shown_with_its_line(cast, pipeline):
    answer = cast.client("member").post(f"/pipelines/{pipeline.pk}/edit/", {"source": BROKEN})

    assert answer.status_code == 422
    assert "Line 6" in answer.text
    assert "Deplyo" in answer.text
    assert pipeline.revisions.count() == 1


def test_validate_saves_nothing_and_answers_a_fragment(cast, pipeline):
    answer = cast.client("member").post(
        f"/pipelines/{pipeline.pk}/edit/",
        {"source": SOURCE + "# new\n", "validate": "1"},
        headers={"HX-Request": "true"},
    )

    assert answer.status_code == 200
    assert "No problems found." in answer.text
    assert "<html" not in answer.text
    assert pipeline.revisions.count() == 1


def test_validate_without_htmx_keeps_what_was_written(cast):
    written = SOURCE.replace("deploy-web", "not-yet-saved")
    entered = {"project": "Shop", "source": written, "validate": "1"}

    answer = cast.client("member").post("/pipelines/new/", entered)

    assert answer.status_code == 200
    assert "name: not-yet-saved" in answer.text
    assert 'value="Shop"' in answer.text


def test_a_name_that_is_taken_is_refused_in_words(cast, pipeline):
    answer = cast.client("member").post("/pipelines/new/", {"project": "Shop", "source": SOURCE})

    assert answer.status_code == 422
    assert "a pipeline named deploy-web already" in answer.text


def test_a_text_with_problems_makes_no_pipeline(cast):
    with pytest.raises(DefinitionError):
        services.save_pipeline(project=cast.project, source=BROKEN, author=None)

    assert not Pipeline.objects.exists()


def test_an_older_revision_can_be_read(cast, pipeline):
    services.save_pipeline(
        project=cast.project, source=SOURCE + "# second\n", author=None, pipeline=pipeline
    )
    client = cast.client("viewer")

    assert "# second" in client.get(f"/pipelines/{pipeline.pk}/").text
    assert "# second" not in client.get(f"/pipelines/{pipeline.pk}/?revision=1").text
    assert client.get(f"/pipelines/{pipeline.pk}/?revision=9").status_code == 404
    assert client.get(f"/pipelines/{pipeline.pk}/?revision=x").status_code == 404


def test_the_text_is_shown_and_never_taken_as_markup(cast):
    source = SOURCE + "# <script>alert(1)</script>\n"
    pipeline = PipelineFactory(project=cast.project, name="deploy-web", source=source)

    assert "<script>alert" not in cast.client("viewer").get(f"/pipelines/{pipeline.pk}/").text


def test_a_viewer_sees_no_way_to_run_or_change(cast, pipeline):
    html = cast.client("viewer").get(f"/pipelines/{pipeline.pk}/").text

    assert "/edit/" not in html
    assert "?pipeline=" not in html


def test_a_disabled_pipeline_offers_no_run(cast, pipeline):
    client = cast.client("member")
    assert f"?pipeline={pipeline.pk}" in client.get("/pipelines/").text

    client.post(f"/pipelines/{pipeline.pk}/state/", {"state": "DISABLED"})

    assert f"?pipeline={pipeline.pk}" not in client.get("/pipelines/").text


def test_only_an_enabled_pipeline_is_released(cast):
    pipeline = PipelineFactory(project=cast.project, state=Pipeline.State.DISABLED)

    answer = cast.client("owner").post(
        f"/pipelines/{pipeline.pk}/state/", {"state": "RELEASED"}, follow=True
    )

    assert "Enable the pipeline before you release it." in answer.text


def test_an_unknown_state_is_a_bad_request(cast, pipeline):
    answer = cast.client("owner").post(f"/pipelines/{pipeline.pk}/state/", {"state": "MAYBE"})

    assert answer.status_code == 400


def test_deleting_a_pipeline_keeps_its_revisions_for_the_executions(cast, pipeline):
    cast.client("member").post(f"/pipelines/{pipeline.pk}/delete/")

    assert not Pipeline.objects.exists()
    assert PipelineRevision.objects.count() == 1


def test_a_pipeline_that_a_webhook_starts_says_so(cast, pipeline):
    DockerWebhookFactory(project=cast.project, pipeline=pipeline, name="release-hook")

    answer = cast.client("member").post(f"/pipelines/{pipeline.pk}/delete/", follow=True)

    assert "release-hook" in answer.text


def test_the_list_asks_the_same_however_long(cast, django_assert_num_queries):
    for _ in range(5):
        PipelineFactory(project=cast.project)
    client = cast.client("member")

    with django_assert_num_queries(5):
        client.get("/pipelines/")


@pytest.mark.parametrize("role", ["outsider", "anonymous"])
def test_the_pipelines_of_others_are_not_listed(cast, pipeline, role):
    assert pipeline.name not in cast.client(role).get("/pipelines/").text

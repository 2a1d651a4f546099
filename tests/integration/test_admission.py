"""Who gets a free place of a pipeline: first in, first out, never one too many."""

from __future__ import annotations

import pytest

from codestream.accounts.models import User
from codestream.core.errors import Refused
from executions.models import Execution
from executions.runners.base import Done, TaskFailedError
from executions.services import cancel_execution, start_execution
from executions.worker import drain
from pipelines.models import Pipeline
from pipelines.services import delete_pipeline, save_pipeline
from tests.factories import UserFactory
from tests.integration.puppets import (
    Puppets,
    asking,
    pipeline_of,
    start,
    statuses,
    story,
    working,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unbroken_stories")]


@pytest.fixture
def eve() -> User:
    made: User = UserFactory.create(username="eve")
    return made


def line(pipeline: Pipeline) -> list[str]:
    """The statuses of the pipeline's executions, in their order."""
    return list(pipeline.executions.order_by("index").values_list("status", flat=True))


@pytest.mark.parametrize(
    "end", [Done(message="fine"), TaskFailedError("it broke")], ids=["completed", "failed"]
)
def test_the_end_of_one_begins_the_one_that_waited_longest(
    puppets: Puppets, end: Done | TaskFailedError
) -> None:
    puppets.acts["a"] = working()
    pipeline = pipeline_of("Main: a", concurrency=2)
    executions = [start(pipeline) for _ in range(4)]
    assert line(pipeline) == ["RUNNING", "RUNNING", "QUEUED", "QUEUED"]

    def end_the_second(context: object) -> Done:
        puppets.acts["a"] = working()
        if isinstance(end, TaskFailedError):
            raise end
        return end

    puppets.tell(executions[1], "a", end_the_second)

    assert line(pipeline) == ["RUNNING", statuses(executions[1])[""], "RUNNING", "QUEUED"]
    assert story(executions[2])[:3] == [
        ("scripted #3", "", "QUEUED"),
        ("scripted #3", "QUEUED", "RUNNING"),
        ("Main", "NOT_STARTED", "RUNNING"),
    ]


def test_a_place_is_free_when_a_canceled_execution_has_ended_and_not_before(
    puppets: Puppets, eve: User
) -> None:
    puppets.acts["a"] = working()
    pipeline = pipeline_of("Main: a", concurrency=1)
    first, _ = start(pipeline), start(pipeline)

    cancel_execution(execution=first, by=eve)
    assert line(pipeline) == ["CANCELING", "QUEUED"]
    drain()

    assert line(pipeline) == ["CANCELED", "RUNNING"]


def test_one_that_is_canceled_in_the_line_leaves_it_and_gives_nobody_a_place(
    puppets: Puppets, eve: User
) -> None:
    puppets.acts["a"] = working()
    pipeline = pipeline_of("Main: a", concurrency=1)
    first, second, third = (start(pipeline) for _ in range(3))

    cancel_execution(execution=second, by=eve)
    drain()
    assert line(pipeline) == ["RUNNING", "CANCELED", "QUEUED"]
    assert story(second) == [
        ("scripted #2", "", "QUEUED"),
        ("Cancel requested", "", ""),
        ("Main", "NOT_STARTED", "CANCELED"),
        ("Main.a", "NOT_STARTED", "CANCELED"),
        ("scripted #2", "QUEUED", "CANCELED"),
    ]
    puppets.tell(first, "a", Done(message="fine"))

    assert statuses(third)[""] == "COMPLETED"


def test_one_that_waits_for_a_person_keeps_its_place(puppets: Puppets) -> None:
    puppets.acts["a"] = asking()
    pipeline = pipeline_of("Main: a", concurrency=1)

    for _ in range(2):
        start(pipeline)

    assert line(pipeline) == ["WAITING", "QUEUED"]


def test_what_is_skipped_from_its_first_task_to_its_last_gives_its_place_back_at_once(
    puppets: Puppets,
) -> None:
    wanted = '${input.wanted} == "yes"'
    pipeline = pipeline_of(
        "Main: a, b",
        concurrency=1,
        inputs={"wanted": "no"},
        conditions={"a": wanted, "b": wanted},
    )
    puppets.acts["a"] = working()
    first = start(pipeline, wanted="yes")
    for _ in range(3):
        start(pipeline)
    assert line(pipeline) == ["RUNNING", "QUEUED", "QUEUED", "QUEUED"]

    puppets.tell(first, "a", Done(message="fine"))

    assert line(pipeline) == ["COMPLETED"] * 4


def test_more_places_are_filled_in_order_by_the_next_one_that_comes(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    pipeline = pipeline_of("Main: a", concurrency=1)
    for _ in range(3):
        start(pipeline)
    Pipeline.objects.update(concurrency=3)

    last = start(pipeline)

    assert line(pipeline) == ["RUNNING", "RUNNING", "RUNNING", "QUEUED"]
    assert last.index == 4


def test_more_places_are_filled_as_soon_as_the_definition_with_them_is_saved(
    puppets: Puppets,
) -> None:
    puppets.acts["a"] = asking()
    pipeline = pipeline_of("Main: a", concurrency=1)
    for _ in range(4):
        start(pipeline)
    drain()
    assert pipeline.current_revision is not None
    more = pipeline.current_revision.source.replace("concurrency: 1", "concurrency: 3")

    save_pipeline(project=pipeline.project, source=more, author=None, pipeline=pipeline)

    assert line(pipeline) == ["WAITING", "RUNNING", "RUNNING", "QUEUED"]


def test_a_pipeline_is_not_deleted_while_executions_wait_for_it(
    puppets: Puppets, eve: User
) -> None:
    puppets.acts["a"] = working()
    pipeline = pipeline_of("Main: a", concurrency=1)
    running, waiting = start(pipeline), start(pipeline)

    with pytest.raises(Refused, match="1 execution of the pipeline waits"):
        delete_pipeline(pipeline=pipeline)
    cancel_execution(execution=waiting, by=eve)
    delete_pipeline(pipeline=pipeline)

    puppets.tell(running, "a", Done(message="fine"))
    assert statuses(running)[""] == "COMPLETED"
    assert not Pipeline.objects.exists()


def test_fewer_places_hold_from_then_on(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    pipeline = pipeline_of("Main: a", concurrency=3)
    executions = [start(pipeline) for _ in range(3)]
    Pipeline.objects.update(concurrency=1)
    start(pipeline)

    def end_one(context: object) -> Done:
        puppets.acts["a"] = working()
        return Done(message="fine")

    for ended, then in enumerate([["RUNNING", "RUNNING"], ["RUNNING"]]):
        puppets.tell(executions[ended], "a", end_one)
        assert line(pipeline) == ["COMPLETED"] * (ended + 1) + then + ["QUEUED"]
    puppets.tell(executions[2], "a", end_one)

    assert line(pipeline) == ["COMPLETED"] * 3 + ["RUNNING"]


def test_pipelines_do_not_share_their_places(puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    full, free = (pipeline_of("Main: a", name=name, concurrency=1) for name in ("full", "free"))
    start(full), start(full)

    assert start(free).status == "RUNNING"


def test_numbers_have_no_gap_and_no_double(puppets: Puppets) -> None:
    pipeline = pipeline_of("Main: a", concurrency=1)
    keys = ["push:1", "push:1", "push:2", "push:2", "push:3"]

    for key in keys:
        start_execution(
            pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann", start_key=key
        )
    drain()

    ended = Execution.objects.order_by("finished_at").values_list("index", "status")
    assert list(ended) == [(1, "COMPLETED"), (2, "COMPLETED"), (3, "COMPLETED")]

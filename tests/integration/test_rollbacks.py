"""Failed tasks and stages that a pipeline rolls back: once, to its end, whatever happens."""

from __future__ import annotations

import pytest

from codestream.core import work
from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.core.work import finishing
from codestream.projects.models import Membership, Project
from executions import rollbacks
from executions.models import Execution, TaskRun
from executions.restricted import may_use_restricted
from executions.run import locked
from executions.runners.base import Done, Outcome, TaskContext, TaskFailedError
from executions.services import (
    cancel_execution,
    pause_execution,
    resume_execution,
    start_execution,
)
from executions.states import Status
from executions.tasks import fail_task
from executions.worker import drain
from pipelines.models import Pipeline
from tests.factories import (
    MembershipFactory,
    ProjectFactory,
    UserFactory,
    VariableFactory,
)
from tests.integration.claims import taken
from tests.integration.puppets import (
    Act,
    Busy,
    Puppets,
    asking,
    pipeline_of,
    start,
    statuses,
    story,
    task_of,
    working,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unbroken_stories")]

TASK = {"name": "undo", "stage": "Main", "task": "a"}
STAGE = {"name": "undo", "stage": "Main"}
BROKEN = TaskFailedError("it broke")


@pytest.fixture
def project() -> Project:
    made: Project = ProjectFactory.create()
    return made


@pytest.fixture
def undo(puppets: Puppets, project: Project) -> Pipeline:
    """A pipeline that undoes, in one task named ``u``."""
    return pipeline_of(
        "Undo: u", name="undo", project=project, inputs={"TAG": "none", "BY": "nobody"}
    )


@pytest.fixture
def failing(puppets: Puppets, undo: Pipeline) -> Pipeline:
    """A pipeline whose first task fails, to be rolled back by ``undo``."""
    puppets.acts["a"] = BROKEN
    return pipeline_of("Main: a, b", "Next: c", project=undo.project, rollbacks=[TASK])


def rollbacks_of(execution: Execution) -> list[Execution]:
    return list(execution.children.order_by("index"))


def test_a_failed_task_is_rolled_back_and_nothing_later_begins(
    puppets: Puppets, failing: Pipeline
) -> None:
    execution = start(failing)

    assert statuses(execution) == {
        "": "ROLLBACK_COMPLETED",
        "a": "ROLLBACK_COMPLETED",
        "b": "NOT_STARTED",
        "c": "NOT_STARTED",
    }
    assert execution.message == "Main.a: it broke Rolled back by undo #1."
    assert story(execution) == [
        ("scripted #1", "", "QUEUED"),
        ("scripted #1", "QUEUED", "RUNNING"),
        ("Main", "NOT_STARTED", "RUNNING"),
        ("Main.a", "NOT_STARTED", "STARTED"),
        ("Main.a", "STARTED", "ROLLING_BACK"),
        ("Main", "RUNNING", "ROLLING_BACK"),
        ("scripted #1", "RUNNING", "ROLLING_BACK"),
        ("Main.a", "ROLLING_BACK", "ROLLBACK_COMPLETED"),
        ("Main", "ROLLING_BACK", "ROLLBACK_COMPLETED"),
        ("scripted #1", "ROLLING_BACK", "ROLLBACK_COMPLETED"),
    ]


def test_a_rollback_says_whose_it_is_and_gets_its_inputs(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    puppets.acts["a"] = BROKEN
    rollback = {**TASK, "inputs": {"TAG": "${input.OLD}", "BY": "${Main.a.status}"}}
    pipeline = pipeline_of("Main: a", project=project, inputs={"OLD": "1.1"}, rollbacks=[rollback])

    execution = start(pipeline)

    (child,) = rollbacks_of(execution)
    assert (child.status, child.source, child.triggered_by) == ("COMPLETED", "ROLLBACK", "ann")
    assert child.run_as == execution.run_as
    assert child.inputs == {"TAG": "1.1", "BY": "ROLLING_BACK"}
    assert child.comments == "Rolls back scripted #1"


def test_while_its_rollback_works_the_execution_is_rolling_back(
    puppets: Puppets, failing: Pipeline
) -> None:
    puppets.acts["u"] = working()
    execution = start(failing)
    assert statuses(execution)["a"] == "ROLLING_BACK"
    assert statuses(execution)[""] == "ROLLING_BACK"

    puppets.tell(rollbacks_of(execution)[0], "u", Done(message="undone"))

    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"


def test_looking_again_starts_no_second_rollback(puppets: Puppets, failing: Pipeline) -> None:
    puppets.acts["u"] = working()
    execution = start(failing)

    for _ in range(3):
        puppets.tell(execution, "a", BROKEN)

    assert len(rollbacks_of(execution)) == 1


def test_a_worker_killed_before_it_noted_the_rollback_starts_no_second_one(
    puppets: Puppets, undo: Pipeline, failing: Pipeline
) -> None:
    puppets.acts["u"] = working()
    execution = start_execution(pipeline=failing, inputs={}, run_as=None, triggered_by="ann")
    fail_task(taken(task_of(execution, "a")), "it broke")
    killed = taken(task_of(execution, "a"))
    rollbacks.start(killed.row)

    drain()

    assert statuses(execution)["a"] == "ROLLING_BACK"
    assert len(rollbacks_of(execution)) == 1
    puppets.tell(rollbacks_of(execution)[0], "u", Done(message="undone"))
    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"
    with pytest.raises(work.LeaseLostError), finishing(killed, wake_at=None):
        pass


def test_a_stage_is_rolled_back_once_for_all_its_failed_tasks(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    puppets.acts |= {"a": BROKEN, "b": BROKEN}
    execution = start(pipeline_of("Main: a b, c", project=project, rollbacks=[STAGE]))

    assert len(rollbacks_of(execution)) == 1
    assert statuses(execution) == {
        "": "ROLLBACK_COMPLETED",
        "a": "ROLLBACK_COMPLETED",
        "b": "ROLLBACK_COMPLETED",
        "c": "NOT_STARTED",
    }


def test_the_rollback_of_a_stage_waits_for_what_still_works_in_it(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    puppets.acts |= {"a": BROKEN, "b": working()}
    execution = start(pipeline_of("Main: a b", project=project, rollbacks=[STAGE]))
    assert statuses(execution) == {"": "RUNNING", "a": "ROLLING_BACK", "b": "RUNNING"}
    assert rollbacks_of(execution) == []

    puppets.tell(execution, "b", Done(message="fine"))

    assert len(rollbacks_of(execution)) == 1
    assert statuses(execution) == {
        "": "ROLLBACK_COMPLETED",
        "a": "ROLLBACK_COMPLETED",
        "b": "COMPLETED",
    }


def test_the_rollback_of_a_task_does_not_wait_for_its_mates(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    puppets.acts |= {"a": BROKEN, "b": working()}
    execution = start(pipeline_of("Main: a b", project=project, rollbacks=[TASK]))
    assert statuses(execution) == {"": "RUNNING", "a": "ROLLBACK_COMPLETED", "b": "RUNNING"}

    puppets.tell(execution, "b", Done(message="fine"))

    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"


def test_the_rollback_of_a_task_comes_before_that_of_its_stage(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    puppets.acts |= {"a": BROKEN, "b": BROKEN}
    pipeline_of("Undo: s", name="undo stage", project=project)
    of_stage = {**STAGE, "name": "undo stage"}
    execution = start(pipeline_of("Main: a b", project=project, rollbacks=[of_stage, TASK]))

    assert sorted(child.pipeline_name for child in rollbacks_of(execution)) == [
        "undo",
        "undo stage",
    ]
    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"


def test_a_rollback_that_fails_says_why(puppets: Puppets, failing: Pipeline) -> None:
    puppets.acts["u"] = TaskFailedError("the cluster is gone")

    execution = start(failing)

    assert statuses(execution)["a"] == "ROLLBACK_FAILED"
    assert execution.status == "ROLLBACK_FAILED"
    assert execution.message == (
        "Main.a: it broke The rollback undo #1 ended with: Undo.u: the cluster is gone"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "renamed"}, "The project has no pipeline named undo."),
        ({"state": Pipeline.State.DISABLED}, "Pipeline undo is disabled."),
    ],
)
def test_a_rollback_that_cannot_start_fails_the_task_at_once(
    puppets: Puppets, undo: Pipeline, failing: Pipeline, change: dict[str, str], reason: str
) -> None:
    Pipeline.objects.filter(pk=undo.pk).update(**change)

    execution = start(failing)

    assert statuses(execution)["a"] == "ROLLBACK_FAILED"
    assert execution.message == f"Main.a: it broke The rollback could not start: {reason}"
    assert rollbacks_of(execution) == []


def test_a_pipeline_of_another_project_rolls_nothing_back(puppets: Puppets, undo: Pipeline) -> None:
    puppets.acts["a"] = BROKEN

    execution = start(pipeline_of("Main: a", rollbacks=[TASK]))

    assert statuses(execution)[""] == "ROLLBACK_FAILED"
    assert not Execution.objects.filter(pipeline=undo).exists()


def test_a_rollback_that_is_canceled_has_failed(puppets: Puppets, failing: Pipeline) -> None:
    puppets.acts["u"] = working()
    execution = start(failing)

    cancel_execution(execution=rollbacks_of(execution)[0], by=UserFactory(username="eve"))
    drain()

    assert statuses(execution)[""] == "ROLLBACK_FAILED"
    assert "Execution canceled by eve." in execution.message


def test_a_cancel_does_not_leave_a_rollback_half_way(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    puppets.acts |= {"a": BROKEN, "b": working(), "u": working()}
    execution = start(pipeline_of("Main: a b, c", project=project, rollbacks=[TASK]))

    cancel_execution(execution=execution, by=UserFactory(username="eve"))
    drain()
    assert statuses(execution) == {
        "": "ROLLING_BACK",
        "a": "ROLLING_BACK",
        "b": "CANCELED",
        "c": "CANCELED",
    }
    (rollback,) = rollbacks_of(execution)
    assert statuses(rollback)[""] == "RUNNING"
    puppets.tell(rollback, "u", Done(message="undone"))

    assert statuses(execution) == {
        "": "CANCELED",
        "a": "ROLLBACK_COMPLETED",
        "b": "CANCELED",
        "c": "CANCELED",
    }


def test_a_task_that_fails_after_a_cancel_is_not_rolled_back(
    puppets: Puppets, failing: Pipeline
) -> None:
    puppets.acts["a"] = working()
    execution = start(failing)
    cancel_execution(execution=execution, by=UserFactory())

    fail_task(taken(task_of(execution, "a")), "it broke")

    assert statuses(execution)["a"] == "FAILED"
    assert rollbacks_of(execution) == []


def test_a_pause_keeps_no_rollback_from_its_end(puppets: Puppets, failing: Pipeline) -> None:
    puppets.acts["u"] = working()
    execution = start(failing)
    pause_execution(execution=execution, by=UserFactory())
    assert execution.status == "ROLLING_BACK"

    puppets.tell(rollbacks_of(execution)[0], "u", Done(message="undone"))

    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"


def test_a_rollback_itself_may_be_paused(puppets: Puppets, failing: Pipeline) -> None:
    puppets.acts["u"] = working()
    execution = start(failing)
    (rollback,) = rollbacks_of(execution)
    pause_execution(execution=rollback, by=UserFactory())
    assert rollback.status == "PAUSING"

    resume_execution(execution=rollback, by=UserFactory())
    puppets.tell(rollback, "u", Done(message="undone"))

    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"


def test_a_rollback_is_not_rolled_back_itself(puppets: Puppets, project: Project) -> None:
    puppets.acts |= {"a": BROKEN, "u": BROKEN}
    again = {"name": "undo", "stage": "Undo"}
    pipeline_of("Undo: u", name="undo", project=project, rollbacks=[again])

    execution = start(pipeline_of("Main: a", project=project, rollbacks=[TASK]))

    (rollback,) = rollbacks_of(execution)
    assert statuses(rollback) == {"": "FAILED", "u": "FAILED"}
    assert rollbacks_of(rollback) == []
    assert statuses(execution)[""] == "ROLLBACK_FAILED"


def test_a_failure_that_may_be_ignored_is_not_rolled_back(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    puppets.acts["a"] = BROKEN

    execution = start(pipeline_of("Main: a?, b", project=project, rollbacks=[TASK]))

    assert statuses(execution) == {"": "COMPLETED", "a": "FAILED_CONTINUE", "b": "COMPLETED"}
    assert rollbacks_of(execution) == []


def test_a_task_that_never_began_is_not_rolled_back(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    unreadable = {"a": '${var.gone} == "x"'}
    execution = start(
        pipeline_of("Main: a, b", project=project, conditions=unreadable, rollbacks=[TASK])
    )

    assert statuses(execution) == {"": "FAILED", "a": "FAILED", "b": "NOT_STARTED"}
    assert rollbacks_of(execution) == []


def test_a_task_that_a_person_refused_is_rolled_back(puppets: Puppets, failing: Pipeline) -> None:
    puppets.acts["a"] = asking()
    execution = start(failing)

    puppets.tell(execution, "a", TaskFailedError("refused"))

    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"


def test_a_fault_of_ours_in_a_rolling_back_task_ends_it(
    puppets: Puppets, failing: Pipeline
) -> None:
    puppets.acts["u"] = Busy("later")
    execution = start(failing)
    work.wake(type(task_of(execution, "a")), task_of(execution, "a").pk)

    fail_task(taken(task_of(execution, "a")), "Internal error")

    assert statuses(execution)["a"] == "FAILED"
    assert execution.status == "FAILED"


def test_a_rollback_waits_for_a_place_of_its_pipeline(
    puppets: Puppets, failing: Pipeline, undo: Pipeline
) -> None:
    Pipeline.objects.filter(pk=undo.pk).update(concurrency=1)
    puppets.acts["u"] = working()
    before = start(undo)
    execution = start(failing)
    (rollback,) = rollbacks_of(execution)
    assert statuses(rollback)[""] == "QUEUED"

    puppets.tell(before, "u", Done(message="fine"))
    drain()

    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"


def test_a_pipeline_that_rolls_itself_back_does_not_wait_for_itself(
    puppets: Puppets, project: Project
) -> None:
    puppets.acts["a"] = BROKEN
    itself = {"name": "scripted", "stage": "Main"}
    pipeline = pipeline_of("Main: a", project=project, concurrency=1, rollbacks=[itself])

    first, second = (
        start_execution(pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann")
        for _ in range(2)
    )
    drain()

    assert statuses(first)[""] == "ROLLBACK_FAILED"
    assert statuses(second)[""] == "ROLLBACK_FAILED"
    assert [child.status for child in rollbacks_of(first)] == ["FAILED"]


def by_itself(project: Project, layout: str, *tasks: str) -> Execution:
    """Start a pipeline with one place that rolls these tasks back by itself."""
    rollbacks = [{"name": "scripted", "stage": "Main", "task": task} for task in tasks]
    pipeline = pipeline_of(layout, project=project, concurrency=1, rollbacks=rollbacks)
    return start(pipeline)


def test_a_rollback_by_itself_waits_for_what_still_works_in_the_only_place(
    puppets: Puppets, project: Project
) -> None:
    puppets.acts |= {"a": BROKEN, "b": working()}
    execution = by_itself(project, "Main: a b", "a")
    (rollback,) = rollbacks_of(execution)
    assert (execution.status, rollback.status) == ("RUNNING", "QUEUED")

    puppets.tell(execution, "b", Done(message="fine"))

    rollback.refresh_from_db()
    assert (statuses(execution)[""], rollback.is_over) == ("ROLLBACK_FAILED", True)


def test_two_rollbacks_by_itself_use_the_only_place_one_after_the_other(
    puppets: Puppets, project: Project
) -> None:
    puppets.acts |= dict.fromkeys("ab", breaking_at_first(working()))
    execution = by_itself(project, "Main: a b", "a", "b")
    one, other = rollbacks_of(execution)
    assert (one.status, other.status) == ("RUNNING", "QUEUED")

    for task in "ab":
        puppets.tell(one, task, breaking_at_first(Done(message="undone")))

    assert statuses(execution)[""] == "ROLLBACK_COMPLETED"
    other.refresh_from_db()
    one.refresh_from_db()
    assert one.finished_at < other.started_at  # type: ignore[operator]


def test_a_canceled_execution_leaves_its_place_to_its_rollback(
    puppets: Puppets, project: Project
) -> None:
    puppets.acts |= {"a": breaking_at_first(Done(message="undone")), "b": working()}
    execution = by_itself(project, "Main: a b", "a")
    puppets.acts["b"] = Done(message="fine")

    cancel_execution(execution=execution, by=UserFactory(username="eve"))
    drain()

    (rollback,) = rollbacks_of(execution)
    assert rollback.status == "COMPLETED"
    assert statuses(execution) == {"": "CANCELED", "a": "ROLLBACK_COMPLETED", "b": "CANCELED"}


def test_a_place_that_was_not_given_away_is_given_by_the_next_look(
    puppets: Puppets, project: Project
) -> None:
    """A worker of the release before leaves a canceled execution CANCELING for its rollbacks."""
    puppets.acts |= {"a": breaking_at_first(Done(message="undone")), "b": working()}
    execution = by_itself(project, "Main: a b", "a")
    puppets.acts["b"] = Done(message="fine")
    with locked(execution) as run:
        run.set(run.execution, cancel_requested_at=now(), cancel_requested_by="eve")
        run.change(run.execution, Status.CANCELING)
        run.change(next(task for task in run.tasks if task.name == "b"), Status.CANCELED)

    work.wake(TaskRun, task_of(execution, "a").pk)
    drain()

    assert [child.status for child in rollbacks_of(execution)] == ["COMPLETED"]
    assert statuses(execution)[""] == "CANCELED"


@pytest.fixture
def rivals(puppets: Puppets, project: Project) -> tuple[Pipeline, Pipeline]:
    """Two pipelines with one place each that roll each other back; ``a`` and ``b`` are at work."""
    first, second = (
        pipeline_of(
            f"Main: {task}",
            name=name,
            project=project,
            concurrency=1,
            rollbacks=[{"name": other, "stage": "Main"}],
        )
        for task, name, other in (("a", "first", "second"), ("b", "second", "first"))
    )
    puppets.acts |= {"a": working(), "b": working()}
    return first, second


def breaking(execution: Execution, otherwise: Outcome) -> Act:
    """A task that breaks in this execution, and not in the rollback that runs it as well."""

    def act(context: TaskContext) -> Outcome:
        if context.execution_id == str(execution.pk):
            raise BROKEN
        return otherwise

    return act


def breaking_at_first(otherwise: Outcome) -> Act:
    """A task that breaks, and not in a rollback that runs it as well."""

    def act(context: TaskContext) -> Outcome:
        if Execution.objects.get(pk=context.execution_id).parent_id is None:
            raise BROKEN
        return otherwise

    return act


def test_pipelines_that_roll_each_other_back_do_not_wait_for_each_other(
    puppets: Puppets, rivals: tuple[Pipeline, Pipeline]
) -> None:
    first, second = map(start, rivals)
    undone = Done(message="undone")

    puppets.tell(first, "a", breaking(first, undone))
    assert [child.status for child in rollbacks_of(first)] == ["QUEUED"]
    puppets.tell(second, "b", breaking(second, undone))

    assert statuses(first)[""] == statuses(second)[""] == "ROLLBACK_COMPLETED"


def test_only_rollbacks_may_use_the_place_of_one_that_rolls_back(
    puppets: Puppets, rivals: tuple[Pipeline, Pipeline]
) -> None:
    first, second = map(start, rivals)
    puppets.tell(first, "a", breaking(first, working()))
    queued = start(rivals[0])
    puppets.tell(second, "b", breaking(second, working()))

    (rollback,) = rollbacks_of(second)

    assert (statuses(rollback)[""], statuses(queued)[""]) == ("RUNNING", "QUEUED")
    assert rollback.index > queued.index


def test_the_inputs_of_a_rollback_hold_no_secret(
    puppets: Puppets, undo: Pipeline, project: Project
) -> None:
    puppets.acts["a"] = BROKEN
    VariableFactory(project=project, name="key", value="hush-hush", type="SECRET")
    rollback = {**TASK, "inputs": {"TAG": "${var.key}"}}

    execution = start(pipeline_of("Main: a", project=project, rollbacks=[rollback]))

    assert rollbacks_of(execution) == []
    assert statuses(execution)[""] == "ROLLBACK_FAILED"
    assert "These inputs would show a secret: TAG." in execution.message
    assert "hush" not in execution.message


@pytest.mark.parametrize("source", ["PUSH", "USER"])
def test_a_rollback_has_the_rights_of_the_failed_execution_and_of_its_own_author(
    puppets: Puppets, failing: Pipeline, undo: Pipeline, source: str
) -> None:
    admin = MembershipFactory(project=undo.project, role=Membership.Role.ADMINISTRATOR).user
    member = MembershipFactory(project=undo.project, role=Membership.Role.MEMBER).user

    def may(author: object, author_of_rollback: object) -> bool:
        failing.revisions.update(author=author)
        undo.revisions.update(author=author_of_rollback)
        execution = start_execution(
            pipeline=failing, inputs={}, run_as=admin, triggered_by="ann", source=source
        )
        drain()
        return may_use_restricted(Execution.objects.get(parent=execution))

    assert may(admin, admin)
    assert not may(admin, member)
    assert not may(member, admin)


def test_what_names_no_rollback_has_none(puppets: Puppets) -> None:
    puppets.acts["a"] = BROKEN
    execution = start(pipeline_of("Main: a"))

    with pytest.raises(Refused, match="names no rollback"):
        rollbacks.start(task_of(execution, "a"))

"""Executions driven to their end by short steps, with a task kind that does as it is told."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from codestream.core import work
from codestream.core.clock import now
from codestream.core.errors import CodeStreamError, Refused
from executions import runners, tasks
from executions.models import Execution, TaskRun
from executions.runners.base import Done, Outcome, TaskContext, TaskFailedError, Wait
from executions.services import cancel_execution, rerun_execution, start_execution
from executions.states import Status
from executions.worker import drain
from pipelines import task_kinds
from pipelines.models import Pipeline
from tests.factories import PipelineFactory, UserFactory

pytestmark = pytest.mark.django_db


class Busy(CodeStreamError):
    """An outside system that may answer later."""

    retryable = True


class Scripted:
    """A runner whose tasks end as their definition's ``yaml`` says; it notes every call."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self, context: TaskContext) -> Outcome:
        word = str(context.input.get("word", "done"))
        self.calls.append(f"start {word}")
        if word == "fail":
            raise TaskFailedError("it broke")
        if word == "busy":
            raise Busy("the other side is busy")
        if word == "wait":
            return Wait(until=now(), message="half way", cursor={"seen": True})
        return Done(message="fine", output={"word": word})

    def poll(self, context: TaskContext) -> Outcome:
        self.calls.append("poll")
        return Done(message="fine")

    def cancel(self, context: TaskContext) -> None:
        self.calls.append("cancel")


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    scripted = Scripted()
    monkeypatch.setattr(task_kinds, "_known", {"K8S", "SCRIPTED"})
    monkeypatch.setattr(runners, "_runners", {"SCRIPTED": scripted})
    return scripted


def pipeline_of(*groups: str, concurrency: int = 10) -> Pipeline:
    """A pipeline of one stage; each group is words, one task a word, ``word?`` ignores failure."""
    tasks, order = [], []
    for number, group in enumerate(groups):
        names = []
        for word in group.split():
            name = f"{word.strip('?')}{number}"
            names.append(name)
            ignore = str(word.endswith("?")).lower()
            tasks.append(
                f"      {name}: {{type: SCRIPTED, ignoreFailure: {ignore},"
                f" input: {{word: {word.strip('?')}}}}}"
            )
        order.append(f"'{','.join(names)}'")
    source = "\n".join(
        [
            "name: scripted",
            f"concurrency: {concurrency}",
            "stageOrder: [Main]",
            "stages:",
            "  Main:",
            f"    taskOrder: [{', '.join(order)}]",
            "    tasks:",
            *tasks,
        ]
    )
    return PipelineFactory(source=source, concurrency=concurrency)


def start(pipeline: Pipeline) -> Execution:
    return start_execution(pipeline=pipeline, inputs={}, run_as=UserFactory(), triggered_by="ann")


def statuses(execution: Execution) -> dict[str, str]:
    execution.refresh_from_db()
    tasks = TaskRun.objects.filter(stage_run__execution=execution)
    return {task.name: task.status for task in tasks}


def test_what_need_not_wait_goes_on_under_the_same_claim(runner: Scripted) -> None:
    execution = start(pipeline_of("wait"))

    drain()

    assert runner.calls == ["start wait", "poll"]
    assert TaskRun.objects.get(stage_run__execution=execution).epoch == 1


def test_who_cancels_in_the_middle_is_heard_before_the_task_goes_on(
    runner: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = start(pipeline_of("wait"))
    begin = runner.start

    def canceled(context: TaskContext) -> Outcome:
        cancel_execution(execution=execution, by=UserFactory())
        return begin(context)

    monkeypatch.setattr(runner, "start", canceled)

    drain()

    assert runner.calls == ["start wait", "cancel"]
    assert statuses(execution) == {"wait0": Status.CANCELED}


def test_tasks_run_one_after_another_to_the_end(runner: Scripted) -> None:
    execution = start(pipeline_of("first", "second"))

    drain()

    assert statuses(execution) == {"first0": "COMPLETED", "second1": "COMPLETED"}
    assert (execution.status, execution.message) == (Status.COMPLETED, "Execution Completed.")
    assert runner.calls == ["start first", "start second"]


def test_tasks_of_a_group_are_ready_together(runner: Scripted) -> None:
    execution = start(pipeline_of("left right"))

    assert statuses(execution) == {"left0": "STARTED", "right0": "STARTED"}


def test_a_failed_task_ends_the_execution_with_its_reason(runner: Scripted) -> None:
    execution = start(pipeline_of("fail", "after"))

    drain()

    assert statuses(execution) == {"fail0": "FAILED", "after1": "NOT_STARTED"}
    assert (execution.status, execution.message) == (Status.FAILED, "Main.fail0: it broke")


def test_a_failure_that_may_be_ignored_lets_the_rest_go_on(runner: Scripted) -> None:
    execution = start(pipeline_of("fail?", "after"))

    drain()

    assert statuses(execution) == {"fail0": "FAILED_CONTINUE", "after1": "COMPLETED"}
    assert execution.status == Status.COMPLETED


def test_a_waiting_task_is_looked_at_again_with_its_cursor(runner: Scripted) -> None:
    execution = start(pipeline_of("wait"))

    drain()

    assert runner.calls == ["start wait", "poll"]
    assert statuses(execution) == {"wait0": "COMPLETED"}


def test_a_step_that_died_before_its_result_is_done_again(runner: Scripted) -> None:
    """What a worker killed between the side effect and the commit leaves behind."""
    execution = start(pipeline_of("first"))
    TaskRun.objects.update(status=Status.RUNNING, epoch=1)

    drain()

    assert statuses(execution) == {"first0": "COMPLETED"}


def test_an_error_that_may_pass_is_tried_again_later(runner: Scripted) -> None:
    execution = start(pipeline_of("busy"))

    drain()

    task = TaskRun.objects.get()
    assert statuses(execution) == {"busy0": "RUNNING"}
    assert task.message == "the other side is busy"
    assert task.wake_at is not None
    assert task.wake_at > now()


def test_a_task_past_its_deadline_fails_and_says_what_was_seen_last(runner: Scripted) -> None:
    execution = start(pipeline_of("busy"))
    drain()
    TaskRun.objects.update(deadline_at=now() - timedelta(seconds=1), wake_at=now())

    drain()

    assert statuses(execution) == {"busy0": "FAILED"}
    assert "Timed out" in execution.message
    assert "the other side is busy" in execution.message


def test_executions_over_the_concurrency_wait_for_their_turn_in_order(runner: Scripted) -> None:
    pipeline = pipeline_of("first", concurrency=1)
    runs = [start(pipeline) for _ in range(3)]
    assert [run.status for run in runs] == ["RUNNING", "QUEUED", "QUEUED"]

    drain()

    ends = Execution.objects.order_by("finished_at").values_list("index", "status")
    assert list(ends) == [(1, "COMPLETED"), (2, "COMPLETED"), (3, "COMPLETED")]


def test_cancel_asks_what_runs_and_starts_nothing_more(runner: Scripted) -> None:
    execution = start(pipeline_of("busy", "after"))
    drain()

    cancel_execution(execution=execution, by=UserFactory(username="eve"), reason="wrong image")
    drain()

    assert statuses(execution) == {"busy0": "CANCELED", "after1": "CANCELED"}
    assert execution.message == "Execution canceled by eve: wrong image"
    assert "cancel" in runner.calls


def test_a_queued_execution_is_canceled_and_the_next_one_keeps_its_place(
    runner: Scripted,
) -> None:
    pipeline = pipeline_of("first", concurrency=1)
    _, second, third = (start(pipeline) for _ in range(3))

    cancel_execution(execution=second, by=UserFactory(username="eve"))
    drain()

    second.refresh_from_db()
    third.refresh_from_db()
    assert (second.status, third.status) == ("CANCELED", "COMPLETED")


def test_what_is_over_cannot_be_canceled(runner: Scripted) -> None:
    execution = start(pipeline_of("first"))
    drain()

    with pytest.raises(Refused, match="over already"):
        cancel_execution(execution=execution, by=UserFactory())


def test_the_same_key_starts_one_execution(runner: Scripted) -> None:
    pipeline = pipeline_of("first")

    def once() -> Execution:
        return start_execution(
            pipeline=pipeline, inputs={}, run_as=None, triggered_by="x", start_key="push:1"
        )

    assert once().pk == once().pk
    assert Execution.objects.count() == 1


def test_a_disabled_pipeline_starts_nothing(runner: Scripted) -> None:
    pipeline = pipeline_of("first")
    Pipeline.objects.update(state=Pipeline.State.DISABLED)

    with pytest.raises(Refused, match="disabled"):
        start(pipeline)


def test_the_story_of_an_execution_is_complete(runner: Scripted) -> None:
    execution = start(pipeline_of("first"))
    drain()

    story = [(event.kind, event.to_status) for event in execution.events.all()]
    assert story == [
        ("execution", "QUEUED"),
        ("execution", "RUNNING"),
        ("stage", "RUNNING"),
        ("task", "STARTED"),
        ("task", "COMPLETED"),
        ("stage", "COMPLETED"),
        ("execution", "COMPLETED"),
    ]


def test_a_rerun_has_the_inputs_of_the_first_run(runner: Scripted) -> None:
    execution = start(pipeline_of("first"))
    drain()

    again = rerun_execution(execution=execution, by=UserFactory(username="bob"))

    assert (again.rerun_of, again.inputs) == (execution, execution.inputs)
    assert again.index == execution.index + 1


def test_a_condition_that_cannot_be_read_fails_its_task_and_nothing_hangs(
    runner: Scripted,
) -> None:
    source = """\
name: conditional
stageOrder: [Main]
stages:
  Main:
    taskOrder: [Guess, After]
    tasks:
      Guess: {type: SCRIPTED, ignoreFailure: true, preCondition: '${var.gone} == "x"', input: {}}
      After: {type: SCRIPTED, input: {word: after}}
"""
    execution = start(PipelineFactory(source=source))
    drain()

    assert statuses(execution) == {"Guess": "FAILED_CONTINUE", "After": "COMPLETED"}
    assert execution.status == Status.COMPLETED


def test_a_false_condition_skips_its_task(runner: Scripted) -> None:
    source = """\
name: conditional
stageOrder: [Main]
stages:
  Main:
    taskOrder: [Never, After]
    tasks:
      Never: {type: SCRIPTED, preCondition: '"a" == "b"', input: {}}
      After: {type: SCRIPTED, input: {word: after}}
"""
    execution = start(PipelineFactory(source=source))
    drain()

    assert statuses(execution) == {"Never": "SKIPPED", "After": "COMPLETED"}


def test_a_machine_whose_clock_is_ahead_ends_no_task_before_its_time(
    runner: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = start(pipeline_of("busy"))
    monkeypatch.setattr(tasks, "now", lambda: now() + timedelta(hours=1))

    drain()

    assert statuses(execution) == {"busy0": "RUNNING"}


def test_a_step_that_takes_all_the_time_that_is_left_is_late(
    runner: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution, passed = start(pipeline_of("busy")), [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(passed))
    monkeypatch.setattr(work, "time", clock)

    def slow(_context: TaskContext) -> Outcome:
        passed.append(600.0)
        raise Busy("the other side is busy")

    monkeypatch.setattr(runner, "start", slow)

    drain()

    assert statuses(execution) == {"busy0": "FAILED"}
    assert "Timed out" in execution.message


def test_what_ended_while_no_worker_was_there_has_not_timed_out(runner: Scripted) -> None:
    execution = start(pipeline_of("wait"))
    TaskRun.objects.update(
        status=Status.RUNNING, cursor={"seen": True}, deadline_at=now() - timedelta(minutes=6)
    )

    drain()

    assert statuses(execution) == {"wait0": "COMPLETED"}

"""Executions driven through everything that can happen to them, in any order.

The machine below does what the engine does with plans; tasks and people do as they like. After
each event the plan is carried out until it has nothing more to say; then what stands has to make
sense.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from executions.plan import NOTHING, ExecutionState, Key, Plan, StageState, plan
from executions.states import TERMINAL, Status
from tests.unit.standing import TaskState, carry_out, tasks_of, with_status, with_task

FAILURES: Final = {Status.FAILED, Status.ROLLBACK_COMPLETED, Status.ROLLBACK_FAILED}
STOPS: Final = FAILURES | {Status.CANCELED}
SUCCESSES: Final = {Status.COMPLETED, Status.SKIPPED, Status.FAILED_CONTINUE}
MOVING: Final = {Status.STARTED, Status.RUNNING, Status.WAITING}
ALIVE: Final = MOVING | {Status.CANCELING, Status.ROLLING_BACK}


class Condition(Enum):
    """What a look at a task's precondition gives."""

    TRUE = auto()
    FALSE = auto()
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What the definition says of a task."""

    ignore_failure: bool
    has_rollback: bool
    condition: Condition

    def failure(self, before: Status) -> Status:
        """How the task fails, as ``executions.task_rules`` decides it."""
        if self.ignore_failure:
            return Status.FAILED_CONTINUE
        is_rolled_back = self.has_rollback and before in MOVING
        return Status.ROLLING_BACK if is_rolled_back else Status.FAILED

    def ends(self, before: Status) -> list[Status]:
        """The ways in which the task may end."""
        if before is Status.ROLLING_BACK:
            # A fault of ours ends it with FAILED.
            return [Status.ROLLBACK_COMPLETED, Status.ROLLBACK_FAILED, Status.FAILED]
        ends = [Status.COMPLETED, self.failure(before)]
        return [*ends, Status.CANCELED] if before in {Status.WAITING, Status.CANCELING} else ends


# Mostly what lives long enough for something to happen to it.
scripts: st.SearchStrategy[Script] = st.builds(
    Script,
    ignore_failure=st.sampled_from([False, False, True]),
    has_rollback=st.sampled_from([True, True, False]),
    condition=st.sampled_from([*[Condition.TRUE] * 9, Condition.FALSE, Condition.UNREADABLE]),
)
Pipeline = list[list[list[Script]]]
Layout = list[list[int]]

LAYOUTS: list[Layout] = [
    [],
    [[1]],
    [[], [1]],
    [[2], [1]],
    [[3, 1]],
    [[1, 2], [], [2]],
    [[2, 2], [1, 1], []],
]
"""For each stage the number of tasks of each of its groups."""


def _filled(layout: Layout) -> st.SearchStrategy[Pipeline]:
    def group(size: int) -> st.SearchStrategy[list[Script]]:
        return st.lists(scripts, min_size=size, max_size=size)

    return st.tuples(*(st.tuples(*map(group, sizes)).map(list) for sizes in layout)).map(list)


pipelines = st.sampled_from(LAYOUTS).flatmap(_filled)
places = st.sampled_from([Status.QUEUED, *[Status.RUNNING] * 4])


class Executions(RuleBasedStateMachine):
    """One execution after another, each of a random pipeline."""

    state: ExecutionState
    scripts: dict[Key, Script]
    ended: dict[Key, Status]

    @initialize(pipeline=pipelines, status=places)
    def start(self, pipeline: Pipeline, status: Status) -> None:
        self.begin(pipeline, status)

    @precondition(lambda self: self.state.status in TERMINAL)
    @rule(pipeline=pipelines, status=places)
    def start_another(self, pipeline: Pipeline, status: Status) -> None:
        self.begin(pipeline, status)

    @precondition(lambda self: self.state.status is Status.QUEUED)
    @rule()
    def get_a_place(self) -> None:
        self.state = with_status(self.state, Status.RUNNING)
        self.settle()

    @precondition(lambda self: self.those(MOVING))
    @rule(data=st.data(), status=st.sampled_from([Status.RUNNING, Status.WAITING]))
    def report(self, data: st.DataObject, status: Status) -> None:
        """A task works, or asks a person; who answers lets it work again."""
        task = data.draw(st.sampled_from(self.those(MOVING)))
        if task.status is not status:
            self.move(task, status)

    @precondition(lambda self: self.those(ALIVE))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A task ends: by itself, because it was stopped, or by what a person answers."""
        task = data.draw(st.sampled_from(self.those(ALIVE)))
        self.move(task, data.draw(st.sampled_from(self.scripts[task.key].ends(task.status))))

    @rule(request=st.sampled_from(["cancel", *["pause"] * 4]))
    def ask_for(self, request: str) -> None:
        """A person asks for the end, for a pause, or to go on after one."""
        if request == "cancel":
            self.state = replace(self.state, cancel_requested=True)
        else:
            self.state = replace(self.state, pause_requested=not self.state.pause_requested)
        self.settle()

    def teardown(self) -> None:
        """Whatever happened: once everything that lives has ended, the execution is over."""
        if not hasattr(self, "state"):
            return
        self.state = replace(self.state, pause_requested=False)
        if self.state.status is Status.QUEUED:
            self.state = with_status(self.state, Status.RUNNING)
        self.settle()
        for _ in self.scripts:
            for task in self.those(ALIVE):
                self.move(task, self.scripts[task.key].ends(task.status)[0])
        assert self.state.status in TERMINAL

    def begin(self, pipeline: Pipeline, status: Status) -> None:
        self.scripts, self.ended, stages = {}, {}, []
        for s, groups in enumerate(pipeline):
            keyed: list[dict[Key, Script]] = [
                {f"{s}.{g}.{t}": script for t, script in enumerate(group)}
                for g, group in enumerate(groups)
            ]
            stages.append(_stage(f"{s}", keyed))
            for group in keyed:
                self.scripts |= group
        self.state = ExecutionState(status=status, stages=tuple(stages))
        self.settle()

    def those(self, statuses: set[Status]) -> list[TaskState]:
        return [task for task in tasks_of(self.state) if task.status in statuses]

    def move(self, task: TaskState, status: Status) -> None:
        self.state = with_task(self.state, task.key, status)
        self.settle()

    def settle(self) -> None:
        """Plan and carry out until nothing is left to say, as ``executions.engine`` does."""
        for _ in range(2 * len(self.scripts) + 2):
            todo = plan(self.state)
            self._check_moves(todo)
            if todo == NOTHING:
                break
            self.state = carry_out(self.state, todo, instead=self._by_conditions(todo.start))
        else:
            raise AssertionError("the plan does not come to rest")
        self._check_ends()
        self._check_stages()
        self._check_execution()

    def _by_conditions(self, keys: Collection[Key]) -> dict[Key, Status]:
        """What their conditions make of the tasks of a group; with one that cannot be evaluated, no
        other one begins, unless the failure may be ignored.
        """
        begun = {key: self._by_condition(key) for key in keys}
        if STOPS.isdisjoint(begun.values()):
            return begun
        failed = {key for key in keys if self.scripts[key].condition is Condition.UNREADABLE}
        return {key: begun[key] if key in failed else Status.NOT_STARTED for key in keys}

    def _by_condition(self, key: Key) -> Status:
        script = self.scripts[key]
        match script.condition:
            case Condition.FALSE:
                return Status.SKIPPED
            case Condition.UNREADABLE:
                return script.failure(Status.NOT_STARTED)
            case _:
                return Status.STARTED

    def _check_moves(self, todo: Plan) -> None:
        assert set(todo.cancel) <= {task.key for task in self.those(MOVING | {Status.NOT_STARTED})}
        assert set(todo.start) <= {task.key for task in self.those({Status.NOT_STARTED})}
        if todo.start:
            assert not self.state.pause_requested
            assert not self.state.cancel_requested
            assert self.state.status not in TERMINAL | {Status.QUEUED}
        for key in todo.start:
            self._check_that_its_turn_has_come(key, set(todo.start))
        statuses = {task.status for task in tasks_of(self.state)}
        assert todo.status not in FAILURES or statuses & FAILURES, "nobody is to blame"

    def _check_that_its_turn_has_come(self, key: Key, starting: set[Key]) -> None:
        """Behind what has succeeded, and together with all its mates."""
        for stage in self.state.stages:
            for group in stage.groups:
                statuses = set(group.values())
                if key in group:
                    assert not statuses & (STOPS | {Status.ROLLING_BACK})
                    waiting = {key for key, status in group.items() if status is Status.NOT_STARTED}
                    assert waiting <= starting
                    return
                assert statuses <= SUCCESSES

    def _check_ends(self) -> None:
        """What has ended stays as it is."""
        parts: list[StageState | TaskState] = [*self.state.stages, *tasks_of(self.state)]
        now = {part.key: part.status for part in parts} | {"": self.state.status}
        assert {key: now[key] for key in self.ended} == self.ended
        self.ended = {key: status for key, status in now.items() if status in TERMINAL}

    def _check_stages(self) -> None:
        earlier: set[Status] = set()
        for stage in self.state.stages:
            parts = [status for group in stage.groups for status in group.values()]
            if parts:
                self._check_whole(stage.status, parts)
            elif self.state.cancel_requested:
                assert stage.status in {Status.CANCELED, Status.COMPLETED, Status.NOT_STARTED}
            else:
                is_reached = self.state.status is not Status.QUEUED and earlier <= SUCCESSES
                assert stage.status is (Status.COMPLETED if is_reached else Status.NOT_STARTED)
            earlier.add(stage.status)

    def _check_whole(self, whole: Status, parts: list[Status]) -> None:
        """The state of a stage agrees with those of its tasks."""
        alive = {status for status in parts if status in ALIVE}
        ends = {status for status in parts if status in TERMINAL}
        if alive:
            assert whole not in TERMINAL | {Status.NOT_STARTED}
            assert whole in alive | {Status.RUNNING, Status.CANCELING}
            assert (whole is Status.ROLLING_BACK) == (alive == {Status.ROLLING_BACK})
            is_canceling = self.state.cancel_requested and whole is not Status.ROLLING_BACK
            assert (whole is Status.CANCELING) == is_canceling
        elif ends & STOPS:
            assert whole in ends & STOPS
            assert Status.CANCELED not in ends or whole is Status.CANCELED
        elif Status.NOT_STARTED not in parts:
            assert whole is (Status.SKIPPED if ends == {Status.SKIPPED} else Status.COMPLETED)
        else:
            assert whole is (Status.RUNNING if ends else Status.NOT_STARTED)

    def _check_execution(self) -> None:
        status, tasks = self.state.status, [task.status for task in tasks_of(self.state)]
        alive = {task for task in tasks if task in ALIVE}
        if status in TERMINAL:
            assert not alive
            self._check_outcome(status, tasks)
        elif self.state.cancel_requested:
            is_left = alive == {Status.ROLLING_BACK}
            assert status is (Status.ROLLING_BACK if is_left else Status.CANCELING)
            assert alive <= {Status.CANCELING, Status.ROLLING_BACK}
            assert Status.NOT_STARTED not in tasks
        elif status is not Status.QUEUED:
            assert alive or self.state.pause_requested, "nothing lives and nobody paused it"
            self._check_life(status, alive)

    def _check_outcome(self, status: Status, tasks: list[Status]) -> None:
        """The end of the whole is one of its parts'; what was stopped does not count as done."""
        stages = {stage.status for stage in self.state.stages}
        if status is Status.COMPLETED:
            assert set(tasks) <= SUCCESSES
            assert not stages & STOPS
        elif status is Status.CANCELED and not stages:
            assert self.state.cancel_requested
        else:
            assert status in stages & STOPS
            assert Status.CANCELED not in stages or status is Status.CANCELED

    def _check_life(self, status: Status, alive: set[Status]) -> None:
        if alive == {Status.ROLLING_BACK}:
            assert status is Status.ROLLING_BACK
        elif self.state.pause_requested:
            assert status is (Status.PAUSING if alive - {Status.WAITING} else Status.PAUSED)
        else:
            assert status is (Status.WAITING if Status.WAITING in alive else Status.RUNNING)


def _stage(key: str, groups: list[dict[Key, Script]]) -> StageState:
    return StageState(
        key=key,
        status=Status.NOT_STARTED,
        groups=tuple(dict.fromkeys(group, Status.NOT_STARTED) for group in groups),
    )


TestExecutions = Executions.TestCase
TestExecutions.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)

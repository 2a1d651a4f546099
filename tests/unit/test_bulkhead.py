"""One outside system that hangs does not take every thread of a worker for long."""

from __future__ import annotations

from contextlib import ExitStack

from executions.bulkhead import LONGEST_PAUSE_SECONDS, REFUSALS_A_SECOND, SLOW_SECONDS, Bulkhead


class Clock:
    """Goes on when it is told to."""

    moment = 100.0

    def __call__(self) -> float:
        return self.moment

    def wait(self, seconds: float) -> None:
        self.moment += seconds


def test_a_target_that_is_quick_takes_as_many_threads_as_there_are() -> None:
    bulkhead = Bulkhead(8, clock=Clock())

    with ExitStack() as steps:
        assert all(steps.enter_context(bulkhead.passage("cluster")) for _ in range(8))


def test_a_target_whose_steps_take_long_is_left_two_threads_of_eight() -> None:
    clock = Clock()
    bulkhead = Bulkhead(8, clock=clock)

    with ExitStack() as steps:
        assert steps.enter_context(bulkhead.passage("hangs"))
        clock.wait(SLOW_SECONDS + 1)
        assert steps.enter_context(bulkhead.passage("hangs"))

        assert not steps.enter_context(bulkhead.passage("hangs"))
        assert steps.enter_context(bulkhead.passage("another"))
        assert steps.enter_context(bulkhead.passage(""))


def test_what_has_timed_out_is_remembered_until_a_step_is_quick() -> None:
    clock = Clock()
    bulkhead = Bulkhead(4, clock=clock)
    with bulkhead.passage("hangs"):
        clock.wait(SLOW_SECONDS + 1)

    with bulkhead.passage("hangs") as first, bulkhead.passage("hangs") as second:
        assert (first, second) == (True, False)

    with bulkhead.passage("hangs") as first, bulkhead.passage("hangs") as second:
        assert (first, second) == (True, True)


def test_steps_without_a_target_go_on_whatever_hangs() -> None:
    clock = Clock()
    bulkhead = Bulkhead(1, clock=clock)

    with bulkhead.passage(""):
        clock.wait(SLOW_SECONDS + 1)
        with bulkhead.passage("") as may_pass:
            assert may_pass


def test_the_more_steps_wait_for_what_hangs_the_less_often_each_asks() -> None:
    clock = Clock()
    bulkhead = Bulkhead(4, clock=clock)
    with bulkhead.passage("hangs"):
        clock.wait(SLOW_SECONDS + 1)

    pauses = []
    with bulkhead.passage("hangs"):
        for _ in range(10 * REFUSALS_A_SECOND):
            with bulkhead.passage("hangs") as may_pass:
                assert not may_pass
            pauses.append(round(bulkhead.pause("hangs")))
        for _ in range(100 * REFUSALS_A_SECOND):
            with bulkhead.passage("hangs"):
                pass
        assert bulkhead.pause("hangs") == LONGEST_PAUSE_SECONDS

    assert (pauses[0], pauses[-1]) == (1, 11)
    assert bulkhead.pause("hangs") == 1


def test_what_is_slow_for_ever_is_not_asked_less_and_less() -> None:
    clock = Clock()
    bulkhead = Bulkhead(4, clock=clock)
    for _ in range(1000):
        with bulkhead.passage("slow"):
            with bulkhead.passage("slow"):
                pass
            clock.wait(SLOW_SECONDS + 1)

    assert bulkhead.pause("slow") < 2

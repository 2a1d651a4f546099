"""A task kind that counts what it is asked to do, for tests with more than one worker."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import count

from codestream.core.clock import now
from executions.models import Execution
from executions.runners.base import Done, Hold, Outcome, TaskContext, TaskFailedError, Wait
from executions.services import start_execution
from pipelines.models import Pipeline
from tests.factories import PipelineFactory

KIND = "COUNTED"
LOOKS = 1


class Counting:
    """Its tasks do what their ``word`` says: ``fail``, ``look`` (twice more, the first time there
    is nothing new), ``ask`` (a person); with any other word they are done at once.
    """

    def __init__(self) -> None:
        self.starts: Counter[str] = Counter()
        self.cancels: Counter[str] = Counter()
        self._lock = threading.Lock()

    def start(self, context: TaskContext) -> Outcome:
        with self._lock:
            self.starts[context.task_id] += 1
        match context.input["word"]:
            case "fail":
                raise TaskFailedError("it broke")
            case "look":
                return Wait(until=now(), message="half way", cursor={"looks": 0})
            case "ask":
                return Hold(message="May I?", cursor={"asked": True})
        return Done(message="done")

    def poll(self, context: TaskContext) -> Outcome:
        if context.input["word"] == "ask":
            if context.answer is None:
                return Hold(message="May I?", cursor={"asked": True})
            return Done(message=context.answer.word)
        looks = int(str(context.cursor["looks"])) + 1
        if looks > LOOKS:
            return Done(message="done")
        return Wait(until=now(), message="half way", cursor={"looks": looks})

    def cancel(self, context: TaskContext) -> None:
        with self._lock:
            self.cancels[context.task_id] += 1


def counted_pipeline(
    *stages: str, concurrency: int = 1, rolled_back_by: Pipeline | None = None
) -> Pipeline:
    """A pipeline whose stages are given by the words of their tasks: ``a|b`` run side by side,
    blanks come between groups. A task is named by its word and its place among all, from 0.
    """
    order_of_stages = ", ".join(f"Stage{number}" for number, _ in enumerate(stages))
    lines = ["name: counted", f"concurrency: {concurrency}", f"stageOrder: [{order_of_stages}]"]
    lines.append("stages:")
    places = count()
    for number, stage in enumerate(stages):
        groups = [group.split("|") for group in stage.split()]
        named = [[(f"{word}{next(places)}", word) for word in group] for group in groups]
        order = ", ".join(f"'{','.join(name for name, _ in group)}'" for group in named)
        lines += [f"  Stage{number}:", f"    taskOrder: [{order}]", "    tasks:"]
        lines += [
            f"      {name}: {{type: {KIND}, input: {{word: {word}, timeout: 180}}}}"
            for group in named
            for name, word in group
        ]
    if rolled_back_by is not None:
        lines += ["rollbacks:", f"- {{name: {rolled_back_by.name}, stage: Stage0}}"]
    more = {} if rolled_back_by is None else {"project": rolled_back_by.project}
    return PipelineFactory(source="\n".join(lines), concurrency=concurrency, **more)


def start(pipeline: Pipeline, *, key: str | None = None) -> Execution:
    """Start the pipeline, on nobody's behalf."""
    return start_execution(
        pipeline=pipeline, inputs={}, run_as=None, triggered_by="ann", start_key=key
    )

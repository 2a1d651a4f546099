"""How a judgement grows: by a step that passed, or by its end."""

from __future__ import annotations

from dataclasses import replace

from codestream.core.words import Words
from webhooks.matching import Judgement, Step, StepName, StepOutcome, Verdict


def ended(
    verdict: Verdict,
    reason_code: str,
    message: Words,
    *,
    step: StepName | None = None,
    steps: tuple[Step, ...] = (),
) -> Judgement:
    """A judgement that is over, with the step that decided it, if one did."""
    last = (Step(name=step, outcome=StepOutcome.FAILED, detail=message),) if step else ()
    return Judgement(
        verdict=verdict, reason_code=str(reason_code), message=message, steps=steps + last
    )


def then(
    judgement: Judgement, verdict: Verdict, reason_code: str, message: Words, *, step: StepName
) -> Judgement:
    """The judgement so far, ended by this step."""
    return ended(verdict, reason_code, message, step=step, steps=judgement.steps)


def passed(judgement: Judgement, name: StepName, detail: Words) -> Judgement:
    """The judgement with a step that passed."""
    return with_step(judgement, name, StepOutcome.PASSED, detail)


def with_step(
    judgement: Judgement, name: StepName, outcome: StepOutcome, detail: Words
) -> Judgement:
    """The judgement with one step more."""
    return replace(
        judgement,
        steps=(*judgement.steps, Step(name=name, outcome=outcome, detail=detail)),
    )

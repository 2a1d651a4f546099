"""Says whether a push passes a webhook's filter, with every step that led there.

It looks at one push and one filter only: duplicates, pipelines, inputs and identities are
added to the judgement by whoever starts the execution.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from webhooks.patterns import PatternError, matches
from webhooks.registries.base import ImagePushed


class Verdict(StrEnum):
    """What became of one delivery."""

    PENDING = "PENDING"
    TRIGGERED = "TRIGGERED"
    DUPLICATE = "DUPLICATE"
    IGNORED = "IGNORED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


class StepOutcome(StrEnum):
    """How one step of a judgement ended."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One question of a judgement, named after the form's field, and its answer in words."""

    name: str
    outcome: StepOutcome
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on a push, its reason, and all steps in the order they were taken."""

    verdict: Verdict
    reason_code: str
    message: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a webhook asks of a push.

    ``registry_kind`` is the ``Registry.name`` of its endpoint and ``endpoint_image`` the
    endpoint's repository as ``namespace/name``; case matters in neither. An empty pattern
    lets anything pass.
    """

    enabled: bool
    registry_kind: str
    endpoint_image: str
    image_pattern: str = ""
    tag_pattern: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """The answer of one check; ``verdict`` is None when the push passed it."""

    detail: str
    verdict: Verdict | None = None
    reason_code: str = ""


_Check = Callable[[ImagePushed, Filter], _Finding]


def judge(push: ImagePushed, filter_: Filter) -> Judgement:
    """Return TRIGGERED with reason ``matched``, or the verdict of the first check that fails.

    Reason codes: ``disabled``, ``image_pattern`` and ``tag_pattern`` (IGNORED),
    ``other_registry`` and ``other_repository`` (REJECTED), ``pattern_timeout`` and
    ``pattern_invalid`` (FAILED).
    """
    steps: list[Step] = []
    for name, check in _CHECKS:
        finding = check(push, filter_)
        if finding.verdict is not None:
            steps.append(Step(name=name, outcome=StepOutcome.FAILED, detail=finding.detail))
            return Judgement(
                verdict=finding.verdict,
                reason_code=finding.reason_code,
                message=finding.detail,
                steps=(*steps, *_not_looked_at(len(steps))),
            )
        steps.append(Step(name=name, outcome=StepOutcome.PASSED, detail=finding.detail))
    return Judgement(
        verdict=Verdict.TRIGGERED,
        reason_code="matched",
        message="The push passes the webhook.",
        steps=tuple(steps),
    )


def _not_looked_at(count: int) -> tuple[Step, ...]:
    return tuple(
        Step(name=name, outcome=StepOutcome.SKIPPED, detail="Not looked at.")
        for name, _ in _CHECKS[count:]
    )


def _enabled(_push: ImagePushed, filter_: Filter) -> _Finding:
    if filter_.enabled:
        return _Finding(detail="The webhook is enabled.")
    return _Finding(
        detail="The webhook is disabled.", verdict=Verdict.IGNORED, reason_code="disabled"
    )


def _registry(push: ImagePushed, filter_: Filter) -> _Finding:
    if push.registry.casefold() == filter_.registry_kind.casefold():
        return _Finding(detail=f"The push comes from {push.registry}.")
    return _Finding(
        detail=f"The push comes from {push.registry}, "
        f"the endpoint is of the kind {filter_.registry_kind}.",
        verdict=Verdict.REJECTED,
        reason_code="other_registry",
    )


def _endpoint(push: ImagePushed, filter_: Filter) -> _Finding:
    # Both spellings count: pipelines may build the image from either.
    for name in (push.image, f"{push.namespace}/{push.repository}".removeprefix("/")):
        if _canonical(name) != _canonical(filter_.endpoint_image):
            return _Finding(
                detail=f"The push names {_quoted(name)}, "
                f"the endpoint's repository is {_quoted(filter_.endpoint_image)}.",
                verdict=Verdict.REJECTED,
                reason_code="other_repository",
            )
    return _Finding(detail=f"{_quoted(push.image)} is the endpoint's repository.")


def _canonical(image: str) -> str:
    """Return the name under which official images are equal however they are spelled.

    They were sent as ``_/nginx`` in 2013 and as ``nginx`` since; people also write
    ``library/nginx``.
    """
    return image.casefold().removeprefix("_/").removeprefix("library/")


def _image(push: ImagePushed, filter_: Filter) -> _Finding:
    return _pattern("image", push.image, filter_.image_pattern, reason_code="image_pattern")


def _tag(push: ImagePushed, filter_: Filter) -> _Finding:
    return _pattern("tag", push.tag, filter_.tag_pattern, reason_code="tag_pattern")


def _pattern(noun: str, value: str, pattern: str, *, reason_code: str) -> _Finding:
    label = noun.capitalize()
    if not pattern:
        return _Finding(detail=f"{label} {_quoted(value)} passes: any {noun} does.")
    try:
        found = matches(pattern, value)
    except PatternError as error:
        return _Finding(
            detail=f"{label} pattern {pattern}: {error.user_message}",
            verdict=Verdict.FAILED,
            reason_code=error.code,
        )
    if found:
        return _Finding(detail=f"{label} {_quoted(value)} matches {pattern}")
    return _Finding(
        detail=f"{label} {_quoted(value)} does not match {pattern} (the whole {noun} has to match)",
        verdict=Verdict.IGNORED,
        reason_code=reason_code,
    )


def _quoted(text: str) -> str:
    """Return ``text`` in quotes, with line breaks and the like made visible."""
    return json.dumps(text, ensure_ascii=False)


_CHECKS: Final[tuple[tuple[str, _Check], ...]] = (
    ("Enabled", _enabled),
    ("Server type", _registry),
    ("Endpoint", _endpoint),
    ("Image", _image),
    ("Tag", _tag),
)

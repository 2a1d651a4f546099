"""Says whether a push passes a webhook's filter, with every step that led there.

It looks at one push and one filter only: duplicates, pipelines, inputs and identities are
added to the judgement by whoever starts the execution.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from codestream.core.json_types import JsonObject
from codestream.core.words import Words, gettext_noop
from endpoints.clients.image_references import canonical_name
from endpoints.clients.repository_address import REPOSITORY_PART
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


class StepName(StrEnum):
    """The questions of a judgement."""

    BODY = gettext_noop("Body")
    WEBHOOK = gettext_noop("Webhook")
    SECRET_TOKEN = gettext_noop("Secret token")
    ENABLED = gettext_noop("Enabled")
    SERVER_TYPE = gettext_noop("Server type")
    ENDPOINT = gettext_noop("Endpoint")
    IMAGE = gettext_noop("Image")
    TAG = gettext_noop("Tag")
    DIGEST = gettext_noop("Digest")
    DUPLICATE = gettext_noop("Duplicate")
    OWN_PUSH = gettext_noop("Own push")
    RECOVERY = gettext_noop("Recovery")
    LOOP = gettext_noop("Loop")
    API_TOKEN = gettext_noop("API token")
    PIPELINE = gettext_noop("Pipeline")
    INPUTS = gettext_noop("Inputs")
    EXECUTION = gettext_noop("Execution")
    CODESTREAM = gettext_noop("Codestream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One question of a judgement, named after the form's field, and its answer in words."""

    name: str
    outcome: StepOutcome
    detail: Words

    def as_json(self) -> JsonObject:
        """What is stored: the detail in English for programs, and as a template for people."""
        english = {"name": self.name, "outcome": self.outcome, "detail": str(self.detail)}
        return {**english, **self.detail.as_json()}

    @classmethod
    def from_json(cls, stored: JsonObject) -> Step:
        """Read what ``as_json`` gave; those of the first releases have no template."""
        return cls(
            name=str(stored["name"]),
            outcome=StepOutcome(str(stored["outcome"])),
            detail=Words.from_json(stored)
            if "text" in stored
            else Words.plain(str(stored["detail"])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on a push, its reason, and all steps in the order they were taken."""

    verdict: Verdict
    reason_code: str
    message: Words
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a webhook asks of a push.

    ``registry_kind`` is the ``Registry.name`` of its endpoint and ``endpoint_image`` the
    endpoint's repository as ``namespace/name``; case matters in neither. An empty pattern
    lets anything pass. ``registry_names`` say what people call the registries.
    """

    enabled: bool
    registry_kind: str
    endpoint_image: str
    image_pattern: str = ""
    tag_pattern: str = ""
    registry_names: Mapping[str, str] = field(default_factory=dict)

    def called(self, registry: str) -> str:
        """What people call the registry."""
        return self.registry_names.get(registry.casefold(), registry)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """The answer of one check; ``verdict`` is None when the push passed it."""

    detail: Words
    verdict: Verdict | None = None
    reason_code: str = ""


_Check = Callable[[ImagePushed, Filter], _Finding]


def judge(push: ImagePushed, filter_: Filter) -> Judgement:
    """Return TRIGGERED with reason ``matched``, or the verdict of the first check that fails.

    Reason codes: ``disabled``, ``image_pattern`` and ``tag_pattern`` (IGNORED),
    ``other_registry``, ``other_repository``, ``impossible_image`` and ``impossible_tag``
    (REJECTED), ``pattern_timeout`` and ``pattern_invalid`` (FAILED).
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
        message=Words(gettext_noop("The push passes the webhook.")),
        steps=tuple(steps),
    )


def _not_looked_at(count: int) -> tuple[Step, ...]:
    return tuple(
        Step(name=name, outcome=StepOutcome.SKIPPED, detail=Words(gettext_noop("Not looked at.")))
        for name, _ in _CHECKS[count:]
    )


def _enabled(_push: ImagePushed, filter_: Filter) -> _Finding:
    if filter_.enabled:
        return _Finding(detail=Words(gettext_noop("The webhook is enabled.")))
    return _Finding(
        detail=Words(gettext_noop("The webhook is disabled.")),
        verdict=Verdict.IGNORED,
        reason_code="disabled",
    )


def _registry(push: ImagePushed, filter_: Filter) -> _Finding:
    said = {"registry": filter_.called(push.registry)}
    if push.registry.casefold() == filter_.registry_kind.casefold():
        return _Finding(detail=Words(gettext_noop("The push comes from %(registry)s."), said))
    return _Finding(
        detail=Words(
            gettext_noop("The push comes from %(registry)s, the endpoint is of the kind %(kind)s."),
            {**said, "kind": filter_.called(filter_.registry_kind)},
        ),
        verdict=Verdict.REJECTED,
        reason_code="other_registry",
    )


def _endpoint(push: ImagePushed, filter_: Filter) -> _Finding:
    # Both spellings count: pipelines may build the image from either.
    for name in (push.image, f"{push.namespace}/{push.repository}".removeprefix("/")):
        if canonical_name(name) != canonical_name(filter_.endpoint_image):
            return _Finding(
                detail=Words(
                    gettext_noop(
                        "The push names %(image)s, the endpoint's repository is %(repository)s."
                    ),
                    {"image": _quoted(name), "repository": _quoted(filter_.endpoint_image)},
                ),
                verdict=Verdict.REJECTED,
                reason_code="other_repository",
            )
    words = gettext_noop("%(image)s is the endpoint's repository.")
    return _Finding(detail=Words(words, {"image": _quoted(push.image)}))


def _image(push: ImagePushed, filter_: Filter) -> _Finding:
    return _pattern(_IMAGE, push.image, filter_.image_pattern)


def _tag(push: ImagePushed, filter_: Filter) -> _Finding:
    return _pattern(_TAG, push.tag, filter_.tag_pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What is said of a field of the form that holds a pattern; ``can_be`` knows the grammar of
    what it looks at: https://docs.docker.com/reference/cli/docker/image/tag/#description
    """

    reason_code: str
    can_be: Callable[[str], bool]
    impossible: str
    impossible_code: str
    anything: str
    unusable: str
    found: str
    differs: str


def _can_be_image(name: str) -> bool:
    # Official images were sent as ``_/nginx`` in 2013.
    return all(REPOSITORY_PART.fullmatch(part) for part in name.removeprefix("_/").split("/"))


def _can_be_tag(tag: str) -> bool:
    return _TAG_NAME.fullmatch(tag) is not None


_TAG_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE: Final = _Field(
    reason_code="image_pattern",
    can_be=_can_be_image,
    impossible=gettext_noop(
        "No image can have the name %(value)s: its parts are of small letters and digits, with "
        '".", "_" and "-" between them.'
    ),
    impossible_code="impossible_image",
    anything=gettext_noop("Image %(value)s passes: any image does."),
    unusable=gettext_noop("Image pattern %(pattern)s: %(problem)s"),
    found=gettext_noop("Image %(value)s matches %(pattern)s"),
    differs=gettext_noop(
        "Image %(value)s does not match %(pattern)s (the whole image has to match)"
    ),
)
_TAG: Final = _Field(
    reason_code="tag_pattern",
    can_be=_can_be_tag,
    impossible=gettext_noop(
        "No tag can be %(value)s: it has at most 128 letters, digits and signs "
        '("_", "." and "-"), and begins with none of "." and "-".'
    ),
    impossible_code="impossible_tag",
    anything=gettext_noop("Tag %(value)s passes: any tag does."),
    unusable=gettext_noop("Tag pattern %(pattern)s: %(problem)s"),
    found=gettext_noop("Tag %(value)s matches %(pattern)s"),
    differs=gettext_noop("Tag %(value)s does not match %(pattern)s (the whole tag has to match)"),
)


def _pattern(field: _Field, value: str, pattern: str) -> _Finding:
    told = {"value": _quoted(value), "pattern": pattern}
    try:
        found = not pattern or matches(pattern, value)
    except PatternError as error:
        return _Finding(
            detail=Words(field.unusable, {"pattern": pattern, "problem": error.words}),
            verdict=Verdict.FAILED,
            reason_code=error.code,
        )
    if not found:
        return _Finding(
            detail=Words(field.differs, told),
            verdict=Verdict.IGNORED,
            reason_code=field.reason_code,
        )
    if not field.can_be(value):
        return _Finding(
            detail=Words(field.impossible, told),
            verdict=Verdict.REJECTED,
            reason_code=field.impossible_code,
        )
    return _Finding(detail=Words(field.found if pattern else field.anything, told))


def _quoted(text: str) -> str:
    """Return ``text`` in quotes, with line breaks and the like made visible."""
    return json.dumps(text, ensure_ascii=False)


_CHECKS: Final[tuple[tuple[StepName, _Check], ...]] = (
    (StepName.ENABLED, _enabled),
    (StepName.SERVER_TYPE, _registry),
    (StepName.ENDPOINT, _endpoint),
    (StepName.IMAGE, _image),
    (StepName.TAG, _tag),
)

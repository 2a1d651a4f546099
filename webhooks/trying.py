"""What a webhook would say of a push: the very judgement that deliveries get, and *Try it*, which
asks for it without a delivery and starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from codestream.core.keyset import Page, ranges, read_rows, united
from codestream.core.words import Words
from endpoints.clients.base import ClientError
from endpoints.clients.image_references import DOCKER_HUB, split_host
from endpoints.kinds import repository_of
from webhooks.matching import Filter, Judgement, Step, StepName, StepOutcome, Verdict, judge
from webhooks.models import DockerWebhook, RegistryEvent
from webhooks.readers import REGISTRY_NAMES
from webhooks.registries.base import ImagePushed, UnreadableError, push_of

MOST_TRIED = 50
"""How many of the last deliveries are shown with what the patterns say of them."""
LOOKED_AT = 500
"""Among so many of the last deliveries they are looked for: some registries tell of every layer."""


def judge_push(webhook: DockerWebhook, push: ImagePushed) -> Judgement:
    """Whether the push passes the webhook as it stands, saved or not; nothing is written."""
    try:
        place = repository_of(webhook.endpoint)
    except ClientError as error:
        step = Step(name=StepName.ENDPOINT, outcome=StepOutcome.FAILED, detail=error.words)
        return Judgement(
            verdict=Verdict.FAILED,
            reason_code=str(error.code),
            message=error.words,
            steps=(step,),
        )
    return judge(
        push,
        Filter(
            enabled=webhook.enabled,
            registry_kind=webhook.registry_kind,
            endpoint_image=str(place),
            image_pattern=webhook.image_pattern,
            tag_pattern=webhook.tag_pattern,
            registry_names=REGISTRY_NAMES,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One push, typed or delivered, and what the webhook would say of it."""

    push: ImagePushed
    judgement: Judgement
    event: RegistryEvent | None = None

    @property
    def name(self) -> str:
        """How people write it."""
        return f"{self.push.image}:{self.push.tag}"

    @property
    def would_start(self) -> bool:
        """Whether the patterns let it pass."""
        return self.judgement.verdict is Verdict.TRIGGERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was asked for, or the ``problem`` with how it was written, and the last deliveries."""

    asked: Tried | None = None
    problem: Words | None = None
    recent: tuple[Tried, ...] = field(default_factory=tuple)


def try_out(webhook: DockerWebhook, text: str) -> Trial:
    """Try the webhook as it stands, saved or not, on ``image:tag`` and on the last deliveries."""
    recent = tuple(_tried(webhook, _last_deliveries(webhook)))
    if not text.strip():
        return Trial(recent=recent)
    try:
        push = _typed(webhook, text.strip())
    except UnreadableError as error:
        return Trial(problem=error.refusal.reason, recent=recent)
    return Trial(asked=Tried(push=push, judgement=judge_push(webhook, push)), recent=recent)


def _typed(webhook: DockerWebhook, text: str) -> ImagePushed:
    """The push that a person means; the registry's host before the image is taken off."""
    image, _, tag = text.rpartition(":") if ":" in text.rpartition("/")[2] else (text, "", "")
    if webhook.is_in_docker_hub:
        host, name = split_host(image)
        image = name if host == DOCKER_HUB else image
    else:
        image = image.removeprefix(f"{_host(webhook)}/")
    return push_of(webhook.registry_kind, image, tag)


def _host(webhook: DockerWebhook) -> str:
    try:
        return repository_of(webhook.endpoint).host
    except ClientError:
        return ""


def _last_deliveries(webhook: DockerWebhook) -> list[RegistryEvent]:
    """Those of the webhook that name an image; of one that is not saved yet, those of the
    endpoint's repository. No more than LOOKED_AT are looked at.
    """
    if webhook._state.adding:
        keys = list(webhook.endpoint.webhooks.values_list("pk", flat=True))
    else:
        keys = [webhook.pk]
    parts = ranges(RegistryEvent.objects.all(), {"webhook": keys})
    newest = united(parts, limit=LOOKED_AT, names=["image", "tag"])
    named = [key for key, (image, tag) in newest if image and tag][:MOST_TRIED]
    rows = RegistryEvent.objects.defer("body", "headers", "steps")
    return read_rows(rows, Page(keys=tuple(named)))


def _tried(webhook: DockerWebhook, events: Iterable[RegistryEvent]) -> Iterator[Tried]:
    for event in events:
        push = ImagePushed(
            registry=event.registry,
            owner=event.owner,
            namespace=event.namespace,
            repository=event.repository,
            image=event.image,
            tag=event.tag,
        )
        judgement = judge_push(webhook, push)
        yield Tried(push=push, judgement=judgement, event=event)
        if judgement.reason_code == "pattern_timeout":
            # A pattern that is too slow for one would keep the page waiting for each.
            return

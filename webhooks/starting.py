"""Starts the execution of a push that has passed, in the transaction of its judgement."""

from __future__ import annotations

from codestream.accounts.models import ApiToken
from codestream.core.errors import CodeStreamError
from codestream.core.rows import insert
from codestream.core.words import Words, gettext_noop
from endpoints.kinds import repository_of
from executions.definitions import definition_of, revision_number
from executions.models import Execution, ImagePush
from executions.services import start_locked
from pipelines.docker_parameters import inject_docker
from pipelines.models import Pipeline
from webhooks.matching import Judgement, StepName, Verdict
from webhooks.models import DockerWebhook, Push, RegistryEvent
from webhooks.registries.base import ImagePushed
from webhooks.verdicts import ended, passed, then


def start_for_push(
    event: RegistryEvent,
    webhook: DockerWebhook,
    pipeline: Pipeline | None,
    push: ImagePushed,
    judgement: Judgement,
    token: ApiToken,
    *,
    current: Push | None,
    made: ImagePush | None,
) -> Judgement:
    """Start it with the parameters of the push, or say why it cannot start.

    ``pipeline`` is locked, None where it is deleted; ``current`` is the last push of the tag, and
    ``made`` says which task has pushed.
    """
    injected = inject_docker(_declared(pipeline), _parts(push, _name_of(webhook, push)))
    given = {str(name): str(value) for name, value in webhook.inputs.items()}
    if event.source == RegistryEvent.Source.RERUN:
        pushed = event.rerun_of.push if event.rerun_of else None
    else:
        pushed = next_push(webhook, push, current, made)
    try:
        execution = start_locked(
            pipeline,
            {**given, **injected},
            run_as=token.owner,
            triggered_by=token.owner.username,
            source=Execution.Source.PUSH,
            start_key=_start_key(event, pushed),
            comments=f"{push.image}:{push.tag}",
            rerun_of=event.rerun_of.execution if event.rerun_of else None,
        )
    except CodeStreamError as error:
        # What cannot start is no push that a later delivery could be folded into.
        return then(judgement, Verdict.FAILED, error.code, error.words, step=StepName.PIPELINE)
    event.execution, event.push = execution, pushed
    # Not written down yet: that of a re-run is that of the first time.
    if pushed is not None and pushed._state.adding:
        make_current(pushed, current)
    number = revision_number(execution.revision_id)
    revision = Words(
        gettext_noop("%(pipeline)s, revision %(number)s"),
        {"pipeline": execution.pipeline_name, "number": number},
    )
    judgement = passed(judgement, StepName.PIPELINE, revision)
    judgement = passed(judgement, StepName.INPUTS, _inputs_in_words(injected, given))
    judgement = passed(judgement, StepName.EXECUTION, Words.plain(str(execution)))
    started = Words(gettext_noop("Started %(execution)s."), {"execution": str(execution)})
    return ended(Verdict.TRIGGERED, "triggered", started, steps=judgement.steps)


def _start_key(event: RegistryEvent, pushed: Push | None) -> str:
    """What makes the run one of a kind: its push, or the wish of a person to run it again. That a
    push is told of twice has been seen before, under the lock; this is the constraint behind it.
    """
    if event.source == RegistryEvent.Source.RERUN or pushed is None:
        return f"event:{event.pk}"
    return f"push:{pushed.pk}"


def _inputs_in_words(injected: dict[str, str], given: dict[str, str]) -> Words:
    own = sorted(set(given) - set(injected))
    text = _SOURCES[bool(injected), bool(own)]
    return Words(text, {"injected": ", ".join(injected), "own": ", ".join(own)})


_SOURCES = {
    (True, True): gettext_noop("From the push: %(injected)s; from the webhook: %(own)s."),
    (True, False): gettext_noop("From the push: %(injected)s."),
    (False, True): gettext_noop("The pipeline takes none of a push; from the webhook: %(own)s."),
    (False, False): gettext_noop("The pipeline takes none of a push."),
}


def _declared(pipeline: Pipeline | None) -> list[str]:
    revision = pipeline.current_revision_id if pipeline is not None else None
    return [item.name for item in definition_of(revision).inputs] if revision else []


def _name_of(webhook: DockerWebhook, push: ImagePushed) -> str:
    """The name by which the image is pulled: Docker Hub's needs no host, others have that of the
    endpoint. The host that a body may name is anybody's word.
    """
    if webhook.is_in_docker_hub:
        return push.image.removeprefix("_/")
    return f"{repository_of(webhook.endpoint).host}/{push.image}"


def _parts(push: ImagePushed, name: str) -> dict[str, str]:
    return {
        "owner": push.owner,
        "image": name,
        "repo_name": push.repository,
        "repo_namespace": push.namespace,
        "tag": push.tag,
        "image_reference": f"{name}:{push.tag}",
        **_pins(push, name),
    }


def _pins(push: ImagePushed, name: str) -> dict[str, str]:
    """What names this very image, whatever becomes of its tag."""
    if not push.digest:
        return {}
    return {"digest": push.digest, "image_reference": f"{name}@{push.digest}"}


def next_push(
    webhook: DockerWebhook, push: ImagePushed, current: Push | None, made: ImagePush | None
) -> Push:
    """The push after the last one of its tag, not written down yet."""
    return Push(
        webhook=webhook,
        repository=push.image,
        tag=push.tag,
        digest=push.digest,
        sequence=current.sequence + 1 if current is not None else 1,
        made_by=made,
    )


def make_current(pushed: Push, before: Push | None) -> None:
    """Write a new push down as the last one of its tag."""
    if before is not None:
        Push.objects.filter(pk=before.pk).update(is_current=False)
    insert(pushed)

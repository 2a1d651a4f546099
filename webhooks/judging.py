"""Judges a delivery: one worker step that ends in a verdict with the steps that led to it, and,
when the push passes, in an execution; both in one transaction, so that a push starts one run.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from codestream.accounts.models import ApiToken
from codestream.accounts.services import note_use
from codestream.core.errors import CodeStreamError
from codestream.core.metrics import EVENTS
from codestream.core.work import Claim, finishing
from codestream.projects.permissions import Action, can
from endpoints.clients.base import ClientError
from endpoints.kinds import repository_of
from executions.definitions import definition_of, revision_number
from executions.models import Execution
from executions.services import start_execution
from pipelines.docker_parameters import inject_docker
from webhooks.matching import Filter, Judgement, Step, StepOutcome, Verdict, judge
from webhooks.models import DockerWebhook, Push, RegistryEvent
from webhooks.readers import reader_for
from webhooks.registries.base import ImagePushed, Malformed
from webhooks.services import resolve_token

INVALID_TOKEN = "Invalid Oauth Refresh token. Verify webhook configuration."  # noqa: S105


def judge_event(claim: Claim) -> None:
    """Give the delivery its verdict; one that has it is left as it is."""
    event: RegistryEvent = claim.row
    if event.verdict != Verdict.PENDING:
        with finishing(claim, wake_at=None):
            return
    push = _read(event)
    judgement = _judgement(event, push)
    with finishing(claim, wake_at=None):
        if isinstance(push, ImagePushed):
            _keep_push(event, push)
            if judgement.verdict is Verdict.TRIGGERED and event.webhook is not None:
                judgement = _start(event, event.webhook, push, judgement)
        _keep(event, judgement)


def fail_event(claim: Claim, message: str) -> None:
    """Give the delivery the verdict FAILED because of a fault of ours."""
    event: RegistryEvent = claim.row
    with finishing(claim, wake_at=None):
        _keep(event, _ended(Verdict.FAILED, "internal", message, step="Codestream"))


def in_turn() -> Q:
    """Those that came before every other one that its webhook has yet to judge, so that pushes
    start their executions in the order in which they came.
    """
    line = RegistryEvent.objects.pending().filter(webhook=OuterRef("webhook"))
    earlier = Q(created_at__lt=OuterRef("created_at"))
    same_moment = Q(created_at=OuterRef("created_at"), pk__lt=OuterRef("pk"))
    return ~Q(Exists(line.filter(earlier | same_moment)))


def next_in_line(claim: Claim) -> UUID | None:
    """The delivery of the same webhook that waits longest."""
    event: RegistryEvent = claim.row
    line = RegistryEvent.objects.pending().filter(webhook=event.webhook_id)
    return line.order_by("created_at", "pk").values_list("pk", flat=True).first()


def _read(event: RegistryEvent) -> ImagePushed | Judgement:
    parsed = reader_for(event.registry).parse(bytes(event.body), event.headers)[0]
    if isinstance(parsed, ImagePushed):
        return parsed
    verdict = Verdict.REJECTED if isinstance(parsed, Malformed) else Verdict.IGNORED
    return _ended(verdict, parsed.reason_code, parsed.reason, step="Body")


def _judgement(event: RegistryEvent, push: ImagePushed | Judgement) -> Judgement:
    if isinstance(push, Judgement):
        return push
    webhook = event.webhook
    if webhook is None:
        return _ended(Verdict.REJECTED, "no_webhook", _("The webhook is deleted."), step="Webhook")
    try:
        place = repository_of(webhook.endpoint)
    except ClientError as error:
        return _ended(Verdict.FAILED, error.code, error.user_message, step="Endpoint")
    return judge(
        push,
        Filter(
            enabled=webhook.enabled,
            registry_kind=webhook.registry_kind,
            endpoint_image=f"{place.namespace}/{place.repository}",
            image_pattern=webhook.image_pattern,
            tag_pattern=webhook.tag_pattern,
        ),
    )


def _start(
    event: RegistryEvent, webhook: DockerWebhook, push: ImagePushed, judgement: Judgement
) -> Judgement:
    token = resolve_token(webhook)
    if token is None:
        return _then(judgement, Verdict.FAILED, "token", INVALID_TOKEN, step="API token")
    if not can(token.owner, Action.EXECUTE, webhook.project):
        words = _("%(user)s may not run pipelines in project %(project)s.") % {
            "user": token.owner.username,
            "project": webhook.project.name,
        }
        return _then(judgement, Verdict.FAILED, "identity", words, step="API token")
    note_use(token=token)
    judgement = _passed(judgement, "API token", f"Runs as {token.owner.username}.")
    try:
        execution = _execute(event, webhook, push, token)
    except CodeStreamError as error:
        return _then(judgement, Verdict.FAILED, error.code, error.user_message, step="Pipeline")
    event.execution = execution
    number = revision_number(execution.revision_id)
    revision = f"{execution.pipeline_name}, revision {number}"
    judgement = _passed(judgement, "Pipeline", revision)
    judgement = _passed(judgement, "Execution", str(execution))
    return _ended(Verdict.TRIGGERED, "triggered", f"Started {execution}.", steps=judgement.steps)


def _execute(
    event: RegistryEvent, webhook: DockerWebhook, push: ImagePushed, token: ApiToken
) -> Execution:
    event.push = _new_push(webhook, push)
    given = {str(name): str(value) for name, value in webhook.inputs.items()}
    declared = _declared(webhook)
    return start_execution(
        pipeline=webhook.pipeline,
        inputs={**given, **inject_docker(declared, _parts(push))},
        run_as=token.owner,
        triggered_by=token.owner.username,
        source=Execution.Source.PUSH,
        start_key=f"push:{event.push.pk}",
        comments=f"{push.image}:{push.tag}",
    )


def _declared(webhook: DockerWebhook) -> list[str]:
    revision = webhook.pipeline.current_revision_id
    return [item.name for item in definition_of(revision).inputs] if revision else []


def _parts(push: ImagePushed) -> dict[str, str]:
    return {
        "owner": push.owner,
        "image": push.image,
        "repo_name": push.repository,
        "repo_namespace": push.namespace,
        "tag": push.tag,
    }


def _new_push(webhook: DockerWebhook, push: ImagePushed) -> Push:
    same_tag = Push.objects.filter(webhook=webhook, repository=push.image, tag=push.tag)
    last = same_tag.order_by("-sequence").values_list("sequence", flat=True).first()
    if last:
        same_tag.filter(is_current=True).update(is_current=False)
    return Push.objects.create(
        webhook=webhook,
        repository=push.image,
        tag=push.tag,
        digest=push.digest,
        sequence=(last or 0) + 1,
    )


def _keep_push(event: RegistryEvent, push: ImagePushed) -> None:
    for name in ("owner", "namespace", "repository", "image", "tag", "digest", "repo_status"):
        setattr(event, name, getattr(push, name))
    event.callback_url, event.pushed_at = push.callback_url, push.pushed_at


def _keep(event: RegistryEvent, judgement: Judgement) -> None:
    transaction.on_commit(partial(EVENTS.labels(judgement.verdict).inc))
    event.verdict = judgement.verdict
    event.reason_code = judgement.reason_code
    event.message = judgement.message
    event.steps = [asdict(step) for step in judgement.steps]
    # The claim's own columns were written a moment ago; the row read before must not undo them.
    columns = "verdict reason_code message steps owner namespace repository image tag digest"
    more = "repo_status callback_url pushed_at push execution updated_at"
    event.save(update_fields=f"{columns} {more}".split())


def _ended(
    verdict: Verdict,
    reason_code: str,
    message: str,
    *,
    step: str = "",
    steps: tuple[Step, ...] = (),
) -> Judgement:
    last = (Step(name=step, outcome=StepOutcome.FAILED, detail=message),) if step else ()
    return Judgement(
        verdict=verdict, reason_code=str(reason_code), message=message, steps=steps + last
    )


def _then(
    judgement: Judgement, verdict: Verdict, reason_code: str, message: str, *, step: str
) -> Judgement:
    return _ended(verdict, reason_code, message, step=step, steps=judgement.steps)


def _passed(judgement: Judgement, name: str, detail: str) -> Judgement:
    step = Step(name=name, outcome=StepOutcome.PASSED, detail=detail)
    return Judgement(
        verdict=judgement.verdict,
        reason_code=judgement.reason_code,
        message=judgement.message,
        steps=(*judgement.steps, step),
    )

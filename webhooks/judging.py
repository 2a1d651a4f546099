"""Judges a delivery: one worker step that ends in a verdict with the steps that led to it, and,
when the push passes, in an execution; both in one transaction, so that a push starts one run.

Three things are a push here: ``push`` is what the delivery tells, ``current`` the row of the last
push of its tag, ``made`` the push of a task of ours that it may tell of.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, Subquery

from codestream.accounts.services import note_use
from codestream.core.clock import now
from codestream.core.log_context import logging_about
from codestream.core.metrics import EVENTS
from codestream.core.prepared import Prepared
from codestream.core.rows import update
from codestream.core.versions import DeletedMeanwhileError
from codestream.core.words import Words, gettext_noop
from codestream.core.work import Claim, finishing
from codestream.projects.permissions import Action, can
from executions.models import ImagePush
from executions.run import lock_pipeline, name_of
from webhooks.digests import find_digest
from webhooks.folding import Delivery, Known, Meaning, is_one_burst, meaning_of
from webhooks.matching import Judgement, Step, StepName, StepOutcome, Verdict
from webhooks.models import DockerWebhook, Push, RegistryEvent
from webhooks.own_pushes import find_own_push
from webhooks.readers import reader_for
from webhooks.registries.base import ImagePushed, Malformed
from webhooks.services import resolve_token, stop_webhook
from webhooks.starting import make_current, next_push, start_for_push
from webhooks.trying import judge_push
from webhooks.verdicts import ended, passed, then, with_step

logger = logging.getLogger(__name__)
RELATED = ("webhook__endpoint", "webhook__project")
"""What is read together with a delivery that is to be judged."""
MOST_RUNS = 10
RUNS_WITHIN = timedelta(minutes=1)
"""More runs of one webhook and tag in this time are a loop: a pipeline pushes what it hears of."""
INVALID_TOKEN = Words(gettext_noop("Invalid Oauth Refresh token. Verify webhook configuration."))


def judge_event(claim: Claim) -> None:
    """Give the delivery its verdict; one that has it is left as it is."""
    event: RegistryEvent = claim.row
    if event.verdict != Verdict.PENDING:
        with finishing(claim, wake_at=None):
            return
    try:
        _judge(claim, event)
    except (IntegrityError, ObjectDoesNotExist, DeletedMeanwhileError):
        # Something that it refers to was deleted under the judgement: the webhook by a person, an
        # earlier delivery or execution by the retention. Judge it as things stand now.
        _judge(claim, RegistryEvent.objects.select_related(*RELATED).get(pk=claim.pk))


def fail_event(claim: Claim, message: str) -> None:
    """Give the delivery the verdict FAILED because of a fault of ours. What the judgement that
    broke off has put on it is undone in the database.
    """
    event: RegistryEvent = claim.row
    event.push = event.execution = event.duplicate_of = None
    words = Words.plain(message)
    with finishing(claim, wake_at=None):
        _write_verdict(event, ended(Verdict.FAILED, "internal", words, step=StepName.CODESTREAM))


def in_turn() -> Q:
    """Those that came before every other one that its webhook has yet to judge, so that pushes
    start their executions in the order in which they came.
    """
    line = RegistryEvent.objects.pending().filter(webhook=OuterRef("webhook"))
    # The first condition alone is a range of the index, in which there is one row or a few.
    line = line.filter(created_at__lte=OuterRef("created_at"))
    earlier = Q(created_at__lt=OuterRef("created_at")) | Q(pk__lt=OuterRef("pk"))
    return ~Q(Exists(line.filter(earlier)))


def next_in_line(claim: Claim) -> UUID | None:
    """The delivery of the same webhook that waits longest."""
    event: RegistryEvent = claim.row
    return _LINE.first(event.webhook_id) if event.webhook_id else None


def first_in_line(pk: UUID) -> UUID | None:
    """The delivery that waits longest of those to the same webhook as this one."""
    return _LINE_OF.first(pk)


_LINE = Prepared(
    lambda webhook: (
        RegistryEvent.objects.pending()
        .filter(webhook=webhook)
        .order_by("created_at", "pk")
        .values_list("pk", flat=True)[:1]
    )
)
_LINE_OF = Prepared(
    lambda pk: (
        RegistryEvent.objects.pending()
        .filter(webhook=Subquery(RegistryEvent.objects.filter(pk=pk).order_by().values("webhook")))
        .order_by("created_at", "pk")
        .values_list("pk", flat=True)[:1]
    )
)


def _judge(claim: Claim, event: RegistryEvent) -> None:
    push = _read(event)
    # TRIGGERED means so far that nothing speaks against it; `_decide` starts the execution.
    judgement = _judgement(event, push)
    if isinstance(push, ImagePushed) and judgement.verdict is Verdict.TRIGGERED:
        push, judgement = _pinned(event, push, judgement)
    # Should a power cut undo it, the delivery is still there to be judged again; a task waits for
    # the disk before it changes anything outside.
    with finishing(claim, wake_at=None, may_be_lost=True):
        if isinstance(push, ImagePushed):
            _copy_push(event, push)
            if judgement.verdict is Verdict.TRIGGERED and event.webhook is not None:
                judgement = _decide(event, event.webhook, push, judgement)
        _write_verdict(event, judgement)


def _read(event: RegistryEvent) -> ImagePushed | Judgement:
    """The push that the body tells of; where it tells of none, that is the judgement already."""
    parsed = reader_for(event.registry).parse(bytes(event.body), event.headers)[event.part]
    if isinstance(parsed, ImagePushed):
        return parsed
    verdict = Verdict.REJECTED if isinstance(parsed, Malformed) else Verdict.IGNORED
    return ended(verdict, parsed.reason_code, parsed.reason, step=StepName.BODY)


def _judgement(event: RegistryEvent, push: ImagePushed | Judgement) -> Judgement:
    """Whether the push passes the webhook: all that is known without a look at other pushes."""
    if isinstance(push, Judgement):
        return push
    webhook = event.webhook
    if webhook is None:
        words = Words(gettext_noop("The webhook is deleted."))
        return ended(Verdict.REJECTED, "no_webhook", words, step=StepName.WEBHOOK)
    judgement = judge_push(webhook, push)
    detail = Words(_ORIGINS[event.source])
    origin = Step(name=StepName.SECRET_TOKEN, outcome=StepOutcome.PASSED, detail=detail)
    return replace(judgement, steps=(origin, *judgement.steps))


_ORIGINS: dict[str, str] = {
    RegistryEvent.Source.DELIVERY: gettext_noop(
        "The delivery carried the secret token of the webhook."
    ),
    RegistryEvent.Source.RECOVERED: gettext_noop(
        "No delivery came; Codestream found the push by itself."
    ),
    RegistryEvent.Source.RERUN: gettext_noop(
        "Not a delivery: somebody let an earlier one run again."
    ),
}


def _pinned(
    event: RegistryEvent, push: ImagePushed, judgement: Judgement
) -> tuple[ImagePushed, Judgement]:
    """The push with the digest that its tag stands for, where it can be had."""
    webhook = event.webhook
    if webhook is None:
        return push, judgement
    if event.rerun_of is not None and event.rerun_of.digest:
        push = replace(push, digest=event.rerun_of.digest)
    found = find_digest(webhook, push, received_at=event.created_at)
    outcome = StepOutcome.PASSED if found.digest else StepOutcome.SKIPPED
    judgement = with_step(judgement, StepName.DIGEST, outcome, found.why)
    return replace(push, digest=found.digest), judgement


def _decide(
    event: RegistryEvent, webhook: DockerWebhook, push: ImagePushed, judgement: Judgement
) -> Judgement:
    """Start the execution of a push that has passed so far, or say which question ends it: is it
    known already, our own, only for the record, a loop, and may who runs it?
    """
    # Locked before anything is compared: two deliveries whose machines have different clocks may be
    # judged side by side, and both must not be the next push of their tag.
    pipeline = lock_pipeline(webhook.pipeline_id)
    current = None
    if event.source != RegistryEvent.Source.RERUN:
        current = _CURRENT.first(webhook.pk, push.image, push.tag)
    meaning, known = _meaning(event, webhook, push, current)
    if known is not None and meaning.is_same:
        return _folded(event, known, push, judgement, meaning.why)
    judgement = passed(judgement, StepName.DUPLICATE, meaning.why)
    made = _own_push(event, webhook, push, known)
    words = _who_pushed(event, webhook, made)
    if made is not None and not webhook.own_pushes_allowed:
        event.push = _push_of_a_task(webhook, push, made, current)
        return then(judgement, Verdict.IGNORED, "own_push", words, step=StepName.OWN_PUSH)
    judgement = passed(judgement, StepName.OWN_PUSH, words)
    if _is_for_the_record(event, webhook):
        return then(judgement, Verdict.IGNORED, "record_only", _RECORD_ONLY, step=StepName.RECOVERY)
    if current is not None and _runs_in_a_loop(event, webhook, push):
        words = Words(_LOOP, {"tag": push.tag, "runs": MOST_RUNS})
        stop_webhook(webhook=webhook, because=words)
        return then(judgement, Verdict.IGNORED, "loop", words, step=StepName.LOOP)
    token = resolve_token(webhook)
    if token is None:
        return then(judgement, Verdict.FAILED, "token", INVALID_TOKEN, step=StepName.API_TOKEN)
    if not can(token.owner, Action.EXECUTE, webhook.project):
        words = Words(
            gettext_noop("%(user)s may not run pipelines in project %(project)s."),
            {"user": token.owner.username, "project": webhook.project.name},
        )
        return then(judgement, Verdict.FAILED, "identity", words, step=StepName.API_TOKEN)
    note_use(token=token)
    words = Words(gettext_noop("Runs as %(user)s."), {"user": token.owner.username})
    judgement = passed(judgement, StepName.API_TOKEN, words)
    return start_for_push(
        event, webhook, pipeline, push, judgement, token, current=current, made=made
    )


_CURRENT = Prepared(
    lambda webhook, repository, tag: Push.objects.current().filter(
        webhook=webhook, repository=repository, tag=tag
    )
)
_ASKED_FOR = Words(gettext_noop("Asked for by a person."))
_NOT_OWN = Words(gettext_noop("No task of the project has pushed it."))
_OWN = gettext_noop(
    "Own push: task %(task)s of %(execution)s pushed it, "
    "and the webhook does not run on own pushes."
)
_OWN_ALLOWED = gettext_noop(
    "Task %(task)s of %(execution)s pushed it; the webhook runs on own pushes."
)
_RECORD_ONLY = Words(
    gettext_noop("The webhook only records pushes that came without a delivery. Re-run starts it.")
)
_LOOP = gettext_noop(
    "More than %(runs)s runs in a minute for the tag %(tag)s: the webhook is disabled. Does the "
    "pipeline push the image that it listens to? Enable the webhook when that is mended."
)


def _own_push(
    event: RegistryEvent, webhook: DockerWebhook, push: ImagePushed, known: RegistryEvent | None
) -> ImagePush | None:
    """The push of a task of this project that the delivery tells of."""
    if event.source == RegistryEvent.Source.RERUN:
        return None
    if known is not None and known.push is not None and not webhook.settle_seconds:
        is_more_of_it = is_one_burst(_delivery(event, push), _known_push(known, known.push))
        if is_more_of_it and known.push.made_by and not webhook.own_pushes_allowed:
            return known.push.made_by
        if push.digest and push.digest == known.push.digest:
            return None  # the tag has not moved: no task has pushed since
    is_found = event.source == RegistryEvent.Source.RECOVERED
    moment = (push.pushed_at if is_found else None) or event.created_at
    return find_own_push(webhook, push, moment=moment)


def _who_pushed(event: RegistryEvent, webhook: DockerWebhook, made: ImagePush | None) -> Words:
    if made is None:
        return _ASKED_FOR if event.source == RegistryEvent.Source.RERUN else _NOT_OWN
    told = {"task": name_of(made.task_run), "execution": str(made.execution)}
    return Words(_OWN_ALLOWED if webhook.own_pushes_allowed else _OWN, told)


def _push_of_a_task(
    webhook: DockerWebhook, push: ImagePushed, made: ImagePush, current: Push | None
) -> Push:
    """What the tag stands for now, though nothing runs: later pushes are compared with it."""
    if current is not None and current.made_by_id == made.pk:
        return current
    pushed = next_push(webhook, push, current, made)
    make_current(pushed, current)
    return pushed


def _is_for_the_record(event: RegistryEvent, webhook: DockerWebhook) -> bool:
    is_found = event.source == RegistryEvent.Source.RECOVERED
    return is_found and webhook.recovery != DockerWebhook.Recovery.ON


def _meaning(
    event: RegistryEvent, webhook: DockerWebhook, push: ImagePushed, current: Push | None
) -> tuple[Meaning, RegistryEvent | None]:
    """Whether this is a push that is known already, and the delivery that first told of it.

    ``current`` is the last push of the tag, if there was one; the delivery is that of ``current``.
    """
    if event.source == RegistryEvent.Source.RERUN:
        return Meaning(is_same=False, why=_ASKED_FOR), None
    first = _FIRST_TOLD.first(current.pk) if current is not None else None
    if current is None or first is None:
        words = Words(gettext_noop("The first push of this tag."))
        return Meaning(is_same=False, why=words), None
    first.push = current
    settle = timedelta(seconds=webhook.settle_seconds)
    return meaning_of(_delivery(event, push), _known_push(first, current), settle=settle), first


_FIRST_TOLD = Prepared(
    lambda push: (
        RegistryEvent.objects.filter(push=push)
        .only("created_at", "pushed_at")
        .order_by("created_at", "pk")[:1]
    )
)


def _known_push(event: RegistryEvent, push: Push) -> Known:
    return Known(digest=push.digest, received_at=event.created_at, pushed_at=event.pushed_at)


def _delivery(event: RegistryEvent, push: ImagePushed) -> Delivery:
    return Delivery(digest=push.digest, received_at=event.created_at, pushed_at=push.pushed_at)


def _folded(
    event: RegistryEvent, known: RegistryEvent, push: ImagePushed, judgement: Judgement, why: Words
) -> Judgement:
    """The delivery tells of a push that is known; what it knows more is kept."""
    event.duplicate_of, event.push = known, known.push
    if push.digest and known.push is not None and not known.push.digest:
        Push.objects.filter(pk=known.push.pk).update(digest=push.digest)
    return then(judgement, Verdict.DUPLICATE, "duplicate", why, step=StepName.DUPLICATE)


def _runs_in_a_loop(event: RegistryEvent, webhook: DockerWebhook, push: ImagePushed) -> bool:
    """Whether too many runs began lately; those before the last loop was mended do not count."""
    lately = webhook.events.filter(created_at__gt=event.created_at - RUNS_WITHIN)
    ends = lately.filter(image=push.image, tag=push.tag, reason_code__in=("triggered", "loop"))
    newest = ends.order_by("-created_at").values_list("reason_code", flat=True)[:MOST_RUNS]
    return list(newest).count("triggered") == MOST_RUNS


def _copy_push(event: RegistryEvent, push: ImagePushed) -> None:
    for name in ("owner", "namespace", "repository", "image", "tag", "digest", "repo_status"):
        setattr(event, name, getattr(push, name))
    event.callback_url, event.pushed_at = push.callback_url, push.pushed_at


def _write_verdict(event: RegistryEvent, judgement: Judgement) -> None:
    transaction.on_commit(lambda: _note_the_verdict(event), robust=True)
    event.verdict = judgement.verdict
    event.reason_code = judgement.reason_code
    event.say(judgement.message)
    event.steps = [step.as_json() for step in judgement.steps]
    event.updated_at = now()
    # The claim's own columns were written a moment ago; the row read before must not undo them.
    columns = {name: getattr(event, name) for name in _JUDGED}
    keys = {name: getattr(event, f"{name}_id") for name in ("push", "execution", "duplicate_of")}
    update(RegistryEvent, {"id": event.pk}, **columns, **keys)


_JUDGED = (
    *("verdict", "reason_code", "message", "message_words", "steps", "owner", "namespace"),
    *("repository", "image", "tag", "digest", "repo_status", "callback_url", "pushed_at"),
    "updated_at",
)


def _note_the_verdict(event: RegistryEvent) -> None:
    EVENTS.labels(event.verdict).inc()
    ids = {"execution": str(event.execution_id)} if event.execution_id else {}
    with logging_about(event=str(event.pk), **ids):
        logger.info("The delivery is judged: %s (%s).", event.verdict, event.reason_code)

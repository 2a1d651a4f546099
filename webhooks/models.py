"""Docker webhooks, their secrets, the hooks that mirror them in Docker Hub, and every delivery."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.crypto import fingerprint
from codestream.core.errors import CodeStreamError
from codestream.core.fields import EncryptedTextField, WordsField
from codestream.core.locks import lock_in_order
from codestream.core.models import Entity, Telling, newest_first, where_set
from codestream.core.versions import require_present
from codestream.core.words import Words
from codestream.core.work import Claimable
from codestream.projects.models import Project, ProjectOwnedQuerySet
from endpoints.clients.repository_address import RepositoryAddress
from endpoints.models import Endpoint
from endpoints.server_types import is_docker_hub, server_type_of
from executions.models import Execution, ImagePush
from pipelines.models import Pipeline
from webhooks.matching import Step, Verdict
from webhooks.mirror_sight import Drift
from webhooks.patterns import check_pattern
from webhooks.readers import registry_kind_of

SECRET_BYTES = 20
LONGEST_SETTLE = 3600
DRIFTS = [(drift.value, drift.value.capitalize()) for drift in Drift if drift]
VERDICTS = [(verdict.value, verdict.value.capitalize()) for verdict in Verdict]


class SilentChangeError(CodeStreamError):
    """A bulk change of webhooks fires no signal, so Docker Hub would not hear of it."""

    code = "silent_change"


class DockerWebhookQuerySet(ProjectOwnedQuerySet["DockerWebhook"]):
    """Questions about webhooks. Changes go through ``save`` and ``delete``, which are mirrored."""

    def to_look_for(self, moment: datetime) -> Self:
        """Those whose pushes are looked for now."""
        looking = self.filter(enabled=True, look_at__lte=moment)
        return looking.exclude(recovery=DockerWebhook.Recovery.OFF).order_by("look_at")

    def look_soon(self, moment: datetime) -> None:
        """Let pushes be looked for now and not at the next turn; what a registry asked to wait for
        longer than a turn is waited for.
        """
        turn = Q(look_at__gt=moment, look_at__lte=moment + settings.RECOVERY_EVERY)
        models.QuerySet.update(self.filter(turn), look_at=moment)

    def note_look(self, webhook: DockerWebhook, *, look_at: datetime, message: Words) -> None:
        """Write down what a look came to; nothing that Docker Hub would have to hear of."""
        models.QuerySet.update(self.filter(pk=webhook.pk), look_at=look_at, look_message=message)

    def update(self, **kwargs: Any) -> int:
        raise SilentChangeError("Save webhooks one by one: a bulk update is not mirrored.")

    def bulk_create(self, *args: Any, **kwargs: Any) -> list[DockerWebhook]:
        raise SilentChangeError("Create webhooks one by one: a bulk insert is not mirrored.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> int:
        raise SilentChangeError("Save webhooks one by one: a bulk update is not mirrored.")


class DockerWebhook(Entity):
    """Which pushes to one repository start which pipeline, and as whom."""

    class MirrorMode(models.TextChoices):
        AUTO = "AUTO", _("Codestream keeps the webhook in Docker Hub")
        MANUAL = "MANUAL", _("I paste the URL into Docker Hub myself")

    class Recovery(models.TextChoices):
        OFF = "OFF", _("Off")
        RECORD = "RECORD", _("Record only")
        ON = "ON", _("On")

    project = models.ForeignKey(
        Project, verbose_name=_("project"), on_delete=models.PROTECT, related_name="webhooks"
    )
    name = models.CharField(_("name"), max_length=60)
    description = models.TextField(_("description"), blank=True)
    listener_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(
        Endpoint, verbose_name=_("endpoint"), on_delete=models.PROTECT, related_name="webhooks"
    )
    pipeline = models.ForeignKey(
        Pipeline, verbose_name=_("pipeline"), on_delete=models.PROTECT, related_name="webhooks"
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    image_pattern = models.CharField(_("image"), max_length=256, blank=True)
    tag_pattern = models.CharField(_("tag"), max_length=256, blank=True)
    inputs = models.JSONField(default=dict, blank=True)
    api_token = EncryptedTextField(_("API token"))
    token_set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    mirror_mode = models.CharField(
        _("webhook in Docker Hub"),
        max_length=16,
        choices=MirrorMode.choices,
        default=MirrorMode.AUTO,
    )
    settle_seconds = models.PositiveSmallIntegerField(
        _("settle window"), default=10, validators=[MaxValueValidator(LONGEST_SETTLE)]
    )
    pin_digest = models.BooleanField(_("pin the digest"), default=True)
    own_pushes_allowed = models.BooleanField(
        _("run on own pushes"), default=False, db_default=False
    )
    stopped_because = WordsField(blank=True, editable=False)
    recovery = models.CharField(
        _("pushes without a delivery"),
        max_length=16,
        choices=Recovery.choices,
        default=Recovery.OFF,
    )
    recover_since = models.DateTimeField(null=True, editable=False)
    look_at = models.DateTimeField(null=True, editable=False)
    look_message = WordsField(blank=True, editable=False)
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = DockerWebhookQuerySet.as_manager()

    class Meta:
        verbose_name = _("Docker webhook")
        verbose_name_plural = _("Docker webhooks")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                name="webhook_name_unique",
                violation_error_message=_("The project has a webhook with this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse patterns that are none, and an endpoint or pipeline of another project."""
        problems: dict[str, Any] = {
            name: check_pattern(getattr(self, name), gettext)
            for name in ("image_pattern", "tag_pattern")
        }
        for name in ("endpoint", "pipeline"):
            chosen = getattr(self, name, None)
            if chosen is not None and chosen.project_id != self.project_id:
                problems[name] = _("Choose one of the webhook's own project.")
        if found := {name: words for name, words in problems.items() if words}:
            raise ValidationError(found)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and in the same transaction write down what Docker Hub should hold (signals)."""
        self._begin_to_look()
        with transaction.atomic():
            self.lock_hooks()
            super().save(*args, **kwargs)

    @transaction.atomic
    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete, and in the same transaction write down that Docker Hub should forget it."""
        self._lock_for_deletion()
        return super().delete(*args, **kwargs)

    def lock(self) -> None:
        """Lock it until the transaction ends, so that nobody deletes it. Raises
        DeletedMeanwhileError.
        """
        # In this order: who saves the endpoint holds that and changes the hooks.
        require_present(self.endpoint)
        self.lock_hooks()
        require_present(self)

    def lock_hooks(self) -> None:
        """Lock what is kept of it in Docker Hub, until the transaction ends: always all of it and
        before the webhook itself, or two transactions could wait for each other.
        """
        lock_in_order(self.remote_hooks.all())

    def _lock_for_deletion(self) -> None:
        """Let nobody refer to it any more without being seen by the deletion: PostgreSQL lets a
        delivery that comes meanwhile wait, and then find nothing. First what workers hold before
        they refer to it: else they would wait for it, and it for them.
        """
        lock_in_order(self.events.pending())
        self.lock_hooks()
        lock_in_order(DockerWebhook.objects.filter(pk=self.pk))

    def _begin_to_look(self) -> None:
        """Pushes of before somebody wished so, or enabled it again, are not looked for. A wait that
        the registry asked for goes on.
        """
        if self.recovery == self.Recovery.OFF:
            self.recover_since = self.look_at = None
        elif self.recover_since is None or self._is_enabled_again():
            self.recover_since = now()
            self.look_at = self.look_at or self.recover_since

    def _is_enabled_again(self) -> bool:
        stored = DockerWebhook.objects.filter(pk=self.pk, enabled=False)
        return self.enabled and stored.exists()

    @property
    def registry_kind(self) -> str:
        """Whose notifications it reads: its endpoint says so."""
        return registry_kind_of(server_type_of(self.endpoint))

    @property
    def is_in_docker_hub(self) -> bool:
        """Whether it listens to Docker Hub, where Codestream can keep it."""
        return is_docker_hub(self.endpoint)

    @property
    def keeper(self) -> str:
        """Who keeps the hook at the registry: elsewhere than in Docker Hub, always a person."""
        return self.mirror_mode if self.is_in_docker_hub else self.MirrorMode.MANUAL

    @property
    def listener_path(self) -> str:
        return f"/codestream/api/registry-webhook-listeners/{self.listener_id}"

    @property
    def listener_url(self) -> str:
        """The hook URL for a registry that sends the secret in a header, or signs with it."""
        return f"{settings.PUBLIC_URL}{self.listener_path}"

    @property
    def masked_url(self) -> str:
        """The hook URL as it may be shown: without its secret."""
        return f"{self.listener_url}?secureToken=********"

    def hook_url(self, secret: str) -> str:
        """The address that the registry calls; whoever knows it can start the pipeline."""
        query = urlencode({"secureToken": secret})
        return f"{self.listener_url}?{query}"


class ListenerSecret(Entity):
    """A secret that a delivery must carry; found by its keyed hash.

    A retired one is accepted as well, until the hook that carries it is gone and it is deleted.
    """

    webhook = models.ForeignKey(DockerWebhook, on_delete=models.CASCADE, related_name="secrets")
    secret = EncryptedTextField()
    lookup = models.CharField(max_length=64, unique=True, editable=False)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("secret token")
        verbose_name_plural = _("secret tokens")
        constraints = [
            models.UniqueConstraint(
                fields=["webhook"], condition=Q(retired_at=None), name="one_live_secret"
            )
        ]

    def __str__(self) -> str:
        return f"secret of {self.webhook}"

    @classmethod
    def issue(cls, webhook: DockerWebhook, secret: str = "") -> ListenerSecret:
        """Make the webhook's live secret, a random one when none is given."""
        text = secret or secrets.token_urlsafe(SECRET_BYTES)
        return cls.objects.create(webhook=webhook, secret=text, lookup=fingerprint(text))


class HookReveal(Entity):
    """Who was shown a hook URL with its secret, and when; it outlives the webhook."""

    webhook = models.ForeignKey(
        DockerWebhook, null=True, on_delete=models.SET_NULL, related_name="reveals"
    )
    webhook_name = models.CharField(max_length=60)
    actor = models.CharField(max_length=255)
    remote_addr = models.GenericIPAddressField(null=True)

    class Meta:
        verbose_name = _("revealed webhook URL")
        verbose_name_plural = _("revealed webhook URLs")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.webhook_name}, to {self.actor}"


class RemoteHook(Entity, Claimable):
    """A webhook in Docker Hub: what it should be and what it is. It outlives its DockerWebhook.

    ``drift`` is how the last look (``checked_at``) found it changed behind our back, ``since`` when
    its state last changed.
    """

    class Presence(models.TextChoices):
        PRESENT = "PRESENT", _("present")
        ABSENT = "ABSENT", _("absent")
        UNKNOWN = "UNKNOWN", _("unknown")

    class Errand(models.TextChoices):
        """With what in mind a worker looks: to make it right as far as that is safe, only to look,
        or to make it right because a person said so.
        """

        TEND = "TEND", _("tend")
        CHECK = "CHECK", _("check")
        REPAIR = "REPAIR", _("repair")

    webhook = models.ForeignKey(
        DockerWebhook, null=True, on_delete=models.SET_NULL, related_name="remote_hooks"
    )
    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="remote_hooks")
    base_url = models.CharField(max_length=255)
    namespace = models.CharField(max_length=255)
    repository = models.CharField(max_length=255)
    remote_name = models.CharField(max_length=64)
    slug = models.CharField(max_length=255, blank=True)
    hook_url = EncryptedTextField()
    desired = models.CharField(max_length=16, choices=Presence.choices)
    actual = models.CharField(max_length=16, choices=Presence.choices, default=Presence.UNKNOWN)
    generation = models.PositiveIntegerField(default=1)
    kept_by = models.CharField(
        max_length=16,
        choices=DockerWebhook.MirrorMode.choices,
        default=DockerWebhook.MirrorMode.AUTO,
        db_default=DockerWebhook.MirrorMode.AUTO,
    )
    errand = models.CharField(
        max_length=16, choices=Errand.choices, default=Errand.TEND, db_default=Errand.TEND
    )
    drift = models.CharField(max_length=16, choices=DRIFTS, blank=True, default="", db_default="")
    checked_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    message = WordsField(blank=True)
    since = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("webhook in Docker Hub")
        verbose_name_plural = _("webhooks in Docker Hub")
        ordering = ["created_at"]
        indexes = [
            models.Index(fields=["wake_at"], name="hook_due", condition=Q(wake_at__isnull=False))
        ]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "remote_name"], name="remote_name_unique"),
            models.UniqueConstraint(
                fields=["webhook"], condition=Q(desired="PRESENT"), name="one_desired_hook"
            ),
        ]

    def __str__(self) -> str:
        return self.remote_name

    @property
    def place(self) -> RepositoryAddress:
        """The repository it stands in, whatever its endpoint has been pointed at since."""
        return RepositoryAddress(
            base_url=self.base_url, namespace=self.namespace, repository=self.repository
        )

    @property
    def is_settled(self) -> bool:
        return self.desired == self.actual and not self.error_code and not self.drift


class PushQuerySet(models.QuerySet["Push"]):
    """Questions about pushes."""

    def current(self) -> Self:
        """The last one of each tag."""
        return self.filter(is_current=True)


class Push(Entity):
    """One new state of one tag, as one webhook saw it; ``made_by`` says which task made it, where
    an execution did.
    """

    # The first constraint below begins with it.
    webhook = models.ForeignKey(
        DockerWebhook, on_delete=models.CASCADE, related_name="pushes", db_index=False
    )
    repository = models.CharField(max_length=512)
    tag = models.CharField(max_length=128)
    digest = models.CharField(max_length=255, blank=True)
    sequence = models.PositiveIntegerField()
    is_current = models.BooleanField(default=True)
    # The last constraint below begins with it.
    made_by = models.ForeignKey(
        ImagePush, null=True, on_delete=models.SET_NULL, related_name="pushes", db_index=False
    )

    objects = PushQuerySet.as_manager()

    class Meta:
        verbose_name = _("push")
        verbose_name_plural = _("pushes")
        indexes = [
            models.Index(fields=["created_at"], name="push_replaced", condition=Q(is_current=False))
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "repository", "tag", "sequence"], name="push_sequence_unique"
            ),
            models.UniqueConstraint(
                fields=["webhook", "repository", "tag"],
                condition=Q(is_current=True),
                name="one_current_push",
            ),
            models.UniqueConstraint(
                fields=["made_by", "webhook"],
                condition=Q(made_by__isnull=False),
                name="own_push_told_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


class RegistryEventQuerySet(models.QuerySet["RegistryEvent"]):
    """Questions about deliveries."""

    def visible_to(self, user: Any) -> Self:
        """Those of the projects that one can see; of deleted ones for who sees all."""
        if isinstance(user, User) and user.reads_all_projects:
            return self
        return self.filter(project__in=Project.objects.visible_to(user))

    def pending(self) -> Self:
        """Not judged yet."""
        return self.filter(verdict=Verdict.PENDING)


class RegistryEvent(Entity, Claimable, Telling):
    """One delivery, as it came, and how it was judged.

    One that tells of several pushes is kept once for each: ``part`` says which one it is.
    """

    class Source(models.TextChoices):
        DELIVERY = "DELIVERY", _("Delivery")
        RECOVERED = "RECOVERED", _("Recovered")
        RERUN = "RERUN", _("Re-run")

    # The indexes below begin with the webhook and the project, or are of those that have the rest.
    webhook = models.ForeignKey(
        DockerWebhook, null=True, on_delete=models.SET_NULL, related_name="events", db_index=False
    )
    webhook_name = models.CharField(max_length=60)
    project = models.ForeignKey(
        Project,
        null=True,
        on_delete=models.SET_NULL,
        related_name="registry_events",
        db_index=False,
    )
    project_name = models.CharField(max_length=100)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.DELIVERY)
    registry = models.CharField(max_length=32)
    body = models.BinaryField()
    part = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    remote_addr = models.GenericIPAddressField(null=True)
    verdict = models.CharField(max_length=16, choices=VERDICTS, default=Verdict.PENDING)
    reason_code = models.CharField(max_length=64, blank=True)
    steps = models.JSONField(default=list)
    owner = models.CharField(max_length=255, blank=True)
    namespace = models.CharField(max_length=255, blank=True)
    repository = models.CharField(max_length=255, blank=True)
    image = models.CharField(max_length=512, blank=True)
    tag = models.CharField(max_length=128, blank=True)
    digest = models.CharField(max_length=255, blank=True)
    repo_status = models.CharField(max_length=64, blank=True)
    callback_url = models.CharField(max_length=2048, blank=True)
    pushed_at = models.DateTimeField(null=True)
    push = models.ForeignKey(
        Push, null=True, on_delete=models.SET_NULL, related_name="events", db_index=False
    )
    duplicate_of = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="duplicates", db_index=False
    )
    rerun_of = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="reruns", db_index=False
    )
    rerun_by = models.CharField(max_length=255, blank=True)
    execution = models.ForeignKey(
        Execution,
        null=True,
        on_delete=models.SET_NULL,
        related_name="registry_events",
        db_index=False,
    )

    objects = RegistryEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-created_at"]
        indexes = [
            newest_first("event_newest_of_all"),
            newest_first("event_by_verdict", "verdict"),
            newest_first("event_newest", "project"),
            newest_first("event_by_project_verdict", "project", "verdict"),
            newest_first("event_by_webhook", "webhook"),
            newest_first("event_by_webhook_verdict", "webhook", "verdict"),
            models.Index(fields=["wake_at"], name="event_due", condition=Q(wake_at__isnull=False)),
            where_set("event_of_push", "push"),
            where_set("event_duplicate", "duplicate_of"),
            where_set("event_again", "rerun_of"),
            where_set("event_of_execution", "execution"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(verdict=Verdict.DUPLICATE) | Q(duplicate_of__isnull=False),
                name="duplicate_names_its_original",
            )
        ]

    def __str__(self) -> str:
        return f"{self.image or '?'}:{self.tag or '?'}"

    @property
    def judged(self) -> list[Step]:
        """The steps of the judgement."""
        return [Step.from_json(each) for each in self.steps]


class RefusedDelivery(Entity):
    """Attempts that were not taken, counted per address, reason, webhook and minute."""

    class Reason(models.TextChoices):
        UNKNOWN_UUID = "unknown_uuid", _("no webhook at this address")
        MISSING_TOKEN = "missing_token", _("no secret token")
        WRONG_TOKEN = "wrong_token", _("wrong secret token")
        UNREADABLE = "unreadable", _("the body broke off")
        TOO_LARGE = "too_large", _("larger than 1 MiB")

    remote_addr = models.GenericIPAddressField(null=True)
    reason = models.CharField(max_length=64, choices=Reason.choices)
    minute = models.DateTimeField()
    # The index below begins with it.
    webhook = models.ForeignKey(
        DockerWebhook, null=True, on_delete=models.CASCADE, related_name="refusals", db_index=False
    )
    count = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name = _("refused delivery")
        ordering = ["-minute"]
        verbose_name_plural = _("refused deliveries")
        indexes = [
            newest_first("refused_newest", "webhook"),
            models.Index(fields=["minute"], name="refused_in_a_minute"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["remote_addr", "reason", "minute", "webhook"], name="refused_once_a_minute"
            ),
            models.UniqueConstraint(
                fields=["remote_addr", "reason", "minute"],
                condition=Q(webhook__isnull=True),
                name="refused_of_nobody_once_a_minute",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.count} x {self.reason} from {self.remote_addr}"

"""How the hooks of a webhook stand in Docker Hub: in words, since when, and what can be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from codestream.accounts.models import User
from codestream.core.clock import now
from codestream.core.live import version_of
from codestream.core.words import Words
from codestream.projects.access import projects_allowing
from codestream.projects.models import Project
from codestream.projects.permissions import Action
from endpoints.server_types import ServerType, server_type_of
from webhooks.mirror_sight import Drift
from webhooks.models import DockerWebhook, RemoteHook

Presence, Errand, Mode = RemoteHook.Presence, RemoteHook.Errand, DockerWebhook.MirrorMode


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorState:
    """How the webhook stands in Docker Hub, and ``since`` when; ``next_try`` is when a failure is
    tried again. ``hook`` is the one that the words are about.
    """

    status: str
    word: str
    message: Words | str = ""
    next_try: datetime | None = None
    since: datetime | None = None
    hook: RemoteHook | None = None

    @property
    def server_type(self) -> ServerType:
        """The registry that the hook stands in."""
        return server_type_of(self.hook.endpoint) if self.hook else ServerType.DOCKER_HUB

    @property
    def is_in_docker_hub(self) -> bool:
        """Whether Codestream may keep it, and look at it."""
        return self.server_type is ServerType.DOCKER_HUB

    @property
    def is_moving(self) -> bool:
        """Whether a worker is about to change it."""
        return self.status == "PENDING"

    @property
    def has_failed(self) -> bool:
        """Whether Docker Hub, or its account, did not let us."""
        return self.status == "FAILED"

    @property
    def has_drifted(self) -> bool:
        """Whether somebody changed in Docker Hub what should stand there."""
        return self.status == "DRIFT"

    @property
    def needs_person(self) -> bool:
        """Whether somebody should look at it."""
        return self.has_failed or self.has_drifted or self.status == "WAITING"

    @property
    def may_be_checked(self) -> bool:
        """Whether a look at Docker Hub can tell anything new."""
        return self.status in ("IN_SYNC", "DRIFT")

    @property
    def is_by_hand(self) -> bool:
        """Whether a person has to carry the URL to Docker Hub, or may do so meanwhile."""
        hook = self.hook
        if hook is None:
            return self.status == "INFO"
        if hook.desired == Presence.ABSENT:
            return False
        return hook.kept_by == Mode.MANUAL or (self.has_failed and hook.actual != Presence.PRESENT)

    @property
    def is_to_be_pasted(self) -> bool:
        """Whether the steps of doing it by hand are shown."""
        return self.is_by_hand and self.status != "INFO"

    @property
    def is_to_be_removed(self) -> bool:
        """Whether a person has to say what became of the old hook."""
        return self.needs_person and self.hook is not None and self.hook.desired == Presence.ABSENT

    @property
    def settings_page(self) -> str:
        """Where people keep the repository's webhooks in Docker Hub."""
        hook = self.hook
        if hook is None or not hook.repository or not self.is_in_docker_hub:
            return ""
        return f"{hook.base_url}/repository/docker/{hook.namespace}/{hook.repository}/webhooks"

    @property
    def version(self) -> str:
        """Changes when something else is to be shown."""
        checked_at = self.hook.checked_at if self.hook else None
        return version_of(self.status, self.word, self.message, checked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A hook whose webhook is gone and that is not known to be gone from Docker Hub itself."""

    hook: RemoteHook
    state: MirrorState
    may_retry: bool
    may_forget: bool


def mirror_state(webhook: DockerWebhook) -> MirrorState:
    """How the webhook's hooks in Docker Hub stand: the wanted one, else those that are to go."""
    hooks = sorted(webhook.remote_hooks.all(), key=lambda hook: hook.desired == Presence.ABSENT)
    states = [state_of(hook) for hook in hooks]
    if not states and webhook.keeper == Mode.MANUAL:
        # Saved before there were rows for hooks kept by hand; the next save makes one.
        return MirrorState(status="INFO", word=_("Kept by hand"))
    if not states:
        return MirrorState(status="PENDING", word=_("Being created in Docker Hub"))
    unsettled = (state for state in states if state.is_moving or state.needs_person)
    return next(unsettled, states[0])


def leftovers_for(user: User) -> list[Leftover]:
    """The hooks of deleted webhooks in the projects that the person sees."""
    seen = Project.objects.visible_to(user)
    rows = RemoteHook.objects.filter(webhook=None, endpoint__project__in=seen)
    hooks = list(rows.select_related("endpoint__project"))
    return _leftovers(user, hooks) if hooks else []


def may_forget_action(hook: RemoteHook) -> Action:
    """What one must be allowed in the project to take a hook off our hands: whoever keeps hooks by
    hand says what is done; what Codestream could not do is given up by an administrator.
    """
    return Action.WRITE if hook.kept_by == Mode.MANUAL else Action.ADMINISTER


def _leftovers(user: User, hooks: Sequence[RemoteHook]) -> list[Leftover]:
    allowed = {
        action: set(projects_allowing(user, action).values_list("pk", flat=True))
        for action in (Action.WRITE, Action.ADMINISTER)
    }
    return [
        Leftover(
            hook=hook,
            state=state_of(hook),
            may_retry=hook.kept_by == Mode.AUTO
            and hook.endpoint.project_id in allowed[Action.WRITE],
            may_forget=hook.endpoint.project_id in allowed[may_forget_action(hook)],
        )
        for hook in hooks
    ]


def state_of(hook: RemoteHook) -> MirrorState:
    """How one hook stands in Docker Hub."""
    if hook.kept_by == Mode.MANUAL:
        status, word = _by_hand(hook)
    elif hook.desired == Presence.PRESENT:
        status, word = _wanted(hook)
    else:
        status, word = _leaving(hook)
    failed = status == "FAILED"
    return MirrorState(
        status=status,
        word=word,
        message=hook.message if failed else _what_to_do(hook),
        next_try=hook.wake_at if failed else None,
        since=hook.since,
        hook=hook,
    )


def _by_hand(hook: RemoteHook) -> tuple[str, str]:
    if (server_type := server_type_of(hook.endpoint)) is not ServerType.DOCKER_HUB:
        return _by_hand_elsewhere(hook, server_type)
    if hook.desired == Presence.ABSENT:
        words = (
            _("The old one is to be removed from Docker Hub by hand"),
            _("To be removed from Docker Hub by hand"),
        )
        return "WAITING", words[hook.webhook_id is None]
    if hook.actual == Presence.PRESENT:
        return "INFO", _("Kept by hand")
    return "WAITING", _("To be pasted into Docker Hub")


def _by_hand_elsewhere(hook: RemoteHook, server_type: ServerType) -> tuple[str, str]:
    if hook.desired == Presence.ABSENT:
        words = _("To be removed from %(registry)s by hand")
    elif hook.actual == Presence.PRESENT:
        return "INFO", _("Kept by hand")
    else:
        words = _("To be entered in %(registry)s by hand")
    return "WAITING", words % {"registry": server_type.label}


def _wanted(hook: RemoteHook) -> tuple[str, str]:
    stands = hook.actual == Presence.PRESENT
    if hook.error_code and not _is_due(hook):
        words = _("Could not be checked in Docker Hub"), _("Not created in Docker Hub")
        return "FAILED", words[0] if stands else words[1]
    if _is_due(hook) and hook.errand == Errand.REPAIR:
        return "PENDING", _("Being repaired in Docker Hub")
    if _is_due(hook) and hook.errand == Errand.CHECK:
        return "PENDING", _("Being checked in Docker Hub")
    if hook.drift:
        return "DRIFT", _drift_word(hook)
    return ("IN_SYNC", _("In sync")) if stands else ("PENDING", _("Being created in Docker Hub"))


def _leaving(hook: RemoteHook) -> tuple[str, str]:
    """A webhook that is still there has another hook, so this is its old one."""
    is_last = hook.webhook_id is None
    if hook.error_code and not _is_due(hook):
        refused = _("The old one is not removed from Docker Hub"), _("Not removed from Docker Hub")
        return "FAILED", refused[is_last]
    moving = (
        _("The old one is being removed from Docker Hub"),
        _("Being removed from Docker Hub"),
    )
    return "PENDING", moving[is_last]


def _drift_word(hook: RemoteHook) -> str:
    words = {
        Drift.MISSING: _("Removed in Docker Hub"),
        Drift.CHANGED: _("Changed in Docker Hub"),
        Drift.DOUBLED: _("More than once in Docker Hub"),
    }
    return words[Drift(hook.drift)]


def _what_to_do(hook: RemoteHook) -> str:
    words = {
        Drift.NONE: "",
        Drift.MISSING: _("No push arrives. Repair creates the webhook again."),
        Drift.CHANGED: _(
            "The webhook of this name calls another address now, so no push arrives. Repair "
            "leaves it alone and creates one of another name."
        ),
        Drift.DOUBLED: _(
            "Every push arrives more than once. Repair deletes the others that call this address."
        ),
    }
    return words[Drift(hook.drift)]


def _is_due(hook: RemoteHook) -> bool:
    return hook.wake_at is not None and hook.wake_at <= now()

"""Forms of Docker triggers: a webhook in the order of the manual, the filter of the activity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from functools import reduce
from operator import and_
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q, QuerySet
from django.forms.boundfield import BoundField
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.times import start_of
from codestream.core.versions import VersionedForm
from codestream.core.widgets import LongSelect
from codestream.projects.access import projects_allowing
from codestream.projects.forms import ListFilter, ProjectField, offer
from codestream.projects.models import Project
from codestream.projects.permissions import Action, can
from endpoints.forms import SecretField
from endpoints.models import Endpoint
from endpoints.server_types import is_docker_hub
from executions.definitions import definition_of
from pipelines.definition import DefinitionError, InputParameter
from pipelines.docker_parameters import is_docker_parameter
from pipelines.models import Pipeline
from webhooks.models import LONGEST_SETTLE, DockerWebhook
from webhooks.patterns import LONGEST_PATTERN, check_pattern
from webhooks.services import VARIABLE, resolve_token

INPUT_PREFIX = "input-"
LONGEST_INPUT = 10_000
_SECRET = re.compile(r"[!-~]{20,200}")
DAY = timedelta(days=1)
_ANY_TIME_ZONE = (MinValueValidator(date(1900, 1, 1)), MaxValueValidator(date(3000, 1, 1)))
"""A day whose beginning and end can be told everywhere; others mean nothing."""
_SEARCHED = ("image", "tag", "digest", "message", "owner")
_KEPT = ("name", "description", "endpoint", "pipeline", "mirror_mode")
_PUSHES = ("settle_seconds", "pin_digest", "own_pushes_allowed", "recovery")
BOXES = ("pin_digest", "own_pushes_allowed")
"""The fields that a browser sends only when they are ticked."""
_PATTERNS = ("image_pattern", "tag_pattern")
_RUNS = ("endpoint", "pipeline", *_PATTERNS, *_PUSHES)


class EndpointChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A Docker Registry endpoint, with its project."""

    def label_from_instance(self, obj: Endpoint) -> str:
        """Name and project: two projects may use the same name."""
        return f"{obj.name} ({obj.project.name})"


class PipelineChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A pipeline, with its project; those that take the Docker parameters come first."""

    def label_from_instance(self, obj: Pipeline) -> str:
        """Name and project, and whether a push fills in its parameters."""
        name = f"{obj.name} ({obj.project.name})"
        if obj.injects_docker:
            return gettext("%(pipeline)s, Docker parameters") % {"pipeline": name}
        return gettext("%(pipeline)s, no Docker parameters") % {"pipeline": name}


class PatternField(forms.CharField):
    """A regular expression that has to match the whole of a text."""

    def __init__(self, *, label: Any, help_text: Any) -> None:
        attrs = {"spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}
        super().__init__(
            label=label,
            help_text=help_text,
            required=False,
            max_length=LONGEST_PATTERN,
            widget=forms.TextInput(attrs=attrs),
        )

    def clean(self, value: Any) -> str:
        """Refuse what is no usable pattern, in words."""
        text: str = super().clean(value)
        if problem := check_pattern(text, gettext):
            raise ValidationError(problem)
        return text


class WebhookForm(VersionedForm):
    """A Docker webhook in the order of the manual, with one field per input of its pipeline.

    The two secrets are write-only: empty keeps the stored one.
    """

    project = ProjectField()
    name = forms.CharField(label=_("Name"), max_length=60)
    description = forms.CharField(label=_("Description"), max_length=500, required=False)
    endpoint = EndpointChoice(
        Endpoint.objects.none(),
        label=_("Endpoint"),
        help_text=_("The Docker Registry endpoint that names the repository."),
    )
    secret_token = SecretField(
        label=_("Secret token"),
        help_text=_("A part of the webhook URL, at least 20 characters. Empty: a random one."),
    )
    pipeline = PipelineChoice(
        Pipeline.objects.none(),
        label=_("Pipeline"),
        help_text=_("Runs for each push that passes. Those with Docker parameters come first."),
    )
    api_token = SecretField(
        label=_("API token"),
        help_text=_(
            "The pipeline runs with the rights of the token's owner. "
            "A literal token or ${var.name}. Never shown."
        ),
    )
    image_pattern = PatternField(
        label=_("Image"),
        help_text=_("Regular expression for the whole image, as acme/web. Empty: any image."),
    )
    tag_pattern = PatternField(
        label=_("Tag"),
        help_text=_("Regular expression for the whole tag, as 1\\.\\d+. Empty: any tag."),
    )
    settle_seconds = forms.IntegerField(
        label=_("Settle window in seconds"),
        min_value=0,
        max_value=LONGEST_SETTLE,
        initial=10,
        help_text=_(
            "Deliveries of one tag within it are one push when no digest can be had. "
            "0: every delivery is a push of its own."
        ),
    )
    pin_digest = forms.BooleanField(
        label=_("Pin the digest"),
        required=False,
        initial=True,
        help_text=_("The run gets the digest that the tag stands for, as ${input.DOCKER_DIGEST}."),
    )
    own_pushes_allowed = forms.BooleanField(
        label=_("Run on own pushes"),
        required=False,
        help_text=_(
            "Also run when it was a task of this project that pushed the image. "
            "Mind that a pipeline which pushes what it listens to starts itself."
        ),
    )
    recovery = forms.ChoiceField(
        label=_("Pushes without a delivery"),
        choices=[
            (DockerWebhook.Recovery.OFF, _("Off: do not look for them")),
            (DockerWebhook.Recovery.RECORD, _("Record only: list them, start nothing")),
            (DockerWebhook.Recovery.ON, _("On: judge them like deliveries")),
        ],
        initial=DockerWebhook.Recovery.ON,
        help_text=_(
            "Docker Hub sends no delivery again. Codestream looks at its tags from time to time "
            "and finds pushes that it was not told of."
        ),
    )
    mirror_mode = forms.ChoiceField(
        label=_("Webhook in Docker Hub"),
        choices=DockerWebhook.MirrorMode.choices,
        initial=DockerWebhook.MirrorMode.AUTO,
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: User,
        webhook: DockerWebhook | None = None,
        entered: Mapping[str, Any] | None = None,
    ) -> None:
        """Show ``webhook``, and over it what was ``entered`` before."""
        super().__init__(data, initial=(_shown(webhook) if webhook else {}) | dict(entered or {}))
        self.user, self.webhook = user, webhook
        self.watch(webhook)
        projects: QuerySet[Project] = projects_allowing(user, Action.WRITE)
        project = self.fields["project"]
        if webhook is not None:
            projects = Project.objects.filter(pk=webhook.project_id)
            del self.fields["project"]
            self.fields["api_token"].help_text = _("Empty keeps the stored token.")
            self.fields["secret_token"].help_text = _("Empty keeps the stored one.")
        elif isinstance(project, ProjectField):
            project.offer(user)
        self.fields["api_token"].required = webhook is None
        for name in ("api_token", "secret_token"):
            self.fields[name].widget.attrs["autocomplete"] = "off"
        self._offer_from(projects)
        self.declared = self._declared()
        for declared in self.declared or ():
            self.fields[INPUT_PREFIX + declared.name] = _input_field(declared)

    def _offer_from(self, projects: QuerySet[Project]) -> None:
        registries = Endpoint.objects.registries().filter(project__in=projects)
        offer(self, "endpoint", registries.select_related("project"))
        pipelines = Pipeline.objects.filter(project__in=projects)
        ordered = pipelines.order_by("-injects_docker", "name")
        offer(self, "pipeline", ordered.select_related("project", "current_revision"))
        self.fields["pipeline"].widget.attrs |= {
            "hx-get": "",
            "hx-target": "#declared-inputs",
            "hx-swap": "outerHTML",
        }

    def _declared(self) -> tuple[InputParameter, ...] | None:
        """The inputs that the chosen pipeline leaves to the form; None while none is chosen."""
        value = self["pipeline"].value()
        field = cast("forms.ModelChoiceField[Pipeline]", self.fields["pipeline"])
        try:
            chosen = field.clean(value)
        except ValidationError:
            return None
        return inputs_to_give(chosen)

    @property
    def inputs(self) -> list[BoundField]:
        """The fields of the pipeline's inputs."""
        return [self[INPUT_PREFIX + each.name] for each in self.declared or ()]

    def clean_secret_token(self) -> str:
        """Refuse what can be guessed or does not survive the way into Docker Hub."""
        text: str = self.cleaned_data["secret_token"]
        if text and not _SECRET.fullmatch(text):
            raise ValidationError(
                _("Use 20 to 200 letters, digits and signs without blanks, or leave it empty.")
            )
        return text

    def clean_api_token(self) -> str:
        """The new token; nothing where it is the stored one again."""
        text: str = self.cleaned_data["api_token"]
        return "" if self.webhook is not None and text == self.webhook.api_token else text

    def clean(self) -> dict[str, Any]:
        """What one field cannot know by itself: the project, and the token's rights."""
        cleaned = super().clean() or self.cleaned_data
        project = self.webhook.project if self.webhook else cleaned.get("project")
        if project is not None:
            self._check_project(cleaned, project)
            self._check_token(cleaned.get("api_token", ""), project)
            self._check_kept_token(cleaned)
        self._check_recovery(cleaned)
        return cleaned

    def _check_recovery(self, cleaned: dict[str, Any]) -> None:
        endpoint = cleaned.get("endpoint")
        is_wanted = cleaned.get("recovery") not in (None, DockerWebhook.Recovery.OFF)
        if not is_wanted or endpoint is None or is_docker_hub(endpoint):
            return
        if self.webhook is None:
            # It is what the form begins with, whatever the endpoint will be.
            cleaned["recovery"] = DockerWebhook.Recovery.OFF
        else:
            words = gettext("Only Docker Hub tells when its tags were pushed: choose Off.")
            self.add_error("recovery", words)

    def _check_project(self, cleaned: Mapping[str, Any], project: Project) -> None:
        for name in ("endpoint", "pipeline"):
            chosen = cleaned.get(name)
            if chosen is not None and chosen.project_id != project.pk:
                words = gettext("Choose one of project %(project)s.")
                self.add_error(name, words % {"project": project.name})

    def _check_token(self, text: str, project: Project) -> None:
        if not text:
            return
        token = resolve_token(DockerWebhook(project=project, api_token=text))
        if token is None:
            words = gettext("This is no valid token, or names no variable that holds one.")
            self.add_error("api_token", words)
        elif token.owner != self.user and not self._may_use_tokens_of_others(project):
            words = gettext("This token belongs to %(user)s. Enter one of your own.")
            self.add_error("api_token", words % {"user": token.owner.username})
        elif not can(token.owner, Action.EXECUTE, project):
            words = gettext("%(user)s, who owns the token, may not run pipelines in this project.")
            self.add_error("api_token", words % {"user": token.owner.username})

    def _may_use_tokens_of_others(self, project: Project) -> bool:
        """Administrators may, but not to take over a webhook that runs as a third person."""
        stored = resolve_token(self.webhook) if self.webhook else None
        if stored is not None and stored.owner != self.user:
            return False
        return can(self.user, Action.ADMINISTER, project)

    def _check_kept_token(self, cleaned: Mapping[str, Any]) -> None:
        """What a push does with somebody else's rights is changed under one's own name only."""
        if self.webhook is None or cleaned.get("api_token"):
            return
        kept = resolve_token(self.webhook)
        if kept is not None and kept.owner == self.user:
            return
        if changed := self._changed_of_what_runs(self.webhook, cleaned):
            words = gettext(
                "The stored token is not yours. Enter one of your own to change what runs with "
                "its rights: %(fields)s."
            )
            self.add_error("api_token", words % {"fields": ", ".join(changed)})

    def _changed_of_what_runs(
        self, webhook: DockerWebhook, cleaned: Mapping[str, Any]
    ) -> list[str]:
        """The labels of what was changed and decides which push runs what, and when.

        What a field refuses is no change yet.
        """
        changed = [
            str(self.fields[name].label)
            for name in _RUNS
            if name in cleaned and cleaned[name] != getattr(webhook, name)
        ]
        known = {declared.name for declared in self.declared or ()}
        stored = {name: value for name, value in webhook.inputs.items() if name in known}
        given = _given_inputs(cleaned)
        return changed + sorted(
            name for name in known if given.get(name, "") != stored.get(name, "")
        )

    def apply(self, webhook: DockerWebhook) -> DockerWebhook:
        """Write what was entered into ``webhook``, without saving it."""
        for name in (*_KEPT, *_PATTERNS, *_PUSHES):
            setattr(webhook, name, self.cleaned_data[name])
        webhook.inputs = _given_inputs(self.cleaned_data)
        if self.webhook is None:
            webhook.project = self.cleaned_data["project"]
        if token := self.cleaned_data["api_token"]:
            webhook.api_token, webhook.token_set_by = token, self.user
        return webhook


class TryForm(forms.Form):
    """What *Try it* needs of the form of a webhook, whatever else is not filled in yet.

    ``picked`` is one of the deliveries that are shown; it goes before what was typed.
    """

    endpoint = EndpointChoice(Endpoint.objects.none(), label=_("Endpoint"))
    image_pattern = PatternField(label=_("Image"), help_text="")
    tag_pattern = PatternField(label=_("Tag"), help_text="")
    push = forms.CharField(label=_("Image and tag"), required=False, max_length=700)
    picked = forms.CharField(required=False, max_length=700)

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: User,
        webhook: DockerWebhook | None = None,
    ) -> None:
        super().__init__(data)
        self.webhook = webhook
        projects: QuerySet[Project] = projects_allowing(user, Action.WRITE)
        if webhook is not None:
            projects = Project.objects.filter(pk=webhook.project_id)
        registries = Endpoint.objects.registries().filter(project__in=projects)
        offer(self, "endpoint", registries.select_related("project"))

    @property
    def address(self) -> str:
        """Where it is sent."""
        if self.webhook is None:
            return reverse("webhooks:try-new")
        return reverse("webhooks:try-form", args=[self.webhook.pk])

    @property
    def bad_patterns(self) -> list[BoundField]:
        """The patterns that cannot be used."""
        return [self[name] for name in _PATTERNS if name in self.errors]

    @property
    def unusable(self) -> list[BoundField]:
        """Everything that is in the way of trying."""
        return [self[name] for name in self.errors if name in self.fields]

    def clean(self) -> dict[str, Any]:
        """What was picked is what is asked for."""
        cleaned = super().clean() or self.cleaned_data
        cleaned["push"] = cleaned.get("picked") or cleaned.get("push", "")
        return cleaned

    def as_it_stands(self) -> DockerWebhook:
        """The webhook as the form would save it, as far as pushes are concerned; never saved."""
        endpoint = self.cleaned_data["endpoint"]
        webhook = self.webhook or DockerWebhook(project=endpoint.project)
        for name in ("endpoint", *_PATTERNS):
            setattr(webhook, name, self.cleaned_data[name])
        return webhook


class GenerateTokenForm(forms.Form):
    """Whose token is to be made, and the proof; what comes of it is for the service."""

    username = forms.CharField(
        label=_("E-mail or user name"),
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
        help_text=_("The token belongs to this account: pushes run with its rights."),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    project = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput())


class DayInput(forms.DateInput):
    """A day as the browser's own field gives it: year, month, day."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(attrs={"class": "input"}, format="%Y-%m-%d")


class EventFilter(ListFilter):
    """Which deliveries the activity shows."""

    webhook = forms.ModelChoiceField(
        DockerWebhook.objects.none(),
        label=_("Webhook"),
        required=False,
        empty_label=_("All webhooks"),
        widget=LongSelect(attrs={"class": "select"}),
    )
    image = forms.CharField(
        label=_("Image"),
        required=False,
        max_length=256,
        widget=forms.TextInput(attrs={"class": "input"}),
    )
    tag = forms.CharField(
        label=_("Tag"),
        required=False,
        max_length=128,
        widget=forms.TextInput(attrs={"class": "input"}),
    )
    since = forms.DateField(
        label=_("From"), required=False, widget=DayInput(), validators=_ANY_TIME_ZONE
    )
    until = forms.DateField(
        label=_("Until"), required=False, widget=DayInput(), validators=_ANY_TIME_ZONE
    )
    source = "webhook"
    placeholder = _("Image, tag or digest")

    def __init__(self, data: Mapping[str, Any], *, user: User) -> None:
        super().__init__(data, user=user)
        offer(self, "webhook", DockerWebhook.objects.visible_to(user).only("name", "project"))

    def narrow(self) -> list[forms.BoundField]:
        """The fields that narrow the list down to an image, a tag and a time."""
        return [self[name] for name in ("image", "tag", "since", "until")]

    def when(self) -> Q:
        """Deliveries of the chosen days, in the time zone of the person."""
        self.is_valid()
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        found = Q(created_at__gte=start_of(since)) if since else Q()
        return found & Q(created_at__lt=start_of(until + DAY)) if until else found

    def mentions(self) -> Q | None:
        """What a row has to say: the text of the search, and parts of its image and its tag."""
        asked = [super().mentions()]
        asked += [
            Q(**{f"{name}__icontains": text})
            for name in ("image", "tag")
            if (text := self.cleaned_data.get(name))
        ]
        given = [each for each in asked if each is not None]
        return reduce(and_, given) if given else None

    def mentioning(self, text: str) -> Q:
        """Deliveries that mention the text, or are of ``image:tag``."""
        found = Q()
        for name in _SEARCHED:
            found |= Q(**{f"{name}__icontains": text})
        image, colon, tag = text.rpartition(":")
        return found | Q(image__iendswith=image, tag__istartswith=tag) if colon else found


def inputs_to_give(pipeline: Pipeline) -> tuple[InputParameter, ...]:
    """The inputs that no push fills in; none where the definition can no longer be read."""
    if pipeline.current_revision is None:
        return ()
    try:
        declared = definition_of(pipeline.current_revision.pk).inputs
    except DefinitionError:
        return ()
    return tuple(each for each in declared if not is_docker_parameter(each.name))


def _shown(webhook: DockerWebhook) -> dict[str, Any]:
    shown = {name: getattr(webhook, name) for name in (*_KEPT, *_PATTERNS, *_PUSHES)}
    if VARIABLE.fullmatch(webhook.api_token):
        shown["api_token"] = webhook.api_token
    return shown | {INPUT_PREFIX + name: value for name, value in webhook.inputs.items()}


def _input_field(declared: InputParameter) -> forms.CharField:
    """One input; empty leaves the pipeline its own value, which is shown as the placeholder."""
    return forms.CharField(
        label=declared.name,
        help_text=declared.description,
        required=declared.mandatory and not declared.value,
        max_length=LONGEST_INPUT,
        strip=False,
        widget=forms.TextInput(attrs={"placeholder": declared.value, "autocomplete": "off"}),
    )


def _given_inputs(cleaned: Mapping[str, Any]) -> dict[str, str]:
    return {
        name.removeprefix(INPUT_PREFIX): value
        for name, value in cleaned.items()
        if name.startswith(INPUT_PREFIX) and value
    }

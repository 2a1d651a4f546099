"""Forms of Docker triggers: a webhook in the order of the manual, the filter of the activity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.urls import reverse, reverse_lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.widgets import LongSelect
from codestream.projects.access import projects_allowing
from codestream.projects.forms import ListFilter, ProjectField, offer
from codestream.projects.models import Project
from codestream.projects.permissions import Action, can
from endpoints.forms import SecretField
from endpoints.models import Endpoint
from executions.definitions import definition_of
from pipelines.definition import DefinitionError, InputParameter
from pipelines.docker_parameters import is_docker_parameter
from pipelines.models import Pipeline
from webhooks.input_text import read_inputs, write_inputs
from webhooks.models import DockerWebhook
from webhooks.patterns import LONGEST_PATTERN, check_pattern
from webhooks.services import resolve_token

_SEARCHED = ("image", "tag", "digest", "message", "owner")
_KEPT = ("name", "description", "endpoint", "pipeline", "mirror_mode")
_PATTERNS = ("image_pattern", "tag_pattern")


class EndpointChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A Docker Registry endpoint, with its project."""

    def label_from_instance(self, obj: Endpoint) -> str:
        """Name and project: two projects may use the same name."""
        return f"{obj.name} ({obj.project.name})"


class PipelineChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A pipeline, with its project; those that take the Docker parameters come first."""

    def label_from_instance(self, obj: Pipeline) -> str:
        """Name and project, and a word where a push would fill in nothing."""
        name = f"{obj.name} ({obj.project.name})"
        if obj.injects_docker:
            return name
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
        if problem := check_pattern(text):
            raise ValidationError(problem)
        return text


class WebhookForm(forms.Form):
    """A Docker webhook. The API token is write-only: empty keeps the stored one."""

    project = ProjectField()
    name = forms.CharField(label=_("Name"), max_length=60)
    description = forms.CharField(label=_("Description"), max_length=500, required=False)
    endpoint = EndpointChoice(
        Endpoint.objects.none(),
        label=_("Endpoint"),
        help_text=_("The Docker Registry endpoint that names the repository in Docker Hub."),
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
    mirror_mode = forms.ChoiceField(
        label=_("Webhook in Docker Hub"),
        choices=DockerWebhook.MirrorMode.choices,
        initial=DockerWebhook.MirrorMode.AUTO,
    )
    inputs = forms.CharField(
        label=_("Inputs of the pipeline"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": "4", "spellcheck": "false"}),
        help_text=_("One name: value a line, for what a push does not fill in."),
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: User,
        webhook: DockerWebhook | None = None,
        pipeline: str = "",
    ) -> None:
        super().__init__(data, initial=_shown(webhook) if webhook else {"pipeline": pipeline})
        self.user, self.webhook = user, webhook
        projects: QuerySet[Project] = projects_allowing(user, Action.WRITE)
        project = self.fields["project"]
        if webhook is not None:
            projects = Project.objects.filter(pk=webhook.project_id)
            del self.fields["project"]
            self.fields["api_token"].help_text = _("Empty keeps the stored token.")
        elif isinstance(project, ProjectField):
            project.offer(user)
        self.fields["api_token"].required = webhook is None
        self._offer_from(projects)
        self._link("endpoint", reverse("endpoints:new"), gettext("Create endpoint"))
        self._link("api_token", reverse("accounts:tokens"), gettext("Generate token"))

    def _link(self, name: str, url: str, words: str) -> None:
        """Say beside a field where what it asks for is made."""
        hint: SafeString = format_html(
            '{} <a href="{}" target="_blank" rel="noopener">{}<span class="hide"> {}</span></a>',
            self.fields[name].help_text,
            url,
            words,
            gettext("(opens in a new tab)"),
        )
        self.fields[name].help_text = hint

    def _offer_from(self, projects: QuerySet[Project]) -> None:
        registries = Endpoint.objects.registries().filter(project__in=projects)
        offer(self, "endpoint", registries.select_related("project"))
        pipelines = Pipeline.objects.filter(project__in=projects)
        ordered = pipelines.order_by("-injects_docker", "name")
        offer(self, "pipeline", ordered.select_related("project", "current_revision"))
        self.fields["pipeline"].widget.attrs |= {
            "hx-get": reverse_lazy("webhooks:new"),
            "hx-target": "#declared-inputs",
            "hx-swap": "outerHTML",
        }

    def clean_inputs(self) -> dict[str, str]:
        """The text as names and values."""
        return read_inputs(self.cleaned_data["inputs"])

    def clean(self) -> dict[str, Any]:
        """What one field cannot know by itself: the project, the token's rights, the inputs."""
        cleaned = super().clean() or self.cleaned_data
        project = self.webhook.project if self.webhook else cleaned.get("project")
        if project is not None:
            self._check_project(cleaned, project)
            self._check_token(cleaned.get("api_token", ""), project)
            self._check_kept_token(cleaned, project)
        self._check_inputs(cleaned)
        return cleaned

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
        elif token.owner != self.user and not can(self.user, Action.ADMINISTER, project):
            words = gettext("This token belongs to %(user)s. Enter one of your own.")
            self.add_error("api_token", words % {"user": token.owner.username})
        elif not can(token.owner, Action.EXECUTE, project):
            words = gettext("%(user)s, who owns the token, may not run pipelines in this project.")
            self.add_error("api_token", words % {"user": token.owner.username})

    def _check_kept_token(self, cleaned: Mapping[str, Any], project: Project) -> None:
        """What a push does with somebody else's rights is not for everybody to change."""
        if self.webhook is None or cleaned.get("api_token"):
            return
        kept = resolve_token(self.webhook)
        if (kept and kept.owner == self.user) or can(self.user, Action.ADMINISTER, project):
            return
        names = ("endpoint", "pipeline", "inputs")
        if any(cleaned.get(name) != getattr(self.webhook, name) for name in names):
            words = gettext(
                "The stored token is not yours. Enter one of your own to change the endpoint, "
                "the pipeline or its inputs."
            )
            self.add_error("api_token", words)

    def _check_inputs(self, cleaned: Mapping[str, Any]) -> None:
        pipeline, given = cleaned.get("pipeline"), cleaned.get("inputs")
        if pipeline is None or not given:
            return
        known = {each.name for each in inputs_to_give(pipeline)}
        if unknown := sorted(given.keys() - known):
            words = gettext("The pipeline has no such input, or a push fills it in: %(names)s.")
            self.add_error("inputs", words % {"names": ", ".join(unknown)})

    def apply(self, webhook: DockerWebhook) -> DockerWebhook:
        """Write what was entered into ``webhook``, without saving it."""
        for name in (*_KEPT, *_PATTERNS, "inputs"):
            setattr(webhook, name, self.cleaned_data[name])
        if self.webhook is None:
            webhook.project = self.cleaned_data["project"]
        if token := self.cleaned_data["api_token"]:
            webhook.api_token, webhook.token_set_by = token, self.user
        return webhook


class EventFilter(ListFilter):
    """Which deliveries the activity shows."""

    webhook = forms.ModelChoiceField(
        DockerWebhook.objects.none(),
        label=_("Webhook"),
        required=False,
        empty_label=_("All webhooks"),
        widget=LongSelect(attrs={"class": "select"}),
    )
    source = "webhook"
    placeholder = _("Image, tag or digest")

    def __init__(self, data: Mapping[str, Any], *, user: User) -> None:
        super().__init__(data, user=user)
        offer(self, "webhook", DockerWebhook.objects.visible_to(user).only("name", "project"))

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
    shown = {name: getattr(webhook, name) for name in (*_KEPT, *_PATTERNS)}
    return shown | {"inputs": write_inputs(webhook.inputs)}

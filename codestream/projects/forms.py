"""Forms of projects, their people and their variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.keyset import Columns
from codestream.core.versions import VersionedForm
from codestream.core.widgets import LongSelect, SecretTextarea
from codestream.projects.access import projects_allowing, projects_seen
from codestream.projects.models import Membership, Project, Variable
from codestream.projects.permissions import Action, can

_VALUE_ATTRS = {"rows": "3", "spellcheck": "false", "autocomplete": "off"}


def offer(form: forms.Form, name: str, rows: QuerySet[Any]) -> None:
    """Let a choice of the form be one of ``rows``."""
    cast("forms.ModelChoiceField[Any]", form.fields[name]).queryset = rows


class ListFilter(forms.Form):
    """Which rows of a list are shown; a value that means nothing filters nothing."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"class": "input", "type": "search"}),
    )
    project = forms.ModelChoiceField(
        Project.objects.none(),
        label=_("Project"),
        required=False,
        empty_label=_("All projects"),
        widget=LongSelect(attrs={"class": "select"}),
    )
    placeholder: str | Promise = ""
    source: str
    """The field for what the rows come from, a thing of one project."""

    def __init__(self, data: Mapping[str, Any], *, user: User) -> None:
        super().__init__(data)
        self.user = user
        self.fields["q"].widget.attrs["placeholder"] = self.placeholder
        offer(self, "project", Project.objects.visible_to(user))

    def columns(self) -> Columns:
        """The chosen values, and the projects that the person sees, by the columns of an index."""
        self.is_valid()
        project, source = (self.cleaned_data.get(name) for name in ("project", self.source))
        if source is None:
            return {"project_id": projects_seen(self.user) if project is None else [project.pk]}
        if project is not None and source.project_id != project.pk:
            return {"project_id": []}
        return {f"{self.source}_id": [source.pk]}

    def mentions(self) -> Q | None:
        """What a row has to say to be found; None without a text to search for."""
        self.is_valid()
        text = self.cleaned_data.get("q")
        return self.mentioning(text) if text else None

    def mentioning(self, text: str) -> Q:
        """Rows that mention the text; for the list to say."""
        raise NotImplementedError


class ProjectField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A project by its name, with suggestions while one types."""

    def __init__(self) -> None:
        super().__init__(
            Project.objects.none(),
            label=_("Project"),
            to_field_name="name",
            widget=forms.TextInput(attrs={"list": "project-names", "autocomplete": "off"}),
            error_messages={
                "invalid_choice": _("You may change no project of this name; pick one of the list.")
            },
        )

    def offer(self, user: User) -> None:
        """Accept and suggest the projects in which the person may write."""
        self.queryset = projects_allowing(user, Action.WRITE)


class ProjectForm(VersionedForm):
    """A project, new or stored."""

    name = forms.CharField(label=_("Name"), max_length=100)
    description = forms.CharField(label=_("Description"), max_length=500, required=False)

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, project: Project | None = None
    ) -> None:
        stored = {"name": project.name, "description": project.description} if project else {}
        super().__init__(data, initial=stored)
        self.watch(project)


class MemberForm(forms.Form):
    """A person, by user name or e-mail, and a role."""

    username = forms.CharField(label=_("User name or e-mail"), max_length=254)
    role = forms.ChoiceField(
        label=_("Role"), choices=Membership.Role.choices, initial=Membership.Role.MEMBER
    )

    def clean_username(self) -> User:
        """The active account behind the name or address."""
        name = self.cleaned_data["username"]
        active = User.objects.filter(is_active=True)
        user = active.filter(username=name).first() or active.filter(email__iexact=name).first()
        if user is None:
            raise ValidationError(_("There is no active account with this name or address."))
        return user


class RoleForm(forms.Form):
    """Another role for a person who belongs to the project already."""

    role = forms.ChoiceField(choices=Membership.Role.choices)


class VariableForm(VersionedForm):
    """A variable. A secret value is write-only: empty keeps the stored one."""

    project = ProjectField()
    type = forms.ChoiceField(label=_("Type"), choices=Variable.Type.choices)
    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9_-]+\Z", _("Use letters, digits, dashes and underscores only.")
            )
        ],
        help_text=_("Letters, digits, dash and underscore."),
    )
    value = forms.CharField(
        label=_("Value"),
        max_length=100_000,
        required=False,
        strip=False,
        widget=forms.Textarea(attrs=_VALUE_ATTRS),
    )
    description = forms.CharField(label=_("Description"), max_length=500, required=False)

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: User,
        variable: Variable | None = None,
    ) -> None:
        super().__init__(data, initial=_shown(variable))
        self.user, self.variable = user, variable
        project = self.fields["project"]
        if variable is not None:
            del self.fields["project"]
        elif isinstance(project, ProjectField):
            project.offer(user)
        if (self["type"].value() or Variable.Type.REGULAR) != Variable.Type.REGULAR:
            self.fields["value"].widget = SecretTextarea(attrs=_VALUE_ATTRS)
        if variable is not None and variable.is_secret:
            self.fields["value"].help_text = _("Empty keeps the stored value.")
        self.watch(variable)

    def clean(self) -> dict[str, Any]:
        """Only an administrator makes something restricted; a secret does not become readable."""
        cleaned = super().clean() or self.cleaned_data
        project = self.variable.project if self.variable else cleaned.get("project")
        restricted = cleaned.get("type") == Variable.Type.RESTRICTED
        if restricted and project and not can(self.user, Action.ADMINISTER, project):
            self.add_error("type", _("Only an administrator makes a restricted variable."))
        if self._would_reveal(cleaned):
            self.add_error("value", _("Enter a new value: a stored secret is not made readable."))
        return cleaned

    def _would_reveal(self, cleaned: Mapping[str, Any]) -> bool:
        stored = self.variable is not None and self.variable.is_secret
        readable = cleaned.get("type") == Variable.Type.REGULAR
        return stored and readable and not cleaned.get("value")

    def apply(self, variable: Variable) -> Variable:
        """Write what was entered into ``variable``, without saving it."""
        cleaned = self.cleaned_data
        keep = self.variable is not None and variable.is_secret and not cleaned["value"]
        variable.type, variable.name = cleaned["type"], cleaned["name"]
        variable.description = cleaned["description"]
        if not keep:
            variable.value = cleaned["value"]
        return variable


class SecretVariableForm(VariableForm):
    """A variable that takes in the secret of some other form, which then refers to it.

    ``source`` is the id of the field that holds the secret, ``target`` of the one that gets the
    reference.
    """

    type = forms.ChoiceField(
        label=_("Type"),
        choices=[
            (kind.value, kind.label) for kind in (Variable.Type.SECRET, Variable.Type.RESTRICTED)
        ],
        initial=Variable.Type.SECRET,
    )
    value = forms.CharField(
        label=_("Value"),
        max_length=100_000,
        strip=False,
        widget=SecretTextarea(attrs=_VALUE_ATTRS),
    )
    description = None  # type: ignore[assignment]
    source = forms.SlugField(required=False, max_length=100, widget=forms.HiddenInput())
    target = forms.SlugField(required=False, max_length=100, widget=forms.HiddenInput())
    field_order = ("project", "name", "type", "value")

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: User,
        asked: Mapping[str, Any],
    ) -> None:
        """``asked`` says for which fields and in which project, before anything is entered."""
        super().__init__(data, user=user)
        # The page below the dialog has fields of the same names.
        self.auto_id = "variable-%s"
        given = asked if data is None else data
        self.initial = {name: given.get(name, "") for name in ("project", "source", "target")}
        if projects_allowing(user, Action.WRITE).filter(name=given.get("project")).exists():
            self.fields["project"].widget = forms.HiddenInput()


def _shown(variable: Variable | None) -> dict[str, str]:
    if variable is None:
        return {}
    value = "" if variable.is_secret else variable.value
    shown = {name: getattr(variable, name) for name in ("type", "name", "description")}
    return shown | {"value": value}

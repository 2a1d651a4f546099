"""Forms of projects, their people and their variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import Model, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.widgets import SecretTextarea
from codestream.projects.access import projects_allowing
from codestream.projects.models import Membership, Project, Variable
from codestream.projects.permissions import Action, can

_VALUE_ATTRS = {"rows": "3", "spellcheck": "false", "autocomplete": "off"}


Row = TypeVar("Row", bound=Model)


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
        widget=forms.Select(attrs={"class": "select"}),
    )
    placeholder: str | Promise = ""

    def __init__(self, data: Mapping[str, Any], *, user: User) -> None:
        super().__init__(data)
        self.fields["q"].widget.attrs["placeholder"] = self.placeholder
        offer(self, "project", Project.objects.visible_to(user))

    def narrowed(
        self, rows: QuerySet[Row], *, by: tuple[str, ...], mentions: Callable[[str], Q]
    ) -> QuerySet[Row]:
        """Return the rows with the chosen values, and with the text that is searched for."""
        self.is_valid()
        chosen = {name: self.cleaned_data.get(name) for name in by}
        rows = rows.filter(**{name: value for name, value in chosen.items() if value})
        text = self.cleaned_data.get("q")
        return rows.filter(mentions(text)) if text else rows


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


class ProjectForm(forms.Form):
    """A new project."""

    name = forms.CharField(label=_("Name"), max_length=100)
    description = forms.CharField(label=_("Description"), max_length=500, required=False)


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


class VariableForm(forms.Form):
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


def _shown(variable: Variable | None) -> dict[str, str]:
    if variable is None:
        return {}
    value = "" if variable.is_secret else variable.value
    shown = {name: getattr(variable, name) for name in ("type", "name", "description")}
    return shown | {"value": value}

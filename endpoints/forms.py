"""Forms of an endpoint, one class per kind; they hand on properties and credentials.

Secrets are write-only: a form never shows one, and an empty secret keeps the stored one as long
as the endpoint still points at the same system in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.errors import CodeStreamError
from codestream.core.widgets import SecretTextarea
from codestream.projects.forms import ProjectField
from endpoints.addresses import repository_address
from endpoints.models import Endpoint

COMMON = ("name", "description", "is_restricted")


class SecretField(forms.CharField):
    """A text that is taken in and never given back."""

    def __init__(self, *, label: Any, rows: int = 0, help_text: Any = "") -> None:
        attrs = {"autocomplete": "off" if rows else "new-password"}
        widget = (
            SecretTextarea(attrs={**attrs, "rows": str(rows), "spellcheck": "false"})
            if rows
            else forms.PasswordInput(attrs=attrs)
        )
        super().__init__(
            label=label, required=False, strip=True, widget=widget, help_text=help_text
        )


class EndpointForm(forms.Form):
    """What every endpoint has. A subclass names its fields that go into the two JSON columns.

    ``property_names`` and ``credential_names`` map form fields to keys of the stored JSON;
    ``target_names`` are the fields that say which system is meant, and how one signs in there.
    """

    property_names: ClassVar[Mapping[str, str]] = {}
    credential_names: ClassVar[Mapping[str, str]] = {}
    target_names: ClassVar[tuple[str, ...]] = ()

    project = ProjectField()
    name = forms.CharField(label=_("Name"), max_length=100)
    description = forms.CharField(label=_("Description"), max_length=500, required=False)
    is_restricted = forms.BooleanField(
        label=_("Mark restricted"),
        required=False,
        help_text=_("Only administrators of the project change a restricted endpoint."),
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: User,
        endpoint: Endpoint | None = None,
        entered: Mapping[str, Any] | None = None,
    ) -> None:
        """Show ``endpoint``, or what was ``entered`` for a new one before its kind changed."""
        super().__init__(data, initial=self._initial(endpoint, entered or {}))
        self.endpoint = endpoint
        project = self.fields["project"]
        if endpoint is not None:
            del self.fields["project"]
        elif isinstance(project, ProjectField):
            project.offer(user)
            self._mark_secrets()

    @classmethod
    def kind_fields(cls) -> tuple[str, ...]:
        """The names of the fields that this kind adds, in the order of the form."""
        return tuple(name for name in cls.base_fields if name not in EndpointForm.base_fields)

    def _mark_secrets(self) -> None:
        """A new endpoint needs every secret that is shown; which ones, its sign-in decides."""
        for field in self.fields.values():
            if isinstance(field, SecretField):
                field.widget.attrs["aria-required"] = "true"

    def _initial(self, endpoint: Endpoint | None, entered: Mapping[str, Any]) -> dict[str, object]:
        if endpoint is None:
            return {name: entered[name] for name in ("project", *COMMON) if name in entered}
        stored = {**endpoint.properties, **endpoint.credentials}
        keys = {**self.property_names, **self.credential_names}
        shown = {
            name: stored.get(key, "")
            for name, key in keys.items()
            if not isinstance(self.base_fields[name], SecretField)
        }
        return shown | {name: getattr(endpoint, name) for name in COMMON}

    def clean(self) -> dict[str, Any]:
        """Ask for the secrets again when the endpoint now points somewhere else."""
        cleaned = super().clean() or self.cleaned_data
        for name in self.secrets_needed(cleaned):
            if name in self.errors or cleaned.get(name) or self._kept(name, cleaned):
                continue
            self.add_error(name, ValidationError(self._missing(), code="required"))
        return cleaned

    def secrets_needed(self, cleaned: Mapping[str, Any]) -> tuple[str, ...]:
        """The secret fields without which one cannot sign in."""
        raise NotImplementedError

    def _missing(self) -> str:
        if self.endpoint is None:
            return str(_("This field is required."))
        return str(_("Enter it again: the endpoint points somewhere else now."))

    def _kept(self, name: str, cleaned: Mapping[str, Any]) -> bool:
        if self.endpoint is None or not self._same_target(cleaned):
            return False
        return bool(self.endpoint.credentials.get(self.credential_names[name]))

    def _same_target(self, cleaned: Mapping[str, Any]) -> bool:
        keys = {**self.property_names, **self.credential_names}
        stored = {**self.endpoint.properties, **self.endpoint.credentials} if self.endpoint else {}
        return all(cleaned.get(name) == stored.get(keys[name]) for name in self.target_names)

    def properties(self) -> dict[str, str]:
        """The plain part of what was entered, under the keys of the stored JSON."""
        return {key: self.cleaned_data[name] for name, key in self.property_names.items()}

    def credentials(self) -> dict[str, str]:
        """What signs in, new or kept, under the keys of the stored JSON; nothing unneeded."""
        needed = self.secrets_needed(self.cleaned_data)
        result = {}
        for name, key in self.credential_names.items():
            secret = isinstance(self.fields[name], SecretField)
            value = self.cleaned_data[name]
            if secret and not value and self.endpoint is not None:
                value = self.endpoint.credentials.get(key, "")
            if value and (not secret or name in needed):
                result[key] = value
        return result


class DockerRegistryForm(EndpointForm):
    """A repository in Docker Hub, and the account that may manage its webhooks."""

    property_names = {"server_type": "serverType", "repository_url": "repoURL"}
    credential_names = {"username": "username", "password": "password"}
    target_names = ("server_type", "repository_url", "username")

    server_type = forms.ChoiceField(
        label=_("Server type"),
        choices=[
            ("DockerHub", "DockerHub"),
            ("Docker_Trusted_Registry", "Docker Trusted Registry"),
        ],
    )
    repository_url = forms.CharField(
        label=_("Repo URL"),
        max_length=500,
        help_text=_("The page of the repository, such as https://hub.docker.com/r/acme/storefront"),
    )
    username = forms.CharField(label=_("Username"), max_length=200)
    password = SecretField(
        label=_("Password"),
        help_text=_("Better an access token; an account with two factors needs one. Never shown."),
    )

    def clean_repository_url(self) -> str:
        """Refuse an address in which no repository can be found."""
        url: str = self.cleaned_data["repository_url"]
        _refuse_credentials_in(url)
        try:
            repository_address(url)
        except CodeStreamError as error:
            raise ValidationError(error.user_message) from error
        return url

    def secrets_needed(self, cleaned: Mapping[str, Any]) -> tuple[str, ...]:
        """Docker Hub always asks for the password."""
        return ("password",)


class KubernetesForm(EndpointForm):
    """An API server and one of the three ways to sign in there."""

    property_names = {
        "cluster_url": "kubernetesURL",
        "auth_type": "authType",
        "authority": "certAuthorityData",
    }
    credential_names = {
        "token": "token",
        "username": "username",
        "password": "password",
        "certificate": "certData",
        "key": "certKeyData",
    }
    target_names = ("cluster_url", "auth_type")

    cluster_url = forms.URLField(
        label=_("Kubernetes cluster URL"),
        max_length=500,
        assume_scheme="https",
        widget=forms.TextInput(attrs={"inputmode": "url"}),
    )
    authority = forms.CharField(
        label=_("Certificate authority data"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("Base64, as in a kubeconfig. Empty: the authorities of this system."),
    )
    auth_type = forms.ChoiceField(
        label=_("Authentication type"),
        choices=[
            ("token", _("Token")),
            ("basicAuth", _("Basic Auth")),
            ("certificate", _("Certificate")),
        ],
    )
    token = SecretField(label=_("Token"), help_text=_("For the type Token. Never shown again."))
    username = forms.CharField(
        label=_("Username"), required=False, max_length=200, help_text=_("For the type Basic Auth.")
    )
    password = SecretField(label=_("Password"), help_text=_("For the type Basic Auth."))
    certificate = SecretField(
        label=_("Certificate data"), rows=3, help_text=_("For the type Certificate; Base64.")
    )
    key = SecretField(
        label=_("Client key data"), rows=3, help_text=_("For the type Certificate; Base64.")
    )

    def clean_cluster_url(self) -> str:
        """Keep passwords out of the address, which is shown to everybody in the project."""
        url: str = self.cleaned_data["cluster_url"]
        _refuse_credentials_in(url)
        return url

    def secrets_needed(self, cleaned: Mapping[str, Any]) -> tuple[str, ...]:
        """What the chosen way of signing in cannot do without."""
        needed: dict[str, tuple[str, ...]] = {
            "token": ("token",),
            "basicAuth": ("password",),
            "certificate": ("certificate", "key"),
        }
        return needed.get(str(cleaned.get("auth_type")), ())

    def clean(self) -> dict[str, Any]:
        """Basic Auth needs a user name as well."""
        cleaned = super().clean()
        if cleaned.get("auth_type") != "basicAuth":
            cleaned["username"] = ""
        elif not cleaned.get("username"):
            self.add_error("username", ValidationError(_("This field is required.")))
        return cleaned


def _refuse_credentials_in(url: str) -> None:
    if "@" in url:
        raise ValidationError(_("Leave user name and password out of the address."))

"""Forms of an endpoint, one class per kind; they hand on properties and credentials.

Secrets are write-only: a form never shows one, and an empty secret keeps the stored one as long
as the endpoint still points at the same system in the same way. A reference to a variable is no
secret: it is shown, and sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.errors import CodeStreamError
from codestream.core.http import Proxy, origin
from codestream.core.references import variable_name
from codestream.core.versions import VersionedForm
from codestream.core.widgets import SecretInput, SecretTextarea
from codestream.projects.forms import ProjectField
from codestream.projects.models import Project, Variable
from codestream.projects.permissions import Action, can
from endpoints.addresses import one_spelling, registry_of
from endpoints.clients.kubernetes_access import one_line
from endpoints.credentials import credentials_of, proxy_at
from endpoints.kubeconfig import ClusterLogin
from endpoints.models import Endpoint
from endpoints.pasted import read_pasted
from endpoints.pod_account import AUTH_TYPE as POD_ACCOUNT
from endpoints.pod_account import pod_server
from endpoints.server_types import ServerType, server_type_named

COMMON = ("name", "description", "is_restricted")


class SecretField(forms.CharField):
    """A text that is taken in and never given back, or a reference to a variable that holds it."""

    def __init__(self, *, label: Any, rows: int = 0, help_text: Any = "") -> None:
        attrs = {"autocomplete": "off" if rows else "new-password", "data-secret": ""}
        widget = (
            SecretTextarea(attrs={**attrs, "rows": str(rows), "spellcheck": "false"})
            if rows
            else SecretInput(attrs=attrs)
        )
        super().__init__(
            label=label, required=False, strip=True, widget=widget, help_text=help_text
        )


class EndpointForm(VersionedForm):
    """What every endpoint has. A subclass names its fields that go into the two JSON columns.

    ``property_names`` and ``credential_names`` map form fields to keys of the stored JSON.
    """

    property_names: ClassVar[Mapping[str, str]] = {}
    credential_names: ClassVar[Mapping[str, str]] = {}

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
        """Show ``endpoint``, or what was ``entered`` so far and is not yet to be judged."""
        super().__init__(data, initial=self._stored(endpoint) | self._entered(entered or {}))
        self.user, self.endpoint = user, endpoint
        self.notes: list[str] = []
        """What a person should know about what was entered, and is no error."""
        project = self.fields["project"]
        if endpoint is not None:
            del self.fields["project"]
        elif isinstance(project, ProjectField):
            project.offer(user)
            self._mark_secrets()
        self.watch(endpoint)

    @property
    def project_name(self) -> str:
        """The project of a stored endpoint; empty while a new one's may still change."""
        return self.endpoint.project.name if self.endpoint else ""

    def object_to(self, name: str, message: str) -> None:
        """Put an error beside a field although the form is not judged as a whole yet."""
        self.cleaned_data = {}
        self.add_error(name, message)

    def _mark_secrets(self) -> None:
        """A new endpoint needs every secret that is shown; which ones, its sign-in decides."""
        for name in self.credential_names:
            if isinstance(self.fields[name], SecretField):
                self.fields[name].widget.attrs["aria-required"] = "true"

    def _stored(self, endpoint: Endpoint | None) -> dict[str, object]:
        """What a stored endpoint shows; of its secrets, the widgets show references only."""
        if endpoint is None:
            return {}
        stored = {**endpoint.properties, **endpoint.credentials}
        keys = {**self.property_names, **self.credential_names}
        shown: dict[str, object] = {name: stored.get(key, "") for name, key in keys.items()}
        return shown | {name: getattr(endpoint, name) for name in COMMON}

    def _entered(self, entered: Mapping[str, Any]) -> dict[str, object]:
        if not entered:
            return {}
        # A box that is not ticked is not sent.
        ticked = {"is_restricted": "is_restricted" in entered}
        return {name: entered[name] for name in self.base_fields if name in entered} | ticked

    def clean(self) -> dict[str, Any]:
        """Ask for the secrets again when the endpoint now points somewhere else."""
        cleaned = super().clean() or self.cleaned_data
        for name in self.secrets_needed(cleaned):
            if name in self.errors or cleaned.get(name) or self._kept(name, cleaned):
                continue
            self.add_error(name, ValidationError(self._missing(), code="required"))
        project = self.endpoint.project if self.endpoint else cleaned.get("project")
        if project is not None:
            self._check_restriction(project, restricted=bool(cleaned.get("is_restricted")))
            self._check_variables(project, cleaned)
        return cleaned

    def _check_restriction(self, project: Project, *, restricted: bool) -> None:
        if restricted and not can(self.user, Action.ADMINISTER, project):
            message = _("Only an administrator marks an endpoint restricted.")
            self.add_error("is_restricted", message)

    def _check_variables(self, project: Project, cleaned: Mapping[str, Any]) -> None:
        """A variable has to be there; a restricted one opens a restricted endpoint only."""
        for name in self.credential_names:
            if not (wanted := variable_name(cleaned.get(name))):
                continue
            variable = Variable.objects.filter(project=project, name=wanted).first()
            if variable is None:
                message = _("The project has no variable “%(name)s”.") % {"name": wanted}
                self.add_error(name, message)
            elif variable.type == Variable.Type.RESTRICTED and not cleaned.get("is_restricted"):
                restricted = _("The variable “%(name)s” is restricted: so has the endpoint to be.")
                self.add_error("is_restricted", restricted % {"name": wanted})

    def secrets_needed(self, cleaned: Mapping[str, Any]) -> tuple[str, ...]:
        """The secret fields without which one cannot sign in."""
        raise NotImplementedError

    def target(self, stored: Mapping[str, Any]) -> tuple[object, ...]:
        """Which system is meant and how one signs in there, by the keys of the stored JSON.

        Stored secrets go to no other target.
        """
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
        if self.endpoint is None:
            return False
        keys = {**self.property_names, **self.credential_names}
        now = {key: cleaned.get(name) or "" for name, key in keys.items()}
        before = {**self.endpoint.properties, **self.endpoint.credentials}
        return self.target(now) == self.target(before)

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
    """A repository, and the account that may read it; in Docker Hub also manage its webhooks."""

    property_names = {"server_type": "serverType", "repository_url": "repoURL"}
    credential_names = {"username": "username", "password": "password"}

    server_type = forms.ChoiceField(
        label=_("Server type"),
        choices=ServerType.choices,
    )
    repository_url = forms.CharField(
        label=_("Repo URL"),
        max_length=500,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        help_text=_(
            "The page of the repository, such as https://hub.docker.com/r/acme/storefront, or just "
            "acme/storefront. For another registry its host too, as in "
            "registry.example.com:5000/team/app."
        ),
    )
    username = forms.CharField(
        label=_("Username"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"aria-required": "true"}),
        help_text=_("Empty only for another registry that asks for no account."),
    )
    password = SecretField(
        label=_("Password or access token"),
        help_text=_(
            "An access token is better, and an account with two-factor login needs one. To manage "
            "webhooks it needs the right to read, write and delete."
        ),
    )

    def clean_repository_url(self) -> str:
        """One spelling for all; an address in which no repository can be found is refused."""
        url: str = self.cleaned_data["repository_url"]
        _refuse_credentials_in(url)
        try:
            return one_spelling(url, server_type_named(self.cleaned_data.get("server_type")))
        except CodeStreamError as error:
            raise ValidationError(error.user_message) from error

    def clean_username(self) -> str:
        """Docker Hub lists webhooks for an account only; other registries may be open to all."""
        username: str = self.cleaned_data["username"]
        is_hub = self.cleaned_data.get("server_type") == ServerType.DOCKER_HUB
        if is_hub and not username:
            raise ValidationError(_("This field is required."), code="required")
        return username

    def secrets_needed(self, cleaned: Mapping[str, Any]) -> tuple[str, ...]:
        """An account has a password, and Docker Hub always asks for one."""
        is_hub = cleaned.get("server_type", ServerType.DOCKER_HUB) == ServerType.DOCKER_HUB
        return ("password",) if is_hub or cleaned.get("username") else ()

    def target(self, stored: Mapping[str, Any]) -> tuple[object, ...]:
        """Another repository of the same registry is no other target."""
        server_type = server_type_named(stored.get("serverType"))
        registry = registry_of(stored.get("repoURL"), server_type)
        return server_type, registry, stored.get("username") or ""


class KubernetesForm(EndpointForm):
    """An API server and one of the four ways to sign in there, or the kubeconfig that says both.

    A pasted kubeconfig fills the fields. Its secrets are not sent back to the page: as long as it
    stays in its field, they are taken from there.
    """

    property_names = {
        "cluster_url": "kubernetesURL",
        "auth_type": "authType",
        "authority": "certAuthorityData",
        "server_name": "tlsServerName",
        "namespace": "namespace",
        "proxy_url": "proxyURL",
    }
    credential_names = {
        "proxy_username": "proxyUsername",
        "proxy_password": "proxyPassword",
        "token": "token",
        "username": "username",
        "password": "password",
        "certificate": "certData",
        "key": "certKeyData",
    }

    kubeconfig = SecretField(
        label=_("Kubeconfig"),
        rows=4,
        help_text=_("Paste one here, and the fields below are filled from it."),
    )
    context = forms.ChoiceField(label=_("Context"), required=False)
    filled_from = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput())
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
    server_name = forms.CharField(
        label=_("TLS server name"),
        required=False,
        max_length=253,
        help_text=_("The name in the certificate of the cluster, if it is not the one above."),
    )
    namespace = forms.SlugField(
        label=_("Namespace"),
        required=False,
        max_length=63,
        help_text=_("Where Validate looks at the rights of the account. Empty: everywhere."),
    )
    proxy_url = forms.CharField(
        label=_("HTTP proxy"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"inputmode": "url"}),
        help_text=_("As in http://proxy.example.com:3128. Empty: the cluster is called directly."),
    )
    proxy_username = forms.CharField(
        label=_("Username at the proxy"),
        required=False,
        max_length=200,
        help_text=_("Empty where the proxy asks for none."),
    )
    proxy_password = SecretField(label=_("Password at the proxy"))
    auth_type = forms.ChoiceField(
        label=_("Authentication type"),
        choices=[
            ("token", _("Token")),
            ("basicAuth", _("Basic Auth")),
            ("certificate", _("Certificate")),
            (POD_ACCOUNT, _("Service account of the pod")),
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

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: User,
        endpoint: Endpoint | None = None,
        entered: Mapping[str, Any] | None = None,
    ) -> None:
        pasted = read_pasted((entered if data is None else data) or {})
        super().__init__(
            None if data is None else pasted.completed(data),
            user=user,
            endpoint=endpoint,
            entered=pasted.shown(entered) if entered else None,
        )
        self.pasted = pasted
        if len(pasted.contexts) > 1:
            context = cast("forms.ChoiceField", self.fields["context"])
            context.choices = [("", ""), *((name, name) for name in pasted.contexts)]
        else:
            del self.fields["context"]
        if pasted.login is not None:
            self.notes = _notes(pasted.login)
        self.fields["proxy_password"].widget.attrs.pop("aria-required", None)
        if self["auth_type"].value() == POD_ACCOUNT:
            self.fields["cluster_url"].required = False
        elif not settings.POD_SERVICE_ACCOUNT:
            offered = cast("forms.Select", self.fields["auth_type"].widget)
            offered.choices = [each for each in offered.choices if each[0] != POD_ACCOUNT]
        for name in pasted.secrets:
            self.fields[name].widget.attrs["placeholder"] = _("From the kubeconfig")
        if data is None and pasted.problem:
            self.object_to(pasted.faulty, pasted.problem)

    def clean_cluster_url(self) -> str:
        """Keep passwords out of the address, which is shown to everybody in the project."""
        url: str = self.cleaned_data["cluster_url"]
        _refuse_credentials_in(url)
        return url.rstrip("/")

    def clean_proxy_url(self) -> str:
        """An address that everybody in the project may see."""
        url: str = self.cleaned_data["proxy_url"]
        _refuse_credentials_in(url)
        if url and not origin(url).startswith("http://"):
            raise ValidationError(_("Enter an HTTP proxy as http://host:port."))
        return origin(url)

    def clean_auth_type(self) -> str:
        """The pod's own account is open only where an administrator wants it."""
        chosen: str = self.cleaned_data["auth_type"]
        if chosen == POD_ACCOUNT:
            try:
                pod_server()
            except CodeStreamError as error:
                raise ValidationError(error.user_message) from error
        return chosen

    def clean_authority(self) -> str:
        """Base64 or PEM, without the breaks that copying brings into Base64."""
        try:
            return one_line(self.cleaned_data["authority"])
        except CodeStreamError as error:
            raise ValidationError(error.user_message) from error

    def secrets_needed(self, cleaned: Mapping[str, Any]) -> tuple[str, ...]:
        """What the chosen way of signing in cannot do without."""
        needed: dict[str, tuple[str, ...]] = {
            "token": ("token",),
            "basicAuth": ("password",),
            "certificate": ("certificate", "key"),
        }
        at_proxy = ("proxy_password",) if cleaned.get("proxy_username") else ()
        return (*needed.get(str(cleaned.get("auth_type")), ()), *at_proxy)

    def target(self, stored: Mapping[str, Any]) -> tuple[object, ...]:
        """Whom to trust belongs to it: an added authority or proxy could stand between."""
        url = str(stored.get("kubernetesURL") or "").rstrip("/")
        authority = "".join(str(stored.get("certAuthorityData") or "").split())
        others = ("username", "tlsServerName", "proxyURL", "proxyUsername")
        return url, stored.get("authType"), authority, *(stored.get(key) or "" for key in others)

    def proxy(self) -> Proxy | None:
        """The proxy as it is entered so far, with its stored password where it is still that one.

        Raises Refused.
        """
        url, username, password = (
            str(self[name].value() or "")
            for name in ("proxy_url", "proxy_username", "proxy_password")
        )
        stored = self.endpoint
        if stored and not password and url == stored.properties.get("proxyURL"):
            password = stored.credentials.get("proxyPassword", "")
        entered = {"proxyUsername": username, "proxyPassword": password}
        project = stored.project if stored else self._chosen_project()
        draft = Endpoint(project=project)
        draft.credentials = entered
        return proxy_at(url, credentials_of(draft))

    def _chosen_project(self) -> Project | None:
        with suppress(ValidationError):
            chosen: Project | None = self.fields["project"].clean(self["project"].value())
            return chosen
        return None

    def clean(self) -> dict[str, Any]:
        """Basic Auth needs a user name as well, and nothing else does.

        The pod's own account opens its own cluster only, which says by itself what to trust.
        """
        if self.cleaned_data.get("auth_type") == POD_ACCOUNT:
            others = ("authority", "server_name", "proxy_url", "proxy_username", "proxy_password")
            self.cleaned_data |= {"cluster_url": pod_server(), **dict.fromkeys(others, "")}
        if self.cleaned_data.get("proxy_username") and self.cleaned_data.get("proxy_url") == "":
            self.add_error("proxy_url", ValidationError(_("This field is required.")))
        if self.cleaned_data.get("auth_type") != "basicAuth":
            self.cleaned_data["username"] = ""
        elif not self.cleaned_data.get("username"):
            self.add_error("username", ValidationError(_("This field is required.")))
        if self.pasted.problem:
            self.add_error(self.pasted.faulty, self.pasted.problem)
        return super().clean()


def _notes(login: ClusterLogin) -> list[str]:
    notes = [str(_("Leave the kubeconfig in its field until you save: its secrets stay there."))]
    if login.skips_verification:
        notes.append(
            str(
                _(
                    "The kubeconfig switches the check of the certificate off. This is not taken "
                    "over: look at the certificate of the cluster, and accept it."
                )
            )
        )
    return notes


def _refuse_credentials_in(url: str) -> None:
    # An address in the path, as of a digest, is none of a person.
    if "@" in url.split("://", 1)[-1].split("/", 1)[0]:
        raise ValidationError(_("Leave user name and password out of the address."))

"""Reads the login of one context from a pasted kubeconfig.

Only what stands in the text itself is read. Whatever would run a program, read a file or act as
somebody else is refused by its name, with what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from codestream.core.errors import CodeStreamError
from codestream.core.http import origin
from codestream.core.json_types import Json, JsonObject
from pipelines.yaml_nodes import is_null, to_json
from pipelines.yaml_source import YamlError, compose

_FLATTEN = gettext_lazy(
    "It names a file, which is not read here. “kubectl config view --raw --flatten” writes the "
    "contents of the files into the kubeconfig: paste what it prints."
)
_PROGRAM = gettext_lazy(
    "It starts a program, which is not done here. Create a service account in the cluster, and "
    "enter its token."
)
_SOMEBODY_ELSE = gettext_lazy(
    "Acting as somebody else is not supported. Enter the login of an account of its own."
)
_OF_CLUSTER: Mapping[str, str | Promise] = {
    "certificate-authority": _FLATTEN,
}
_OF_USER: Mapping[str, str | Promise] = {
    "exec": _PROGRAM,
    "auth-provider": _PROGRAM,
    "tokenFile": _FLATTEN,
    "client-certificate": _FLATTEN,
    "client-key": _FLATTEN,
    **dict.fromkeys(("as", "as-uid", "as-groups", "as-user-extra"), _SOMEBODY_ELSE),
}


class KubeconfigError(CodeStreamError):
    """The pasted text is no kubeconfig that can be used; the message says what to do."""

    code = "kubeconfig"


class ContextNeeded(KubeconfigError):
    """The kubeconfig has several contexts and names none as the current one."""

    code = "kubeconfig_context"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLogin:
    """Where one context leads and what signs in there; the ``*_data`` are base64.

    ``skips_verification`` says that the kubeconfig trusts every certificate: it is told, and not
    followed.
    """

    server: str
    ca_data: str = ""
    tls_server_name: str = ""
    skips_verification: bool = False
    namespace: str = ""
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    cert_data: str = ""
    key_data: str = field(default="", repr=False)
    proxy_url: str = ""
    proxy_username: str = ""
    proxy_password: str = field(default="", repr=False)

    @property
    def auth_type(self) -> str:
        """The way to sign in; as with kubectl, a token counts before a password."""
        if self.token:
            return "token"
        return "certificate" if self.cert_data else "basicAuth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """A kubeconfig as far as it is read; ``current`` is empty where it names no context."""

    contexts: tuple[str, ...]
    current: str
    _root: JsonObject = field(repr=False)

    def login(self, context: str = "") -> ClusterLogin:
        """The login of a context, else of the current or the only one. Raises KubeconfigError."""
        only = self.contexts[0] if len(self.contexts) == 1 else ""
        wanted = context or self.current or only
        if not wanted:
            raise ContextNeeded(_("The kubeconfig has several contexts: choose one."))
        chosen = _member(self._root, "contexts", wanted, "context")
        cluster = _member(self._root, "clusters", _text(chosen, "cluster"), "cluster")
        user = _member(self._root, "users", _text(chosen, "user"), "user")
        _refuse(cluster, _OF_CLUSTER)
        _refuse(user, _OF_USER)
        login = ClusterLogin(
            server=_text(cluster, "server"),
            ca_data=_text(cluster, "certificate-authority-data"),
            tls_server_name=_text(cluster, "tls-server-name"),
            skips_verification=cluster.get("insecure-skip-tls-verify") is True,
            namespace=_text(chosen, "namespace"),
            token=_text(user, "token"),
            username=_text(user, "username"),
            password=_text(user, "password"),
            cert_data=_text(user, "client-certificate-data"),
            key_data=_text(user, "client-key-data"),
            **_proxy(_text(cluster, "proxy-url")),
        )
        _check(login, wanted)
        return login


def parse_kubeconfig(text: str) -> Kubeconfig:
    """Read a kubeconfig, YAML or JSON. Raises KubeconfigError."""
    try:
        roots = [root for root in compose(text) if not is_null(root)]
    except YamlError as error:
        raise KubeconfigError(
            _("Line %(line)s: %(problem)s.")
            % {"line": error.position.line, "problem": error.user_message}
        ) from error
    root = to_json(roots[0]) if len(roots) == 1 else None
    if not isinstance(root, dict) or not isinstance(root.get("clusters"), list):
        raise KubeconfigError(
            _("This is no kubeconfig: it has no list of clusters. Paste the whole file.")
        )
    contexts = tuple(_text(item, "name") for item in _items(root, "contexts"))
    if not contexts:
        raise KubeconfigError(_("The kubeconfig has no context."))
    return Kubeconfig(contexts=contexts, current=_text(root, "current-context"), _root=root)


def _check(login: ClusterLogin, context: str) -> None:
    if not login.server:
        raise KubeconfigError(
            _("The cluster of the context “%(name)s” has no server.") % {"name": context}
        )
    if not (login.token or login.username or login.cert_data):
        raise KubeconfigError(
            _(
                "The user of the context “%(name)s” has neither a token nor a user name nor a "
                "client certificate."
            )
            % {"name": context}
        )


def _proxy(url: str) -> dict[str, str]:
    """The proxy and what signs in there, apart from each other."""
    if not url:
        return {}
    place = origin(url)
    if not place.startswith("http://"):
        raise KubeconfigError(
            _("The kubeconfig uses “%(key)s”. %(instead)s")
            % {"key": "proxy-url", "instead": _("Only an HTTP proxy is supported, as http://host.")}
        )
    parts = urlsplit(url)
    return {
        "proxy_url": place,
        "proxy_username": unquote(parts.username or ""),
        "proxy_password": unquote(parts.password or ""),
    }


def _refuse(settings: JsonObject, refused: Mapping[str, str | Promise]) -> None:
    for key, instead in refused.items():
        if settings.get(key) not in (None, ""):
            raise KubeconfigError(
                _("The kubeconfig uses “%(key)s”. %(instead)s") % {"key": key, "instead": instead}
            )


def _member(root: JsonObject, section: str, name: str, noun: str) -> JsonObject:
    """The settings of one named entry: ``users: [{name: …, user: {…}}]``."""
    for item in _items(root, section):
        settings = item.get(noun)
        if _text(item, "name") == name and isinstance(settings, dict):
            return settings
    raise KubeconfigError(
        _("“%(section)s” in the kubeconfig has no entry “%(name)s”.")
        % {"section": section, "name": name}
    )


def _items(root: JsonObject, section: str) -> list[JsonObject]:
    listed = root.get(section)
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _text(settings: JsonObject, key: str) -> str:
    """The text of a setting, empty where it is not there. Raises KubeconfigError."""
    value: Json = settings.get(key)
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise KubeconfigError(_("“%(key)s” in the kubeconfig has to be a text.") % {"key": key})

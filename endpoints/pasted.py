"""Fills the form of a Kubernetes endpoint from a kubeconfig that was pasted into it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from endpoints.kubeconfig import ClusterLogin, ContextNeeded, KubeconfigError, parse_kubeconfig

SECRETS = ("token", "password", "certificate", "key", "proxy_password")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """What was pasted: the login in it, or the problem with it; neither where nothing was."""

    contexts: tuple[str, ...] = ()
    context: str = ""
    login: ClusterLogin | None = None
    problem: str = ""
    faulty: str = "kubeconfig"
    """The field that the problem is with."""
    mark: str = ""
    """Stands in the form once it has been filled from exactly this."""

    def shown(self, entered: Mapping[str, Any]) -> dict[str, Any]:
        """What was entered, with the fields as the kubeconfig fills them; without its secrets.

        It fills them once, and again when asked to: in between a person may change them.
        """
        plain = _plain(entered)
        if plain.get("filled_from") == self.mark and "fill" not in plain:
            return plain
        fields = {name: value for name, value in self._fields().items() if name not in SECRETS}
        return {**plain, **fields}

    def completed(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """What was sent, with what the kubeconfig adds.

        In a form that was filled from it, the fields count, since a person may have changed them,
        and only secrets that are left empty are added. In any other, the kubeconfig counts.
        """
        sent = _plain(data)
        fields = self._fields()
        if sent.get("filled_from") == self.mark:
            fields = {name: fields[name] for name in SECRETS if name in fields}
            fields = {name: value for name, value in fields.items() if not sent.get(name)}
        return {**sent, **fields}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret fields that are filled from it."""
        fields = self._fields()
        return tuple(name for name in SECRETS if fields.get(name))

    def _fields(self) -> dict[str, str]:
        if self.login is None:
            return {}
        login = self.login
        return {
            "context": self.context,
            "filled_from": self.mark,
            "cluster_url": login.server,
            "authority": login.ca_data,
            "server_name": login.tls_server_name,
            "namespace": login.namespace,
            "proxy_url": login.proxy_url,
            "proxy_username": login.proxy_username,
            "proxy_password": login.proxy_password,
            "auth_type": login.auth_type,
            "token": login.token,
            "username": login.username,
            "password": login.password,
            "certificate": login.cert_data,
            "key": login.key_data,
        }


def read_pasted(data: Mapping[str, Any]) -> Pasted:
    """Read what stands in the fields ``kubeconfig`` and ``context`` of a form."""
    text, wanted = str(data.get("kubeconfig") or ""), str(data.get("context") or "")
    if not text.strip():
        return Pasted()
    try:
        config = parse_kubeconfig(text)
    except KubeconfigError as error:
        return Pasted(problem=error.user_message)
    # Another kubeconfig may have been pasted since the context was chosen.
    context = wanted if wanted in config.contexts else config.current
    try:
        login = config.login(context)
    except KubeconfigError as error:
        return Pasted(
            contexts=config.contexts,
            context=context,
            problem=error.user_message,
            faulty="context" if isinstance(error, ContextNeeded) else "kubeconfig",
        )
    return Pasted(contexts=config.contexts, context=context, login=login, mark=_mark(text, context))


def _mark(text: str, context: str) -> str:
    content = "\0".join((context, *text.split()))
    return hashlib.sha256(content.encode()).hexdigest()


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return data.dict() if isinstance(data, QueryDict) else dict(data)

"""Kubeconfig files with inline data: written for the cluster of the tests, read for any other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from endpoints.clients.kubernetes import ClusterAccess

NAME = "tests"
VARIABLE = "TEST_KUBECONFIG"


def real_access(context: str = "") -> ClusterAccess | None:
    """The real cluster that the tests are to use, or None where there is none.

    With a context the login of that one, which not every cluster has.
    """
    file = os.environ.get(VARIABLE)
    return read_kubeconfig(Path(file)).get(context) if file else None


def process_of(program: str) -> int | None:
    """The process number of a program of the cluster; None where the tests did not start it."""
    file = Path(os.environ.get(VARIABLE, "")).with_name(f"{program}.pid")
    return int(file.read_text()) if file.exists() else None


def write_kubeconfig(file: Path, url: str, ca: str, users: Mapping[str, Mapping[str, str]]) -> None:
    """One cluster and a context for each user; the first one is the current context."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": NAME, "cluster": {"server": url, "certificate-authority-data": ca}},
        ],
        "users": [{"name": name, "user": dict(login)} for name, login in users.items()],
        "contexts": [{"name": name, "context": {"cluster": NAME, "user": name}} for name in users],
        "current-context": next(iter(users)),
    }
    file.write_text(yaml.safe_dump(document))
    file.chmod(0o600)


def read_kubeconfig(file: Path) -> dict[str, ClusterAccess]:
    """How to reach the cluster in each context; under "" the current one."""
    document: Any = yaml.safe_load(file.read_text())
    clusters = {each["name"]: each["cluster"] for each in document["clusters"]}
    users = {each["name"]: each["user"] for each in document["users"]}
    contexts = {each["name"]: each["context"] for each in document["contexts"]}
    found = {
        name: _access(clusters[context["cluster"]], users[context["user"]])
        for name, context in contexts.items()
    }
    return found | {"": found[document["current-context"]]}


def _access(cluster: Mapping[str, Any], user: Mapping[str, str]) -> ClusterAccess:
    return ClusterAccess(
        url=cluster["server"],
        ca_data=cluster.get("certificate-authority-data", ""),
        verify=not cluster.get("insecure-skip-tls-verify", False),
        token=user.get("token", ""),
        username=user.get("username", ""),
        password=user.get("password", ""),
        cert_data=user.get("client-certificate-data", ""),
        key_data=user.get("client-key-data", ""),
    )

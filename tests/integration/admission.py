"""An admission webhook in front of the cluster of the tests, real or played by the stand-in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from codestream.core.json_types import JsonObject
from codestream.sandbox.http_server import HttpServer, Request, Response, json_response
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.base import Invalid
from endpoints.clients.kubernetes import Kubernetes, ObjectRef
from tests.cluster.certificates import Authority, server_context
from tests.contracts.kubernetes.manifests import config_map, wait_for

NAME = "policy.example.com"
RULES: JsonObject = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
CONFIGURATION = "ValidatingWebhookConfiguration"


class Policy:
    """Denies every ConfigMap with these words, until it goes away and comes back agreeing."""

    def deny(self, words: str) -> None:
        raise NotImplementedError

    def go_away(self) -> None:
        raise NotImplementedError

    def come_back(self) -> None:
        raise NotImplementedError


class PlayedPolicy(Policy):
    """What the stand-in plays: one call meets the policy, the next one no more."""

    def __init__(self, server: KubernetesServer) -> None:
        self._url = f"{server.url}/_control/fail"

    def deny(self, words: str) -> None:
        self._wish(denial=words)

    def go_away(self) -> None:
        self._wish()

    def come_back(self) -> None:
        """It is back for the next call."""

    def _wish(self, **denial: str) -> None:
        wish = {"verb": "apply", "resource": "configmaps", "webhook": NAME, **denial}
        with urlopen(HttpRequest(self._url, data=json.dumps(wish).encode())):
            pass


class RealPolicy(Policy):
    """A small TLS server on loopback that the API server asks."""

    def __init__(self) -> None:
        self.authority = Authority()
        self._context = server_context(self.authority.server())
        self._words = ""
        self._server = HttpServer(self._answer, tls=self._context)
        self._server.start()
        self.url = self._server.url
        self._runs = True

    def deny(self, words: str) -> None:
        self._words = words

    def go_away(self) -> None:
        if self._runs:
            self._server.stop()
        self._runs = False

    def come_back(self) -> None:
        self._words, port = "", urlsplit(self.url).port or 0
        self._server = HttpServer(self._answer, port=port, tls=self._context)
        self._server.start()
        self._runs = True

    def _answer(self, request: Request) -> Response:
        review = json.loads(request.body)
        answer: JsonObject = {"uid": review["request"]["uid"], "allowed": not self._words}
        if self._words:
            answer["status"] = {"code": 403, "message": self._words}
        return json_response(
            {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        )


@contextmanager
def real_policy(cluster: Kubernetes, namespace: str) -> Iterator[Policy]:
    """A policy for the ConfigMaps of one namespace, in force from the beginning."""
    policy = RealPolicy()
    group = "admissionregistration.k8s.io/v1"
    ref = ObjectRef(api_version=group, kind=CONFIGURATION, name=namespace)
    cluster.create(
        {
            "apiVersion": group,
            "kind": CONFIGURATION,
            "metadata": {"name": namespace},
            "webhooks": [
                {
                    "name": NAME,
                    "clientConfig": {
                        "url": policy.url,
                        "caBundle": base64.b64encode(policy.authority.certificate).decode(),
                    },
                    "rules": [{**RULES, "operations": ["CREATE", "UPDATE"]}],
                    "objectSelector": {"matchLabels": {"name": namespace}},
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 2,
                }
            ],
        }
    )
    try:
        policy.deny("not yet")
        wait_for(lambda: _is_denied(cluster, namespace), bool)
        yield policy
    finally:
        cluster.delete(ref)
        policy.go_away()


def _is_denied(cluster: Kubernetes, namespace: str) -> bool:
    try:
        cluster.apply(config_map(namespace, namespace))
    except Invalid:
        return True
    return False

"""What the stand-in cluster refuses in an object that can be read, and what it fills in.

The refusals are the API server's 422 with its causes; the defaults are those a client can see.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from codestream.sandbox.kubernetes_answers import Cause, bad_request, required
from codestream.sandbox.kubernetes_resources import Body

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_NAMED = frozenset({"Namespace", "Service"})
DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"


def faults_of(body: Body, before: Body | None = None) -> list[Cause]:
    """Everything wrong with an object; ``before`` is what it replaces."""
    kind = body["kind"]
    causes = [*_metadata(kind, body["metadata"])]
    if kind in ("Deployment", "ReplicaSet"):
        causes += _workload(body["spec"], (before or {}).get("spec"))
    elif kind == "Pod":
        causes += _containers(body["spec"], "spec")
    elif kind == "Service":
        causes += _service(body["spec"])
    elif kind == "Secret":
        causes += _secret(body, before)
    return causes


def complete(body: Body) -> None:
    """Fill in the defaults of the server, in place. Raises ApiError 400 for data not in base64."""
    kind = body["kind"]
    if kind in ("Deployment", "ReplicaSet", "Service", "Pod"):
        body.setdefault("spec", {})
    if kind == "Deployment":
        _complete_deployment(body["spec"])
    elif kind == "ReplicaSet":
        body["spec"].setdefault("replicas", 1)
    elif kind == "Pod":
        _complete_pod(body["spec"])
    elif kind == "Service":
        _complete_service(body)
    elif kind == "Secret":
        _complete_secret(body)


def _metadata(kind: str, meta: Body) -> Iterator[Cause]:
    name = meta.get("name", "")
    word, pattern = ("label", DNS_LABEL) if kind in LABEL_NAMED else ("subdomain", DNS_SUBDOMAIN)
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif not pattern.fullmatch(name):
        told = f"Invalid value: {json.dumps(name)}: a lowercase RFC 1123 {word} must consist of "
        told += "lower case alphanumeric characters, '-' or '.'"
        yield Cause(field="metadata.name", message=told)
    yield from _labels(meta, "metadata.labels")


def _labels(meta: Body, path: str) -> Iterator[Cause]:
    for value in (meta.get("labels") or {}).values():
        if not LABEL_VALUE.fullmatch(value):
            told = (
                "a valid label must be an empty string or consist of alphanumeric characters, "
                "'-', '_' or '.'"
            )
            yield Cause(field=path, message=f"Invalid value: {json.dumps(value)}: {told}")


def _workload(spec: Body, before: Body | None) -> Iterator[Cause]:
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not wanted:
        yield required("spec.selector")
    elif not wanted.items() <= labels.items():
        told = f"Invalid value: {json.dumps(labels)}: `selector` does not match template `labels`"
        yield Cause(field="spec.template.metadata.labels", message=told)
    if before and before.get("selector") != spec.get("selector"):
        told = f"Invalid value: {json.dumps(spec.get('selector'))}: field is immutable"
        yield Cause(field="spec.selector", message=told)
    if spec.get("replicas", 1) < 0:
        told = f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"
        yield Cause(field="spec.replicas", message=told)
    yield from _labels(template.get("metadata") or {}, "spec.template.labels")
    yield from _containers(template.get("spec") or {}, "spec.template.spec")


def _containers(spec: Body, path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    for group in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(group) or []):
            yield from _container(container, f"{path}.{group}[{number}]")


def _container(container: Body, path: str) -> Iterator[Cause]:
    if not container.get("name"):
        yield required(f"{path}.name")
    elif not DNS_LABEL.fullmatch(container["name"]):
        told = f"Invalid value: {json.dumps(container['name'])}: a lowercase RFC 1123 label must "
        told += "consist of lower case alphanumeric characters or '-'"
        yield Cause(field=f"{path}.name", message=told)
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        told = f"Invalid value: {json.dumps(image)}: must not have leading or trailing whitespace"
        yield Cause(field=f"{path}.image", message=told)
    for number, port in enumerate(container.get("ports") or []):
        yield from _port(port, "containerPort", f"{path}.ports[{number}]")


def _service(spec: Body) -> Iterator[Cause]:
    headless = spec.get("clusterIP") == "None" or spec.get("type") == "ExternalName"
    if not spec.get("ports") and not headless:
        yield required("spec.ports")
    for number, port in enumerate(spec.get("ports") or []):
        yield from _port(port, "port", f"spec.ports[{number}]")


def _port(port: Body, name: str, path: str) -> Iterator[Cause]:
    if name not in port:
        yield required(f"{path}.{name}")
    elif not 0 < port[name] < 65536:
        told = f"Invalid value: {port[name]}: must be between 1 and 65535, inclusive"
        yield Cause(field=f"{path}.{name}", message=told)


def _secret(body: Body, before: Body | None) -> Iterator[Cause]:
    if before and before.get("type") != body.get("type"):
        told = f"Invalid value: {json.dumps(body.get('type'))}: field is immutable"
        yield Cause(field="type", message=told)
    if body.get("type") != DOCKER_CONFIG:
        return
    encoded = (body.get("data") or {}).get(".dockerconfigjson")
    if encoded is None:
        yield required("data[.dockerconfigjson]")
        return
    try:
        json.loads(base64.b64decode(encoded))
    except ValueError:
        told = 'Invalid value: "<secret contents redacted>": invalid character looking for '
        told += "beginning of value"
        yield Cause(field="data[.dockerconfigjson]", message=told)


def _complete_deployment(spec: Body) -> None:
    _default(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _default(strategy.setdefault("rollingUpdate", {}), maxSurge="25%", maxUnavailable="25%")
    else:
        strategy.pop("rollingUpdate", None)
    _complete_pod(spec.setdefault("template", {}).setdefault("spec", {}))


def _complete_pod(spec: Body) -> None:
    _default(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
        securityContext={},
    )
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        tag = container.get("image", "").rpartition("/")[2].partition(":")[2]
        _default(
            container,
            imagePullPolicy="IfNotPresent" if tag not in ("", "latest") else "Always",
            terminationMessagePath="/dev/termination-log",
            terminationMessagePolicy="File",
            resources={},
        )
        for port in container.get("ports") or []:
            port.setdefault("protocol", "TCP")


def _complete_service(body: Body) -> None:
    spec = body["spec"]
    _default(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    if spec["type"] != "ExternalName" and "clusterIP" not in spec:
        spec["clusterIP"] = _address("10.96", body["metadata"])
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        if "port" in port:
            port.setdefault("targetPort", port["port"])


def _complete_secret(body: Body) -> None:
    body.setdefault("type", "Opaque")
    for value in (body.get("data") or {}).values():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_request(
                'Secret in version "v1" cannot be handled as a Secret: illegal base64 data'
            ) from error
    for name, text in (body.pop("stringData", None) or {}).items():
        body.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()


def _address(network: str, meta: Body) -> str:
    digest = binascii.crc32(f"{meta.get('namespace')}/{meta.get('name')}".encode())
    return f"{network}.{digest >> 8 & 255}.{digest % 254 + 1}"


def _default(spec: Body, **values: Any) -> None:
    for name, value in values.items():
        spec.setdefault(name, value)

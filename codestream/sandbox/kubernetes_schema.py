"""The fields that the stand-in cluster knows, as one compact table, and the check against it.

The table also says which lists are merged by a key and which maps are replaced as a whole, as
the markers in the real API types do (listType, listMapKey, mapType).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Fields:
    """A map with known keys."""

    known: Mapping[str, Shape]
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Values:
    """A map with free keys."""

    of: Shape
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list; with ``keys`` its items are told apart by these fields and merged one by one."""

    of: Shape
    keys: tuple[str, ...] = ()


Scalar: TypeAlias = type[int] | type[str] | type[bool]
Shape: TypeAlias = Fields | Values | Items | Scalar | None

SCALARS: dict[str, Scalar] = {"int": int, "str": str, "bool": bool}
SCALAR_WORDS = {int: "numeric (int or float)", str: "string", bool: "boolean"}


def fields(names: str, /, *, atomic: bool = False, **nested: Shape) -> Fields:
    """A shape from words such as ``"name:str tty:bool lifecycle"``; untyped words take anything."""
    known: dict[str, Shape] = {}
    for word in names.split():
        name, _, kind = word.partition(":")
        known[name] = SCALARS[kind] if kind else None
    return Fields(known | nested, atomic)


LABELS = Values(str)
SELECTOR = fields(
    "",
    atomic=True,
    matchLabels=LABELS,
    matchExpressions=Items(fields("key:str operator:str values")),
)
METADATA = fields(
    "name:str generateName:str namespace:str uid:str resourceVersion generation:int selfLink "
    "creationTimestamp deletionTimestamp deletionGracePeriodSeconds managedFields",
    labels=LABELS,
    annotations=LABELS,
    finalizers=Items(str),
    ownerReferences=Items(
        fields("apiVersion:str kind:str name:str uid:str controller:bool blockOwnerDeletion:bool"),
        keys=("uid",),
    ),
)
KEY_SELECTOR = fields("name:str key:str optional:bool", atomic=True)
ENV = fields(
    "name:str value:str",
    valueFrom=fields(
        "",
        secretKeyRef=KEY_SELECTOR,
        configMapKeyRef=KEY_SELECTOR,
        fieldRef=fields("apiVersion:str fieldPath:str", atomic=True),
        resourceFieldRef=fields("containerName:str resource:str divisor", atomic=True),
    ),
)
PROBE = fields(
    "initialDelaySeconds:int timeoutSeconds:int periodSeconds:int successThreshold:int "
    "failureThreshold:int terminationGracePeriodSeconds:int",
    exec=fields("command"),
    httpGet=fields("path:str port host:str scheme:str httpHeaders"),
    tcpSocket=fields("port host:str"),
    grpc=fields("port:int service:str"),
)
SOURCE_REF = fields("name:str optional:bool")
CONTAINER = fields(
    "name:str image:str command args workingDir:str imagePullPolicy:str securityContext lifecycle "
    "stdin:bool stdinOnce:bool tty:bool terminationMessagePath:str terminationMessagePolicy:str "
    "resizePolicy restartPolicy:str restartPolicyRules",
    env=Items(ENV, keys=("name",)),
    envFrom=Items(fields("prefix:str", configMapRef=SOURCE_REF, secretRef=SOURCE_REF)),
    ports=Items(
        fields("containerPort:int protocol:str name:str hostPort:int hostIP:str"),
        keys=("containerPort", "protocol"),
    ),
    resources=fields("claims", limits=Values(None), requests=Values(None)),
    volumeMounts=Items(
        fields(
            "name:str mountPath:str subPath:str subPathExpr:str readOnly:bool "
            "mountPropagation:str recursiveReadOnly:str"
        ),
        keys=("mountPath",),
    ),
    volumeDevices=Items(fields("name:str devicePath:str"), keys=("devicePath",)),
    livenessProbe=PROBE,
    readinessProbe=PROBE,
    startupProbe=PROBE,
)
VOLUME = fields(
    "name:str awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI "
    "emptyDir ephemeral fc flexVolume flocker gcePersistentDisk gitRepo glusterfs hostPath image "
    "iscsi nfs persistentVolumeClaim photonPersistentDisk portworxVolume projected quobyte rbd "
    "scaleIO secret storageos vsphereVolume"
)
POD_SPEC = fields(
    "restartPolicy:str terminationGracePeriodSeconds:int activeDeadlineSeconds:int dnsPolicy:str "
    "serviceAccountName:str serviceAccount:str automountServiceAccountToken:bool nodeName:str "
    "hostNetwork:bool hostPID:bool hostIPC:bool hostUsers:bool shareProcessNamespace:bool "
    "securityContext hostname:str subdomain:str affinity schedulerName:str tolerations "
    "priorityClassName:str priority:int dnsConfig readinessGates runtimeClassName:str "
    "enableServiceLinks:bool preemptionPolicy:str overhead setHostnameAsFQDN:bool os "
    "schedulingGates resourceClaims resources ephemeralContainers hostnameOverride:str",
    containers=Items(CONTAINER, keys=("name",)),
    initContainers=Items(CONTAINER, keys=("name",)),
    volumes=Items(VOLUME, keys=("name",)),
    imagePullSecrets=Items(fields("name:str"), keys=("name",)),
    nodeSelector=Values(str, atomic=True),
    hostAliases=Items(fields("ip:str hostnames"), keys=("ip",)),
    topologySpreadConstraints=Items(None),
)
TEMPLATE = fields("", metadata=METADATA, spec=POD_SPEC)
DEPLOYMENT_SPEC = fields(
    "replicas:int minReadySeconds:int revisionHistoryLimit:int progressDeadlineSeconds:int "
    "paused:bool",
    selector=SELECTOR,
    template=TEMPLATE,
    strategy=fields("type:str", rollingUpdate=fields("maxSurge maxUnavailable")),
)
SERVICE_SPEC = fields(
    "type:str clusterIP:str clusterIPs externalIPs externalName:str sessionAffinity:str "
    "sessionAffinityConfig loadBalancerIP:str loadBalancerSourceRanges loadBalancerClass:str "
    "allocateLoadBalancerNodePorts:bool externalTrafficPolicy:str internalTrafficPolicy:str "
    "trafficDistribution:str healthCheckNodePort:int publishNotReadyAddresses:bool ipFamilies "
    "ipFamilyPolicy:str",
    selector=Values(str, atomic=True),
    ports=Items(
        fields("name:str port:int protocol:str targetPort nodePort:int appProtocol:str"),
        keys=("port", "protocol"),
    ),
)


def _object(names: str = "", /, **nested: Shape) -> Fields:
    common = fields(f"apiVersion:str kind:str status {names}", metadata=METADATA)
    return Fields({**common.known, **nested})


SHAPES: Mapping[str, Fields] = {
    "Namespace": _object(spec=fields("finalizers")),
    "Secret": _object("type:str immutable:bool", data=Values(str), stringData=Values(str)),
    "ConfigMap": _object("immutable:bool", data=Values(str), binaryData=Values(str)),
    "Service": _object(spec=SERVICE_SPEC),
    "Pod": _object(spec=POD_SPEC),
    "Event": _object(
        "involvedObject reason message type source count firstTimestamp lastTimestamp eventTime "
        "series action related reportingComponent reportingInstance"
    ),
    "Deployment": _object(spec=DEPLOYMENT_SPEC),
    "ReplicaSet": _object(
        spec=fields("replicas:int minReadySeconds:int", selector=SELECTOR, template=TEMPLATE)
    ),
}


class Fault(StrEnum):
    """What can be wrong with one place of a body."""

    UNKNOWN = "unknown"
    TYPE = "type"
    KEYLESS = "keyless"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A fault and its place, by position (``spec.a[0].b``) and by key (``.spec.a[name="x"].b``)."""

    fault: Fault
    path: str
    keyed: str
    told: str


def problems(value: Any, shape: Shape, *, path: str = "", keyed: str = "") -> Iterator[Problem]:
    """Everything in ``value`` that the shape does not know; null counts as absent."""
    if value is None or shape is None:
        return
    if isinstance(shape, Items):
        yield from _items(value, shape, path, keyed)
    elif isinstance(shape, Fields | Values):
        yield from _members(value, shape, path, keyed)
    elif type(value) is not shape:
        told = f"expected {SCALAR_WORDS[shape]}, got {value!r}"
        yield Problem(fault=Fault.TYPE, path=path, keyed=keyed, told=told)


def child(shape: Shape, name: str) -> Shape:
    """The shape of a member; None where the table does not go further."""
    if isinstance(shape, Fields):
        return shape.known.get(name)
    return shape.of if isinstance(shape, Values) else None


def _members(value: Any, shape: Fields | Values, path: str, keyed: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        told = f"expected map, got {value!r}"
        yield Problem(fault=Fault.TYPE, path=path, keyed=keyed, told=told)
        return
    for name, item in value.items():
        inner = f"{path}.{name}" if path else str(name)
        inner_keyed = f"{keyed}.{name}"
        if isinstance(shape, Fields) and name not in shape.known:
            told = "field not declared in schema"
            yield Problem(fault=Fault.UNKNOWN, path=inner, keyed=inner_keyed, told=told)
        else:
            yield from problems(item, child(shape, name), path=inner, keyed=inner_keyed)


def _items(value: Any, shape: Items, path: str, keyed: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        told = f"expected list, got {value!r}"
        yield Problem(fault=Fault.TYPE, path=path, keyed=keyed, told=told)
        return
    for number, item in enumerate(value):
        label = str(number)
        if shape.keys and isinstance(item, dict):
            key = shape.keys[0]
            if key not in item:
                told = f"element {number}: associative list with keys has an element that omits "
                told += f'key field "{key}"'
                yield Problem(fault=Fault.KEYLESS, path=path, keyed=keyed, told=told)
            label = f'{key}="{item.get(key, "")}"'
        yield from problems(item, shape.of, path=f"{path}[{number}]", keyed=f"{keyed}[{label}]")

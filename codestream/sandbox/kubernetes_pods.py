"""The life of a pod: its status as a pure function of its containers and its age.

There is no container runtime. An image whose last path segment contains ``missing`` cannot be
pulled; one that is not an image reference cannot even be named; all others start.
"""

from __future__ import annotations

import binascii
import re

from codestream.sandbox.kubernetes_resources import Body

REFERENCE = re.compile(
    r"(?P<name>[a-zA-Z0-9][\w.:-]*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
NODE = "stand-in"

# Parts of the time a pod is given to become ready.
SCHEDULED = 0.3
BACKED_OFF = 0.8


def pod_status(pod: Body, age: float, *, started_at: str) -> Body:
    """The status at ``age``, where 1.0 is the age at which a good pod is ready."""
    containers = [_container_status(c, age, started_at) for c in pod["spec"]["containers"]]
    running = all("running" in container["state"] for container in containers)
    ready = all(container["ready"] for container in containers)
    status: Body = {
        "phase": "Running" if running else "Pending",
        "conditions": [
            _condition("PodScheduled", True),
            _condition("Initialized", True),
            _condition("ContainersReady", ready),
            _condition("Ready", ready),
        ],
        "hostIP": "10.0.0.1",
        "startTime": started_at,
        "qosClass": "BestEffort",
        "containerStatuses": containers,
    }
    if running:
        status["podIP"] = pod_address(pod["metadata"]["uid"])
        status["podIPs"] = [{"ip": status["podIP"]}]
    return status


def is_ready(pod: Body) -> bool:
    """Whether the condition Ready is true."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def is_settled(pod: Body) -> bool:
    """Whether the pod stays as it is, however old it grows."""
    return is_ready(pod) or waiting_reason(pod)[0] in ("ImagePullBackOff", "InvalidImageName")


def waiting_reason(pod: Body) -> tuple[str, str]:
    """Why the first waiting container waits, and its message; empty texts when none does."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        waiting = container["state"].get("waiting")
        if waiting:
            return waiting["reason"], waiting.get("message", "")
    return "", ""


def is_missing(image: str) -> bool:
    """Whether the repository's last segment contains ``missing``."""
    repository = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return "missing" in repository


def pod_address(uid: str) -> str:
    """An address in the pod network, the same for the same pod."""
    digest = binascii.crc32(uid.encode())
    return f"10.244.{digest >> 8 & 255}.{digest % 254 + 1}"


def _container_status(container: Body, age: float, started_at: str) -> Body:
    image = container["image"]
    status: Body = {
        "name": container["name"],
        "image": image,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": _waiting(image, age)},
        "lastState": {},
    }
    if age >= SCHEDULED and REFERENCE.fullmatch(image) and not is_missing(image):
        status["state"] = {"running": {"startedAt": started_at}}
        status["started"] = True
        status["ready"] = age >= 1
        status["imageID"] = image
    return status


def _waiting(image: str, age: float) -> Body:
    if age < SCHEDULED:
        return {"reason": "ContainerCreating"}
    if not REFERENCE.fullmatch(image):
        told = f'Failed to apply default image tag "{image}": couldn\'t parse image name '
        return {"reason": "InvalidImageName", "message": told + "invalid reference format"}
    told = (
        f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
        "not found"
    )
    if age < BACKED_OFF:
        return {"reason": "ErrImagePull", "message": told}
    return {
        "reason": "ImagePullBackOff",
        "message": f'Back-off pulling image "{image}": ErrImagePull: {told}',
    }


def _condition(kind: str, true: bool) -> Body:
    return {"type": kind, "status": "True" if true else "False"}

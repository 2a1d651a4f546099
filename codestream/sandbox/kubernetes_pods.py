"""The life of a pod: its status as a pure function of its containers and its age.

There is no container runtime: the last path segment of an image says how it behaves (``Play``).
"""

from __future__ import annotations

import binascii
import re
from enum import StrEnum

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
BETWEEN_RESTARTS = 0.3
MOST_RESTARTS = 5


class Play(StrEnum):
    """How an image behaves; an image without one of these words in its name just runs."""

    MISSING = "missing"
    PRIVATE = "private"
    CRASH = "crash"
    SICK = "sick"
    GOOD = ""


def pod_status(pod: Body, age: float, *, started_at: str) -> Body:
    """The status at ``age``, where 1.0 is the age at which a good pod is ready."""
    containers = [_container_status(pod, c, age, started_at) for c in pod["spec"]["containers"]]
    running = all("waiting" not in c["state"] or c["restartCount"] for c in containers)
    ready = all(container["ready"] for container in containers)
    status: Body = {
        "phase": _phase(containers, running),
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


def pod_log(pod: Body) -> str:
    """What the first container of the pod has written."""
    image = pod["spec"]["containers"][0]["image"]
    if play_of(image) is Play.CRASH:
        return "starting\nreading the settings\nfatal: cannot reach the database at db:5432\n"
    return "starting\nready\n"


def is_ready(pod: Body) -> bool:
    """Whether the condition Ready is true."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def is_settled(pod: Body) -> bool:
    """Whether the pod stays as it is, however old it grows."""
    if is_ready(pod) or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return True
    return waiting_reason(pod)[0] in ("ImagePullBackOff", "InvalidImageName") or any(
        c["restartCount"] >= MOST_RESTARTS or (c["started"] and play_of(c["image"]) is Play.SICK)
        for c in pod.get("status", {}).get("containerStatuses", [])
    )


def waiting_reason(pod: Body) -> tuple[str, str]:
    """Why the first waiting container waits, and its message; empty texts when none does."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        waiting = container["state"].get("waiting")
        if waiting:
            return waiting["reason"], waiting.get("message", "")
    return "", ""


def event_of(pod: Body) -> tuple[str, str, str]:
    """Type, reason and message of the event that a kubelet emits when a pod comes to this."""
    reason, message = waiting_reason(pod)
    if not reason:
        return "Normal", "Started", "Started container"
    if reason == "ContainerCreating":
        return "Normal", "Scheduled", "Successfully assigned the pod to a node"
    if reason == "ErrImagePull":
        image = pod["spec"]["containers"][0]["image"]
        return "Warning", "Failed", f'Failed to pull image "{image}": rpc error: {message}'
    return "Warning", "Failed" if reason == "InvalidImageName" else "BackOff", message


def play_of(image: str) -> Play:
    """The word in the repository's last segment that says how the image behaves."""
    repository = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return next((play for play in Play if play in repository), Play.GOOD)


def pod_address(uid: str) -> str:
    """An address in the pod network, the same for the same pod."""
    digest = binascii.crc32(uid.encode())
    return f"10.244.{digest >> 8 & 255}.{digest % 254 + 1}"


def _container_status(pod: Body, container: Body, age: float, started_at: str) -> Body:
    image = container["image"]
    play = play_of(image)
    status: Body = {
        "name": container["name"],
        "image": image,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}},
        "lastState": {},
    }
    refusal = _refusal(pod, image)
    if age < SCHEDULED:
        return status
    if refusal:
        return status | {"state": {"waiting": _waiting(image, refusal, age)}}
    status["imageID"] = image
    once = pod["spec"].get("restartPolicy", "Always") != "Always"
    if once and age >= 1:
        code = int(play is Play.CRASH)
        return status | {"state": {"terminated": _terminated(code, started_at)}}
    if play is Play.CRASH and age >= BACKED_OFF:
        return status | _crashed(pod, container, age, started_at)
    status["state"] = {"running": {"startedAt": started_at}}
    status["started"] = True
    status["ready"] = age >= 1 and play is not Play.SICK and not once
    return status


def _crashed(pod: Body, container: Body, age: float, started_at: str) -> Body:
    restarts = min(1 + int((age - BACKED_OFF) / BETWEEN_RESTARTS), MOST_RESTARTS)
    meta = pod["metadata"]
    told = f"back-off {10 * 2 ** (restarts - 1)}s restarting failed container={container['name']} "
    told += f"pod={meta['name']}_{meta['namespace']}({meta['uid']})"
    return {
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": told}},
        "lastState": {"terminated": _terminated(1, started_at)},
        "restartCount": restarts,
    }


def _terminated(code: int, at: str) -> Body:
    reason = "Error" if code else "Completed"
    return {"exitCode": code, "reason": reason, "startedAt": at, "finishedAt": at}


def _refusal(pod: Body, image: str) -> str:
    """Why the image cannot be had; empty when it can."""
    if not REFERENCE.fullmatch(image):
        return "couldn't parse image name invalid reference format"
    failed = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
    if play_of(image) is Play.MISSING:
        return failed + "not found"
    if play_of(image) is Play.PRIVATE and not pod["spec"].get("imagePullSecrets"):
        return failed + "pull access denied, unexpected status: 401 Unauthorized"
    return ""


def _waiting(image: str, refusal: str, age: float) -> Body:
    if not REFERENCE.fullmatch(image):
        told = f'Failed to apply default image tag "{image}": {refusal}'
        return {"reason": "InvalidImageName", "message": told}
    if age < BACKED_OFF:
        return {"reason": "ErrImagePull", "message": refusal}
    # As kubelets before 1.31: why it cannot be pulled is told by an event only.
    return {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}


def _phase(containers: list[Body], running: bool) -> str:
    ended = [c["state"]["terminated"]["exitCode"] for c in containers if "terminated" in c["state"]]
    if len(ended) == len(containers):
        return "Failed" if any(ended) else "Succeeded"
    return "Running" if running else "Pending"


def _condition(kind: str, true: bool) -> Body:
    return {"type": kind, "status": "True" if true else "False"}

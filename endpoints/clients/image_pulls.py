"""Says why an image cannot be pulled: what the registry answered, which login there is. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from codestream.core.words import Words, gettext_noop
from endpoints.clients.image_references import DOCKER_HUB, DOCKER_HUB_NAMES, split_host
from endpoints.clients.kubernetes_objects import Body, objects_at, text_at

DENIED = re.compile(r"\b(401|403)\b|denied|unauthorized|authorization", re.IGNORECASE)
STATUS = re.compile(r"\b(?P<code>401|403|404|429|5\d\d)\b")
MISSING = re.compile(r"not found|manifest unknown|does not exist", re.IGNORECASE)


def pull_words(pod: Body, event: str, secret: Callable[[str], Body]) -> Words:
    """The reason in one clause, empty where nothing is known.

    ``event`` is what the kubelet said of the failed pull; ``secret`` gives a Secret by name, empty
    where it does not exist or may not be read.
    """
    image = _image(pod, event)
    if not event or not image:
        return Words("")
    host = registry_of(image)
    if DENIED.search(event):
        said = {"host": host, "image": image, "login": _login_words(pod, host, secret)}
        if found := STATUS.search(event):
            text = gettext_noop("%(host)s answered %(status)s for %(image)s, %(login)s")
            return Words(text, {**said, "status": found["code"]})
        return Words(gettext_noop("%(host)s denied access to %(image)s, %(login)s"), said)
    if MISSING.search(event):
        return Words(
            gettext_noop("%(host)s does not have %(image)s"), {"host": host, "image": image}
        )
    return Words.plain(event)


def registry_of(image: str) -> str:
    """The host of the registry that an image is pulled from."""
    return split_host(image)[0]


def hosts_of(secret: Body) -> frozenset[str]:
    """The registries that a pull secret has a login for."""
    try:
        text = base64.b64decode(text_at(secret, "data", ".dockerconfigjson"))
        logins = json.loads(text).get("auths", {})
    except (binascii.Error, ValueError, AttributeError):
        return frozenset()
    return frozenset(map(_host, logins)) if isinstance(logins, dict) else frozenset()


def _host(address: str) -> str:
    host = urlsplit(address if "//" in address else f"//{address}").netloc
    return DOCKER_HUB if host in DOCKER_HUB_NAMES else host


def _login_words(pod: Body, host: str, secret: Callable[[str], Body]) -> Words:
    names = [text_at(each, "name") for each in objects_at(pod, "spec", "imagePullSecrets")]
    if not names:
        return Words(gettext_noop("and the pod names no imagePullSecret"))
    secrets = {name: secret(name) for name in names}
    if missing := sorted(name for name, body in secrets.items() if not body):
        text = gettext_noop("and the imagePullSecret %(names)s is not there or may not be read")
        return Words(text, {"names": ", ".join(missing)})
    fitting = sorted(name for name, body in secrets.items() if host in hosts_of(body))
    if not fitting:
        text = gettext_noop("and no imagePullSecret names that host (%(names)s)")
        return Words(text, {"names": ", ".join(sorted(names))})
    text = gettext_noop("and does not accept the login of imagePullSecret %(names)s")
    return Words(text, {"names": ", ".join(fitting)})


def _image(pod: Body, event: str) -> str:
    images = [text_at(each, "image") for each in objects_at(pod, "spec", "containers")]
    images += [text_at(each, "image") for each in objects_at(pod, "spec", "initContainers")]
    return next((image for image in images if image and f'"{image}"' in event), "")

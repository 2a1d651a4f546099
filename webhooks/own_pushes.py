"""Finds the task of the project whose push a delivery tells of, so that no pipeline starts itself.

What tasks push is written down before they push it (``executions.runners.base``). Each such push
stands behind one ``Push`` of a webhook at most: what comes later under the same tag is somebody
else's.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from codestream.core.prepared import Prepared
from endpoints.clients.image_references import DOCKER_HUB, canonical_name
from endpoints.kinds import repository_of
from executions.models import ImagePush
from webhooks.models import DockerWebhook, Push
from webhooks.registries.base import ImagePushed

MOST_LOOKED_AT = 100
CLOCKS_APART = timedelta(seconds=1)
ON_THE_WAY = timedelta(minutes=2)
"""How long after the end of its task a push may still be told of, where only the tag is known."""
WITH_ITS_DIGEST = timedelta(days=1)
"""The same where the digest proves that it is the task's: registries repeat what was not taken."""


_ANY = Prepared(
    lambda repository, tag, registry: ImagePush.objects.filter(
        repository=repository, tag=tag, registry=registry
    ).values_list("pk", flat=True)[:1]
)
"""Most tags are pushed by no task at all."""


def find_own_push(
    webhook: DockerWebhook, push: ImagePushed, *, moment: datetime
) -> ImagePush | None:
    """The push of a task that a delivery of ``moment`` tells of, the one with its digest first;
    None where nobody here made it.
    """
    registry = DOCKER_HUB if webhook.is_in_docker_hub else repository_of(webhook.endpoint).host
    if not _ANY.all(canonical_name(push.image), push.tag, registry):
        return None
    found = ImagePush.objects.filter(
        repository=canonical_name(push.image),
        tag=push.tag,
        registry=registry,
        execution__project=webhook.project_id,
    )
    told = Exists(Push.objects.filter(made_by=OuterRef("pk"), webhook=webhook))
    rows = found.annotate(is_told=told).select_related("task_run__stage_run", "execution")
    newest = list(rows.order_by("-created_at")[:MOST_LOOKED_AT])
    oldest_first = (each for each in reversed(newest) if not each.is_told)
    fitting = [each for each in oldest_first if _explains(each, push, moment)]
    return next((each for each in fitting if each.digest), next(iter(fitting), None))


def _explains(made: ImagePush, push: ImagePushed, moment: datetime) -> bool:
    """Whether the digests do not differ, and the moment lies between the begin of the task and a
    while after its end.
    """
    is_proven = bool(made.digest and push.digest)
    if is_proven and made.digest != push.digest:
        return False
    task = made.task_run
    begin, end = task.started_at or made.created_at, task.finished_at
    late = WITH_ITS_DIGEST if is_proven else ON_THE_WAY
    return begin - CLOCKS_APART <= moment and (end is None or moment <= end + late)

"""Writes down which images a task pushes, so that what a registry tells of them is known as its
own.
"""

from __future__ import annotations

from collections.abc import Iterable

from endpoints.clients.image_references import ImageReference
from executions.models import ImagePush, TaskRun


def note_pushes(task: TaskRun, images: Iterable[ImageReference]) -> None:
    """Write down what the task pushes; belongs into the transaction with the task's result.

    An image that was announced without a digest gets the one that it turned out to have. What is
    known already stays as it is.
    """
    for image in images:
        _note(task, image)


def _note(task: TaskRun, image: ImageReference) -> None:
    known = ImagePush.objects.filter(
        task_run=task, registry=image.registry, repository=image.repository, tag=image.tag
    )
    digests = set(known.values_list("digest", flat=True))
    if image.digest in digests or (digests and not image.digest):
        return
    if "" in digests:
        known.filter(digest="").update(digest=image.digest)
        return
    ImagePush.objects.create(
        execution_id=task.stage_run.execution_id,
        task_run=task,
        registry=image.registry,
        repository=image.repository,
        tag=image.tag,
        digest=image.digest,
    )

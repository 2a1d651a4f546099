"""Another window deletes a row before each SQL statement of a page about it: no page fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest
from django.db import transaction

from codestream.accounts.services import issue_token
from executions.states import Status
from tests.factories import (
    DockerRegistryFactory,
    DockerWebhookFactory,
    ExecutionFactory,
    PipelineFactory,
    RegistryEventFactory,
    VariableFactory,
)
from tests.integration.cast import Cast, make_cast
from tests.interleaving import interleave
from webhooks.models import DockerWebhook

pytestmark = pytest.mark.usefixtures("parallel_database")
Make = Callable[[Cast], Any]
CLOSED = {"serverType": "DockerHub", "repoURL": "http://127.0.0.1:9/r/demo/web"}


def pipeline(cast: Cast) -> Any:
    return PipelineFactory.create(project=cast.project)


def endpoint(cast: Cast) -> Any:
    return DockerRegistryFactory.create(project=cast.project, properties=CLOSED)


def variable(cast: Cast) -> Any:
    return VariableFactory.create(project=cast.project)


def execution(cast: Cast) -> Any:
    return ExecutionFactory.create(pipeline=pipeline(cast), status=Status.COMPLETED)


def webhook(cast: Cast) -> Any:
    token = issue_token(owner=cast.users["member"], name="webhook")[1]
    return DockerWebhookFactory.create(
        project=cast.project, endpoint=endpoint(cast), pipeline=pipeline(cast), api_token=token
    )


def delivery(cast: Cast) -> Any:
    return RegistryEventFactory.create(webhook=webhook(cast), image="demo/web", tag="1.0")


WEBHOOK = "/triggers/docker/webhooks/{}/"
PAGES = [
    (pipeline, "/pipelines/{}/", None),
    (pipeline, "/pipelines/{}/state/", {"state": "DISABLED"}),
    (pipeline, "/pipelines/{}/delete/", {}),
    (endpoint, "/endpoints/{}/", None),
    (endpoint, "/endpoints/{}/validate/", {}),
    (endpoint, "/endpoints/{}/delete/", {}),
    (variable, "/variables/{}/", None),
    (variable, "/variables/{}/delete/", {}),
    (execution, "/executions/{}/", None),
    (execution, "/executions/{}/cancel/", {}),
    (execution, "/executions/{}/pause/", {}),
    (execution, "/executions/{}/rerun/", {}),
    (webhook, WEBHOOK + "edit/", None),
    (webhook, WEBHOOK + "enabled/", {"enabled": "0"}),
    (webhook, WEBHOOK + "url/", {}),
    (webhook, WEBHOOK + "mirror/", None),
    (webhook, WEBHOOK + "keep/", {"keeper": "MANUAL"}),
    (webhook, WEBHOOK + "retry/", {}),
    (webhook, WEBHOOK + "check/", {}),
    (webhook, WEBHOOK + "repair/", {}),
    (webhook, WEBHOOK + "pasted/", {}),
    (webhook, WEBHOOK + "delete/", {}),
    (delivery, "/triggers/docker/activity/{}/", None),
    (delivery, "/triggers/docker/activity/{}/rerun/", {}),
]


def delete(row: Any) -> None:
    """As the services and the retention do: nobody refers to it any more, then it goes."""
    if isinstance(row, DockerWebhook):
        row.delete()  # which locks what belongs to it first
        return
    with transaction.atomic():
        for locked in type(row)._base_manager.filter(pk=row.pk).select_for_update():
            locked.delete()


@pytest.mark.parametrize(
    ("make", "url", "entered"), PAGES, ids=[f"{make.__name__} {url}" for make, url, _ in PAGES]
)
def test_a_page_stands_that_its_row_is_deleted(
    make: Make, url: str, entered: dict[str, str] | None
) -> None:
    cast = make_cast()
    client = cast.client("owner")
    for before in count():
        row = make(cast)
        path = url.format(row.pk)
        statuses: list[int] = []

        def open_page(path: str = path, statuses: list[int] = statuses) -> None:
            answer = client.get(path) if entered is None else client.post(path, entered)
            statuses.append(answer.status_code)

        reached = interleave(open_page, partial(delete, row), before=before)

        assert statuses[0] in {200, 302, 404}
        if not reached:
            assert before > 3, "the page asked next to nothing"
            return

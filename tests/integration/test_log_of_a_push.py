"""The log lets one push be followed from its delivery to the end of its run."""

from __future__ import annotations

import json
import logging

import pytest

from codestream.core.log_context import AboutFilter
from executions.models import Execution, TaskRun
from executions.worker import WorkerLoop
from tests.factories import DockerWebhookFactory
from tests.integration.cast import Cast
from tests.integration.puppets import Puppets, pipeline_of
from webhooks.services import receive_event

pytestmark = pytest.mark.django_db(transaction=True)
BODY = {
    "push_data": {"pusher": "ann", "tag": "1.2.3"},
    "repository": {"repo_name": "demo/web", "name": "web", "namespace": "demo"},
}


class Ids(AboutFilter):
    """Keeps what every line is about, as a handler of the log sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []

    def filter(self, record: logging.LogRecord) -> bool:
        super().filter(record)
        self.seen.append((record.name, record.__dict__["ids"]))
        return True


def test_verdict_and_end_name_event_execution_and_task(
    cast: Cast, token: str, puppets: Puppets, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = DockerWebhookFactory.create(
        project=cast.project,
        pipeline=pipeline_of("Main: a", project=cast.project),
        api_token=token,
    )
    event = receive_event(
        webhook=webhook, body=json.dumps(BODY).encode(), headers={}, remote_addr="127.0.0.1"
    )
    ids, loop = Ids(), WorkerLoop(threads=1)
    caplog.handler.addFilter(ids)
    caplog.set_level(logging.INFO)

    loop.work_now("event", event.pk)
    execution, task = Execution.objects.get(), TaskRun.objects.get()
    loop.work_now("task", task.pk)

    about = {"execution": str(execution.pk)}
    assert ids.seen == [
        ("webhooks.judging", {"event": str(event.pk), **about}),
        ("executions.engine", {"task": str(task.pk), **about}),
    ]

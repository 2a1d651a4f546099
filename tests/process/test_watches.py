"""What happens in the cluster is on the page of the execution, although nobody looks by the clock:
a worker watches, and when it is killed another one does.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.databases import ON_POSTGRES, ON_SQLITE, folder_for_all
from tests.running import Running, ask, run_in_shell, running_product, until

pytestmark = pytest.mark.process
START = """
from executions.services import start_execution
from pipelines.models import Pipeline
made = start_execution(
    pipeline=Pipeline.objects.get(name="web-cd"), run_as=None, triggered_by="test",
    inputs={
        "DOCKER_IMAGE": "demo/sick", "DOCKER_TAG": "1.0",
        "DOCKER_REPO_NAME": "sick", "DOCKER_REPO_NAMESPACE": "demo",
    },
)
print(made.pk)
"""
SIGN_IN = """
from django.test import Client
from codestream.accounts.models import User
client = Client()
client.force_login(User.objects.get(username="admin"))
print("; ".join(f"{name}={cookie.value}" for name, cookie in client.cookies.items()))
"""
ASLEEP = """
    SELECT count(*) FROM executions_taskrun task
    JOIN executions_rolloutwatch watch ON watch.task_id = task.id
    WHERE watch.is_covered AND task.lease_owner IS NULL AND task.wake_at > {later}
"""


@pytest.fixture(scope="module", params=[ON_SQLITE, ON_POSTGRES])
def product(request: pytest.FixtureRequest) -> Iterator[Running]:
    with folder_for_all() as folder, running_product(folder, *request.param) as running:
        yield running


class Watched:
    """An execution whose rollout does not end, its page and its pods."""

    def __init__(self, product: Running) -> None:
        self._product = product
        self._cookies = run_in_shell(product.environment, SIGN_IN)
        self._page = f"{product.url}/executions/{run_in_shell(product.environment, START)}/"
        self._pods = f"{product.places.kubernetes_url}/api/v1/namespaces/demo/pods"

    def page(self) -> str:
        headers = {"Cookie": self._cookies, "HX-Request": "true"}
        request = urllib.request.Request(self._page, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def pods(self) -> set[str]:
        items = ask(self._pods, token=self._product.places.kubernetes_token)["items"]
        return {item["metadata"]["name"] for item in items}

    def replace_a_pod(self) -> str:
        """Delete a pod; return the name of the one that takes its place."""
        before = self.pods()
        address = f"{self._pods}/{sorted(before)[0]}"
        bearer = {"Authorization": f"Bearer {self._product.places.kubernetes_token}"}
        with urllib.request.urlopen(
            urllib.request.Request(address, headers=bearer, method="DELETE"), timeout=10
        ):
            pass
        return until(lambda: next(iter(self.pods() - before), None))

    def sleeps(self) -> bool:
        """Whether nobody will look for long, unless somebody wakes the task."""
        server = "DATABASE_URL" in self._product.environment
        later = "now() + interval '1 minute'" if server else "datetime('now', '+1 minute')"
        return bool(self._product.rows(ASLEEP.format(later=later))[0][0])


@pytest.mark.timeout(240)
def test_a_change_in_the_cluster_shows_on_the_page_of_a_task_that_sleeps(
    product: Running,
) -> None:
    watched = Watched(product)
    until(watched.sleeps)

    pod = watched.replace_a_pod()
    replaced = time.monotonic()
    until(lambda: pod in watched.page())
    print(f"on the page after {time.monotonic() - replaced:.2f} s")

    until(watched.sleeps)
    for pid in product.children("manage.py worker"):
        os.kill(pid, signal.SIGKILL)
    pod = watched.replace_a_pod()
    until(lambda: pod in watched.page())

    until(watched.sleeps)
    pid = product.children("manage.py worker")[0]
    asked = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{pid}").exists())
    print(f"ended after {time.monotonic() - asked:.2f} s")
    pod = watched.replace_a_pod()
    until(lambda: pod in watched.page())

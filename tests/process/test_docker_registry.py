"""A real registry is pushed to, and its notification runs the pipeline: once, pinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.process.docker_registry import PROGRAM, RealRegistry
from tests.running import Running, run_in_shell, running_product, until

pytestmark = [
    pytest.mark.process,
    pytest.mark.xdist_group("product"),
    pytest.mark.timeout(400),
    pytest.mark.skipif(PROGRAM is None, reason="docker-registry is not installed"),
]
IMAGE = "team/sub/app"
MAKE_WEBHOOK = """
from tests.factories import DockerWebhookFactory
source = "name: deploy\\ninput: {{DOCKER_IMAGE: '', DOCKER_TAG: '', DOCKER_IMAGE_REFERENCE: ''}}\\n"
webhook = DockerWebhookFactory.create(
    endpoint__properties={{"serverType": "Docker_Distribution", "repoURL": "{registry}/{image}"}},
    endpoint__credentials={{}}, pipeline__source=source, pin_digest=True,
)
print(webhook.listener_url, webhook.secrets.get().secret)
"""


def listen(product: Running, registry: RealRegistry) -> None:
    """Make an endpoint and a webhook, and enter its address and secret in the registry."""
    code = MAKE_WEBHOOK.format(registry=registry.url, image=IMAGE)
    url, secret = run_in_shell(product.environment, code).split()
    registry.configure(url=url, secret=secret)


def runs_of(product: Running, tag: str) -> list[dict[str, Any]]:
    rows = product.api("executions")["documents"].values()
    return [row for row in rows if row["input"].get("DOCKER_TAG") == tag]


def judged(product: Running, tag: str, least: int) -> set[str]:
    """Wait for that many deliveries of the tag, or more, where an answer came too late for the
    registry; return what they came to.
    """

    def look() -> list[str] | None:
        rows = product.api("registry-events")["documents"].values()
        found = [row["verdict"] for row in rows if row["tag"] == tag]
        return found if len(found) >= least and "PENDING" not in found else None

    found = until(look, seconds=90)
    assert found.count("TRIGGERED") == 1
    return set(found)


def test_a_push_to_a_real_registry_runs_the_pipeline_once(folder: Path, tmp_path: Path) -> None:
    registry = RealRegistry(tmp_path)
    with running_product(folder) as product:
        listen(product, registry)
        with registry:
            digest = registry.push(IMAGE, "1.0", "first")
            assert judged(product, "1.0", 1) == {"TRIGGERED"}

            # Its queue keeps what nobody takes, and delivers it later.
            product.end()
            registry.push(IMAGE, "2.0", "second")
            product.start()
            assert judged(product, "2.0", 1) <= {"TRIGGERED", "DUPLICATE"}

            # The same image again, after a restart of the registry, is no new push.
            registry.stop()
            registry.start()
            assert registry.push(IMAGE, "1.0", "first") == digest
            assert judged(product, "1.0", 2) == {"TRIGGERED", "DUPLICATE"}

        (first,) = runs_of(product, "1.0")
        name = f"127.0.0.1:{registry.port}/{IMAGE}"
        assert first["input"]["DOCKER_IMAGE"] == name
        assert first["input"]["DOCKER_IMAGE_REFERENCE"] == f"{name}@{digest}"
        assert len(runs_of(product, "2.0")) == 1

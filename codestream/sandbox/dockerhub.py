"""A stand-in for Docker Hub: a separate program with its own memory, spoken to over HTTP only.

Start: ``python -m codestream.sandbox.dockerhub --port 8001 --state hub.json``. The first account
comes from SANDBOX_DOCKERHUB_USER and SANDBOX_DOCKERHUB_PASSWORD.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from codestream.sandbox.dockerhub_api import HubApi
from codestream.sandbox.dockerhub_control import HubControl
from codestream.sandbox.dockerhub_deliveries import Deliveries
from codestream.sandbox.dockerhub_failures import Failures
from codestream.sandbox.dockerhub_habits import Habits
from codestream.sandbox.dockerhub_registry import Registry
from codestream.sandbox.dockerhub_store import Store
from codestream.sandbox.http_server import HttpServer, Request, Response, wait_for_signal


class DockerHubServer:
    """The stand-in, running: ``with DockerHubServer(username=…, password=…) as hub: hub.url``.

    ``store``, ``failures``, ``habits`` and ``push`` are for the hand behind the scenes; a client
    uses ``url``.
    """

    def __init__(
        self,
        *,
        username: str = "",
        password: str = "",
        repositories: Iterable[str] = (),
        state: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        log: str = "",
    ) -> None:
        self.store = Store(state)
        self.failures = Failures()
        self.habits = Habits()
        self._deliveries = Deliveries(self.store)
        self._api = HubApi(self.store, self.failures, self.habits)
        self._registry = Registry(self.store, self.failures)
        self._control = HubControl(self.store, self.failures, self.habits, self._deliveries)
        if username:
            with self.store.changing():
                self.store.accounts.add(username, password)
        for image in repositories:
            namespace, _, name = image.partition("/")
            self.store.add_repository(namespace, name)
        self._server = HttpServer(self._answer, host=host, port=port, log=log)

    @property
    def url(self) -> str:
        """The base URL, without a final slash."""
        return self._server.url

    def push(self, image: str, tag: str, *, pusher: str = "") -> None:
        """Play ``docker push`` and return when every webhook was called."""
        self._control.push(image, tag, pusher)
        self.settle()

    def settle(self) -> None:
        """Return when every webhook was called."""
        self._deliveries.wait()

    def __enter__(self) -> DockerHubServer:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()
        self._deliveries.wait()

    def _answer(self, request: Request) -> Response:
        if self._registry.serves(request.path):
            return self._registry(request)
        application = self._api if request.path.startswith("/v2/") else self._control
        return application(request)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="A local stand-in for Docker Hub.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="file that keeps everything")
    parser.add_argument("--repository", action="append", default=[], metavar="NAMESPACE/NAME")
    arguments = parser.parse_args()
    with DockerHubServer(
        username=os.environ.get("SANDBOX_DOCKERHUB_USER", ""),
        password=os.environ.get("SANDBOX_DOCKERHUB_PASSWORD", ""),
        repositories=arguments.repository,
        state=arguments.state,
        host=arguments.host,
        port=arguments.port,
        log="dockerhub",
    ):
        wait_for_signal()


if __name__ == "__main__":
    main()

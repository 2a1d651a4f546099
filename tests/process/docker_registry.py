"""A real registry, Debian's ``docker-registry``, and a push to it over plain HTTP."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from urllib.parse import urljoin

from tests.running import until

PROGRAM = shutil.which("docker-registry")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CONFIGURATION = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "127.0.0.1:{port}"}}
notifications:
  endpoints:
    - name: codestream
      url: {url}
      headers:
        Authorization: ["Bearer {secret}"]
      timeout: 10s
      threshold: 2
      backoff: 500ms
      ignore:
        actions: ["pull"]
        mediatypes: ["application/octet-stream"]
"""


class RealRegistry:
    """The registry as a process of its own; its images outlive it, its queue does not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, *, url: str, secret: str) -> None:
        """Let it notify this address, as its card says."""
        text = CONFIGURATION.format(folder=self._folder, port=self.port, url=url, secret=secret)
        (self._folder / "registry.yml").write_text(text)

    def __enter__(self) -> RealRegistry:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert PROGRAM is not None
        with (self._folder / "registry.log").open("ab") as log:
            command = [PROGRAM, "serve", str(self._folder / "registry.yml")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers)

    def stop(self) -> None:
        """End it; what it had yet to notify is lost."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def push(self, name: str, tag: str, content: str) -> str:
        """Push an image of one layer, two blobs and a manifest; return its digest."""
        config = self._upload(name, json.dumps({"os": "linux", "rootfs": {}}).encode(), CONFIG)
        layer = self._upload(name, content.encode(), LAYER)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
        }
        url = f"{self.url}/v2/{name}/manifests/{tag}"
        headers = _send("PUT", url, json.dumps(manifest).encode(), MANIFEST)
        return headers["Docker-Content-Digest"]

    def _upload(self, name: str, blob: bytes, media_type: str) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        begun = _send("POST", f"{self.url}/v2/{name}/blobs/uploads/", b"")
        place = urljoin(self.url, begun["Location"])
        _send("PUT", f"{place}&digest={digest}", blob, "application/octet-stream")
        return {"mediaType": media_type, "size": len(blob), "digest": digest}

    def _answers(self) -> bool:
        try:
            _send("GET", f"{self.url}/v2/")
        except (urllib.error.URLError, OSError):
            return False
        return True


def _send(method: str, url: str, body: bytes | None = None, media_type: str = "") -> dict[str, str]:
    headers = {"Content-Type": media_type} if media_type else {}
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(answer.headers)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

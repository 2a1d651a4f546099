"""Plays ``docker push`` against the running stand-in; arguments: ``namespace/repository tag``."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from codestream.sandbox.places import load_places


def main(image: str, tag: str) -> int:
    """Push one tag; return the exit code."""
    namespace, _, repository = image.partition("/")
    if not repository or not tag:
        return _say(
            "Name the image as namespace/repository and a tag: make push IMAGE=demo/web TAG=1.2.3"
        )
    data_dir = Path(os.environ.get("DATA_DIR", "data"))
    if not (data_dir / "sandbox" / "places.json").exists():
        return _say("Nothing has been started here yet. Run `make run` first.")
    url = load_places(data_dir, first_port=0).dockerhub_url
    body = {"namespace": namespace, "repository": repository, "tag": tag}
    request = urllib.request.Request(  # noqa: S310 - the address is our own stand-in's
        f"{url}/_control/push",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            print(f"Pushed {image}:{tag} to the local Docker Hub.")  # noqa: T201
    except urllib.error.HTTPError as error:
        return _say(
            f"The local Docker Hub refused the push: {error.read().decode(errors='replace')}"
        )
    except OSError as error:
        return _say(f"The local Docker Hub does not answer ({error}). Is `make run` running?")
    return 0


def _say(text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(*[*sys.argv[1:], "", ""][:2]))

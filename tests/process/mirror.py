"""Makes the local Docker Hub fail in every way it knows while a webhook is created, replaced and
deleted there, kills the worker meanwhile, and looks what stands there in the end.

``python -m tests.process.mirror [--database sqlite|postgres] [--cases N] [--seed N]`` starts the
whole demo in a throw-away folder and prints a line for each case that a person had to mend. It
exits with 1 when a case did not end with exactly one right hook (none after a delete), not even
after doing what its card says. ``tests.integration.test_mirror_failures`` does the same without
processes, at every call and at every statement.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench import product_at_hand
from codestream.sandbox.dockerhub_failures import Mode
from tests.process.mirror_matrix import MATRIX, Case, Meddling
from tests.running import Running, ask, running_product

if TYPE_CHECKING:
    from tests.process.mirror_scene import Scene

WORKER = "manage.py worker"
END_SECONDS = 60.0
"""After so long a case is wrong that neither ends right nor asks a person."""
STRANGER = "https://elsewhere.example.com/hook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """The local Docker Hub, with everything that a test may do to it."""

    product: Running
    repository: str

    def control(self, what: str, **body: object) -> Any:
        return ask(f"{self.product.places.dockerhub_url}/_control/{what}", body)

    def add(self) -> None:
        self.control("repository", namespace="demo", repository=self.repository)

    def hooks(self) -> list[dict[str, str]]:
        """The hooks of the repository with their full addresses, from the Hub's own memory."""
        state = json.loads((self.product.data_dir / "sandbox" / "dockerhub.json").read_text())
        (found,) = [each for each in state["repositories"] if each["name"] == self.repository]
        hooks: list[dict[str, str]] = found["hooks"]
        return hooks

    def meddle(self, how: Meddling) -> None:
        """Do to every hook what a person may do in Docker Hub's own pages."""
        place = {"namespace": "demo", "repository": self.repository}
        for hook in self.hooks():
            if how is Meddling.DOUBLED:
                self.control("double", **place, slug=hook["slug"])
                continue
            self.control("unhook", **place, slug=hook["slug"])
            if how is Meddling.POINTED_ELSEWHERE:
                self.control("hook", **place, name=hook["name"], url=STRANGER)


def play(case: Case, scene: Scene, hub: Hub, chance: random.Random) -> str:
    """Play one case; the answer is what a person had to read on the card, or nothing.

    Raises AssertionError when it does not end right.
    """
    if isinstance(case.failure, Mode):
        hub.control("fail", route=case.route, mode=case.failure.value, times=2)
    if case.route == "login":
        hub.control("tokens", expire=True)
    scene.begin(case.operation)
    for _ in range(chance.choice((1, 1, 2))):
        time.sleep(chance.uniform(0, 0.5))
        if isinstance(case.failure, Meddling):
            hub.meddle(case.failure)
        kill_workers(hub.product)
    hub.control("heal")
    if isinstance(case.failure, Meddling):
        scene.check(case.operation)
    read = ""

    def is_right() -> bool:
        return scene.is_right(case.operation, hub.hooks())

    ended = _within(END_SECONDS, lambda: is_right() or scene.asks_a_person(case.operation))
    if ended and not is_right():
        read = scene.do_what_is_said(case.operation)
        ended = _within(END_SECONDS, is_right)
    assert ended, f"{scene.said(case.operation)}; {len(hub.hooks())} hooks"
    return read


def kill_workers(product: Running) -> None:
    """End every worker the hard way; the supervisor starts others."""
    for pid in product.children(WORKER):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _within(seconds: float, look: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if look():
            return True
        time.sleep(0.1)
    return False


def campaign(product: Running, cases: list[Case], chance: random.Random) -> Iterator[str]:
    """Play the cases; yields a line for each that needed a person or did not end right."""
    from tests.process.mirror_scene import Scene

    for number, case in enumerate(cases):
        hub = Hub(product=product, repository=f"case-{number}")
        hub.add()
        scene = Scene(product, hub.repository)
        try:
            if case.operation != "create":
                begin_with_a_hook(scene, hub)
            if read := play(case, scene, hub, chance):
                yield f"by hand  {case}: {read}"
        except AssertionError as error:
            yield f"WRONG    {case}: {error}"


def begin_with_a_hook(scene: Scene, hub: Hub) -> None:
    scene.begin("create")
    made = _within(END_SECONDS, lambda: scene.is_right("create", hub.hooks()))
    assert made, "there was no hook to begin with"


def main() -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--cases", type=int, default=len(MATRIX))
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    cases = chance.sample(MATRIX, min(asked.cases, len(MATRIX)))
    options = ("--postgres",) if asked.database == "postgres" else ()
    with tempfile.TemporaryDirectory(prefix="codestream-mirror-") as name:
        Path(name).chmod(0o711)
        lines = []
        with (
            running_product(Path(name), *options) as product,
            product_at_hand(product.environment),
        ):
            for line in campaign(product, cases, chance):
                print(line, flush=True)
                lines.append(line)
    counts = Counter(line.split()[0] for line in lines)
    print(f"seed {asked.seed}, {asked.database}")
    print(f"{'cases':24}{len(cases):>6}")
    print(f"{'right by itself':24}{len(cases) - len(lines):>6}")
    print(f"{'mended as the card says':24}{counts['by']:>6}")
    print(f"{'wrong in the end':24}{counts['WRONG']:>6}")
    return 1 if counts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())

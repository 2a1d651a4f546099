"""Kills processes of the whole demo at random while pushes come in, and holds it to account.

``python -m tests.process.kills --minutes 5 --database sqlite|postgres`` does it for a while in a
throw-away folder, prints what it came to, and exits with 1 when anything is not as it must be.
``tests.process.test_kills`` does the same in short.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from pathlib import Path

from tests.process.leaks import leaks, log_lines
from tests.process.oracle import (
    OVER,
    PENDING,
    Account,
    Document,
    Sight,
    Taken,
    account_for,
    tag_of,
)
from tests.running import Running, running_product, until

TAKEN_OVER = re.compile(r"is taken over from worker ([0-9a-f-]{36})")
LOOK_SECONDS = 0.1
CLUSTER_HABITS = {
    "SANDBOX_KUBERNETES_ANSWER_SECONDS": "0.2",
    "SANDBOX_KUBERNETES_ROLLOUT_SECONDS": "0.5",
}
"""A cluster that takes its time, so that a worker that dies holds something."""
SENDERS = 2
PAUSE_SECONDS = 7.0
STRIKES = ((0.0, 0.03), (0.0, 0.4))
"""How long after a delivery has begun a process is ended: in the midst of it, or of its work."""
FROZEN_SECONDS = (1.0, 7.0)
LONGEST = 5
"""So many of the takeovers that took longest are told of."""
CUT_OFF = (OSError, HTTPException, ValueError)
"""What a client meets whose server is killed: no connection, half an answer, half a document."""
TAKEN = 200
NO_ANSWER = 0
Ended = tuple[list[Document], list[Document]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a delivery got; status NO_ANSWER when the connection failed or broke off."""

    status: int
    body: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A kind of process, found by a word of its command line, and how it may end."""

    name: str
    word: str
    signals: tuple[signal.Signals, ...]
    is_whole: bool = False
    """Whether all processes of its kind meet the same end at once."""


WORKER = Victim(
    name="worker",
    word="manage.py worker",
    signals=(signal.SIGKILL, signal.SIGKILL, signal.SIGTERM),
)
WEB = Victim(name="web", word="gunicorn", signals=(signal.SIGKILL,))
DATABASE = Victim(
    name="database", word="bin/postgres", signals=(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
)
CONNECTION = Victim(
    name="database connection", word="postgres: codestream", signals=(signal.SIGTERM,)
)
HUB = Victim(name="stand-in Docker Hub", word="sandbox.dockerhub", signals=(signal.SIGKILL,))
CLUSTER = Victim(name="stand-in cluster", word="sandbox.kubernetes", signals=(signal.SIGKILL,))
FROZEN = Victim(name="worker, frozen", word="manage.py worker", signals=(signal.SIGSTOP,))
"""Goes on after a while, and knows nothing of it."""
FROZEN_DATABASE = Victim(
    name="database, frozen", word="postgres", signals=(signal.SIGSTOP,), is_whole=True
)
"""Takes connections, for the system does, and answers nobody; goes on like a worker."""
SUPERVISOR = Victim(name="supervisor", word="", signals=())
"""Its end is everybody's; it is started again from outside."""
CHILDREN = (
    *(WORKER, WORKER, WORKER, FROZEN),
    *(WEB, WEB),
    *(DATABASE, CONNECTION, FROZEN_DATABASE),
    *(CLUSTER, HUB),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """When a process was ended or frozen, what it was, and which it was; of everything, workers."""

    moment: float
    name: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """A row that was taken over: how long after the end of its worker, in seconds, and what else
    was ended in that time. None for a worker that nobody has ended.
    """

    seconds: float | None
    meanwhile: list[str]


@dataclass(slots=True, kw_only=True)
class Campaign:
    """Pushes and kills, and what was seen of both from outside."""

    product: Running
    chance: random.Random = field(default_factory=random.Random)
    answered: dict[str, Taken] = field(default_factory=dict)
    refused: int = 0
    sending: threading.Event = field(default_factory=threading.Event)
    tags: Iterator[int] = field(default_factory=itertools.count)
    kills: Counter[str] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)

    def push(self) -> Answer:
        """Deliver the next tag as Docker Hub does, once; remember it if it was taken."""
        tag, hook = f"1.{next(self.tags)}", self.product.hook_url()
        sent = time.time()
        self.sending.set()
        answer = deliver(hook, tag)
        if answer.status == TAKEN:
            self.answered[tag] = Taken(id=answer.body["id"], sent=sent, answered=time.time())
        else:
            self.refused += 1
        return answer

    def strike(self, victims: Sequence[Victim]) -> None:
        """End a process in the midst of a delivery, or of the work for it."""
        self.sending.clear()
        self.sending.wait(PAUSE_SECONDS)
        time.sleep(self.chance.uniform(*self.chance.choice(STRIKES)))
        self.kill(victims)

    def kill(self, victims: Sequence[Victim]) -> None:
        """End one process of those that run, or freeze it for a while."""
        victim = self.chance.choice(victims)
        if victim is SUPERVISOR:
            self._note(victim, *self.product.children(WORKER.word))
            self.product.start_again()
            return
        if running := self.product.children(victim.word):
            pids = running if victim.is_whole else [self.chance.choice(running)]
            chosen = self.chance.choice(victim.signals)
            _signal(chosen, pids)
            self._note(victim, *pids)
            if chosen is signal.SIGSTOP:
                pause = self.chance.uniform(*FROZEN_SECONDS)
                threading.Timer(pause, _signal, [signal.SIGCONT, pids]).start()

    def takeovers(self) -> list[Takeover]:
        """What the logs tell of rows that were taken over."""
        known = self.product.rows("SELECT id, pid FROM executions_worker")
        pids = {uuid.UUID(str(key)): pid for key, pid in known}
        return [
            self._takeover(_moment(line), pids.get(uuid.UUID(found[1])))
            for line in log_lines(self.product.data_dir / "logs")
            if (found := TAKEN_OVER.search(line))
        ]

    def settle(self, seconds: float) -> Account:
        """Wait until nothing is under way any more, then hold it to account; a campaign that does
        not come to its end is held to account as it stands.
        """
        with suppress(AssertionError):
            until(self._ended, seconds=seconds)
        events, runs = self._documents()
        return account_for(self.answered, events, runs, [*self.sights, _look(self.product)])

    def _note(self, victim: Victim, *pids: int) -> None:
        self.kills[victim.name] += 1
        self.deaths.append(Death(moment=time.time(), name=victim.name, pids=pids))

    def _takeover(self, moment: float, pid: int | None) -> Takeover:
        before = [death for death in self.deaths if death.moment <= moment]
        own = [number for number, death in enumerate(before) if pid in death.pids]
        if not own:
            return Takeover(seconds=None, meanwhile=[])
        death, later = before[own[-1]], before[own[-1] + 1 :]
        since = moment - death.moment
        return Takeover(seconds=since, meanwhile=[death.name, *(each.name for each in later)])

    def _ended(self) -> bool:
        try:
            events, runs = self._documents()
        except CUT_OFF:
            return False
        is_quiet = all(run["status"] in OVER for run in runs) and all(
            event["verdict"] != PENDING for event in events
        )
        return is_quiet and {tag_of(run) for run in runs}.issuperset(self.answered)

    def _documents(self) -> Ended:
        events, runs = (
            list(self.product.api(f"{path}?$top=2000")["documents"].values())
            for path in ("registry-events", "executions")
        )
        return events, runs


@contextmanager
def watching(campaign: Campaign) -> Iterator[None]:
    """Look at the cluster all the time, and remember each change of what is deployed."""
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(LOOK_SECONDS):
            with suppress(*CUT_OFF):
                sight = _look(campaign.product)
                if sight not in campaign.sights[-1:]:
                    campaign.sights.append(sight)

    looking = threading.Thread(target=watch, name="cluster")
    looking.start()
    try:
        yield
    finally:
        stopping.set()
        looking.join()


@contextmanager
def sending(campaign: Campaign, senders: int = SENDERS) -> Iterator[None]:
    """Deliver all the time, from several senders, of which each waits for its answer."""
    stopping = threading.Event()

    def push_on(chance: random.Random) -> None:
        while not stopping.wait(chance.uniform(0, PAUSE_SECONDS)):
            campaign.push()

    threads = [
        threading.Thread(target=push_on, args=[random.Random(campaign.chance.random())])
        for _ in range(senders)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def deliver(hook: str, tag: str) -> Answer:
    """Post a push once and return what came back."""
    body = {
        "push_data": {"tag": tag, "pushed_at": 1_760_000_000, "pusher": "demo"},
        "repository": {
            "name": "web",
            "namespace": "demo",
            "owner": "demo",
            "repo_name": "demo/web",
            "status": "Active",
        },
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(hook, data=json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return Answer(status=answer.status, body=json.load(answer))
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(status=refused.code, body=json.load(refused))
    except CUT_OFF:
        return Answer(status=NO_ANSWER, body={})


def _signal(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _moment(line: str) -> float:
    """When a line of a log was written."""
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def _look(product: Running) -> Sight:
    body = product.deployment()
    return Sight(
        execution=body["metadata"].get("annotations", {}).get("codestream.io/execution", ""),
        image=body["spec"]["template"]["spec"]["containers"][0]["image"],
    )


def main() -> int:
    """Run a campaign as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    asked = parser.parse_args()
    options = ("--postgres",) if asked.database == "postgres" else ()
    with tempfile.TemporaryDirectory(prefix="codestream-kills-") as name:
        Path(name).chmod(0o711)
        with running_product(Path(name), *options, **CLUSTER_HABITS) as product:
            campaign = Campaign(product=product, chance=random.Random(asked.seed))
            ends = time.monotonic() + asked.minutes * 60
            with watching(campaign):
                with sending(campaign):
                    while time.monotonic() < ends:
                        campaign.strike([*CHILDREN, *CHILDREN, SUPERVISOR])
                        time.sleep(campaign.chance.uniform(0, 3))
                account = campaign.settle(seconds=300 + asked.minutes * 60)
            leaked = leaks(product)
            print(f"seed {asked.seed}, {asked.database}, {asked.minutes:g} minutes")
            print(_table(campaign, account, leaked))
    return 1 if account.problems or leaked else 0


def _table(campaign: Campaign, account: Account, leaked: list[str]) -> str:
    takeovers = campaign.takeovers()
    known = [each for each in takeovers if each.seconds is not None]
    known.sort(key=lambda each: each.seconds or 0, reverse=True)
    numbers = {
        "pushes answered": account.answered,
        "pushes refused": campaign.refused,
        "stored": account.stored,
        "run": account.run,
        "lost": len(account.lost),
        "doubled": len(account.doubled),
        "stuck": len(account.stuck),
        "failed": len(account.failed),
        "out of order": len(account.out_of_order),
        "seen in the cluster": len(campaign.sights),
        "not accounted for there": len(account.astray),
        "secrets found": len(leaked),
        **{f"kills: {name}": number for name, number in sorted(campaign.kills.items())},
        "takeovers": len(takeovers),
        "from workers not ended": len(takeovers) - len(known),
    }
    lines = [f"{name:26}{number:>8}" for name, number in numbers.items()]
    lines += [
        f"taken over after {each.seconds:.1f} s, ended: {', '.join(each.meanwhile)}"
        for each in known[:LONGEST]
    ]
    told = [f"{kind}: {each}" for kind, found in account.problems.items() for each in found]
    return "\n".join([*lines, *told, *leaked])


if __name__ == "__main__":
    sys.exit(main())

"""A database that is full, locked or away: no push is answered and lost, nothing has to be started
again by hand, and everything goes on as soon as it can.
"""

from __future__ import annotations

import re
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest

from codestream.local_postgres import LocalPostgres
from tests.process.databases import NEEDS_POSTGRES
from tests.process.kills import TAKEN, Answer, Campaign
from tests.process.oracle import Account
from tests.running import PASSWORD, Running, running_product, until

AWAY_SECONDS = 10
PAGES = 1500
"""How many pages the full file has; those of a new demo are far fewer."""
SMALL = f"?init_command=PRAGMA%20max_page_count%3D{PAGES}%3B"
pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]


@pytest.mark.xdist_group("process-sqlite")
def test_a_full_file_takes_no_push_and_loses_none(folder: Path) -> None:
    path = folder / "codestream.sqlite3"
    with running_product(folder, DATABASE_URL=f"sqlite:///{path}{SMALL}") as product:
        campaign, before = Campaign(product=product), workers(product)
        campaign.push()
        with filled(path):
            answer = until(lambda: refusal(campaign), seconds=120)
        account = settled(campaign)

        assert workers(product) == before
    assert (answer.status, answer.body["code"]) == (503, "database_full")
    assert account.problems == {}
    assert is_sound(path)


@pytest.mark.xdist_group("process-sqlite")
def test_a_file_that_another_process_locks_takes_no_push_and_loses_none(folder: Path) -> None:
    path = folder / "codestream.sqlite3"
    with running_product(folder) as product:
        campaign, before = Campaign(product=product), workers(product)
        campaign.push()
        with locked(path):
            answer = campaign.push()
            page = sign_in(product)
        account = settled(campaign)

        assert workers(product) == before
    assert (answer.status, answer.body["code"]) == (503, "database_locked")
    assert page == (503, "The database is locked")
    assert account.problems == {}
    assert is_sound(path)


@NEEDS_POSTGRES
@pytest.mark.xdist_group("process-postgres")
def test_a_server_that_is_away_takes_no_push_and_loses_none(folder: Path) -> None:
    server = LocalPostgres(data_dir=folder, port=free_port())
    with ExitStack() as up:
        url = up.enter_context(server.running())
        many = {"WEB_PROCESSES": "2", "WORKERS": "2"}
        with running_product(folder, DATABASE_URL=url, **many) as product:
            campaign, before = Campaign(product=product), workers(product)
            campaign.push()
            up.close()
            answers = away(campaign, AWAY_SECONDS)
            page = sign_in(product)
            up.enter_context(server.running())
            account = settled(campaign)

            assert workers(product) == before
    assert {(answer.status, answer.body["code"]) for answer in answers} == {
        (503, "database_unreachable")
    }
    assert page == (503, "The database cannot be reached")
    assert account.problems == {}


def refusal(campaign: Campaign) -> Answer | None:
    """The answer to the next push unless it was taken: a full file has room in its last pages."""
    answer = campaign.push()
    return None if answer.status == TAKEN else answer


def away(campaign: Campaign, seconds: float) -> list[Answer]:
    """The answers to pushes for so long."""
    answers, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        answers.append(campaign.push())
    return answers


def settled(campaign: Campaign) -> Account:
    """The account once a push is taken again and nothing is under way any more."""
    until(lambda: campaign.push().status == TAKEN, seconds=120)
    return campaign.settle(seconds=120)


def workers(product: Running) -> list[int]:
    return product.children("manage.py worker")


def sign_in(product: Running) -> tuple[int, str]:
    """The status and the heading of what a browser gets that signs in."""
    url = f"{product.url}/account/sign-in/"
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with browser.open(url, timeout=60) as form:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.read().decode())
    assert token
    fields = {"csrfmiddlewaretoken": token[1], "username": "admin", "password": PASSWORD}
    try:
        with browser.open(url, urlencode(fields).encode(), timeout=60) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as refused:
        with refused:
            heading = re.search(r"<h1>(.+?)</h1>", refused.read().decode())
            return refused.code, heading[1] if heading else ""


@contextmanager
def filled(path: Path) -> Iterator[None]:
    """Fill the file to its last page, and free the pages again."""
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as file:
        file.execute(f"PRAGMA max_page_count = {PAGES}")
        file.execute("PRAGMA synchronous = OFF")
        file.execute("CREATE TABLE crates (content)")
        for size in (2**power for power in range(22, 10, -1)):
            put_in(file, size)
        assert file.execute("PRAGMA page_count").fetchone() == (PAGES,)
        yield
        file.execute("DROP TABLE crates")


def put_in(file: sqlite3.Connection, size: int) -> None:
    """Put in as many crates of this size as there is room for."""
    with suppress(sqlite3.OperationalError):
        while True:
            file.execute("INSERT INTO crates VALUES (zeroblob(?))", [size])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep the file from every other writer."""
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as file:
        file.execute("BEGIN EXCLUSIVE")
        yield
        file.execute("COMMIT")


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as file:
        return file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A PostgreSQL server of one's own, on loopback, with its data in a folder: for
``make run-postgres``, tests and benchmarks. Debian's programs, not its service.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from codestream.core.keys import read_or_make

USER = "codestream"
SYSTEM_USER = "postgres"
READY_SECONDS = 120.0
"""A server that was ended hard first writes again what it had promised, on a slow disk for long."""
ENDING_SECONDS = 20.0


class PostgresError(Exception):
    """The server cannot be made here; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPostgres:
    """Where the server keeps its data and listens. It never runs as root: it refuses to."""

    data_dir: Path
    port: int

    @property
    def url(self) -> str:
        """The address for ``DATABASE_URL``, with its password."""
        return f"postgres://{USER}:{self._password()}@127.0.0.1:{self.port}/postgres"

    @property
    def is_new(self) -> bool:
        """Whether it was never started in this data folder."""
        return not (self._folder / "PG_VERSION").exists()

    def prepare(self) -> None:
        """Make the database cluster where there is none. Raises PostgresError."""
        if not self.is_new:
            return
        self._folder.mkdir(exist_ok=True, mode=0o700)
        if user := system_user():
            # The server's own user has to pass through; files keep their own protection.
            self.data_dir.chmod(0o711)
            shutil.chown(self._folder, user, user)
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(self._password() + "\n")
            password.flush()
            if user:
                shutil.chown(password.name, user)
            made = self._initdb(user, Path(password.name))
        if made.returncode:
            raise PostgresError(f"initdb failed: {made.stderr.strip()}")

    def _initdb(self, user: str, password: Path) -> subprocess.CompletedProcess[str]:
        command = [
            str(_program("initdb")),
            f"--pgdata={self._folder}",
            f"--username={USER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]
        return subprocess.run(
            command,
            text=True,
            capture_output=True,
            check=False,
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
            cwd="/",
        )

    def command(self) -> list[str]:
        """The server in the foreground, on loopback only."""
        return [
            str(_program("postgres")),
            "-D",
            str(self._folder),
            "-p",
            str(self.port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=200",
        ]

    def wait(self) -> bool:
        """Wait until it answers, which after a crash takes a while; False when it never does."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.1)
        return False

    def answers(self) -> bool:
        """Whether it takes connections by now."""
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @contextmanager
    def running(self) -> Iterator[str]:
        """Run it for the length of a ``with`` block, which gets its URL. Raises PostgresError."""
        self.prepare()
        user = system_user()
        process = subprocess.Popen(
            self.command(),
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
        )
        try:
            if not self.wait():
                raise PostgresError("The server does not answer.")
            yield self.url
        finally:
            end(process)

    @property
    def _folder(self) -> Path:
        return self.data_dir / "postgres"

    def _password(self) -> str:
        return read_or_make(self.data_dir / "postgres.password", lambda: secrets.token_urlsafe(24))


def end(process: subprocess.Popen[bytes]) -> None:
    """End the server: in order, or harder and harder when its last checkpoint takes too long."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_SECONDS)
            return
    process.kill()
    process.wait()


def system_user() -> str:
    """Return the user that the server runs as when we are root; empty for ourselves."""
    if os.geteuid() != 0:
        return ""
    try:
        return pwd.getpwnam(SYSTEM_USER).pw_name
    except KeyError as error:
        raise PostgresError("There is no user postgres; install PostgreSQL first.") from error


def _program(name: str) -> Path:
    """Find a program of the newest installed version. Raises PostgresError."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])
    )
    if found:
        return found[-1]
    if in_path := shutil.which(name):
        return Path(in_path)
    raise PostgresError("PostgreSQL is not installed. Install it: sudo apt-get install postgresql")


def is_installed() -> bool:
    """Whether there is a server to start."""
    try:
        return _program("initdb").exists()
    except PostgresError:
        return False

"""The memory of the Docker Hub stand-in as one thing, saved after every change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codestream.sandbox.dockerhub_accounts import Accounts
from codestream.sandbox.dockerhub_repositories import Repository
from codestream.sandbox.state_file import StateFile


class Store:
    """Accounts and repositories. Change them inside ``changing`` only."""

    def __init__(self, path: Path | None) -> None:
        self._file = StateFile(path)
        self._lock = threading.RLock()
        stored = self._file.load()
        if isinstance(stored, dict):
            self.accounts = Accounts.load(stored["accounts"])  # type: ignore[arg-type]
            repositories = [Repository.load(record) for record in stored["repositories"]]  # type: ignore[union-attr,arg-type]
        else:
            self.accounts = Accounts()
            repositories = []
        self.repositories = {repository.full_name: repository for repository in repositories}

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other threads out, and save when done."""
        with self._lock:
            yield
            repositories = [repository.dump() for repository in self.repositories.values()]
            self._file.save({"accounts": self.accounts.dump(), "repositories": repositories})

    def add_repository(
        self,
        namespace: str,
        name: str,
        *,
        is_private: bool = False,
        admins: list[str] | None = None,
    ) -> Repository:
        """The repository, made if it is new; without ``admins`` every account may manage it."""
        with self.changing():
            repository = Repository(
                namespace=namespace,
                name=name,
                is_private=is_private,
                admins=list(self.accounts.accounts) if admins is None else admins,
            )
            return self.repositories.setdefault(repository.full_name, repository)

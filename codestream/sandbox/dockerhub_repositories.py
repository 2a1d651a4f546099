"""What the Docker Hub stand-in holds: repositories with tags, webhooks and their history."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

LONGEST_HISTORY = 100


def timestamp() -> str:
    """The present time as Docker Hub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(slots=True, kw_only=True)
class Call:
    """One line of a webhook's history; ``status`` is pending, success or error."""

    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "pending"
    created: str = field(default_factory=timestamp)


@dataclass(slots=True, kw_only=True)
class Hook:
    """One webhook. The URL carries a secret: it goes to the API's caller and to nobody else."""

    slug: str
    name: str
    hook_url: str = field(repr=False)
    expect_final_callback: bool = False
    created: str = field(default_factory=timestamp)
    last_updated: str = field(default_factory=timestamp)
    history: list[Call] = field(default_factory=list)

    @property
    def masked_url(self) -> str:
        """The URL without the values of its query and without user-info."""
        parts = urlsplit(self.hook_url)
        query = re.sub(r"=[^&]*", "=********", parts.query)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))

    def begin_call(self) -> Call:
        """Note a delivery that is under way."""
        call = Call()
        self.history = [*self.history, call][-LONGEST_HISTORY:]
        return call


@dataclass(slots=True, kw_only=True)
class Tag:
    """What a tag points at, and since when."""

    digest: str
    last_updated: str


@dataclass(slots=True, kw_only=True)
class Repository:
    """One repository; ``admins`` are the user names that may manage it."""

    namespace: str
    name: str
    is_private: bool = False
    admins: list[str] = field(default_factory=list)
    date_created: int = field(default_factory=lambda: int(datetime.now(UTC).timestamp()))
    tags: dict[str, Tag] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Repository:
        """The repository that ``stored`` describes, as ``dataclasses.asdict`` wrote it."""
        hooks = [
            Hook(**{**hook, "history": [Call(**call) for call in hook["history"]]})
            for hook in stored["hooks"]
        ]
        tags = {name: Tag(**tag) for name, tag in stored["tags"].items()}
        return cls(**{**stored, "hooks": hooks, "tags": tags})

    def dump(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @property
    def full_name(self) -> str:
        """Namespace and name, as in an image reference."""
        return f"{self.namespace}/{self.name}"

    def hook(self, slug: str) -> Hook | None:
        """The webhook with this slug."""
        return next((hook for hook in self.hooks if hook.slug == slug), None)

    def add_hook(self, name: str, hook_url: str, *, expect_final_callback: bool) -> Hook:
        """Create a webhook under a slug of its own."""
        hook = Hook(
            slug=self._free_slug(name),
            name=name,
            hook_url=hook_url,
            expect_final_callback=expect_final_callback,
        )
        self.hooks.append(hook)
        return hook

    def move_first_to_end(self) -> None:
        """Reorder the list, as it happens while somebody reads it page by page."""
        self.hooks = [*self.hooks[1:], *self.hooks[:1]]

    def push(self, tag: str) -> Tag:
        """Let the tag point at a new digest."""
        pushed = Tag(digest=f"sha256:{secrets.token_hex(32)}", last_updated=timestamp())
        self.tags[tag] = pushed
        return pushed

    def _free_slug(self, name: str) -> str:
        """Lower case and URL-safe; the suffix makes a client that computes the slug fail."""
        base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "webhook"
        slug, number = base, 1
        while self.hook(slug):
            number += 1
            slug = f"{base}-{number}"
        return slug

"""Which of Docker Hub's hooks is ours, and what a look at its list means."""

from __future__ import annotations

import pytest

from endpoints.clients.dockerhub import HubWebhook
from webhooks.mirror_sight import Drift, is_made_here, see

URL, STRANGER = "https://cd.example.com/hook?secureToken=x", "https://elsewhere.example.com/"


def hook(slug: str, url: str = URL, name: str = "") -> HubWebhook:
    return HubWebhook(slug=slug, name=name or slug, hook_urls=(url,))


@pytest.mark.parametrize(
    ("listed", "kept", "drift"),
    [
        ([], None, Drift.MISSING),
        ([hook("other", STRANGER)], None, Drift.MISSING),
        ([hook("ours", STRANGER)], None, Drift.CHANGED),
        ([hook("x", STRANGER, name="Ours")], None, Drift.CHANGED),
        ([hook("ours")], "ours", Drift.NONE),
        ([hook("by-hand")], "by-hand", Drift.NONE),
        ([hook("by-hand"), hook("ours")], "ours", Drift.DOUBLED),
        ([hook("by-hand"), hook("x", name="Ours")], "x", Drift.DOUBLED),
    ],
)
def test_a_hook_is_known_by_its_address(
    listed: list[HubWebhook], kept: str | None, drift: Drift
) -> None:
    sight = see(listed, url=URL, name="Ours", slug="ours")
    assert (sight.kept.slug if sight.kept else None, sight.drift) == (kept, drift)


def test_a_chain_that_calls_us_among_others_is_ours() -> None:
    chain = HubWebhook(slug="chain", name="chain", hook_urls=(STRANGER, URL))
    assert see([chain], url=URL, name="Ours", slug="ours").kept == chain


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("release-0a1b2c3d-2", True),
        ("renamed-0a1b2c3d-9", True),
        ("release-ffffffff-2", False),
        ("release-0a1b2c3d", False),
        ("made by hand", False),
    ],
)
def test_a_name_says_which_webhook_made_it(name: str, expected: bool) -> None:
    assert is_made_here(hook("x", name=name), "release-0a1b2c3d-1") is expected

"""Processes are killed at random while pushes come in: what was answered runs once, in order, and
is what the cluster holds.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.process.databases import ON_POSTGRES, ON_SQLITE
from tests.process.kills import CHILDREN, CLUSTER_HABITS, Campaign, sending, watching
from tests.running import running_product

ROUNDS = 8
pytestmark = pytest.mark.process


@pytest.mark.timeout(400)
@pytest.mark.parametrize("options", [ON_SQLITE, ON_POSTGRES])
def test_what_was_answered_runs_once_and_in_order(options: tuple[str, ...], folder: Path) -> None:
    seed = random.randrange(10**6)
    with running_product(folder, *options, **CLUSTER_HABITS) as product:
        campaign = Campaign(product=product, chance=random.Random(seed))
        with watching(campaign):
            with sending(campaign):
                for _ in range(ROUNDS):
                    campaign.strike(CHILDREN)
                    time.sleep(campaign.chance.uniform(0, 2))
            account = campaign.settle(seconds=120)

    assert account.problems == {}, f"seed {seed}"
    assert account.answered >= 2, f"seed {seed}: the kills left too little to look at"

"""Once messages arrive soon and nobody crashes, a decision takes no more than f + 2 longest rounds.

At most f of the proposers that follow one another are faulty, one round may be under way that not
all have entered, and one is decided in (docs/spec/pbft.md section 10).
"""

from __future__ import annotations

import pytest

from tests.support.engine_campaign import run_campaign
from tests.support.engines import TIMING

DELAY_MS_MAX = 5.0
"""Of a message, after the faults (engine_campaign.heal)."""
HOPS = 3
"""A round is entered, proposed in and voted on."""
SEEDS = 25


@pytest.mark.parametrize("n", [1, 3, 4, 5, 7, 10])
def test_everybody_decides_within_f_and_two_longest_rounds_of_the_end_of_the_faults(n: int) -> None:
    f = (n - 1) // 3
    bound_ms = TIMING.resend_ms + HOPS * DELAY_MS_MAX + (f + 2) * TIMING.round_ms_max
    took_ms = {
        seed: run_campaign(seed, n, progress=1).healed_ms
        for seed in range(7_000 * n, 7_000 * n + SEEDS)
    }
    assert {seed: ms for seed, ms in took_ms.items() if ms > bound_ms} == {}

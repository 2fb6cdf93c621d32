"""What a node says of its speed is that of the last seconds."""

from __future__ import annotations

import pytest

from node.catchup.progress import MARKS_MAX, Progress, Speed
from node.limits import SYNC_RATE_S


def test_the_speed_is_that_of_the_last_seconds_and_the_memory_is_bounded() -> None:
    progress = Progress()
    progress.begin(100.0)
    for tick in range(1, 3_001):
        progress.applied(5, 100.0 + tick / 100)
    for tick in range(1, 201):
        progress.applied(5, 130.0 + tick / 10)
    assert progress.speed(150.0).blocks_per_second == pytest.approx(10, rel=0.05)
    assert progress.speed(150.0).txs_per_second == pytest.approx(50, rel=0.05)
    assert len(progress._marks) <= MARKS_MAX + 2
    assert (progress.blocks, progress.txs) == (3_200, 16_000)


def test_what_went_before_a_rest_counts_no_more() -> None:
    progress = Progress()
    progress.begin(0.0)
    progress.applied(1, 1.0)
    progress.begin(100.0)
    assert progress.speed(101.0) == Speed(0.0, 0.0)
    assert Progress().speed(5.0) == Speed(0.0, 0.0)


def test_a_node_that_stands_still_says_so() -> None:
    progress = Progress()
    progress.begin(0.0)
    progress.applied(1, 1.0)
    before, after = progress.speed(1.0), progress.speed(1.0 + 10 * SYNC_RATE_S)
    assert after.blocks_per_second < before.blocks_per_second / 50

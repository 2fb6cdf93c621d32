"""Whole networks from their seeds: those that found something before, and fresh ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import pytest

from devnet.sim.cli import line, report_of
from medquorum.quorum import EngineName

REGRESSIONS = Path(__file__).parent / "regressions.txt"
FRESH = 100
SAME = 40
GROUPS = 10


def regressions() -> list[tuple[int, EngineName]]:
    """The seeds of the file."""
    rows = [row.split() for row in REGRESSIONS.read_text().splitlines()]
    return [(int(row[0]), cast(EngineName, row[1])) for row in rows if row and row[0] != "#"]


@pytest.mark.parametrize(("seed", "engine"), regressions())
def test_what_was_found_once_stays_fixed(seed: int, engine: EngineName) -> None:
    report = report_of(seed, engine)
    assert report.outcome is not None, line(report, engine)


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_same_seeds_hold_in_every_run(group: int) -> None:
    """A gate must not depend on luck: these are the same until the simulator changes."""
    for seed in range(group * SAME // GROUPS, (group + 1) * SAME // GROUPS):
        report = report_of(seed, "pbft")
        assert report.outcome is not None, line(report, "pbft")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("group", range(GROUPS))
def test_fresh_seeds_hold(group: int) -> None:
    """The search for what nobody has seen yet; a seed that fails is a finding to be mended."""
    engine: EngineName = "raft" if group % 3 == 2 else "pbft"
    first = time.time_ns() // 1_000_000 * FRESH + group * (FRESH // GROUPS)
    for seed in range(first, first + FRESH // GROUPS):
        report = report_of(seed, engine)
        assert report.outcome is not None, line(report, engine)

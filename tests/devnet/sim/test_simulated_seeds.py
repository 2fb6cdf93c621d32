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
GROUPS = 10


def regressions() -> list[tuple[int, EngineName]]:
    """The seeds of the file."""
    rows = [row.split() for row in REGRESSIONS.read_text().splitlines()]
    return [(int(row[0]), cast(EngineName, row[1])) for row in rows if row and row[0] != "#"]


@pytest.mark.parametrize(("seed", "engine"), regressions())
def test_what_was_found_once_stays_fixed(seed: int, engine: EngineName) -> None:
    report = report_of(seed, engine)
    assert report.outcome is not None, line(report, engine)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("group", range(GROUPS))
def test_fresh_seeds_hold(group: int) -> None:
    engine: EngineName = "raft" if group % 3 == 2 else "pbft"
    first = time.time_ns() // 1_000_000 * FRESH + group * (FRESH // GROUPS)
    for seed in range(first, first + FRESH // GROUPS):
        report = report_of(seed, engine)
        assert report.outcome is not None, line(report, engine)

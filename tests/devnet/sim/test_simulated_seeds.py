"""Whole networks from their seeds: those that found something before, and fresh ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, cast

import pytest

from devnet.sim.cli import line, report_of
from medquorum.quorum import EngineName

REGRESSIONS: Final = Path(__file__).parent / "regressions.txt"
WHOLE: Final = 1.0
"""The length of a regression: as long as the run that found it."""
GROUP: Final = 10
GROUPS: Final[tuple[EngineName, ...]] = (*("pbft",) * 6, *("raft",) * 5)
SAME_GROUPS: Final[tuple[EngineName, ...]] = ("pbft", "pbft", "raft")
APART: Final = 1_000


def regressions() -> list[tuple[int, EngineName]]:
    """The seeds of the file."""
    rows = [row.split() for row in REGRESSIONS.read_text().splitlines()]
    return [(int(row[0]), cast(EngineName, row[1])) for row in rows if row and row[0] != "#"]


def play(first: int, engine: EngineName) -> None:
    """A group of seeds. A failure prints what the run was made of, and how to play it again."""
    for seed in range(first, first + GROUP):
        report = report_of(seed, engine)
        assert report.outcome is not None, line(report, engine)


@pytest.mark.parametrize(("seed", "engine"), regressions())
def test_what_was_found_once_stays_fixed(seed: int, engine: EngineName) -> None:
    report = report_of(seed, engine, WHOLE)
    assert report.outcome is not None, line(report, engine, WHOLE)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("group", "engine"), [*enumerate(SAME_GROUPS)])
def test_the_same_seeds_hold_in_every_run(group: int, engine: EngineName) -> None:
    """So that two versions can be compared: the same until the simulator changes."""
    play(group * GROUP, engine)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("group", "engine"), [*enumerate(GROUPS)])
def test_fresh_seeds_hold(group: int, engine: EngineName) -> None:
    """The search for what nobody has seen yet, in every run of the suite.

    A seed that fails is a finding: it does not go away by running the suite again.
    """
    play(time.time_ns() // 1_000_000 * APART + group * GROUP, engine)

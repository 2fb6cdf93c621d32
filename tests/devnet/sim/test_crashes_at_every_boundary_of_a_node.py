"""Whole nodes die at every boundary between two effects of a height, and come back (R7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from devnet.sim.disk import Tail
from devnet.sim.options import calm
from devnet.sim.run import Run
from medquorum.quorum import EngineName

SKIPPED: Final = 25
"""Boundaries of the start of a node, before its first height."""
BOUNDARIES: Final = 48
"""More than one height has: writes, syncs, calls to threads and frames."""
NODES: Final = 4
WAYS: Final[tuple[Tail | None, ...]] = (None, Tail.TORN, Tail.FLIPPED, Tail.LOST)
"""A kill, of which the kernel keeps all; and power cuts, by what they leave of a file's end."""


def crash_at(engine: EngineName, boundary: int, place: int, tail: Tail | None) -> None:
    """Play a run in which one node dies there. Raises Violation."""
    options = replace(calm(NODES, engine), safety_ms=300, clients=2)
    run = Run(7 + boundary, engine, options=options)
    victim = run.net.machines[place]
    victim.pace.crash_after = SKIPPED + boundary
    victim.power_on_crash = tail is not None
    victim.disk.tail = tail
    run.play()
    assert victim.epoch > 1, "it did not crash"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", range(NODES))
@pytest.mark.parametrize("engine", ["pbft", "raft"])
def test_a_crash_at_each_boundary_of_a_height_is_survived(engine: EngineName, place: int) -> None:
    """Every boundary with one of the four ways to die; all pairs of both over the nodes."""
    for boundary in range(engine == "raft", BOUNDARIES, 1 if engine == "pbft" else 2):
        crash_at(engine, boundary, place, WAYS[(boundary + place) % len(WAYS)])


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("tail", WAYS)
@pytest.mark.parametrize("place", range(NODES))
@pytest.mark.parametrize("engine", ["pbft", "raft"])
def test_a_crash_at_each_boundary_in_each_way_is_survived(
    engine: EngineName, place: int, tail: Tail | None
) -> None:
    for boundary in range(BOUNDARIES):
        crash_at(engine, boundary, place, tail)

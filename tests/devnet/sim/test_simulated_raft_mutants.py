"""Known bugs of the Raft engine are found, within few seeds."""

from __future__ import annotations

import pytest

from devnet.sim.mutants import CATALOGUE, hunt
from devnet.sim.mutants_raft import RAFT

QUICK = (
    "majority one too small",
    "half is a majority",
    "validators change a height too late",
    "pre-votes elect",
    "no pre-vote",
    "heartbeats do not reset the timer",
    "old entry committed by counting copies",
    "own ack counted before its fsync",
)
"""Found within a few seconds each; `--slow` asks for all."""


@pytest.mark.parametrize("name", QUICK)
def test_a_known_bug_of_raft_is_found_soon(name: str) -> None:
    caught = hunt(name, "raft", 0)
    assert caught.seeds > 0, f"{name} got away"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [m.name for m in CATALOGUE["raft"] if m.name not in QUICK])
def test_every_known_bug_of_raft_is_found(name: str) -> None:
    caught = hunt(name, "raft", 0)
    assert caught.seeds > 0, f"{name} got away"


def test_the_catalogue_has_the_classical_mistakes_once_each() -> None:
    names = [mutant.name for mutant in CATALOGUE["raft"]]
    assert len(set(names)) == len(names)
    assert len(RAFT) >= 14

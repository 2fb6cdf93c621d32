"""Linearizable reads without a transaction are in the histories, and a careless one is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devnet.sim.mutants import CATALOGUE
from devnet.sim.mutants_reads import READS
from devnet.sim.options import Options, calm
from devnet.sim.patching import Patch
from devnet.sim.run import Run
from devnet.sim.trapnames import ALONE, TAKEOVER
from devnet.sim.world import Violation

BUSY = replace(calm(3, "raft"), clients=8, think_ms=20, patience_ms=300)
SLOW = replace(BUSY, execute_ms=60.0, safety_ms=20_000)
"""Heights take long enough for a leader to be replaced while clients read."""

WHEN = {
    "read without asking the leader": BUSY,
    "read before the height is here": replace(BUSY, sync_ms=20.0, loss=0.1),
    "read without confirming leadership": replace(SLOW, think_ms=200, aim=ALONE),
    "read beside an inherited entry": replace(SLOW, aim=TAKEOVER),
}
SEEDS = 30


def test_clients_of_a_raft_chain_read_without_transactions() -> None:
    run = Run(1, "raft", options=BUSY)
    run.play()
    assert run.office.looks > 20
    assert run.office.refusals.get("no_leader", 0) == 0


def test_clients_of_a_pbft_chain_do_not() -> None:
    run = Run(1, "pbft", options=replace(BUSY, n=4, engine="pbft"))
    run.play()
    assert run.office.looks == 0


def stale_read(name: str, options: Options) -> str:
    """What the judge says of a run with this bug, the first time that it says anything."""
    mutant = next(known for known in CATALOGUE["raft"] if known.name == name)
    for seed in range(SEEDS):
        try:
            with Patch() as patch:
                mutant.apply(patch)
                Run(seed, "raft", options=options).play()
        except Violation as violation:
            return str(violation)
    return f"{name} got away"


@pytest.mark.parametrize("name", [mutant.name for mutant in READS])
def test_a_careless_read_is_noticed(name: str) -> None:
    assert "is not linearizable" in stale_read(name, WHEN[name])

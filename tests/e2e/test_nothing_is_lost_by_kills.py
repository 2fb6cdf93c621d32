"""kill -9 of real processes under load, round after round: what was accepted is there (S5), all
nodes have the same blocks, results and state roots (S1, S3), and receipts verify (S6).
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from devnet.chaos.killed import Round, Series, as_text, draw
from devnet.chaos.killing import KillPlan, kill_rounds
from devnet.layout import NetworkDir
from devnet.network import Launch
from medquorum.quorum import EngineName

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

NODES = 4
SLOW_ROUNDS = 100


def made(folder: Path, plan: KillPlan) -> Series:
    told: list[Round] = []
    series = asyncio.run(kill_rounds(NetworkDir(folder / "net"), plan, say=told.append))
    assert series.rounds == told
    return series


def demand(series: Series, rounds: int) -> None:
    """Everything that a series promises, and that it really did something."""
    assert series.holds, "\n".join([*(done.line() for done in series.rounds), as_text(series)])
    assert len(series.rounds) == rounds
    assert series.lost == 0
    assert series.kills >= rounds
    # A round on a machine that is busy may be hit before anything was accepted.
    assert sum(done.accepted for done in series.rounds) == series.accepted > rounds
    heights = [done.height for done in series.rounds]
    assert heights == sorted(heights)
    assert series.receipts > 0
    assert series.verified["blocks"] >= NODES * heights[-1]
    assert series.verified["executed transactions"] >= NODES * series.accepted


def seed_whose_first_round_kills(count: int) -> int:
    def victims(seed: int) -> int:
        return len(draw(random.Random(f"{seed} 1"), NODES).victims)

    return next(seed for seed in range(1_000) if victims(seed) == count)


def test_nothing_that_was_accepted_is_lost_by_kills(engine: EngineName, tmp_path: Path) -> None:
    # The first round of this seed kills all at once: only what is on disks survives that.
    seed = seed_whose_first_round_kills(NODES)
    demand(made(tmp_path, KillPlan(3, seed, engine)), 3)


@pytest.mark.engines("pbft", why="about what the judges see")
def test_a_node_that_accepts_before_it_keeps_is_found_out(
    engine: EngineName, tmp_path: Path
) -> None:
    launch = Launch("tests.support.forgetful_node", words=())
    seed = seed_whose_first_round_kills(NODES)
    series = made(tmp_path, KillPlan(1, seed, engine, rate=400.0, launch=launch, settle_s=5.0))
    assert series.lost > 0
    assert not series.holds


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_nothing_is_lost_by_many_kills(engine: EngineName, tmp_path: Path) -> None:
    demand(made(tmp_path, KillPlan(SLOW_ROUNDS, 1, engine)), SLOW_ROUNDS)


@pytest.mark.engines(why="draws numbers only")
def test_blows_of_every_kind_are_drawn_and_can_be_drawn_again() -> None:
    blows = [draw(random.Random(f"7 {number}"), NODES) for number in range(200)]
    assert blows == [draw(random.Random(f"7 {number}"), NODES) for number in range(200)]
    assert {len(blow.victims) for blow in blows} == set(range(1, NODES + 1))
    assert any(blow.again for blow in blows)
    assert all(set(blow.again) <= set(blow.victims) for blow in blows)
    assert [len(draw(random.Random(n), 1).victims) for n in range(20)] == [1] * 20

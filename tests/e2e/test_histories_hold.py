"""Real processes, real faults, and judges outside: every promise holds in every history.

Two short histories are part of every run. The others, and those drawn from seeds, take longer than
a commit should wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from devnet.chaos.generator import scenario_of
from devnet.chaos.run import make_history
from devnet.chaos.scenario import Scenario, load_scenario
from devnet.chaos.verdict import Verdict, as_text
from devnet.layout import NetworkDir
from medquorum.quorum import EngineName

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SCENARIOS = Path(__file__).parents[2] / "devnet" / "scenarios"
QUICK = "kill-leader"
LYING = "equivocator"
SLOW = sorted({file.stem for file in SCENARIOS.glob("*.toml")} - {QUICK, LYING})
SEEDS = range(1, 6)
"""A few, so that the generator and all faults stay in working order. More: scripts/devnet test."""
PROMISES = 15

Record = Callable[[str, object], None]


def judged(folder: Path, scenario: Scenario, record: Record) -> Verdict:
    """Make the history, and demand everything of it."""
    told: list[str] = []
    verdict = asyncio.run(make_history(NetworkDir(folder / "net"), scenario, say=told.append))
    for recovery in verdict.figures.recoveries:
        record(f"recovery after {recovery.after}, ms", recovery.ms)
    assert verdict.holds, "\n".join([*told, as_text(verdict)])
    assert len(verdict.checks) == PROMISES
    assert verdict.figures.steps == len(scenario.steps)
    assert verdict.figures.operations > 0
    assert verdict.figures.load is not None
    assert verdict.figures.load.accepted > 0
    return verdict


def scenario_named(name: str, engine: EngineName) -> Scenario:
    """A scenario of this checkout, on an engine."""
    return msgspec.structs.replace(load_scenario(SCENARIOS / f"{name}.toml"), engine=engine)


def test_a_short_history_holds(engine: EngineName, tmp_path: Path, record_property: Record) -> None:
    verdict = judged(tmp_path, scenario_named(QUICK, engine), record_property)
    assert verdict.figures.convictions == {}
    assert (verdict.figures.looks > 0) == (engine == "raft")


@pytest.mark.engines("pbft", why="the other engine withstands no liar")
def test_a_short_history_with_a_liar_holds(
    engine: EngineName, tmp_path: Path, record_property: Record
) -> None:
    verdict = judged(tmp_path, scenario_named(LYING, engine), record_property)
    assert "equivocation" in verdict.figures.convictions


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_history_holds(
    name: str, engine: EngineName, tmp_path: Path, record_property: Record
) -> None:
    judged(tmp_path, scenario_named(name, engine), record_property)


@pytest.mark.slow
@pytest.mark.engines(why="the seed draws the engine")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_history_drawn_from_a_seed_holds(
    seed: int, tmp_path: Path, record_property: Record
) -> None:
    judged(tmp_path, scenario_of(seed), record_property)

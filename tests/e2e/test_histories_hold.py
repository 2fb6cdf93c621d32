"""Real processes, real faults, and judges outside: every promise holds in every history.

Two short histories are part of every run. The others, and those drawn from seeds, take longer than
a commit should wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from devnet.chaos.generator import scenario_of
from devnet.chaos.run import make_history
from devnet.chaos.scenario import Scenario, load_scenario
from devnet.chaos.verdict import Verdict, as_text
from devnet.layout import NetworkDir

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SCENARIOS = Path(__file__).parents[2] / "devnet" / "scenarios"
QUICK = ("equivocator", "kill-leader")
SLOW = sorted({file.stem for file in SCENARIOS.glob("*.toml")} - set(QUICK))
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


@pytest.mark.parametrize("name", QUICK)
def test_a_short_history_holds(name: str, tmp_path: Path, record_property: Record) -> None:
    scenario = load_scenario(SCENARIOS / f"{name}.toml")
    verdict = judged(tmp_path, scenario, record_property)
    lies = {liar.lie for liar in scenario.liars}
    assert ("equivocation" in verdict.figures.convictions) == ("equivocate" in lies)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_history_holds(name: str, tmp_path: Path, record_property: Record) -> None:
    judged(tmp_path, load_scenario(SCENARIOS / f"{name}.toml"), record_property)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_history_drawn_from_a_seed_holds(
    seed: int, tmp_path: Path, record_property: Record
) -> None:
    judged(tmp_path, scenario_of(seed), record_property)

"""Scenarios are read strictly, written so that they can be read again, and drawn from seeds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from devnet.chaos.errors import ScenarioError
from devnet.chaos.generator import CALM_S, FAULTS, FIRST_S, scenario_of
from devnet.chaos.proxy import Cut
from devnet.chaos.scenario import (
    Backup,
    Kill,
    Partition,
    Restore,
    Scenario,
    Start,
    Wipe,
    dump,
    load_scenario,
    parse,
)
from medquorum.quorum import EngineName, faulty

SCENARIOS = sorted((Path(__file__).parents[3] / "devnet" / "scenarios").glob("*.toml"))
WHOLE = """
name = "whole"
seconds = 12
nodes = 7
[config]
"consensus.round_ms" = 500
[load]
rate = 5
[[liars]]
node = 6
lie = "silent"
[[steps]]
at = 3
do = "kill"
node = "leader"
[[steps]]
at = 4
do = "partition"
groups = [[0], [1, 2, 3, 4, 5, 6]]
how = "reset"
"""


def test_a_scenario_is_read_as_it_is_written() -> None:
    scenario = parse(WHOLE)
    assert scenario.steps == (
        Kill(at=3, node="leader"),
        Partition(at=4, groups=((0,), (1, 2, 3, 4, 5, 6)), how=Cut.RESET),
    )
    assert scenario.lying == {6}
    assert scenario.config == {"consensus.round_ms": 500}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ('do = "kill"|do = "tickle"', "tickle"),
        ("seconds = 12|secnods = 12", "secnods"),
        ("node = 6|node = 7", "node 7 is none of 7"),
        ("at = 4|at = 13", "after the end"),
        ("at = 3|at = -1", "at"),
        ("nodes = 7|nodes = 3", "none of 3"),
        ('do = "kill"|do = "restore"', "leader|node"),
        ("rate = 5|rate = 0", "rate"),
        ("name =|name", "Expected"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: str, complaint: str) -> None:
    old, new = change.split("|")
    assert old in WHOLE
    with pytest.raises(ScenarioError) as raised:
        parse(WHOLE.replace(old, new, 1))
    assert any(part in str(raised.value) for part in complaint.split("|"))


def test_a_scenario_is_for_either_engine() -> None:
    honest = 'name = "x"\nengine = "raft"\n'
    assert parse(honest).engine == "raft"
    assert parse(dump(parse(honest))) == parse(honest)
    with pytest.raises(ScenarioError, match="on raft at most 0 may"):
        parse(honest + '[[liars]]\nnode = 0\nlie = "silent"\n')
    with pytest.raises(ScenarioError, match="paxos"):
        parse('name = "x"\nengine = "paxos"\n')


def test_more_liars_than_may_lie_are_refused() -> None:
    with pytest.raises(ScenarioError, match="at most 1 may"):
        parse(
            'name = "x"\n[[liars]]\nnode = 0\nlie = "silent"\n[[liars]]\nnode = 1\nlie = "silent"\n'
        )


def test_nothing_is_restored_that_was_not_backed_up() -> None:
    late = 'name = "x"\n[[steps]]\nat = 5\ndo = "backup"\nnode = 1\n'
    early = '[[steps]]\nat = 2\ndo = "restore"\nnode = 1\n'
    with pytest.raises(ScenarioError, match="before there is a backup"):
        parse(late + early)


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_every_scenario_here_can_be_played(file: Path) -> None:
    scenario = load_scenario(file)
    assert scenario.name == file.stem
    assert parse(dump(scenario)) == scenario


def test_there_are_scenarios_for_the_faults_that_hospitals_know() -> None:
    assert {file.stem for file in SCENARIOS} >= {
        "equivocator",
        "kill-leader",
        "members",
        "partition",
        "pause",
        "restart-all",
        "restore-old-disk",
    }


def test_a_seed_is_one_scenario_and_seeds_differ() -> None:
    drawn = [scenario_of(seed) for seed in range(300)]
    assert drawn == [scenario_of(seed) for seed in range(300)]
    assert len({msgspec.json.encode(s.steps) for s in drawn}) == len(drawn)
    for scenario in drawn:
        assert parse(dump(scenario)) == scenario
        _assert_it_can_recover(scenario)


def test_all_faults_are_drawn_and_lies_too() -> None:
    drawn = [scenario_of(seed) for seed in range(300)]
    kinds = Counter(type(step).__name__ for scenario in drawn for step in scenario.steps)
    assert len(kinds) == 19, kinds
    assert len(FAULTS) == 15
    assert len({liar.lie for scenario in drawn for liar in scenario.liars}) == 5
    assert {scenario.engine for scenario in drawn} == set(get_args(EngineName))
    assert {scenario.nodes for scenario in drawn} == {3, 4, 5, 7}


def _assert_it_can_recover(scenario: Scenario) -> None:
    """Faults begin after a calm moment, leave one at the end, and no more than f lie."""
    assert len(scenario.liars) <= faulty(scenario.nodes)
    assert scenario.steps[0].at >= FIRST_S
    assert scenario.steps[-1].at <= scenario.seconds - CALM_S + 0.01
    kinds = Counter(type(step) for step in scenario.steps)
    assert kinds[Backup] == kinds[Restore]
    assert not (scenario.liars and kinds[Restore] + kinds[Wipe])
    assert kinds[Kill] == 0 or kinds[Start] > 0

"""One validator twice: whatever the partitions and the leaders, the others agree and go on."""

from __future__ import annotations

from random import Random

import pytest

from devnet.model.runs import play_twins
from devnet.model.twins import (
    PARTITIONS,
    PHASES,
    Phase,
    Tally,
    Twins,
    beginnings,
    is_first,
    orbit,
    renamed,
)
from tests.support import engine_mutants


def test_all_scenarios_of_one_round_and_some_of_more_hold() -> None:
    one = play_twins(1, 0, 0, 1)
    assert (one.scenarios, one.violations) == (2 * len(PHASES), [])
    more = play_twins(3, 60, 1, 1)
    assert (more.scenarios, more.violations) == (120, [])
    assert more.decided_early < more.scenarios


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_all_scenarios_of_three_rounds_hold() -> None:
    tally = play_twins(3, 0, 0, 2)
    assert (tally.scenarios, tally.violations) == (2 * 64**3, [])


def test_of_scenarios_that_differ_in_names_one_is_played() -> None:
    assert len(PARTITIONS) == 16
    assert sum(orbit(scenario) for scenario in beginnings(2)) == len(PHASES) ** 2
    rng = Random(5)
    for _ in range(200):
        scenario = tuple(rng.choice(PHASES) for _ in range(3))
        others = {
            tuple(renamed(phase, (0, *names), copies) for phase in scenario)
            for names in ((1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1))
            for copies in ((0, 1), (1, 0))
        }
        assert len(others) == orbit(scenario)
        assert [is_first(other) for other in sorted(others)] == [True] + [False] * (len(others) - 1)


def test_renamed_scenarios_come_to_the_same() -> None:
    scenario = (Phase(1, (1, 0, 1, 0, 0)), Phase(0, (1, 1, 0, 1, 0)), Phase(2, (1, 0, 0, 1, 1)))

    def played(names: tuple[int, ...], copies: tuple[int, ...]) -> Tally:
        other = tuple(renamed(phase, names, copies) for phase in scenario)
        return Twins().play_one(other)

    plain, other = played((0, 1, 2, 3), (0, 1)), played((0, 3, 1, 2), (1, 0))
    assert plain.decided_early == other.decided_early
    assert plain.violations == other.violations == []


def test_a_quorum_that_is_too_small_lets_twins_split_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine_mutants.quorum_one_too_small(monkeypatch)
    assert play_twins(1, 0, 0, 1).violations != []

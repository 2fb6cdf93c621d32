"""The campaigns are worth as much as the bugs they find: each known one, and soon."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from medquorum.invariants import InvariantBroken
from tests.support import engine_mutants as mutants
from tests.support.engine_campaign import SIZES, run_campaign, run_unsure
from tests.support.engine_checks import Violation
from tests.support.engine_mutants import MUTATIONS, Mutation

RARE: dict[Mutation, range] = {
    # Only a validator that lost everything at the end of a height can tell.
    mutants.laggards_get_no_round_proof: range(100, 160),
}


def first_find(run: Callable[[int, int], object], seeds: Iterable[int]) -> str:
    """What the first run that fails says; empty if all of them pass."""
    for seed in seeds:
        try:
            run(seed, SIZES[seed % len(SIZES)])
        except (Violation, InvariantBroken) as found:
            return str(found)
    return ""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_known_bug_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    run = run_unsure if mutation is mutants.one_result_a_round_only else run_campaign
    assert first_find(run, RARE.get(mutation, range(150))) != ""


def test_lying_justifications_lead_to_two_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    mutants.highest_prepared_not_demanded(monkeypatch)
    assert "two decisions" in first_find(run_campaign, range(150))

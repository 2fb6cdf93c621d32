"""The Raft campaigns are worth as much as the bugs they find: each known one, and soon."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from medquorum.invariants import InvariantBroken
from tests.support import raft_mutants as mutants
from tests.support.engine_checks import Violation
from tests.support.raft_campaign import SIZES, run_campaign, run_unsure
from tests.support.raft_directed import run_directed
from tests.support.raft_mutants import DIRECTED, SAFETY, Mutation

SEEDS = 250


def first_find(run: Callable[[int, int], object], seeds: Iterable[int]) -> str:
    """What the first run that fails says; empty if all of them pass."""
    for seed in seeds:
        try:
            run(seed, SIZES[seed % len(SIZES)])
        except (Violation, InvariantBroken) as found:
            return str(found)
    return ""


@pytest.mark.parametrize("mutation", SAFETY, ids=lambda mutation: mutation.__name__)
def test_a_known_bug_of_raft_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    unsure = mutation is mutants.acks_counted_without_their_result
    assert first_find(run_unsure if unsure else run_campaign, range(SEEDS)) != ""


@pytest.mark.parametrize("mutation", DIRECTED, ids=lambda mutation: mutation.__name__)
def test_a_bug_that_only_a_directed_run_shows_is_found(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert first_find(run_directed, range(3)) != ""


def test_a_shorter_log_that_wins_loses_what_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    mutants.vote_granted_to_a_shorter_log(monkeypatch)
    assert "lacks what is decided" in first_find(run_campaign, range(SEEDS))

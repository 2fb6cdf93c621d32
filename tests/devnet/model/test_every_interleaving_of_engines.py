"""Small scopes, searched to their ends with the production engines: no order of events breaks them.

Each search has to end by itself: a limit that is reached would make it a sample.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devnet.model.explore import Findings, Search
from devnet.model.raft import raft_scope
from devnet.model.runs import HEALS_MAX, QUICK, STATES_MAX, Maker
from devnet.model.scope import Scope
from devnet.model.shame import signers_blurred
from devnet.model.world import key_of
from tests.support import engine_mutants, raft_mutants
from tests.support.engine_mutants import Mutation


def searched(scope: Scope, states_max: int = STATES_MAX) -> Findings:
    """What a search finds."""
    with signers_blurred({key_of(number) for number in range(4)}):
        return Search(scope).run(states_max, HEALS_MAX)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("maker", QUICK, ids=lambda maker: maker().name)
def test_no_order_of_events_breaks_a_promise(maker: Maker) -> None:
    found = searched(maker())
    assert (found.violation, found.trace) == ("", ())
    assert found.complete
    assert found.healed == found.quiescent > 0
    assert {choice.round for choice in found.decided} > {0}


RAFT_BUGS = (
    raft_mutants.quorum_one_too_small,
    raft_mutants.vote_not_persisted,
    raft_mutants.ack_before_fsync,
    raft_mutants.vote_forgotten_on_restart,
    raft_mutants.acked_entry_forgotten_on_restart,
    raft_mutants.vote_granted_to_a_shorter_log,
    raft_mutants.two_votes_in_one_term,
    raft_mutants.inherited_entry_dropped,
    raft_mutants.leadership_outlives_its_height,
    raft_mutants.certificate_of_another_term_accepted,
)


def raft_scopes() -> Iterator[Scope]:
    """From small to large."""
    yield raft_scope(terms=2, crashes=1)
    yield raft_scope(terms=3, crashes=1)


@pytest.mark.parametrize("mutation", RAFT_BUGS, ids=lambda mutation: mutation.__name__)
def test_the_search_finds_a_known_bug_of_raft(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert any(searched(scope).violation != "" for scope in raft_scopes())


def test_half_of_an_even_number_is_found_to_be_no_majority(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raft_mutants.half_is_a_quorum(monkeypatch)
    assert searched(raft_scope(n=4, terms=2, crashes=0)).violation != ""


def test_a_leader_is_found_to_count_an_ack_that_it_never_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raft_mutants.own_unsynced_ack_counted(monkeypatch)
    assert searched(raft_scope(terms=2, crashes=0, slow_execution=True)).violation != ""


def test_what_was_acknowledged_in_an_older_term_is_found_not_to_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raft_mutants.older_terms_counted(monkeypatch)
    assert searched(raft_scope(terms=3, crashes=1)).violation != ""


PBFT_BUGS: dict[Mutation, int] = {
    engine_mutants.quorum_one_too_small: 0,
    engine_mutants.no_fence_after_round_change: 0,
    engine_mutants.highest_prepared_not_demanded: 1,
    engine_mutants.duplicate_signers_counted: 1,
    engine_mutants.commits_counted_without_their_result: 0,
}
"""A bug, and the place in QUICK of the scope that shows it soonest."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutation", PBFT_BUGS, ids=lambda mutation: mutation.__name__)
def test_the_search_finds_a_known_bug_of_pbft(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert searched(QUICK[PBFT_BUGS[mutation]]()).violation != ""

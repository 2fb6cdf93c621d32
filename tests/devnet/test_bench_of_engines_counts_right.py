"""The bench of engines counts what the specifications say that a healthy height costs."""

from __future__ import annotations

import pytest

from devnet.bench.consensus import BUDGET_MS, expected_messages, measure_one
from medquorum.quorum import EngineName


@pytest.mark.parametrize("real_keys", [False, True])
@pytest.mark.parametrize("n", [1, 4, 7])
@pytest.mark.parametrize("engine", ["pbft", "raft"])
def test_a_healthy_height_takes_the_messages_of_the_specification(
    engine: EngineName, n: int, real_keys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devnet.bench.consensus.MESSAGES_MIN", 1)
    found = measure_one(engine, n, real_keys=real_keys)
    assert found.messages_per_height == found.messages_expected == expected_messages(engine, n)
    assert found.step_us > 0
    assert (found.signature_us > 0) == (real_keys and n > 1)
    assert found.total_us >= found.step_us
    assert found.within_budget is None


def test_what_pbft_sends_is_one_proposal_and_two_rounds_of_votes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("devnet.bench.consensus.MESSAGES_MIN", 1)
    assert measure_one("pbft", 4, real_keys=False).kinds == {
        "Proposal": 3.0,
        "Prepare": 12.0,
        "Commit": 12.0,
    }


def test_the_budget_is_judged_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devnet.bench.consensus.MESSAGES_MIN", 1)
    monkeypatch.setitem(BUDGET_MS, 4, 1_000_000.0)
    assert measure_one("pbft", 4, real_keys=True).within_budget is True
    monkeypatch.setitem(BUDGET_MS, 4, 0.000_001)
    assert measure_one("pbft", 4, real_keys=True).within_budget is False

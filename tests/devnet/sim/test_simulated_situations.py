"""Situations that chance brings about too seldom, or with a verdict of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from devnet.sim.options import calm
from devnet.sim.world import Violation
from medquorum.transaction import Transaction
from node.pending import PendingLog
from tests.support.simulated import play


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
def test_without_faults_every_height_is_decided_in_round_0(n: int) -> None:
    run = play(calm(n))
    assert run.checker.rounds_max == 0
    assert run.checker.height > 10
    assert not run.checker.stops


def test_in_some_runs_what_waits_for_a_block_is_written_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After seconds, as everywhere else, the runs would be over."""
    keep, lingered = PendingLog.keep, 0

    def watched(log: PendingLog, transactions: Sequence[Transaction], *, sync: bool) -> None:
        nonlocal lingered
        keep(log, transactions, sync=sync)
        lingered += 0 if sync else len(transactions)

    monkeypatch.setattr(PendingLog, "keep", watched)
    for seed in range(20):
        play(calm(4), seed)
        if lingered > 0:
            return
    pytest.fail("nothing that lingered was written")


def test_more_than_f_liars_are_noticed_by_the_checkers() -> None:
    options = replace(
        calm(4), liars=2, lie="directed", zeal=0.3, ban_ms=20.0, aim="commits_reach_one",
        round_ms=150, round_ms_max=600,
    )  # fmt: skip
    found: list[str] = []
    for seed in range(20):
        try:
            play(options, seed)
        except Violation as violation:
            found.append(str(violation))
            if found[-1].startswith("S1"):
                return
    pytest.fail(f"no fork was noticed, only {found}")


def test_as_many_as_f_liars_are_not_enough() -> None:
    options = replace(calm(4), liars=1, lie="directed", zeal=0.3, ban_ms=20.0, round_ms=150)
    for seed in range(3):
        play(options, seed)


def test_twins_are_convicted_by_those_who_hear_both() -> None:
    evidence = sum(
        play(replace(calm(4), liars=1, lie="twins"), seed).checker.evidence.total()
        for seed in range(2)
    )
    assert evidence > 0


def test_a_proven_liar_is_voted_out_while_the_chain_goes_on() -> None:
    options = replace(calm(7), liars=1, lie="twins", changes="validators", safety_ms=4_000)
    for seed in range(4):
        run = play(options, seed)
        if run.council.suspended > 0:
            assert not any(v.key in run.checker.byzantine for v in run.council.members)
            return
    pytest.fail("every liar still votes")

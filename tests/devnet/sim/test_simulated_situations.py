"""Situations that chance brings about too seldom, or with a verdict of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devnet.sim.options import Options, calm
from devnet.sim.run import Run
from devnet.sim.world import US_PER_S, Violation

HOUR_US = 3_600 * US_PER_S


def play(options: Options, seed: int = 1) -> Run:
    """A whole run; raises Violation."""
    run = Run(seed, options.engine, options=options)
    run.play()
    return run


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
def test_without_faults_every_height_is_decided_in_round_0(n: int) -> None:
    run = play(calm(n))
    assert run.checker.rounds_max == 0
    assert run.checker.height > 10
    assert not run.checker.stops


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


@pytest.mark.parametrize("offset_ms", [-300_000, 300_000])
def test_a_clock_that_is_five_minutes_off_costs_rounds_and_nothing_else(offset_ms: int) -> None:
    run = Run(3, "pbft", options=calm(4))
    run.net.machines[2].skew_ms = offset_ms
    run.play()
    assert run.checker.height > 5


def test_a_quorum_that_was_down_for_hours_goes_on_at_once() -> None:
    run = Run(5, "pbft", options=replace(calm(4), resend_ms=3_000))
    machines = run.net.machines
    for machine in machines:
        machine.boot()
    run.world.run(US_PER_S)
    for machine in machines[:2]:
        machine.restart_ms = None
        machine.crash(power=True)
    run.world.run(4 * HOUR_US)
    node = machines[3].node
    assert node is not None
    assert node.driver.engine.status().round <= 1
    for machine in machines[:2]:
        machine.restart_ms = (20.0, 100.0)
        machine.boot()
    run.play()
    assert run.checker.height > 5


BOUNDARIES = 72


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
@pytest.mark.parametrize("start", range(8))
def test_a_crash_at_any_boundary_between_two_effects_is_survived(start: int, power: bool) -> None:
    options = replace(calm(4), safety_ms=350, clients=2)
    for boundary in range(start, BOUNDARIES, 8):
        run = Run(7 + boundary, "pbft", options=options)
        victim = run.net.machines[boundary % 4]
        victim.pace.crash_after = 25 + boundary
        victim.power_on_crash = power
        run.play()
        assert victim.epoch > 1, "it did not crash"

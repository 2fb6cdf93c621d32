"""After outages and losses of memory, and with wrong clocks, networks go on (R5, R12, R13)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devnet.sim.disk import Backup, SimDisk
from devnet.sim.options import calm
from devnet.sim.run import SETTLING_MS, Run
from medquorum.quorum import EngineName
from tests.support.simulated import (
    decide,
    key_of,
    let_pass,
    status_of,
    submit,
    switch_on,
    take_down,
    up_and_running,
)

HOUR_MS = 3_600_000
DAY_HOURS = 24
OUTAGES: tuple[tuple[EngineName, int, int], ...] = (
    ("pbft", 4, 2),
    ("pbft", 4, 4),
    ("pbft", 7, 3),
    ("raft", 3, 2),
    ("raft", 5, 3),
)


@pytest.mark.parametrize(("engine", "n", "down"), OUTAGES)
def test_after_an_hour_without_a_quorum_the_first_that_returns_brings_a_block(
    engine: EngineName, n: int, down: int
) -> None:
    _outage(engine, n, down, hours=1)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("engine", "n", "down"), OUTAGES)
def test_after_a_day_without_a_quorum_the_first_that_returns_brings_a_block(
    engine: EngineName, n: int, down: int
) -> None:
    _outage(engine, n, down, hours=DAY_HOURS)


def _outage(engine: EngineName, n: int, down: int, *, hours: int) -> None:
    # The pace of real networks, in which a day is not too many events.
    options = replace(calm(n, engine), round_ms=5_000, round_ms_max=20_000, resend_ms=5_000)
    run = up_and_running(options)
    machines = run.net.machines
    decide(run, machines[-1])
    rounds = [status_of(machine).round for machine in machines]
    for machine in machines[:down]:
        take_down(machine)
    waiting = [submit(run, machine) for machine in machines[down:]]
    for _ in range(hours):
        let_pass(run, HOUR_MS)
        for machine in machines[down:]:
            assert status_of(machine).round <= max(rounds) + 1, "rounds run away"
    height = run.checker.height
    needed = down - (n - run.checker.quorum(n))
    for machine in machines[:needed]:
        switch_on(machine)
    work = waiting or [submit(run, machines[0])]
    limit_ms = 2 * options.round_ms_max + SETTLING_MS
    assert let_pass(run, limit_ms, lambda: all(tx.id in run.checker.where for tx in work))
    assert run.checker.height > height
    for machine in machines[needed:down]:
        switch_on(machine)
    run.play()


@pytest.mark.parametrize("engine", ["pbft", "raft"])
@pytest.mark.parametrize("seed", range(4))
def test_a_wiped_validator_signs_nothing_at_a_height_at_which_it_may_have_voted(
    engine: EngineName, seed: int
) -> None:
    """The sign state survives, as the guide demands; chain and log are gone (spec V3)."""
    _lose_memory(engine, seed, wipe=True)


@pytest.mark.parametrize("engine", ["pbft", "raft"])
@pytest.mark.parametrize("seed", range(4))
def test_an_old_disk_is_noticed_and_its_validator_observes(engine: EngineName, seed: int) -> None:
    _lose_memory(engine, seed, wipe=False)


def _lose_memory(engine: EngineName, seed: int, *, wipe: bool) -> None:
    run = up_and_running(calm(4, engine), seed)
    victim, other = run.net.machines[0], run.net.machines[1]
    keep = victim.home.sign_state
    decide(run, other)
    backup = Backup({}, ()) if wipe else victim.disk.backup(keep)
    for value in range(5):
        decide(run, other, value)
    submit(run, other)
    let_pass(run, 3.0 * (seed + 1))
    take_down(victim)
    said = run.checker.said(key_of(victim))
    victim.replace_disk(backup)
    for value in range(5):
        decide(run, other, value)
    switch_on(victim)
    run.play()
    later = run.checker.said(key_of(victim)) - said
    assert len(said) > 0
    assert len(later) > 0, "it never voted again"
    if engine == "pbft":
        assert min(height for height, _, _ in later) > max(height for height, _, _ in said)


def test_without_its_sign_state_a_validator_does_not_start() -> None:
    run = up_and_running(calm(4))
    victim, other = run.net.machines[0], run.net.machines[1]
    decide(run, other)
    take_down(victim)
    victim.disk = SimDisk(victim.disk.rng)
    run.checker.allowed.keyless.add(victim.name)
    said = run.checker.said(key_of(victim))
    switch_on(victim)
    assert not victim.is_up
    assert victim.refused.startswith("IdentityError"), victim.refused
    decide(run, other)
    assert run.checker.said(key_of(victim)) == said


@pytest.mark.parametrize("offset_ms", [-300_000, 300_000])
@pytest.mark.parametrize("n", [4, 7])
def test_clocks_that_are_five_minutes_off_cost_rounds_only_where_they_lead(
    n: int, offset_ms: int
) -> None:
    run = Run(3, "pbft", options=replace(calm(n), safety_ms=4_000))
    wrong = run.net.machines[: (n - 1) // 3]
    for number, machine in enumerate(wrong):
        machine.skew_ms = offset_ms if number == 0 else -offset_ms
    run.play()
    assert len(run.checker.rounds) > 20
    keys = {key_of(machine) for machine in wrong}
    for height, round_ in run.checker.rounds.items():
        if round_ > 0 and height > 1:
            led = run.checker.turns.first(height)
            assert led in keys, "a round was lost under a leader whose clock is right"


def test_all_clocks_may_be_wrong_together() -> None:
    run = Run(3, "pbft", options=calm(4))
    for machine in run.net.machines:
        machine.skew_ms = 300_000
    run.play()
    # In the end all are set right at once: that may cost the height under way a round, no other.
    lost = {height: round_ for height, round_ in run.checker.rounds.items() if round_ > 0}
    assert len(run.checker.rounds) > 100
    assert list(lost.values()) in ([], [1])

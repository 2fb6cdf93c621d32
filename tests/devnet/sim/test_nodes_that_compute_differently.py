"""Nodes whose execution gives other results: a few halt, many stop the height, none forks (R16)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from devnet.sim.extra import CODE_HASH, EXTRA, NAME
from devnet.sim.options import calm
from devnet.sim.register import ROWS, Put, Row, module
from devnet.sim.run import Run
from node.ledger.context import Context
from node.ledger.registry import Registry
from node.ledger.types import BUILT_IN
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

WRONG = 8
"""How many results a node that computes at random chooses from."""


def software(seed: int, *, fixed: bool) -> Registry:
    """A ledger that puts other values into registers: always the same ones, or any."""
    random = Random(seed)

    def put(body: Put, ctx: Context) -> None:
        wrong = 1 + seed if fixed else random.randrange(WRONG)
        ROWS.put(ctx.state, Row(body.value ^ wrong), body.register)

    return Registry([*BUILT_IN, module(put)], [EXTRA], {NAME: CODE_HASH})


@pytest.mark.parametrize("fixed", [True, False], ids=["always the same", "at random"])
@pytest.mark.parametrize("n", [4, 7])
def test_as_many_as_f_that_differ_halt_and_the_others_go_on(n: int, fixed: bool) -> None:
    few = (n - 1) // 3
    run = Run(2, "pbft", options=replace(calm(n), liars=few, lie="diverge"))
    wrong = [run.net.machines[place] for place in sorted(run.bad)]
    for machine in wrong:
        machine.registry = software(machine.place, fixed=fixed)
    for machine in run.net.machines:
        machine.boot()
    let_pass(run, 1_000)
    right = [machine for machine in run.net.machines if machine not in wrong]
    for value in range(8, 24):
        decide(run, right[0], value)
    let_pass(run, 5_000)
    for machine in wrong:
        assert machine.node is not None
        assert status_of(machine).halted == "divergence"
    run.play()
    assert run.checker.height > 16


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("seed", range(2))
def test_more_than_f_that_differ_stop_the_height_and_the_status_names_who(
    n: int, seed: int
) -> None:
    run = up_and_running(calm(n), seed)
    machines, many = run.net.machines, n - run.checker.quorum(n) + 1
    for machine in machines[:many]:
        take_down(machine)
        machine.registry = software(0, fixed=True)
        switch_on(machine)
    let_pass(run, 2_000)
    height = run.checker.height
    submit(run, machines[seed % n], 9)
    let_pass(run, 10_000)
    assert run.checker.height <= height + 1
    for machine in machines:
        status = status_of(machine)
        assert status.halted == ""
        assert status.divergent
        parties: dict[bytes, set[bytes]] = {}
        for group in status.results:
            parties.setdefault(group.result_hash, set()).update(group.signers)
        assert len(parties) == 2
        assert set(map(key_of, machines[:many])) in parties.values()
        assert set(map(key_of, machines[many:])) in parties.values()


def _split_at_random(seed: int) -> bool:
    """All compute at random, crash and compute again: two certificates of a height never exist.

    Whether anybody noticed that they differ. The checkers count a certificate as soon as its
    signatures could be put together.
    """
    run = Run(seed, "pbft", options=replace(calm(4), crash=0.004))
    run.checker.allowed.halts = frozenset({"nondeterminism", "divergence", "twin"})
    for machine in run.net.machines:
        machine.registry = software(seed * 10 + machine.place, fixed=False)
        machine.boot()
    let_pass(run, 500)
    for value in range(6):
        up = [machine for machine in run.net.machines if machine.is_up]
        if len(up) > 0:
            submit(run, up[value % len(up)], 8 * value)
        let_pass(run, 600)
    seen = [status_of(machine) for machine in run.net.machines if machine.is_up]
    return any(status.divergent or status.halted != "" for status in seen)


@pytest.mark.parametrize("group", range(4))
def test_nodes_that_all_compute_at_random_never_certify_two_results(group: int) -> None:
    noticed = [_split_at_random(seed) for seed in range(group * 5, group * 5 + 5)]
    assert any(noticed), "no run shows the split, so nothing was put to the test"


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("group", range(20))
def test_they_never_do_in_two_thousand_runs(group: int) -> None:
    for seed in range(100 + group * 100, 200 + group * 100):
        _split_at_random(seed)

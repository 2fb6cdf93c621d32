"""Simulated networks that a test leads through a situation step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consensus.engine import EngineStatus
from devnet.sim.clients import REGISTERS
from devnet.sim.machine import Machine
from devnet.sim.options import Options
from devnet.sim.register import Put
from devnet.sim.run import SETTLING_MS, Run
from devnet.sim.world import US_PER_MS
from medquorum.transaction import Transaction

WINDOW: Final = 60
"""Heights for which a transaction of `submit` is valid: the test is over long before."""


def play(options: Options, seed: int = 1) -> Run:
    """A whole run; raises Violation."""
    run = Run(seed, options.engine, options=options)
    run.play()
    return run


def up_and_running(options: Options, seed: int = 1) -> Run:
    """A network whose nodes have started and found each other. No client does anything yet."""
    run = Run(seed, options.engine, options=options)
    for machine in run.net.machines:
        machine.boot()
    let_pass(run, 1_000)
    return run


def let_pass(run: Run, milliseconds: float, until: Callable[[], bool] | None = None) -> bool:
    """Time goes by, until the condition holds; False if it did not."""
    return run.world.run(int(milliseconds * US_PER_MS), until)


def submit(run: Run, machine: Machine, value: int = 1) -> Transaction:
    """Work for the network, through this node, at a register that clients leave alone."""
    office = run.office
    tx = office.make([office.keys[0]], [("register.put", Put(REGISTERS, value))], WINDOW)
    office.ask(machine, tx, lambda _answer: None)
    return tx


def decide(run: Run, machine: Machine, value: int = 1) -> float:
    """Have a transaction decided; how long it took, in milliseconds. Fails after a long while."""
    tx, begun_us = submit(run, machine, value), run.world.now_us
    limit_ms = 20 * run.options.round_ms_max + SETTLING_MS
    assert let_pass(run, limit_ms, lambda: tx.id in run.checker.where), (
        f"nothing is decided: {run.office.refusals}"
    )
    return (run.world.now_us - begun_us) / US_PER_MS


def take_down(machine: Machine, *, power: bool = True) -> None:
    """Switch it off, until somebody boots it."""
    machine.restart_ms = None
    machine.crash(power=power, why="switched off")


def switch_on(machine: Machine) -> None:
    """The opposite; from now on it starts again by itself."""
    machine.restart_ms = (20.0, 100.0)
    machine.boot()


def status_of(machine: Machine) -> EngineStatus:
    """What the engine of a node that runs says of itself."""
    assert machine.node is not None, f"{machine.name} is down"
    return machine.node.driver.engine.status()


def key_of(machine: Machine) -> bytes:
    """The key with which a machine votes."""
    assert machine.validator is not None
    return machine.validator.public

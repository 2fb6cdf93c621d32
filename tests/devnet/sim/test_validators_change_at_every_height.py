"""The set of validators changes at every height, under faults, with both engines (R14)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devnet.sim.clients import Client
from devnet.sim.options import calm
from devnet.sim.run import Run
from medquorum.quorum import EngineName

QUICK_HEIGHTS = 30
CHANGES_PART = 0.5
"""At least so many of the heights bring another set: lost motions cost heights, too."""


def change(engine: EngineName, changes: str, heights: int, seed: int) -> None:
    """No clients at first: all that is decided is who decides next. Raises Violation."""
    options = replace(
        calm(5, engine), clients=0, changes=changes, safety_ms=600_000, loss=0.02, delay_ms=10.0,
        duplication=0.1, reordering=0.1, crash=0.0005, execute_tail=0.02,
    )  # fmt: skip
    run = Run(seed, engine, options=options)
    run.heights_max = heights
    run.council.look_ms = 5.0
    clients: list[Client] = []

    def work() -> None:
        """The faults are over, and nobody changes the set any more: something must be decided."""
        if run.checker.height >= heights and len(clients) == 0:
            clients.append(Client(run.office, 0, options.think_ms, options.window))
            clients[0].start()

    run.world.every_ms(100, work)
    run.play()
    assert run.checker.height >= heights
    assert run.council.carried >= CHANGES_PART * heights


@pytest.mark.timeout(300)
@pytest.mark.parametrize("changes", ["validators", "keys"])
@pytest.mark.parametrize("engine", ["pbft", "raft"])
def test_thirty_heights_with_other_validators_each(engine: EngineName, changes: str) -> None:
    change(engine, changes, QUICK_HEIGHTS, 1)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("changes", ["validators", "keys"])
@pytest.mark.parametrize("engine", ["pbft", "raft"])
def test_a_thousand_heights_with_other_validators_each(engine: EngineName, changes: str) -> None:
    change(engine, changes, 1_000, 2)

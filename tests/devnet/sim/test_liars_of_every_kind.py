"""As many as f liars of every kind, in networks of every size from 4 to 10, change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devnet.sim.liars import GENERIC
from devnet.sim.options import calm
from medquorum.quorum import faulty
from tests.support.simulated import play

KINDS = (*GENERIC, "diverge", "twins", "directed")
QUICK_SIZES = (4, 5, 7)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lie", KINDS)
def test_as_many_as_f_liars_of_a_kind_change_nothing(lie: str) -> None:
    for n in QUICK_SIZES:
        lie_to(n, lie)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("lie", KINDS)
def test_nor_do_they_in_networks_of_any_other_size(lie: str) -> None:
    for n in {*range(4, 11)} - {*QUICK_SIZES}:
        lie_to(n, lie)


def lie_to(n: int, lie: str) -> None:
    """A run in which a third of the validators lies. Raises Violation."""
    options = replace(
        calm(n), liars=faulty(n), lie=lie, zeal=0.2, ban_ms=20.0, safety_ms=400,
        clients=4, aim="commits_reach_one" if lie == "directed" else "none",
        round_ms=150, round_ms_max=600, resend_ms=50,
    )  # fmt: skip
    assert play(options, seed=n).checker.height >= 2

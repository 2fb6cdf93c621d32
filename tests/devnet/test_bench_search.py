"""The search for what a network can do prefers a load that can go on to one that is only larger."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from devnet.bench.rig import Saturate, Step, search


def step(window: int, per_second: float, *, round_changes: int = 0, refused: int = 0) -> Step:
    return Step(
        window=window,
        seconds=1.0,
        committed=int(per_second),
        committed_per_second=per_second,
        cpu_us_per_tx_per_validator=None,
        per_tx=None,
        memory_peak_mib=1.0,
        round_changes=round_changes,
        refused={"rate_limited": refused} if refused else {},
    )


def network(by_window: Mapping[int, Step], tried: list[int]) -> Saturate:
    """Commits what is written down for a window, and next to nothing with any other."""

    async def saturate(window: int, _seconds: float, _rate_guess: float) -> Step:
        tried.append(window)
        return by_window.get(window, step(window, 1.0))

    return saturate


@pytest.mark.parametrize("unclean", [{"round_changes": 1}, {"refused": 1}])
async def test_a_load_with_refusals_or_failed_rounds_is_worse_than_any_without(
    unclean: dict[str, int],
) -> None:
    steps = {250: step(250, 1_000.0), 500: step(500, 1_500.0, **unclean)}
    found = await search(network(steps, []), 1.0, 1_000.0)
    assert found.best == steps[250]


async def test_of_loads_that_can_go_on_the_largest_is_best() -> None:
    steps, tried = {250: step(250, 1_000.0), 500: step(500, 1_500.0)}, list[int]()
    found = await search(network(steps, tried), 1.0, 1_000.0)
    assert found.best == steps[500]
    assert tried.count(500) == 2

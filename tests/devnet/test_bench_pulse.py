"""The pulse tells how fast the machine is, and of which minute."""

from __future__ import annotations

from devnet.bench.pulse import Pulse, check_us


async def test_each_minute_has_the_median_of_its_own_beats() -> None:
    costs = iter((9.0, 50.0, 52.0, 500.0))
    pulse = Pulse(lambda: next(costs))
    assert pulse.take() == 9.0
    for _ in range(3):
        await pulse.beat()
    assert pulse.take() == 52.0
    # Without a beat since, the last is the best guess.
    assert pulse.take() == 52.0


def test_a_beat_is_the_cost_of_real_checks() -> None:
    assert 1.0 < check_us() < 10_000.0

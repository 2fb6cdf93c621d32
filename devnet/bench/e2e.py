"""Validators and the load on this one machine: how much, how fast, and at what cost.

Transactions have one operation and one signature, and were signed before they are needed.
Saturation is found by keeping more and more transactions under way until that commits no more a
second; it is then measured for a fixed time. Latency is measured open-loop at shares of that rate.
"""

from __future__ import annotations

from typing import Final

import msgspec

from devnet.bench.limits import Limits, signature_bound
from devnet.bench.rig import OpenLoop, Step, rig
from devnet.network import Network
from medquorum.quorum import EngineName

LOADS: Final = ((10.0, 0.002), (50.0, 0.01), (80.0, 0.02))
"""Percent of saturation, and within how many seconds what falls due is sent together: a client at
light load sends what it has, one at full load sends batches."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    engine: EngineName
    validators: int
    search: list[Step]
    saturation: Step
    loads: list[OpenLoop]
    sustained: bool
    """At the highest of these loads: no growing queues, no round changes, everything accepted, and
    all of it committed."""

    memory_idle_mib: float
    """Of the node that held most before there was load."""

    signature_bound_per_second: float
    ratio_to_bound: float
    lost: int


async def run(
    network: Network, limits: Limits, *, accounts: int, seconds: float, search_s: float
) -> Result:
    """All of it. The network must be running and made from a `rig.bench_manifest`."""
    validators = len(network.validators)
    async with rig(network, accounts, limits.cores) as running:
        idle = await running.read()
        search = await running.search(search_s)
        best = search.best
        saturation = await running.saturate(best.window, seconds, best.committed_per_second)
        rate = saturation.committed_per_second
        loads = [
            await running.open_loop(percent, rate, seconds, tick_s) for percent, tick_s in LOADS
        ]
        lost = running.lost
    bound = signature_bound(limits, validators)
    return Result(
        engine=network.engine,
        validators=validators,
        search=search.steps,
        saturation=saturation,
        loads=loads,
        sustained=loads[-1].sustained,
        memory_idle_mib=idle.memory_mib,
        signature_bound_per_second=round(bound, 1),
        ratio_to_bound=round(rate / bound, 4),
        lost=lost,
    )

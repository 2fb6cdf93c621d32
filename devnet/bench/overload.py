"""Twice as much as a network can do: what it refuses, what it still does, and what one who floods
does to another.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import msgspec

from devnet.bench.limits import Limits
from devnet.bench.rig import RATE_MIN, OpenLoop, Rig, Step, rig
from devnet.loadclient import Sender
from devnet.network import Network
from medquorum.quorum import EngineName

PERCENT: Final = 200.0
TICK_S: Final = 0.02
VICTIM_TICK_S: Final = 0.002
VICTIM_PER_SECOND: Final = 20.0
FLOODS: Final = 0
"""The organisation that floods: through its own node, as it would."""
SUFFERS: Final = 1
EARLY: Final = (429, 503)
"""Statuses that tell a client to come back later."""
THROUGHPUT_MIN: Final = 0.9
"""Of saturation, that must still be committed."""
FAIR_MAX: Final = 2.0
"""How many times its idle commit latency an organisation may have while another one floods."""


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """Transactions that were refused at the door."""

    by_code: dict[str, int]
    by_status: dict[str, int]
    early: int
    """With 429 or 503, and word when to come back."""

    other: int
    """In any other way. Should be none."""


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation's commit latency, alone and while another one floods. None if nothing of it
    was committed.
    """

    victim_per_second: float
    flood_per_second: float
    idle: OpenLoop
    flooded: OpenLoop
    flood: OpenLoop
    p50_ratio: float | None
    p99_ratio: float | None
    fair: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    engine: EngineName
    validators: int
    saturation: Step
    overload: OpenLoop
    offered_per_second: float
    """What was really sent: the machine also runs whoever sends."""

    committed_per_second: float
    share_of_saturation: float
    keeps_up: bool
    refusals: Refusals
    memory_peak_mib: float
    fairness: Fairness
    lost: int


async def run(
    network: Network, limits: Limits, *, accounts: int, seconds: float, search_s: float
) -> Result:
    """All of it. The network must be running and made from a `rig.bench_manifest`."""
    async with rig(network, accounts, limits.cores) as running:
        best = (await running.search(search_s)).best
        saturation = await running.saturate(best.window, seconds, best.committed_per_second)
        rate = max(RATE_MIN, saturation.committed_per_second)
        running.sender.refusals.clear()
        over = await running.open_loop(PERCENT, rate, seconds, TICK_S)
        refusals = _refusals(running.sender, over)
        memory = (await running.read()).memory_peak_mib
        fairness = await measure_fairness(running, rate, seconds)
        lost = running.lost
    share = over.report.committed_per_second / rate
    return Result(
        engine=network.engine,
        validators=len(network.validators),
        saturation=saturation,
        overload=over,
        offered_per_second=round(over.report.sent / over.report.seconds, 1),
        committed_per_second=over.report.committed_per_second,
        share_of_saturation=round(share, 3),
        keeps_up=share >= THROUGHPUT_MIN,
        refusals=refusals,
        memory_peak_mib=memory,
        fairness=fairness,
        lost=lost,
    )


async def measure_fairness(running: Rig, rate: float, seconds: float) -> Fairness:
    """The latency of a client that sends little, without and with a flood of another's."""
    victim, flooder = _of_org(running, SUFFERS), _of_org(running, FLOODS)
    idle = await victim.open_loop(100, VICTIM_PER_SECOND, seconds, VICTIM_TICK_S)
    flood_per_second = rate * PERCENT / 100
    # Signed before, so that both begin together.
    stock = await flooder.stock(round(flood_per_second * seconds) + 2, await flooder.height())
    async with asyncio.TaskGroup() as group:
        flooding = group.create_task(flooder.open_loop(PERCENT, rate, seconds, TICK_S, stock))
        flooded = await victim.open_loop(100, VICTIM_PER_SECOND, seconds, VICTIM_TICK_S)
    running.lost += victim.lost + flooder.lost
    p50 = _ratio(flooded.report.p50_ms, idle.report.p50_ms)
    p99 = _ratio(flooded.report.p99_ms, idle.report.p99_ms)
    return Fairness(
        victim_per_second=VICTIM_PER_SECOND,
        flood_per_second=round(flood_per_second, 1),
        idle=idle,
        flooded=flooded,
        flood=flooding.result(),
        p50_ratio=p50,
        p99_ratio=p99,
        fair=p50 is not None and p50 <= FAIR_MAX,
    )


def _of_org(running: Rig, org: int) -> Rig:
    """The same network, for the clients of one organisation, who ask their own node first."""
    clerks, urls = running.recipe.clerks, running.sender.urls
    first = org % len(urls)
    return replace(
        running,
        sender=Sender(running.sender.session, [*urls[first:], *urls[:first]]),
        recipe=replace(running.recipe, clerks=(clerks[org % len(clerks)],)),
        lost=0,
    )


def _refusals(sender: Sender, over: OpenLoop) -> Refusals:
    early = sum(
        count
        for refused, count in sender.refusals.items()
        if refused.status in EARLY and refused.told_when
    )
    by_status: dict[str, int] = {}
    for refused, count in sorted(sender.refusals.items()):
        name = f"{refused.status}{', Retry-After' if refused.told_when else ''}"
        by_status[name] = by_status.get(name, 0) + count
    return Refusals(
        by_code=over.report.refused,
        by_status=by_status,
        early=early,
        other=sum(sender.refusals.values()) - early,
    )


def _ratio(value: float, to: float) -> float | None:
    return None if value == 0.0 or to == 0.0 else round(value / to, 2)

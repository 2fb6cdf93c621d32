"""A long time at a fixed rate: does anything drift?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import msgspec

from devnet.bench.limits import Limits
from devnet.bench.meters import Reading
from devnet.bench.pulse import Pulse
from devnet.bench.rig import RATE_MIN, Rig, rig
from devnet.errors import StateError
from devnet.limits import DRAIN_S
from devnet.load import Plan, drain, following, generate, signing, window_of
from devnet.loadbook import Book, percentile
from devnet.network import Network
from medquorum.quorum import EngineName

DRIFT_MAX_PERCENT: Final = 5.0
THIRDS: Final = 3
TICK_S: Final = 0.02


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """One interval, by what fell due in it. Memory, disk and what waits are as of its end."""

    number: int
    seconds: float
    sent: int
    accepted: int
    committed: int
    committed_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_tx: float | None
    check_us: float
    """Processor time of one signature check in this minute, beside the load: how fast the machine
    was."""

    memory_mib: float
    anonymous_mib: float
    """Of memory, what is no page of a file."""

    disk_mib: float
    pending: int
    round_changes: int


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity in the first and in the last third of the intervals."""

    what: str
    first: float
    last: float
    percent: float
    worse: bool
    """By more than 5 percent, in the direction that nobody wants."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    engine: EngineName
    validators: int
    saturation_per_second: float
    load_percent: float
    rate: float
    minutes: list[Minute]
    drifts: list[Drift]
    drifted: bool
    queues_grew: bool
    lost: int


@dataclass(slots=True)
class _Interval:
    number: int
    book: Book
    before: Reading
    after: Reading
    seconds: float
    check_us: float


async def run(
    network: Network,
    limits: Limits,
    *,
    accounts: int,
    intervals: int,
    interval_s: float,
    percent: float,
    search_s: float,
    told: Callable[[Minute], None],
) -> Result:
    """Soak for so many intervals, and tell of each as soon as it is over: what was measured before
    a crash is not lost with it. The network must be running and made from a `rig.bench_manifest`.
    Raises StateError if something was rejected.
    """
    async with rig(network, accounts, limits.cores) as running:
        found = await running.search(search_s)
        saturation = found.best.committed_per_second
        rate = max(RATE_MIN, saturation * percent / 100)
        minutes = await _soak(running, rate, intervals, interval_s, told)
    drifts = compare(minutes)
    return Result(
        engine=network.engine,
        validators=len(network.validators),
        saturation_per_second=saturation,
        load_percent=percent,
        rate=round(rate, 1),
        minutes=minutes,
        drifts=drifts,
        drifted=any(drift.worse for drift in drifts),
        queues_grew=queues_grew(minutes, rate),
        lost=sum(minute.accepted - minute.committed for minute in minutes),
    )


async def _soak(
    running: Rig,
    rate: float,
    intervals: int,
    interval_s: float,
    told: Callable[[Minute], None],
) -> list[Minute]:
    """Each interval has a book of its own, which is closed as soon as all of it was seen: so an
    hour takes no more memory here than a minute, and the load never pauses.
    """
    plan = Plan(rate, interval_s, tick_s=TICK_S)
    height = await running.height()
    done: list[Minute] = []

    def over(minute: Minute) -> None:
        done.append(minute)
        told(minute)

    with signing(running.recipe, plan, window_of(running.network)) as supply:
        # The process that signs takes its time to start; this one is not sent.
        await supply.take(1, height)
        before = first = await running.read()
        async with asyncio.TaskGroup() as group:
            pulse = Pulse()
            beating = group.create_task(pulse.run())
            for number in range(intervals):
                book = Book()
                book.last_height = height
                ready, ended = asyncio.Event(), asyncio.Event()
                watching = group.create_task(_watch(running, height, book, ready, ended))
                await ready.wait()
                seconds = await generate(plan, running.sender, supply, book)
                after, height = await running.read(), await running.height()
                interval = _Interval(number, book, before, after, seconds, pulse.take())
                group.create_task(_close(interval, watching, ended, over))
                before = after
            beating.cancel()
    last = await running.read()
    if last.rejected > first.rejected:
        raise StateError(f"{last.rejected - first.rejected} transactions were rejected")
    return sorted(done, key=lambda minute: minute.number)


async def _watch(
    running: Rig, height: int, book: Book, ready: asyncio.Event, ended: asyncio.Event
) -> None:
    """Follow the chain for one book, until everything of it was seen."""
    sender = running.sender
    async with following(sender.session, sender.urls, height, book, followers=1):
        ready.set()
        await ended.wait()
        await drain(sender, book, DRAIN_S)


async def _close(
    interval: _Interval,
    watching: asyncio.Task[None],
    ended: asyncio.Event,
    over: Callable[[Minute], None],
) -> None:
    ended.set()
    await watching
    book, before, after = interval.book, interval.before, interval.after
    accepted = book.accepted()
    seen = [entry for entry in accepted if entry.seen]
    latencies = sorted(1000 * (entry.seen - entry.due) for entry in seen)
    cpu_s = after.cpu_s - before.cpu_s
    over(
        Minute(
            number=interval.number,
            seconds=round(interval.seconds, 2),
            sent=len(book.entries),
            accepted=len(accepted),
            committed=len(seen),
            committed_per_second=round(len(seen) / interval.seconds, 1),
            p50_ms=percentile(latencies, 50),
            p99_ms=percentile(latencies, 99),
            cpu_us_per_tx=round(1e6 * cpu_s / len(seen) / after.nodes, 1) if seen else None,
            check_us=interval.check_us,
            memory_mib=after.memory_mib,
            anonymous_mib=after.anonymous_mib,
            disk_mib=round(after.disk_bytes / 2**20, 2),
            pending=after.pending,
            round_changes=after.round_changes - before.round_changes,
        )
    )


def compare(minutes: Sequence[Minute]) -> list[Drift]:
    """The first third of the intervals against the last one. Nothing for fewer than three.

    Memory is the anonymous one: tables of LevelDB are mapped, so what is resident grows with the
    chain for as long as the machine has no other use for it.
    """
    size = len(minutes) // THIRDS
    if size == 0:
        return []
    ends = minutes[:size], minutes[-size:]

    def drift(what: str, values: Sequence[float], *, more_is_worse: bool) -> Drift:
        first, last = values
        percent = 100 * (last - first) / first if first else 0.0
        worse = percent if more_is_worse else -percent
        return Drift(
            what=what,
            first=round(first, 2),
            last=round(last, 2),
            percent=round(percent, 2),
            worse=worse > DRIFT_MAX_PERCENT,
        )

    def mean(name: str) -> list[float]:
        return [fmean(getattr(minute, name) or 0.0 for minute in end) for end in ends]

    checks = [fmean((one.cpu_us_per_tx or 0.0) / one.check_us for one in end) for end in ends]

    return [
        drift("throughput", mean("committed_per_second"), more_is_worse=False),
        drift("p50 latency", mean("p50_ms"), more_is_worse=True),
        drift("p99 latency", mean("p99_ms"), more_is_worse=True),
        drift("CPU per transaction", mean("cpu_us_per_tx"), more_is_worse=True),
        drift("CPU in signature checks", checks, more_is_worse=True),
        drift("anonymous memory", mean("anonymous_mib"), more_is_worse=True),
    ]


def queues_grew(minutes: Sequence[Minute], rate: float) -> bool:
    """Whether more waits in the last third than in the first, by more than falls due in a
    second.
    """
    size = max(1, len(minutes) // THIRDS)
    first = fmean(minute.pending for minute in minutes[:size])
    return fmean(minute.pending for minute in minutes[-size:]) > first + rate

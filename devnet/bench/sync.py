"""How fast a node that has nothing fetches a chain from the others, beside the rate at which they
made it on the same machine, moments before.

A network commits payments under full load, and then payments one by one; each stretch is timed.
Then one validator loses its blocks (not its sign state) and fetches all of them from the other
daemons, which have nothing else to do.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from devnet import api
from devnet.bench.limits import Limits
from devnet.bench.rig import Step, rig
from devnet.errors import StateError
from devnet.limits import READY_S
from devnet.netfile import NodeInfo
from devnet.network import Network
from medquorum.quorum import EngineName
from node.home import Home
from storage.chain import ChainStore
from storage.leveldb import LevelDB

CONFIG: Final[dict[str, object]] = {"sync.mode": "blocks"}
RATE_GUESS: Final = 2_000
LIGHT_WINDOW: Final = 4
"""Payments under way in the second stretch: hardly more than one a block."""
RATIO_MIN: Final = 5.0
"""Fetching is so many times as fast as making, at least."""
LOOK_S: Final = 0.02
WAIT_S: Final = 900.0


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the chain: how fast it was made, and how fast it was fetched."""

    blocks: int
    txs: int
    live_tx_per_second: float
    live_blocks_per_second: float
    sync_tx_per_second: float
    sync_blocks_per_second: float
    ratio: float
    """Of both rates by the clock."""
    live_cpu_us_per_tx: float | None
    """Of all validators together."""
    sync_cpu_us_per_tx: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. `peak_mib` is the resident memory of the node that fetched, at its
    highest; `idle_mib` that of the same node right after its start. `cpu_s` is what it used.
    """

    engine: EngineName
    validators: int
    full: Stretch
    light: Stretch
    heights: int
    sync_s: float
    cpu_s: float
    idle_mib: float
    peak_mib: float


async def run(
    network: Network, limits: Limits, *, window: int, accounts: int, seconds: float
) -> Figures:
    """All of it. The network must run, made from a `rig.bench_manifest` and with `CONFIG`."""
    async with rig(network, accounts, limits.cores) as running:
        first = await running.height()
        full = await running.saturate(window, seconds, RATE_GUESS)
        middle = await running.height()
        light = await running.saturate(LIGHT_WINDOW, seconds, RATE_GUESS)
        last = await running.height()
    fetched = await asyncio.to_thread(
        _fetch, network, network.validators[-1], (first, middle, last)
    )
    own = fetched.stretches
    validators = len(network.validators)
    return Figures(
        engine=network.engine,
        validators=validators,
        full=_stretch(full, own[0], middle - first, validators),
        light=_stretch(light, own[1], last - middle, validators),
        heights=last,
        sync_s=fetched.total_s,
        cpu_s=fetched.cpu_s,
        idle_mib=fetched.idle_mib,
        peak_mib=fetched.peak_mib,
    )


class _Took(msgspec.Struct, frozen=True):
    """What fetching one stretch took."""

    txs: int
    seconds: float
    cpu_s: float


class _Fetched(msgspec.Struct, frozen=True):
    stretches: tuple[_Took, _Took]
    total_s: float
    cpu_s: float
    idle_mib: float
    peak_mib: float


def _fetch(network: Network, node: NodeInfo, marks: tuple[int, int, int]) -> _Fetched:
    """Take a node's blocks away and let it fetch them: the seconds between the marks."""
    network.stop([node])
    home = network.directory.node(node.index)
    txs = _count(home, *marks)
    shutil.rmtree(home.chain)
    home.consensus_log.unlink()
    network.start([node])
    process = network.process(node)
    if process is None:
        raise StateError(f"{node.name} does not run")
    deadline = time.monotonic() + READY_S + WAIT_S
    passed: list[tuple[float, float]] = []
    began, idle_mib, cpu_s = 0.0, 0.0, 0.0
    while len(passed) < len(marks):
        seen = api.status(node.rpc)
        now = time.monotonic()
        if seen is not None:
            if began == 0.0:
                began, idle_mib, cpu_s = now, _mib(process.pid, "VmRSS"), process.cpu_seconds()
            while len(passed) < len(marks) and seen.height >= marks[len(passed)]:
                passed.append((now, process.cpu_seconds()))
        if now > deadline:
            raise StateError(f"{node.name} has not caught up in {WAIT_S:g} s")
        time.sleep(LOOK_S)
    took = [
        _Took(count, after[0] - before[0], after[1] - before[1])
        for count, (before, after) in zip(txs, pairwise(passed), strict=True)
    ]
    return _Fetched(
        (took[0], took[1]),
        round(passed[-1][0] - began, 2),
        round(process.cpu_seconds() - cpu_s, 2),
        idle_mib,
        _mib(process.pid, "VmHWM"),
    )


def _count(home: Home, first: int, middle: int, last: int) -> tuple[int, int]:
    """The transactions of both stretches, by the blocks of a stopped node."""
    kv = LevelDB(home.chain)
    try:
        headers = [ChainStore(kv).header(height) for height in range(first + 1, last + 1)]
    finally:
        kv.close()
    counts = [0 if header is None else header.tx_count for header in headers]
    return sum(counts[: middle - first]), sum(counts[middle - first :])


def _stretch(step: Step, took: _Took, blocks: int, validators: int) -> Stretch:
    live, fetched = step.committed_per_second, took.txs / took.seconds
    each = step.cpu_us_per_tx_per_validator
    return Stretch(
        blocks=blocks,
        txs=took.txs,
        live_tx_per_second=live,
        live_blocks_per_second=round(live * blocks / took.txs, 1),
        sync_tx_per_second=round(fetched, 1),
        sync_blocks_per_second=round(blocks / took.seconds, 1),
        ratio=round(fetched / live, 2),
        live_cpu_us_per_tx=None if each is None else round(each * validators, 1),
        sync_cpu_us_per_tx=round(1e6 * took.cpu_s / took.txs, 1),
    )


def _mib(pid: int, name: str) -> float:
    """A line of /proc/<pid>/status that tells kibibytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return round(kib / 1024, 1)

"""How long an operator's verbs take on a chain of payments: backup, restore, verify, prune.

A network commits payments under full load, then few at a time until the first ones may be given up.
The verbs are the real commands on one validator's home, each in a process of its own: seconds are
by the clock, and include that Python starts.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from devnet.bench.limits import Limits
from devnet.bench.meters import disk_usage
from devnet.bench.rig import WARM_UP_S, Step, rig
from devnet.errors import StateError
from devnet.manifest import Manifest
from devnet.netfile import NodeInfo
from devnet.network import Network
from devnet.ports import HOST
from medquorum.quorum import EngineName
from node.home import Home
from storage.chain import ChainStore
from storage.leveldb import LevelDB

WINDOW_HEIGHTS: Final = 500
"""Blocks that are younger than this are never given up."""
PARAMS: Final = {"tx.window_heights": WINDOW_HEIGHTS}
LIGHT_WINDOW: Final = 4
LIGHT_S: Final = 5.0
RATE_GUESS: Final = 2_000
WAIT_S: Final = 1_800.0


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """One command. `cpu_s` is of its processes; `said` what it printed as JSON."""

    name: str
    seconds: float
    cpu_s: float
    txs_per_second: float | None
    """Of the transactions that it had to do with; None if it reads none."""
    said: dict[str, object]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. Sizes are of the validator's database, in bytes."""

    engine: EngineName
    heights: int
    txs: int
    pruned_txs: int
    database_bytes: int
    full_load: Step
    beside_backup: Step
    """The same load while one validator writes its first backup."""
    verbs: tuple[Verb, ...]


def upkeep_manifest(manifest: Manifest, backups: Path) -> Manifest:
    """The manifest of a network whose upkeep is measured; nodes may back up into `backups`."""
    return msgspec.structs.replace(
        manifest,
        params={**manifest.params, **PARAMS},
        config={**manifest.config, "backup.directory": str(backups)},
    )


async def run(
    network: Network, limits: Limits, backups: Path, *, window: int, accounts: int, seconds: float
) -> Figures:
    """All of it. The network must run, made from an `upkeep_manifest`."""
    node = network.validators[-1]
    async with rig(network, accounts, limits.cores) as running:
        full = await running.saturate(window, seconds, RATE_GUESS)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(running.saturate(window, seconds, RATE_GUESS))
            await asyncio.sleep(WARM_UP_S)
            backup = group.create_task(_online(node, "backup, the first"))
        line = await running.height()
        while await running.height() <= line + WINDOW_HEIGHTS:
            await running.saturate(LIGHT_WINDOW, LIGHT_S, RATE_GUESS)
        again = await _online(node, "backup, the next")
    network.stop(network.nodes)
    home = network.directory.node(node.index)
    heights, txs, pruned = await asyncio.to_thread(_counted, home, line)
    size = disk_usage(home.chain)
    offline = await asyncio.to_thread(_offline, home, backups, (line, txs, pruned))
    return Figures(
        engine=network.engine,
        heights=heights,
        txs=txs,
        pruned_txs=pruned,
        database_bytes=size,
        full_load=full,
        beside_backup=task.result(),
        verbs=(backup.result(), again, *offline),
    )


async def _online(node: NodeInfo, name: str) -> Verb:
    words = ("backup", "--ops", f"http://{HOST}:{node.ops}")
    return await asyncio.to_thread(_verb, name, *words)


def _offline(home: Home, backups: Path, counts: tuple[int, int, int]) -> tuple[Verb, ...]:
    """The verbs of a stopped node, in an order in which none spoils what the next one needs."""
    line, txs, pruned = counts
    at, trust = ("--home", str(home.root)), ("--genesis", str(home.genesis_file))
    archives = home.root / "archives"
    archives.mkdir()
    found = [
        _verb("verify", "verify", *at, txs=txs),
        _verb("verify --deep", "verify", "--deep", *at, txs=txs),
        _verb("restore-drill", "restore-drill", str(backups), *at, txs=txs),
    ]
    # A restore wants a home without a chain. This one's is put back: it is the longer one.
    home.chain.rename(home.root / "kept")
    found.append(_verb("restore", "restore", str(backups), *at, txs=txs))
    shutil.rmtree(home.chain)
    (home.root / "kept").rename(home.chain)
    below = ("--below", str(line), "--archive", str(archives))
    found.append(_verb("prune --archive", "prune", *below, *at, txs=pruned))
    (archive,) = archives.iterdir()
    found.append(_verb("archive verify", "archive", "verify", str(archive), *trust, txs=pruned))
    found.append(_verb("archive import", "archive", "import", str(archive), *at, txs=pruned))
    found.append(_verb("compact", "compact", *at))
    return tuple(found)


def _verb(name: str, *words: str, txs: int | None = None) -> Verb:
    """Run a command. Raises StateError if it fails."""
    before, began_s = _cpu_s(), time.monotonic()
    done = subprocess.run(
        (sys.executable, "-P", "-m", "node.cli.main", *words, "--json"),
        capture_output=True,
        check=False,
        text=True,
        timeout=WAIT_S,
    )
    seconds = time.monotonic() - began_s
    if done.returncode != 0:
        raise StateError(f"{name} ended with {done.returncode}: {done.stderr[-500:]}")
    said = msgspec.json.decode(done.stdout)
    return Verb(
        name=name,
        seconds=round(seconds, 2),
        cpu_s=round(_cpu_s() - before, 2),
        txs_per_second=None if txs is None else round(txs / seconds),
        said=said if isinstance(said, dict) else {"said": said},
    )


def _cpu_s() -> float:
    """Of all children that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _counted(home: Home, line: int) -> tuple[int, int, int]:
    """Heights, transactions, and those of them below `line`, by the blocks of a stopped node."""
    with closing(LevelDB(home.chain)) as kv:
        blocks = ChainStore(kv)
        tip = blocks.tip()
        headers = [blocks.header(height) for height in range(1, tip + 1)]
    counts = [0 if header is None else header.tx_count for header in headers]
    return tip, sum(counts), sum(counts[: line - 1])

"""What giving old blocks up brings, and what it costs the commits that go on meanwhile.

    python -m tests.support.bench_pruning [BLOCKS]

Commits are made one after the other on the thread that also removes, first alone, then while
everything below the last thousand blocks goes, with an archive of it and without.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from node.pruning.background import Policy
from node.pruning.limits import STEP_HEIGHTS
from storage.kv import KV
from tests.support.pruning import Pruned, pruned_chain

TXS = 50
KEPT = 100
RANGE = 50
WINDOW = 10
SAMPLES = 100


async def _timed(pruned: Pruned, until: Callable[[int], bool]) -> list[float]:
    """How long each commit took, from asking to its end."""
    took: list[float] = []
    while not until(len(took)):
        began_s = time.perf_counter()
        await pruned.threads.writer.run(pruned.member.grow, 1, txs=TXS)
        took.append(time.perf_counter() - began_s)
    return took


async def _ranges(pruned: Pruned) -> None:
    """Give up what may go now, and not what the commits meanwhile let go."""
    pruner = pruned.pruner()
    for _ in range((pruned.member.chain.tip.height - KEPT) // RANGE):
        await pruner.step()


async def _beside(pruned: Pruned) -> tuple[list[float], float]:
    """Commits beside one pruning, and how long that took."""
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        pruning = group.create_task(_ranges(pruned))
        took = await _timed(pruned, lambda _count: pruning.done())
    return took, time.perf_counter() - began_s


def _told(what: str, took: list[float]) -> None:
    ordered = sorted(took)
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    spread = f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms"
    print(f"{what}: {len(took)} commits, {spread}")  # noqa: T201


def _size(kv: KV) -> int:
    return kv.bytes_on_disk()


def main(blocks: int) -> None:
    """Measure with a chain of so many blocks, whose transaction window is as narrow as can be."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("node.pruning.lines.remembered_heights", lambda _view: WINDOW),
    ):
        for archive in (None, Path(folder) / "archives"):
            if archive is not None:
                archive.mkdir()
            path = Path(folder) / ("plain" if archive is None else "archived")
            with pruned_chain(path, blocks=blocks, txs=TXS) as pruned:
                pruned.policy = Policy(KEPT, 0, RANGE, archive)
                alone = asyncio.run(_timed(pruned, lambda count: count == SAMPLES))
                before, oldest = _size(pruned.member.kv), pruned.oldest()
                took, seconds = asyncio.run(_beside(pruned))
                gone, after = pruned.oldest() - oldest, _size(pruned.member.kv)
                _told("alone", alone)
                _told(f"beside pruning {'with' if archive else 'without'} archives", took)
                print(  # noqa: T201 - its answer
                    f"{gone} heights of {TXS} transactions in {seconds:.1f} s, {STEP_HEIGHTS} a"
                    f" batch; database {before} to {after} bytes, counted as freed"
                    f" {pruned.counted('bytes_freed'):.0f}"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)

"""Gives old blocks up while the node runs, a little at a time (docs/spec/archive.md, A12, A13).

A range goes in four acts: it is archived and the archive proven, if the operator wants that; the
line is drawn above it, synced; its bodies are removed, some at a time; its room is compacted. The
first and the last run on a thread of their own, the others on the writer's thread in goes of about
a millisecond. Whatever interrupts it, what was drawn stays drawn, and the next start removes the
rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from medquorum.errors import VerificationError
from node.archive.errors import UnarchivableError
from node.archive.keeping import Kept, archive_path, keeping
from node.chain import Chain
from node.pruning.limits import (
    ARCHIVE_RETRY_S,
    COMPACT_BYTES,
    COMPACT_REST_S,
    INTERVAL_S,
    MEASURE_S,
    READ_REST_S,
    STEP_HEIGHTS,
    STEP_REST_S,
)
from node.pruning.lines import Holder, Surroundings, held_line, policy_line
from node.pruning.removing import body_ranges, draw_line, first_remains, remove, steps
from node.pruning.room import compact, range_bytes, room_of_parts
from node.threads import Worker
from storage.errors import StorageError
from storage.kv import KV


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants: see the configuration."""

    keep_heights: int
    keep_days: int
    range_heights: int
    archive: Path | None

    @property
    def is_on(self) -> bool:
        """Whether any block is ever given up."""
        return self.keep_heights > 0 or self.keep_days > 0


@dataclass(frozen=True, slots=True)
class PruningStatus:
    """What was given up since the node started, and what keeps more from going now: the value of
    a Holder, empty if nothing does.
    """

    heights_pruned: int
    bytes_freed: int
    held_by: str


class Counts(Protocol):
    """Where it is counted."""

    def pruned(self, heights: int) -> None:
        """So many heights were given up."""
        ...

    def freed(self, size: int) -> None:
        """So many bytes of the disk are free again."""
        ...

    def room(self, parts: Mapping[str, int]) -> None:
        """What the parts of the database take."""
        ...


class Needs(Protocol):
    """What else needs old blocks."""

    def snapshot(self) -> int | None:
        """See Surroundings. Reads a directory: asked on the worker's thread."""
        ...

    def peer(self) -> int:
        """See Surroundings. Asked on the event loop."""
        ...


class Pruner:
    """Lives on the event loop. `needs` tells what else needs old blocks; `paused` says that nothing
    is to be given up now.
    """

    def __init__(
        self,
        chain: Chain,
        kv: KV,
        policy: Policy,
        *,
        needs: Needs,
        paused: Callable[[], bool],
        worker: Worker,
        writer: Worker,
        counts: Counts,
        log: FilteringBoundLogger,
    ) -> None:
        self._chain = chain
        self._kv = kv
        self._policy = policy
        self._needs = needs
        self._paused = paused
        self._worker = worker
        self._writer = writer
        self._counts = counts
        self._log = log
        self._heights = 0
        self._bytes = 0
        self._holder = Holder.NOBODY

    @property
    def status(self) -> PruningStatus | None:
        """What came of it so far; None if the policy is to keep everything."""
        if not self._policy.is_on:
            return None
        return PruningStatus(self._heights, self._bytes, self._holder.value)

    async def run(self) -> None:
        """Finish what the last run of the node began, then keep to the policy until cancelled, and
        tell now and then what the database is made of.

        Ends by DiskError and DamagedStoreError of the database, which no node survives.
        """
        await self.finish_last()
        measured_s = -inf
        while True:
            now_s = asyncio.get_running_loop().time()
            if now_s >= measured_s + MEASURE_S:
                self._counts.room(await self._worker.run(room_of_parts, self._kv))
                measured_s = now_s
            failed = self._holder is Holder.ARCHIVE
            await asyncio.sleep(ARCHIVE_RETRY_S if failed else INTERVAL_S)
            while self._policy.is_on and not self._paused() and await self.step():
                pass

    async def finish_last(self) -> None:
        """Remove what lies below the line still, because a run was interrupted."""
        line = await self._worker.run(self._chain.blocks.oldest_block)
        first = await self._worker.run(first_remains, self._kv, line)
        if first < line:
            await self._remove(first, line)

    async def step(self) -> bool:
        """Give up the next range, if it may go. Whether it did."""
        first, stop, holder = await self._worker.run(self._next, self._needs.peer())
        if stop <= first:
            self._hold(holder)
            return False
        if self._policy.archive is not None and not await self._archived(first, stop - 1):
            self._hold(Holder.ARCHIVE)
            return False
        await self._writer.run(draw_line, self._kv, stop)
        self._heights += stop - first
        self._counts.pruned(stop - first)
        self._hold(Holder.NOBODY)
        freed = await self._remove(first, stop)
        self._log.info("pruned", height=stop, count=stop - first, bytes=freed)
        return True

    def _next(self, peer: int) -> tuple[int, int, Holder]:
        """The range that may go now, empty if none may, and what holds the next one.

        Ranges end at multiples, so that those of a node that was started again, and their archives,
        are the same.
        """
        first = self._chain.blocks.oldest_block()
        count = self._policy.range_heights
        stop = ((first - 1) // count + 1) * count + 1
        wished = policy_line(self._chain, self._policy.keep_heights, self._policy.keep_days)
        if wished < stop:
            return first, first, Holder.NOBODY
        line = held_line(self._chain, wished, Surroundings(self._needs.snapshot(), peer))
        return (first, stop, line.holder) if line.height >= stop else (first, first, line.holder)

    def _hold(self, holder: Holder) -> None:
        if holder is not self._holder and holder is not Holder.NOBODY:
            self._log.info("pruning_held", reason=holder.value)
        self._holder = holder

    async def _archived(self, first: int, last: int) -> bool:
        """Have a proven archive of the range. What fails is told, and tried again."""
        directory = self._policy.archive
        if directory is None or not await self._worker.run(directory.is_dir):
            # Not made: where a disk is not mounted, it would be on another one.
            self._log.warning("archive_failed", detail=f"{directory} is not there")
            return False
        path = archive_path(directory, self._chain.chain_id, first, last)
        work = keeping(path, self._kv, self._chain.genesis, first, last)
        try:
            kept = await self._done(work)
        except (UnarchivableError, VerificationError, OSError, StorageError) as error:
            # The chain does not need it. Damage that reading found is told, and 'verify' names it.
            self._log.warning("archive_failed", detail=str(error))
            return False
        finally:
            # A step that was under way when the node stopped still reads.
            await self._worker.run(work.close)
        if not kept.found:
            self._log.info("archived", name=kept.path.name, bytes=kept.size)
        return True

    async def _done(self, work: Generator[None, None, Kept]) -> Kept:
        while True:
            kept = await self._worker.run(_advanced, work)
            if kept is not None:
                return kept
            await asyncio.sleep(READ_REST_S)

    async def _remove(self, first: int, stop: int) -> int:
        """Remove the bodies of these heights, below the line; how many bytes are free again."""
        size = await self._worker.run(self._size, first, stop)
        for start, end in steps(first, stop, STEP_HEIGHTS):
            await self._writer.run(remove, self._kv, start, end, sync=False)
            await asyncio.sleep(STEP_REST_S)
        freed = 0
        heights = max(1, (stop - first) * COMPACT_BYTES // max(size, COMPACT_BYTES))
        for start, end in steps(first, stop, heights):
            for keys in body_ranges(start, end):
                freed += await self._worker.run(compact, self._kv, *keys)
                await asyncio.sleep(COMPACT_REST_S)
        self._bytes += freed
        self._counts.freed(freed)
        return freed

    def _size(self, first: int, stop: int) -> int:
        return sum(range_bytes(self._kv, *keys) for keys in body_ranges(first, stop))


def _advanced(work: Generator[None, None, Kept]) -> Kept | None:
    """One step; what came of it all once nothing is left to do. An exception of a generator's end
    cannot travel through a future.
    """
    try:
        next(work)
    except StopIteration as end:
        kept: Kept = end.value
        return kept
    return None

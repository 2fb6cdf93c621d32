"""The processor time of a node's threads, and profiles of them."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from node.threads import Threads, Worker

THREADS: Final = ("loop", "verifiers", "ledger", "writer")


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Nanoseconds of processor time by thread. `prepare` is a part of what the ledger's did."""

    loop: int = 0
    verifiers: int = 0
    ledger: int = 0
    prepare: int = 0
    writer: int = 0

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(
            loop=self.loop + other.loop,
            verifiers=self.verifiers + other.verifiers,
            ledger=self.ledger + other.ledger,
            prepare=self.prepare + other.prepare,
            writer=self.writer + other.writer,
        )


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The clocks at one moment. Asking the other threads costs the loop time, which belongs to
    nobody: so its clock is read before and after.
    """

    loop_before: int
    loop_after: int
    verifiers: int
    ledger: int
    prepare: int
    writer: int

    def since(self, earlier: Reading) -> Spent:
        """What was spent between two readings."""
        return Spent(
            loop=self.loop_before - earlier.loop_after,
            verifiers=self.verifiers - earlier.verifiers,
            ledger=self.ledger - earlier.ledger,
            prepare=self.prepare - earlier.prepare,
            writer=self.writer - earlier.writer,
        )


async def read_clocks(threads: Threads, prepare_ns: int) -> Reading:
    """Read the clocks of all threads, each on itself. Every worker must have one thread only."""
    before = time.thread_time_ns()
    verifiers = await threads.verifiers.run(time.thread_time_ns)
    ledger = await threads.ledger.run(time.thread_time_ns)
    writer = await threads.writer.run(time.thread_time_ns)
    return Reading(
        loop_before=before,
        verifiers=verifiers,
        ledger=ledger,
        prepare=prepare_ns,
        writer=writer,
        loop_after=time.thread_time_ns(),
    )


class Profiles:
    """A profile of each thread, written as one file for pstats. Figures that are taken meanwhile
    are worth nothing: every call costs more.
    """

    def __init__(self, threads: Threads) -> None:
        self._workers: dict[str, Worker] = {
            "verifiers": threads.verifiers,
            "ledger": threads.ledger,
            "writer": threads.writer,
        }
        self._profiles = {name: cProfile.Profile(time.thread_time) for name in THREADS}

    async def begin(self) -> None:
        """From now on."""
        await self._everywhere(cProfile.Profile.enable)

    async def end(self, file: Path) -> None:
        """Until now; `file` is written."""
        await self._everywhere(cProfile.Profile.disable)
        stats = pstats.Stats(self._profiles["loop"])
        for name in self._workers:
            stats.add(self._profiles[name])
        stats.dump_stats(file)

    async def _everywhere(self, call: Callable[[cProfile.Profile], None]) -> None:
        for name, worker in self._workers.items():
            await worker.run(call, self._profiles[name])
        call(self._profiles["loop"])

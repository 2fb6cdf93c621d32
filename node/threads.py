"""The threads beside the event loop, and how work reaches them.

    writer     one thread: consensus log, sign-state, LevelDB batches, mempool journal.
               Everything that fsyncs, in order.
    ledger     one thread: executing blocks and preparing their state roots.
    verifiers  signature checks; libsodium releases the interpreter lock, so they use other cores.
    readers    large reads for clients, so that they never hold up a commit.
    vault      one thread: the records of this hospital, and the keys that open them.
    snapshots  one thread: making and serving snapshots, and building a chain from one.
    pruning    one thread: archives of old blocks, and compaction behind them, which may take long.
    backup     one thread: backups, into a directory whose file system may not answer.

Each is a plain executor whose queue is bounded by its callers: the consensus loop waits for every
write, one block is executed at a time, and the intake limits what waits for verification.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, ParamSpec, TypeVar, cast

READER_THREADS: Final = 2
BRIEFS_TOGETHER_MAX: Final = 16
"""Short reads that travel to a thread together: the last one of them waits for all."""

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """A named thread pool that the event loop can wait for."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `call` on a thread of this pool.

        Cancelling the waiter does not stop a call that has begun.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: call(*args, **kwargs))

    async def run_steps(self, steps: Iterator[int], *, rest_s: float) -> int:
        """Run all steps of a long piece of work, and let others have the threads between them; the
        sum of what they gave.
        """
        total = 0
        while (step := await self.run(_next, steps)) is not None:
            total += step
            await asyncio.sleep(rest_s)
        return total

    def close(self) -> None:
        """Wait for what runs; nothing new is accepted."""
        self._pool.shutdown(wait=True)


def _next(steps: Iterator[int]) -> int | None:
    return next(steps, None)


@dataclass(frozen=True, slots=True)
class _Brief:
    """A short call and whoever waits for it."""

    call: Callable[[], object]
    done: asyncio.Future[object]


_Outcome = tuple[asyncio.Future[object], object, Exception | None]


def _outcomes(together: Sequence[_Brief]) -> Sequence[_Outcome]:
    """On a thread: what came of each."""
    ended: list[_Outcome] = []
    for brief in together:
        try:
            ended.append((brief.done, brief.call(), None))
        except Exception as error:
            ended.append((brief.done, None, error))
    return ended


class Readers(Worker):
    """The threads of reads. To go to a thread and back costs more than a small read itself, so
    those that come together travel together.
    """

    def __init__(self, name: str = "reader", threads: int = READER_THREADS) -> None:
        super().__init__(name, threads)
        self._idle = threads
        self._briefs: deque[_Brief] = deque()
        self._will_look = False

    async def brief(self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `call`, which takes less than a millisecond, on a thread; perhaps after a few others
        of its kind. How many wait is bounded by the requests that are answered at once.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        self._briefs.append(_Brief(lambda: call(*args, **kwargs), done))
        if not self._will_look:
            self._will_look = True
            loop.call_soon(self._hand_out, loop)
        return cast(R, await done)

    def _hand_out(self, loop: asyncio.AbstractEventLoop) -> None:
        self._will_look = False
        while self._briefs and self._idle > 0:
            together = [
                self._briefs.popleft() for _ in range(min(len(self._briefs), BRIEFS_TOGETHER_MAX))
            ]
            self._idle -= 1
            # By the loop, so that a loop whose time is made up has them in its own order.
            work = loop.run_in_executor(self._pool, _outcomes, together)
            work.add_done_callback(partial(self._settle, loop))

    def _settle(
        self, loop: asyncio.AbstractEventLoop, work: asyncio.Future[Sequence[_Outcome]]
    ) -> None:
        self._idle += 1
        if work.cancelled():
            return  # the loop ends
        for done, found, error in work.result():
            if done.done():
                continue  # whoever asked has gone
            if error is None:
                done.set_result(found)
            else:
                done.set_exception(error)
        self._hand_out(loop)


class Threads:
    """All worker threads of a node."""

    def __init__(self, *, verifiers: int, long: Callable[[str], Worker] = Worker) -> None:
        """`long` makes those whose work may take long, or never end: see node.longwork."""
        self.writer = Worker("writer")
        self.ledger = Worker("ledger")
        self.verifiers = Worker("verifier", verifiers)
        self.readers = Readers()
        self.vault = Worker("vault")
        self.snapshots = long("snapshots")
        self.pruning = long("pruning")
        self.backup = long("backup")

    def close(self) -> None:
        """Wait for all of them, the writer last: what the others produced may still be written."""
        self.backup.close()
        self.pruning.close()
        self.snapshots.close()
        self.vault.close()
        self.readers.close()
        self.verifiers.close()
        self.ledger.close()
        self.writer.close()

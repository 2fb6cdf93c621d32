"""The threads beside the event loop, and how work reaches them.

    writer     one thread: consensus log, sign-state, LevelDB batches, mempool journal.
               Everything that fsyncs, in order.
    ledger     one thread: executing blocks and preparing their state roots.
    verifiers  signature checks; libsodium releases the interpreter lock, so they use other cores.
    readers    large reads for clients, so that they never hold up a commit.
    vault      one thread: the records of this hospital, and the keys that open them.
    snapshots  one thread: making and serving snapshots, and building a chain from one.
    pruning    one thread: archives of old blocks, and compaction behind them, which may take long.

Each is a plain executor whose queue is bounded by its callers: the consensus loop waits for every
write, one block is executed at a time, and the intake limits what waits for verification.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

READER_THREADS: Final = 2

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

    def close(self) -> None:
        """Wait for what runs; nothing new is accepted."""
        self._pool.shutdown(wait=True)


class Threads:
    """All worker threads of a node."""

    def __init__(self, *, verifiers: int) -> None:
        self.writer = Worker("writer")
        self.ledger = Worker("ledger")
        self.verifiers = Worker("verifier", verifiers)
        self.readers = Worker("reader", READER_THREADS)
        self.vault = Worker("vault")
        self.snapshots = Worker("snapshots")
        self.pruning = Worker("pruning")

    def close(self) -> None:
        """Wait for all of them, the writer last: what the others produced may still be written."""
        self.pruning.close()
        self.snapshots.close()
        self.vault.close()
        self.readers.close()
        self.verifiers.close()
        self.ledger.close()
        self.writer.close()

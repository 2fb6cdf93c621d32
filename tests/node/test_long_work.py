"""A node that stops waits for long work for a while, and never for ever. What never ends here reads
a FIFO that nobody writes to: a system call that does not return.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from medquorum import genesis as genesis_files
from node.config.schema import Config
from node.home import Home
from node.longwork import LongWork
from node.stores import open_stores
from node.threads import Threads
from storage.errors import DataDirLockedError
from storage.lock import LOCK_NAME, DataDirLock
from tests.support.signed_chain import REGISTRY
from tests.support.stopped_home import make_stopped_home

SOON_S = 0.05
FAR_S = 3_600.0


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """Whoever opens it for reading waits, until the test is over."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    yield path
    with suppress(OSError):  # nobody reads it
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


async def opened(fifo: Path) -> int:
    """The other end of a FIFO, once somebody is reading it."""
    return await asyncio.to_thread(os.open, fifo, os.O_WRONLY)


async def test_what_ends_in_time_is_waited_for_and_nothing_is_left() -> None:
    long = LongWork(wait_s=FAR_S)
    threads = Threads(verifiers=1, long=long.worker)
    go, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> str:
        loop.call_soon_threadsafe(begun.set)
        go.wait()
        return "done"

    async with asyncio.TaskGroup() as group:
        running = group.create_task(threads.backup.run(work))
        await begun.wait()
        finishing = group.create_task(long.finish())
        await threads.pruning.run(int)
        assert not finishing.done()
        go.set()
    assert running.result() == "done"
    assert long.left() == ()
    threads.close()


async def test_what_does_not_return_is_left_and_named_and_its_waiter_let_go(fifo: Path) -> None:
    long = LongWork(wait_s=SOON_S)
    threads = Threads(verifiers=1, long=long.worker)
    cleaned_up: list[str] = []

    async def backup() -> None:
        try:
            await threads.backup.run(fifo.read_bytes)
        finally:
            # As whoever holds a view of the database does: it waits behind what does not return.
            cleaned_up.append("begun")
            await threads.backup.run(cleaned_up.append, "never")

    with pytest.raises(ExceptionGroup) as stopped:
        async with asyncio.TaskGroup() as group:
            group.create_task(backup())
            group.create_task(long.watch())
            end = await opened(fifo)
            raise OSError("the node stops")
    assert stopped.group_contains(OSError, match="the node stops")
    await long.finish()
    (left,) = long.left()
    assert (left.worker, left.call) == ("backup", "Path.read_bytes")
    assert "pathlib.py" in left.place
    threads.close()  # returns, though the thread does not
    assert cleaned_up == ["begun"]
    os.close(end)


async def test_work_that_nobody_waits_for_any_more_is_left_too(fifo: Path) -> None:
    long = LongWork(wait_s=SOON_S)
    threads = Threads(verifiers=1, long=long.worker)
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(threads.pruning.run(fifo.read_bytes))
        end = await opened(fifo)
        waiter.cancel()
    await long.finish()
    assert [left.worker for left in long.left()] == ["pruning"]
    with pytest.raises(asyncio.CancelledError):
        await threads.pruning.run(int)
    threads.close()
    os.close(end)


def open_files(home: Home) -> set[str]:
    """What this process has open in the data directory, by the first part of its path there."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError, ValueError):
            found.add(descriptor.readlink().relative_to(home.data.resolve()).parts[0])
    return found


def test_only_what_the_thread_may_be_in_stays_open_and_nobody_else_gets_in(tmp_path: Path) -> None:
    home = make_stopped_home(tmp_path)
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    stores = open_stores(home, Config(), genesis, REGISTRY, None)
    assert {home.consensus_log.name, home.chain.name} <= open_files(home)
    stores.close(in_use=True)
    assert open_files(home) == {home.chain.name, LOCK_NAME}
    assert stores.chain.blocks.header(1) is not None
    with pytest.raises(DataDirLockedError):
        DataDirLock(home.data)
    stores.kv.close()


async def test_an_idle_node_stops_at_once() -> None:
    long = LongWork(wait_s=FAR_S)
    threads = Threads(verifiers=1, long=long.worker)
    await threads.snapshots.run(int)
    await long.finish()
    assert long.left() == ()
    threads.close()

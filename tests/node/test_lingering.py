"""What peers passed on is written down once it has waited for long, not before (storage.md J6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typing_extensions import override

from medquorum.keys import SigningKey
from medquorum.transaction import Transaction
from node.ledger.txtype import Traffic
from node.limits import INTAKE_CHUNK_TXS
from node.lingering import Lingering
from node.mempool import Mempool, PoolTx
from node.pending import PendingLog
from node.threads import Worker
from storage.errors import DiskFailedError, DiskFullError, JournalFullError
from storage.journal import MempoolJournal
from tests.support.cluster import make_transaction

KEY = SigningKey(bytes(32))


class WatchedLog(PendingLog):
    """Calls `before_keep` on the writer thread before it writes."""

    writes = 0

    def __init__(self, journal: MempoolJournal) -> None:
        super().__init__(journal)
        self.before_keep: Callable[[], None] = lambda: None

    @override
    def keep(self, transactions: Sequence[Transaction], *, sync: bool) -> None:
        self.writes += 1
        self.before_keep()
        super().keep(transactions, sync=sync)


class Held:
    """A pool, its journal in a directory, and what looks after both."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pool = Mempool()
        self.log = WatchedLog(MempoolJournal(path))
        self.writer = Worker("writer")
        self.lingering = Lingering(self.pool, self.log, self.writer, every_s=0.0)

    def passed_on(self, *numbers: int, local: bool = False) -> list[Transaction]:
        """New in the pool."""
        made = [make_transaction(bytes(32), KEY, number, valid_until=9) for number in numbers]
        for tx in made:
            assert self.pool.add(PoolTx(tx, b"org", Traffic.CLINICAL, local)) is None
        return made

    def written(self) -> list[bytes]:
        """What the next process would find."""
        return PendingLog(MempoolJournal(self.path)).recover()


async def test_what_waits_at_two_looks_in_a_row_survives_the_end_of_the_process(
    tmp_path: Path,
) -> None:
    held = Held(tmp_path)
    early = held.passed_on(1, 2)
    await held.lingering.look()
    assert held.written() == []
    held.passed_on(3)
    await held.lingering.look()
    assert held.written() == [tx.raw for tx in early]


async def test_what_is_committed_meanwhile_and_what_clients_sent_is_not_written(
    tmp_path: Path,
) -> None:
    held = Held(tmp_path)
    held.passed_on(1, local=True)
    [gone] = held.passed_on(2)
    await held.lingering.look()
    held.pool.remove([gone.id])
    await held.lingering.look()
    await held.lingering.look()
    assert held.log.writes == 0


async def test_it_is_written_once_however_long_it_waits(tmp_path: Path) -> None:
    held = Held(tmp_path)
    held.passed_on(*range(600))
    for _ in range(5):
        await held.lingering.look()
    assert held.log.writes == 3
    assert len(held.written()) == 600


async def test_others_have_their_turn_while_a_large_pool_is_looked_at(tmp_path: Path) -> None:
    held, turns = Held(tmp_path), 0
    held.passed_on(*range(4 * INTAKE_CHUNK_TXS))

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count())
        await held.lingering.look()
        counting.cancel()
    assert turns >= 4


async def test_a_commit_that_overtakes_the_write_leaves_nothing_in_the_journal(
    tmp_path: Path,
) -> None:
    held = Held(tmp_path)
    [gone, stays] = held.passed_on(1, 2)
    await held.lingering.look()
    held.log.before_keep = lambda: held.pool.remove([gone.id])
    await held.lingering.look()
    assert set(held.log._positions) == {stays.id}


@pytest.mark.parametrize("full", [JournalFullError(1), DiskFullError(Path("j"), "write", "full")])
async def test_where_there_is_no_room_a_later_look_tries_again(
    tmp_path: Path, full: Exception
) -> None:
    held = Held(tmp_path)
    [tx] = held.passed_on(1)

    def refuse() -> None:
        raise full

    held.log.before_keep = refuse
    await held.lingering.look()
    await held.lingering.look()
    assert held.written() == []
    held.log.before_keep = lambda: None
    await held.lingering.look()
    assert held.written() == [tx.raw]


async def test_a_failed_disk_is_not_passed_over(tmp_path: Path) -> None:
    """It stops the node (D2), as any other write of the journal would."""
    held = Held(tmp_path)
    held.passed_on(1)

    def fail() -> None:
        raise DiskFailedError(tmp_path, "write", "I/O error")

    held.log.before_keep = fail
    await held.lingering.look()
    with pytest.raises(DiskFailedError):
        await held.lingering.look()


async def test_it_looks_by_itself_until_it_is_cancelled(tmp_path: Path) -> None:
    held = Held(tmp_path)
    [tx] = held.passed_on(1)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    held.log.before_keep = lambda: (loop.call_soon_threadsafe(done.set), None)[1]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(held.lingering.run())
        await done.wait()
        task.cancel()
    held.writer.close()
    assert held.written() == [tx.raw]

"""What a client was told is pending survives: duplicates, failed writes, restarts and races."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typing_extensions import override

from medquorum.transaction import Transaction, assemble
from node.intake import Admission
from node.ledger.txtype import Traffic
from node.mempool import Mempool, PoolTx
from node.pending import PendingLog
from node.run import take_back_pending
from node.threads import Threads
from storage.errors import DiskFullError
from storage.journal import MempoolJournal
from tests.support.cluster import key_of, make_transaction
from tests.support.daemon import LocalNode, World, local_node
from tests.support.ledger import some_key
from tests.support.people import enrolment


class HeldJournal(MempoolJournal):
    """A journal whose next sync waits until it is let go; or its next append, which fails then."""

    failure: Exception | None = None

    def hold(self, failure: Exception | None = None) -> None:
        """From now on. No failed sync is survived, but a failed append is."""
        self.let_go, self.begun = threading.Event(), threading.Event()
        self.failure = failure

    @override
    def append(self, items: Sequence[bytes]) -> tuple[int, ...]:
        """As the journal's."""
        failure, self.failure = self.failure, None
        if failure is not None:
            self._wait()
            raise failure
        return super().append(items)

    @override
    def sync(self) -> None:
        """As the journal's."""
        if hasattr(self, "let_go"):
            self._wait()
        super().sync()

    def _wait(self) -> None:
        self.begun.set()
        self.let_go.wait(20)


@asynccontextmanager
async def holding_node(path: Path) -> AsyncIterator[tuple[LocalNode, HeldJournal]]:
    """A local node on a journal that can be held."""
    async with local_node(path) as node, asyncio.TaskGroup() as group:
        journal = HeldJournal(path / "held")
        node.intake._pending = PendingLog(journal)
        second = group.create_task(node.intake.run())
        try:
            yield node, journal
        finally:
            second.cancel()


def some(node: LocalNode, count: int) -> list[Transaction]:
    """Transactions that the node admits."""
    return [node.transaction(enrolment(node, f"person {n}")) for n in range(count)]


def codes(admissions: Sequence[Admission]) -> list[str]:
    """Why each was refused, or nothing."""
    return ["" if a.refusal is None else a.refusal.code for a in admissions]


def proposed(node: LocalNode) -> list[bytes]:
    """The ids that a proposer would put into its block now."""
    chosen = node.pool.candidates(txs_max=9, bytes_max=100_000, operations_max=99)
    return [tx.id for tx in chosen]


async def write_begun(journal: HeldJournal) -> None:
    """Wait until the write of what was submitted is under way; then the pool has it."""
    assert await asyncio.to_thread(journal.begun.wait, 20)


async def all_looked_at(node: LocalNode) -> None:
    """Wait until the intake has looked at everything that tasks submitted: it answers in order."""
    await asyncio.sleep(0)
    [admission] = await node.intake.submit([b"junk"], local=True)
    assert admission.refusal is not None


async def refused_beside(
    node: LocalNode, journal: HeldJournal, tx: Transaction, copies: int
) -> tuple[list[Admission], list[Admission]]:
    """What the transaction was told whose write a full disk refused, and what `copies` of it were
    told that came while it was being written.
    """
    async with asyncio.TaskGroup() as group:
        journal.hold(DiskFullError(Path("journal"), "write", "full"))
        first = group.create_task(node.intake.submit([tx.raw], local=True))
        await write_begun(journal)
        again = group.create_task(node.intake.submit([tx.raw] * copies, local=True))
        await all_looked_at(node)
        journal.let_go.set()
    return await first, await again


async def test_a_duplicate_is_not_acknowledged_before_the_first_one_is_durable(
    tmp_path: Path,
) -> None:
    async with holding_node(tmp_path) as (node, journal), asyncio.TaskGroup() as group:
        [tx] = some(node, 1)
        journal.hold()
        first = group.create_task(node.intake.submit([tx.raw], local=True))
        await write_begun(journal)
        again = group.create_task(node.intake.submit([tx.raw], local=True))
        await all_looked_at(node)
        assert not again.done()
        journal.let_go.set()
        assert codes(await first + await again) == ["", ""]
        assert (await again)[0].duplicate


async def test_a_full_disk_refuses_the_duplicate_that_waited_for_the_failed_write(
    tmp_path: Path,
) -> None:
    async with holding_node(tmp_path) as (node, journal):
        [tx] = some(node, 1)
        first, again = await refused_beside(node, journal, tx, 2)
        assert codes(first) == ["disk_low"]
        # Told that it is pending, it must be; told that it is refused, it may be sent again.
        for admission in again:
            assert (admission.refusal is None) == (tx.id in node.pool)


async def test_a_duplicate_that_was_refused_with_the_first_one_is_not_found_by_a_restart(
    tmp_path: Path,
) -> None:
    async with holding_node(tmp_path) as (node, journal):
        [tx] = some(node, 1)
        first, again = await refused_beside(node, journal, tx, 1)
        assert codes(first + again) == ["disk_low", "disk_low"]
        # Its own write went well, and what undoes that is on its way to the writer by now.
        kept = await node.intake._threads.writer.run(lambda: {*node.intake._pending._positions})
        assert kept == set()


async def test_what_may_still_be_refused_is_neither_proposed_nor_offered_to_peers(
    tmp_path: Path,
) -> None:
    async with holding_node(tmp_path) as (node, journal), asyncio.TaskGroup() as group:
        lost, kept = some(node, 2)
        journal.hold(DiskFullError(tmp_path, "write", "full"))
        first = group.create_task(node.intake.submit([lost.raw], local=True))
        await write_begun(journal)
        assert lost.id in node.pool
        assert proposed(node) == []
        assert node.pool.local(9) == []
        journal.let_go.set()
        assert codes(await first) == ["disk_low"]
        assert codes(await node.intake.submit([kept.raw], local=True)) == [""]
        assert proposed(node) == [kept.id]
        assert node.pool.local(9) == [kept.raw]


async def test_what_came_by_gossip_is_durable_before_a_client_hears_that_it_is_known(
    tmp_path: Path,
) -> None:
    async with holding_node(tmp_path) as (node, journal), asyncio.TaskGroup() as group:
        [tx] = some(node, 1)
        journal.hold()
        await node.intake.submit([tx.raw], local=False)
        again = group.create_task(node.intake.submit([tx.raw], local=True))
        await all_looked_at(node)
        assert not again.done()
        journal.let_go.set()
        assert codes(await again) == [""]


async def test_what_a_peer_passes_on_waits_for_no_disk_and_is_offered_at_once(
    tmp_path: Path,
) -> None:
    """Rule J6 of storage.md: a peer's promise is not written again."""
    async with holding_node(tmp_path) as (node, journal), asyncio.TaskGroup() as group:
        sent, passed_on = some(node, 2)
        journal.hold()
        # Both in one look at what waits: the peer does not wait for the client's write.
        first = group.create_task(node.intake.submit([sent.raw], local=True))
        other = group.create_task(node.intake.submit([passed_on.raw], local=False))
        await write_begun(journal)
        assert codes(await other) == [""]
        assert not first.done()
        assert proposed(node) == [passed_on.id]
        journal.let_go.set()
        assert codes(await first) == [""]
        assert [raw for _, raw in journal.replay()] == [sent.raw]


async def test_a_full_disk_takes_nothing_of_what_peers_passed_on_with_it(tmp_path: Path) -> None:
    async with holding_node(tmp_path) as (node, journal), asyncio.TaskGroup() as group:
        sent, passed_on = some(node, 2)
        journal.hold(DiskFullError(Path("journal"), "write", "full"))
        first = group.create_task(node.intake.submit([sent.raw], local=True))
        other = group.create_task(node.intake.submit([passed_on.raw], local=False))
        await write_begun(journal)
        journal.let_go.set()
        assert codes(await first + await other) == ["disk_low", ""]
        assert proposed(node) == [passed_on.id]


async def test_a_refusal_takes_back_nothing_that_a_vote_has_promised(tmp_path: Path) -> None:
    """Another node has proposed what a full disk refuses here; the vote's own write goes well."""
    async with holding_node(tmp_path) as (node, journal), asyncio.TaskGroup() as group:
        [tx] = some(node, 1)
        writer, pending = node.intake._threads.writer, node.intake._pending
        journal.hold(DiskFullError(Path("journal"), "write", "full"))
        first = group.create_task(node.intake.submit([tx.raw], local=True))
        await write_begun(journal)
        vote = group.create_task(writer.run(pending.keep, [tx], sync=True))
        await asyncio.sleep(0)
        journal.let_go.set()
        await vote
        assert codes(await first) == ["disk_low"]
        await all_looked_at(node)
        # Behind all that the refusal still had for the writer.
        assert await writer.run(lambda: {*pending._positions}) == {tx.id}


async def test_a_refused_duplicate_takes_back_nothing_that_a_vote_has_promised(
    tmp_path: Path,
) -> None:
    """As above, and the client of the refused one had sent it twice: its second write goes well."""
    async with holding_node(tmp_path) as (node, journal):
        [tx] = some(node, 1)
        writer, pending = node.intake._threads.writer, node.intake._pending
        async with asyncio.TaskGroup() as group:
            journal.hold(DiskFullError(Path("journal"), "write", "full"))
            group.create_task(node.intake.submit([tx.raw], local=True))
            await write_begun(journal)
            again = group.create_task(node.intake.submit([tx.raw], local=True))
            await all_looked_at(node)
            node.voted.add(tx.id)
            group.create_task(writer.run(pending.keep, [tx], sync=True))
            await asyncio.sleep(0)
            journal.let_go.set()
        assert codes(await again) == ["disk_low"]
        assert await writer.run(lambda: {*pending._positions}) == {tx.id}


async def test_a_commit_that_overtakes_the_write_leaves_nothing_in_the_journal(
    tmp_path: Path,
) -> None:
    async with holding_node(tmp_path) as (node, journal), asyncio.TaskGroup() as group:
        [tx] = some(node, 1)
        # The commit's own turn of the writer came before: nothing was there for it to release.
        node.intake._threads = threads = Threads(verifiers=1)
        journal.hold()
        task = group.create_task(node.intake.submit([tx.raw], local=True))
        await write_begun(journal)
        await node.commit(tx)
        journal.let_go.set()
        assert codes(await task) == [""]
        await node.intake.submit([b"junk"], local=True)
        await node.intake.submit([b"junk"], local=True)
        threads.close()
        assert node.intake._pending._positions == {}


async def test_a_duplicate_with_forged_signatures_does_not_take_the_place_of_the_true_one(
    tmp_path: Path,
) -> None:
    async with holding_node(tmp_path) as (node, journal):
        [tx] = some(node, 1)
        forged = assemble(tx.body_bytes, [b"\x01" + bytes(64)])
        node.pool.add(PoolTx(tx, b"", Traffic.CLINICAL, local=False))
        assert codes(await node.intake.submit([forged.raw], local=True)) == [""]
        assert [raw for _, raw in journal.replay()] == [tx.raw]


async def test_the_same_nonce_with_another_body_is_another_transaction(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        nonces = [
            make_transaction(node.chain.chain_id, some_key("founder 0 root"), 7, valid_until=until)
            for until in (10, 11)
        ]
        assert nonces[0].body.nonce == nonces[1].body.nonce
        await node.admit(*nonces)
        block = await node.commit()
        assert set(block.tx_ids) == {tx.id for tx in nonces}


def test_a_full_disk_keeps_nothing_of_that_call(tmp_path: Path) -> None:
    [a, b] = [make_transaction(bytes(32), key_of("x"), n, valid_until=9) for n in (1, 2)]
    journal = HeldJournal(tmp_path)
    pending = PendingLog(journal)
    pending.keep([a], sync=True)
    journal.hold(DiskFullError(tmp_path, "write", "full"))
    journal.let_go.set()
    with pytest.raises(DiskFullError):
        pending.keep([a, b], sync=True)
    assert set(pending._positions) == {a.id}
    assert PendingLog(MempoolJournal(tmp_path)).recover() == [a.raw]
    pending.keep([b], sync=True)
    assert set(pending._positions) == {a.id, b.id}


def restarted(node: LocalNode, journal: Path) -> tuple[Any, PendingLog]:
    """As much of a node as takes back what was pending."""
    pending = PendingLog(MempoolJournal(journal))
    node.intake._pending = pending
    log = SimpleNamespace(info=lambda *_args, **_values: None)
    return SimpleNamespace(
        stores=SimpleNamespace(pending=pending),
        threads=node.threads,
        intake=node.intake,
        pool=node.pool,
        log=log,
    ), pending


async def test_a_restart_takes_back_more_than_the_quota_of_an_organisation(tmp_path: Path) -> None:
    """A quota meters clients. What it let in once was acknowledged, and must not be lost."""
    async with local_node(tmp_path / "a", world=World(admit=lambda _org: False)) as node:
        transactions = some(node, 10)
        PendingLog(MempoolJournal(tmp_path / "j")).keep(transactions, sync=True)
        again, _ = restarted(node, tmp_path / "j")
        await take_back_pending(again)
        assert all(tx.id in node.pool for tx in transactions)


@pytest.mark.parametrize("full", ["pool", "journal"])
async def test_what_finds_no_room_after_a_restart_stays_in_the_journal(
    tmp_path: Path, full: str
) -> None:
    async with local_node(tmp_path / "a") as node:
        transactions = some(node, 10)
        PendingLog(MempoolJournal(tmp_path / "j")).keep(transactions, sync=True)
        again, pending = restarted(node, tmp_path / "j")
        if full == "pool":
            node.intake._pool = again.pool = Mempool(txs_max=4)
        else:
            pending._journal._bytes_max = 1
        await take_back_pending(again)
        held = set(pending._positions)
        assert held == {tx.id for tx in transactions}
        assert len(again.pool) == (2 if full == "pool" else 10)

"""Fetching the transactions of a proposal, from honest and from hostile holders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from medquorum.codec import Wire, decode, encode
from medquorum.keys import SigningKey
from medquorum.transaction import Transaction, assemble
from node.bodies import Bodies
from node.ledger.txtype import Traffic
from node.limits import FETCH_TXS_MAX
from node.mempool import Mempool, PoolTx
from node.threads import Worker
from node.wire import FrameKind, GetTxs, TxBatch
from tests.support.cluster import make_transaction

KEY = SigningKey(bytes(32))
HOLDER, OTHER = b"holder", b"other"


def some(*numbers: int) -> list[Transaction]:
    """Transactions told apart by number."""
    return [make_transaction(bytes(32), KEY, number, valid_until=9) for number in numbers]


class Peers:
    """A network on which `answer` says what each peer sends back when it is asked."""

    def __init__(self, answer: Callable[[bytes, tuple[bytes, ...]], list[bytes]]) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.was_asked = asyncio.Event()
        self.sent: list[tuple[bytes, FrameKind, Wire]] = []
        self.punished: list[str] = []
        self.reasons: list[str] = []
        self.committed: dict[bytes, bytes] = {}
        self.looked_for: list[tuple[tuple[bytes, ...], int]] = []
        self.bodies: Bodies | None = None
        self.group: asyncio.TaskGroup | None = None

    def send(self, peer: bytes, kind: FrameKind, message: Wire) -> bool:
        """Answer a GetTxs; remember everything else."""
        self.sent.append((peer, kind, message))
        if isinstance(message, GetTxs):
            self.asked.append(peer)
            self.was_asked.set()
            raws = self.answer(peer, message.ids)
            assert self.bodies is not None
            assert self.group is not None
            self.group.create_task(self.bodies.on_txs(peer, encode(TxBatch(tuple(raws)))))
        return True

    async def stored(self, tx_ids: Sequence[bytes], bytes_max: int) -> list[bytes]:
        """What is committed here."""
        self.looked_for.append((tuple(tx_ids), bytes_max))
        return [self.committed[tx_id] for tx_id in tx_ids if tx_id in self.committed]

    def members(self) -> tuple[bytes, ...]:
        """Both."""
        return (HOLDER, OTHER)

    def dropped(self, reason: str) -> None:
        """Remember."""
        self.reasons.append(reason)

    def punish(self, _peer: bytes, reason: str) -> None:
        """Remember."""
        self.punished.append(reason)


@asynccontextmanager
async def fetching(peers: Peers, pool: Mempool) -> AsyncIterator[Bodies]:
    """Bodies that ask `peers`."""
    worker = Worker("verifier")
    try:
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):
            network: Any = peers
            bodies = Bodies(pool, network, worker, peers.stored)
            peers.bodies, peers.group = bodies, group
            yield bodies
    finally:
        worker.close()


async def test_what_is_in_the_mempool_is_not_asked_for() -> None:
    pool, transactions = Mempool(), some(1, 2)
    for tx in transactions:
        pool.add(PoolTx(tx, b"", Traffic.CLINICAL, local=False))
    peers = Peers(lambda _peer, _ids: [])
    async with fetching(peers, pool) as bodies:
        found = await bodies.gather([tx.id for tx in transactions], [HOLDER])
    assert found == transactions
    assert peers.asked == []


async def test_missing_ones_are_fetched_in_the_order_of_the_proposal() -> None:
    a, b, c = some(1, 2, 3)
    pool = Mempool()
    pool.add(PoolTx(b, b"", Traffic.CLINICAL, local=False))
    peers = Peers(lambda _peer, ids: [tx.raw for tx in (c, a) if tx.id in ids])
    async with fetching(peers, pool) as bodies:
        found = await bodies.gather([a.id, b.id, c.id], [HOLDER])
    assert [tx.id for tx in found] == [a.id, b.id, c.id]
    assert peers.asked == [HOLDER]


async def test_a_holder_that_has_nothing_is_followed_by_everyone_else() -> None:
    [tx] = some(1)
    peers = Peers(lambda peer, _ids: [tx.raw] if peer == OTHER else [])
    async with fetching(peers, Mempool()) as bodies:
        found = await bodies.gather([tx.id], [HOLDER])
    assert [t.id for t in found] == [tx.id]
    assert peers.asked == [HOLDER, HOLDER, OTHER]


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda tx: assemble(tx.body_bytes, [b"\x01" + bytes(64)]).raw, "bad_fetched_signature"),
        (lambda _tx: b"garbage", "bad_fetched_transaction"),
    ],
)
async def test_a_lying_holder_is_named_and_the_search_goes_on(
    forge: Callable[[Transaction], bytes], reason: str
) -> None:
    [tx] = some(1)
    peers = Peers(lambda peer, _ids: [forge(tx)] if peer == HOLDER else [tx.raw])
    async with fetching(peers, Mempool()) as bodies:
        [found] = await bodies.gather([tx.id], [HOLDER])
    assert found.signatures_hold()
    assert reason in peers.punished


async def test_what_nobody_asked_for_is_not_kept() -> None:
    [tx] = some(1)
    peers = Peers(lambda _peer, _ids: [])
    async with fetching(peers, Mempool()) as bodies:
        await bodies.on_txs(HOLDER, encode(TxBatch((tx.raw,))))
        assert bodies.find(tx.id) is None
        # A flood of them costs no decoding, and a late answer is no misbehaviour.
        await bodies.on_txs(HOLDER, b"not even decoded")
    assert peers.reasons == ["txs_not_asked", "txs_not_asked"]
    assert peers.punished == []


async def test_gossip_that_arrives_meanwhile_ends_the_search() -> None:
    [tx] = some(1)
    peers = Peers(lambda _peer, _ids: [])
    async with fetching(peers, Mempool()) as bodies, asyncio.TaskGroup() as group:
        task = group.create_task(bodies.gather([tx.id], [HOLDER]))
        await peers.was_asked.wait()
        bodies.arrived(tx)
        assert await task == [tx]


async def test_two_searches_for_the_same_transaction_both_end() -> None:
    [tx] = some(1)
    peers = Peers(lambda peer, _ids: [tx.raw] if peer == OTHER else [])
    async with fetching(peers, Mempool()) as bodies, asyncio.TaskGroup() as group:
        first = group.create_task(bodies.gather([tx.id], [HOLDER]))
        second = group.create_task(bodies.gather([tx.id], [OTHER]))
        assert [t.id for t in await first] == [t.id for t in await second] == [tx.id]


async def test_a_peer_gets_what_is_here_and_nothing_else() -> None:
    here, absent = some(1, 2)
    pool = Mempool()
    pool.add(PoolTx(here, b"", Traffic.CLINICAL, local=False))
    peers = Peers(lambda _peer, _ids: [])
    async with fetching(peers, pool) as bodies:
        await bodies.on_get_txs(OTHER, encode(GetTxs((absent.id, here.id))))
    [(peer, kind, message)] = peers.sent
    assert (peer, kind) == (OTHER, FrameKind.TXS)
    assert decode(TxBatch, encode(message), size_max=10**6).transactions == (here.raw,)


async def test_what_is_asked_for_many_times_over_is_looked_for_and_sent_once() -> None:
    pending, committed = some(1, 2)
    pool = Mempool()
    pool.add(PoolTx(pending, b"", Traffic.CLINICAL, local=False))
    peers = Peers(lambda _peer, _ids: [])
    peers.committed = {committed.id: committed.raw}
    async with fetching(peers, pool) as bodies:
        ids = (pending.id, committed.id) * (FETCH_TXS_MAX // 2)
        await bodies.on_get_txs(OTHER, encode(GetTxs(ids)))
    assert [looked for looked, _ in peers.looked_for] == [(committed.id,)]
    [(_, _, message)] = peers.sent
    assert message == TxBatch((pending.raw, committed.raw))

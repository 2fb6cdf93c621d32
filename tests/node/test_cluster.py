"""Whole nodes together: agreement, missing bodies, catch-up, restarts, hostile peers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consensus.engine import BODY_MISMATCH, Event, Validate, Validated
from medquorum.codec import encode
from medquorum.quorum import EngineName
from medquorum.transaction import Transaction, assemble
from node.errors import RefusedError
from node.wire import BlockBody, CertifiedBlock, FrameKind, TxBatch
from tests.support.cluster import key_of, make_transaction, running_cluster


@pytest.fixture(params=["pbft", "raft"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Both engines keep these promises."""
    name: EngineName = request.param
    return name


def code_of(refusal: RefusedError | None) -> str:
    """The code of a refusal that must be there."""
    assert refusal is not None
    return refusal.code


async def test_every_node_commits_what_any_node_was_given(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 4, engine=engine) as cluster:
        transactions = [cluster.transaction(index) for index in range(4)]
        for index, tx in enumerate(transactions):
            await cluster.submit(index, tx)
        await cluster.committed(transactions)
        lowest = min(r.node.chain.tip.height for r in cluster.running.values())
        assert all(len(cluster.roots(height)) == 1 for height in range(1, lowest + 1))


async def test_a_transaction_is_executed_once_however_often_it_is_sent(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 4, engine=engine) as cluster:
        tx = cluster.transaction()
        for index in range(4):
            await cluster.submit(index, tx)
        await cluster.committed([tx])
        [again] = await cluster.submit(2, tx)
        assert again.duplicate
        other = cluster.transaction()
        await cluster.submit(0, other)
        await cluster.committed([other])
        chain = cluster.node(0).chain
        ids = [o.tx_id for h in range(1, chain.tip.height + 1) for o in chain.blocks.outcomes(h)]
        assert ids.count(tx.id) == 1


async def test_a_node_that_gossip_does_not_reach_fetches_what_it_votes_on(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 4, engine=engine) as cluster:
        deaf = cluster.node(3)

        async def ignore(_peer: bytes, _payload: bytes) -> None:
            return

        deaf.network.handle(FrameKind.TX_BATCH, ignore)
        transactions = [cluster.transaction() for _ in range(20)]
        await cluster.submit(0, *transactions)
        await cluster.committed(transactions, nodes=[3])


async def test_a_leader_hears_of_what_gossip_lost_although_the_chain_never_rests(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 3, engine=engine) as cluster:
        opening = cluster.transaction()
        await cluster.submit(0, opening)
        await cluster.committed([opening])
        proposer = cluster.node(0).engine_status().proposer
        leads = next(i for i in range(3) if key_of(f"vote{i}").public == proposer)
        leader, other = cluster.node(leads), (leads + 1) % 3
        lost = asyncio.Event()

        async def lose(_peer: bytes, _payload: bytes) -> None:
            leader.network.handle(FrameKind.TX_BATCH, leader.on_tx_batch)
            lost.set()

        leader.network.handle(FrameKind.TX_BATCH, lose)
        tx = cluster.transaction()
        await cluster.submit(other, tx)
        await lost.wait()
        async with asyncio.timeout(30):
            while cluster.node(leads).chain.blocks.locate(tx.id) is None:
                busy = cluster.transaction()
                await cluster.submit(leads, busy)
                await cluster.committed([busy], nodes=[leads])
        await cluster.committed([tx])


async def test_three_of_four_go_on_and_the_fourth_catches_up(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 4, engine=engine) as cluster:
        await cluster.stop(3)
        transactions = [cluster.transaction() for _ in range(12)]
        for tx in transactions:
            await cluster.submit(0, tx)
            await cluster.committed([tx], nodes=[0])
        await cluster.start(3)
        await cluster.committed(transactions, nodes=[3])
        last = cluster.transaction()
        await cluster.submit(3, last)
        await cluster.committed([last])
        assert len(cluster.roots(cluster.node(3).chain.tip.height)) == 1


async def test_a_node_whose_chain_was_wiped_fetches_it_again(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 4, engine=engine) as cluster:
        transactions = [cluster.transaction() for _ in range(5)]
        for tx in transactions:
            await cluster.submit(1, tx)
            await cluster.committed([tx])
        await cluster.stop(2)
        for path in sorted(cluster.home(2).chain.iterdir()):
            path.unlink()
        await cluster.start(2)
        await cluster.committed(transactions, nodes=[2])


async def test_what_was_accepted_without_a_quorum_is_committed_after_a_restart(
    tmp_path: Path, engine: EngineName
) -> None:
    async with running_cluster(tmp_path, 4, start=[0], engine=engine) as cluster:
        tx = cluster.transaction()
        [admission] = await cluster.submit(0, tx)
        assert admission.pending
        await cluster.stop(0)
        await cluster.start(0, 1, 2)
        await cluster.committed([tx])


async def test_all_four_restarted_go_on_where_they_were(tmp_path: Path, engine: EngineName) -> None:
    async with running_cluster(tmp_path, 4, engine=engine) as cluster:
        first, second = cluster.transaction(), cluster.transaction()
        await cluster.submit(0, first)
        await cluster.committed([first])
        await cluster.stop(0, 1, 2, 3)
        await cluster.start(0, 1, 2, 3)
        await cluster.submit(1, second)
        await cluster.committed([first, second])


async def test_one_hospital_alone_is_a_chain(tmp_path: Path, engine: EngineName) -> None:
    async with running_cluster(tmp_path, 1, engine=engine) as cluster:
        transactions = [cluster.transaction() for _ in range(3)]
        for tx in transactions:
            await cluster.submit(0, tx)
            await cluster.committed([tx])


async def test_bad_transactions_are_refused_by_name(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        good = cluster.transaction()
        forged = assemble(good.body_bytes, [b"\x01" + bytes(64)])
        late = cluster.transaction(valid_until=0)
        far = cluster.transaction(valid_until=10**9)
        stranger = make_transaction(bytes(32), key_of("org0"), 1, valid_until=100)
        answers = await cluster.submit(0, forged, late, far, stranger)
        codes = [code_of(answer.refusal) for answer in answers]
        assert codes == ["bad_signature", "expired", "not_yet_valid", "wrong_chain"]
        [garbage] = await cluster.node(0).intake.submit([b"\xc1"], local=True)
        assert code_of(garbage.refusal) == "malformed"
        [fine] = await cluster.submit(0, good)
        assert fine.pending


def batch(*transactions: Transaction) -> bytes:
    """A gossip payload."""
    return encode(TxBatch(tuple(tx.raw for tx in transactions)))


async def test_a_peer_that_passes_on_a_bad_signature_is_dropped_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        node = cluster.node(0)
        punished: list[tuple[bytes, str]] = []
        monkeypatch.setattr(node.network, "punish", lambda *what: punished.append(what))
        forged = assemble(cluster.transaction().body_bytes, [b"\x01" + bytes(64)])
        await node.on_tx_batch(b"peer", batch(forged))
        assert punished == [(b"peer", "gossip_bad_signature")]


async def test_a_block_without_a_quorum_behind_it_is_not_taken(
    tmp_path: Path, engine: EngineName
) -> None:
    """Take a real block of another run of the same chain, and cut its certificate."""
    async with running_cluster(tmp_path / "a", 4, engine=engine) as source:
        tx = source.transaction()
        await source.submit(0, tx)
        await source.committed([tx])
        stored = source.node(0).chain.blocks.block(1)
        assert stored is not None
    weak = stored.certificate.__class__(
        stored.certificate.engine,
        stored.certificate.height,
        stored.certificate.round,
        stored.certificate.block_hash,
        stored.certificate.result_hash,
        b"\x01",
        stored.certificate.signatures[:1],
    )
    async with running_cluster(tmp_path / "b", 4, start=[0], engine=engine) as cluster:
        node = cluster.node(0)
        for certificate, reason, height in (
            (weak, "certificate_quorum", 0),
            (stored.certificate, "", 1),
        ):
            block = CertifiedBlock(stored.header, stored.result, certificate, stored.transactions)
            assert await node.sync.try_block(block) == reason
            assert node.chain.tip.height == height


async def test_a_body_that_is_not_the_headers_is_refused_without_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        node = cluster.node(0)
        tx = cluster.transaction()
        await cluster.submit(0, tx)
        await cluster.committed([tx])
        stored = node.chain.blocks.block(1)
        assert stored is not None
        answers: asyncio.Queue[Event] = asyncio.Queue()
        asked: list[bytes] = []
        monkeypatch.setattr(node.inbox, "post", answers.put_nowait)
        monkeypatch.setattr(node.network, "send", lambda *what: asked.append(what[0]))
        for body in (b"garbage", encode(BlockBody(())), encode(BlockBody((bytes(32),)))):
            node.work.validate(Validate(stored.header, body, (b"holder",), certified=True))
            assert await answers.get() == Validated(stored.header.hash(), BODY_MISMATCH)
        assert asked == []

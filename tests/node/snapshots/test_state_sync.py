"""A member without blocks begins with a snapshot of its peers, whatever some of them say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from medquorum.codec import decode, encode
from medquorum.quorum import EngineName
from node.app import Node
from node.config.schema import Sync
from node.snapshots.format import ChunkRef, SnapshotHead, StateChunk
from node.snapshots.making import SnapshotWork, load_head
from node.wire import Chunk, FrameKind, GetChunk, GetSnapshot, Offer, Snapshot
from node.wire import Snapshots as Offers
from storage import layout
from storage.snapshots import SnapshotFiles
from tests.support.cluster import WAIT_S, running_cluster
from tests.support.state_sync import (
    HEIGHT,
    INTERVAL,
    LATE,
    begun,
    grow,
    reasons,
    small_chunks,
    three_with_snapshots,
    until,
)

Handler = Callable[[bytes, bytes], Awaitable[None]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of many chunks."""
    small_chunks(monkeypatch)


def short_bans(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was dropped by name is spoken to again before the test's patience ends."""
    book = node.transport._book
    monkeypatch.setattr(book, "_limits", replace(book._limits, ban_s_min=0.2))


def wrong_chunks(node: Node) -> Handler:
    """Answers with another chunk than the one asked for."""

    async def answer(peer: bytes, payload: bytes) -> None:
        asked = decode(GetChunk, payload, size_max=64)
        data = node.stores.snapshots.chunks.get(asked.hash)
        node.network.send(
            peer, FrameKind.CHUNK, Chunk(asked.hash, data[:-1] + bytes([data[-1] ^ 1]))
        )

    return answer


async def silent(_peer: bytes, _payload: bytes) -> None:
    """Answers nothing."""


def offer_nothing(node: Node) -> None:
    """Have a node say that it has no snapshot."""

    async def nothing(peer: bytes, _payload: bytes) -> None:
        node.network.send(peer, FrameKind.SNAPSHOTS, Offers(HEIGHT, ()))

    node.network.handle(FrameKind.GET_SNAPSHOTS, nothing)


@pytest.mark.parametrize("engine", ["pbft", "raft"])
async def test_it_begins_with_the_snapshot_and_votes_afterwards(
    tmp_path: Path, engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As soon as all the other founders have said what they have, it does not wait for more.
    monkeypatch.setattr("node.snapshots.fetching.OFFER_WAIT_S", 3600.0)
    async with three_with_snapshots(tmp_path, engine) as cluster:
        names = {cluster.node(i).stores.snapshots.names() for i in (0, 1, 2)}
        assert len(names) == 1  # the digests are equal
        await cluster.start(LATE)
        node = await begun(cluster)
        assert node.chain.blocks.oldest_block() == INTERVAL + 1
        assert await node.tracker.wait_height(HEIGHT, WAIT_S)
        assert node.stores.snapshots.names() == cluster.node(0).stores.snapshots.names()
        # Without one of the others, its vote is needed for everything that follows.
        await cluster.stop(2)
        tx = cluster.transaction()
        await cluster.submit(LATE, tx)
        await cluster.committed([tx], nodes=[0, 1, LATE])
        assert len(cluster.roots(HEIGHT + 1)) == 1


async def test_one_who_lies_about_chunks_is_dropped_by_name_and_the_others_suffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three_with_snapshots(tmp_path) as cluster:
        liar = cluster.node(0)
        liar.network.handle(FrameKind.GET_CHUNK, wrong_chunks(liar))
        cluster.node(1).network.handle(FrameKind.GET_CHUNK, silent)
        monkeypatch.setattr("node.snapshots.supply.CHUNK_LATE_S", 0.1)
        await cluster.start(LATE)
        found = reasons(cluster.node(LATE), monkeypatch)
        node = await begun(cluster)
        assert set(found) == {"bad_snapshot_chunk"}
        assert await node.tracker.wait_height(HEIGHT, WAIT_S)


async def test_if_all_lie_about_chunks_blocks_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three_with_snapshots(tmp_path) as cluster:
        for index in (0, 1, 2):
            node = cluster.node(index)
            node.network.handle(FrameKind.GET_CHUNK, wrong_chunks(node))
        await cluster.start(LATE)
        late = cluster.node(LATE)
        short_bans(late, monkeypatch)
        found = reasons(late, monkeypatch)
        assert await late.tracker.wait_height(HEIGHT, WAIT_S)
        assert set(found) == {"bad_snapshot_chunk"}
        assert late.chain.blocks.oldest_block() == 1


def forge(files: SnapshotFiles) -> SnapshotHead:
    """A snapshot whose parts all agree, with one value that nobody certified."""
    head = load_head(files, files.names()[-1])
    assert head is not None
    first, *rest = head.manifest.state
    chunk = decode(StateChunk, files.chunks.get(first.hash), size_max=first.size)
    (key, value), *others = chunk.entries
    data = encode(StateChunk(chunk.namespace, ((key, value + b"!"), *others)))
    ref = ChunkRef(files.chunks.put(data), len(data))
    manifest = msgspec.structs.replace(head.manifest, state=(ref, *rest))
    return msgspec.structs.replace(head, manifest=manifest)


def offer(node: Node, head: SnapshotHead) -> None:
    """Have the node offer this and nothing else."""
    manifest = head.manifest

    async def offered(peer: bytes, _payload: bytes) -> None:
        digest = manifest.digest()
        offers = (Offer(manifest.height, digest),)
        node.network.send(peer, FrameKind.SNAPSHOTS, Offers(node.chain.tip.height, offers))

    async def handed_out(peer: bytes, payload: bytes) -> None:
        digest = decode(GetSnapshot, payload, size_max=64).digest
        node.network.send(peer, FrameKind.SNAPSHOT, Snapshot(digest, encode(head)))

    node.network.handle(FrameKind.GET_SNAPSHOTS, offered)
    node.network.handle(FrameKind.GET_SNAPSHOT, handed_out)


async def test_a_state_that_nobody_certified_is_refuted_and_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three_with_snapshots(tmp_path) as cluster:
        for index in (0, 1, 2):
            node = cluster.node(index)
            forged = forge(node.stores.snapshots)
            offer(node, forged)
        await cluster.start(LATE)
        late = cluster.node(LATE)
        short_bans(late, monkeypatch)
        found = reasons(late, monkeypatch)
        assert await late.tracker.wait_height(HEIGHT, WAIT_S)
        assert set(found) == {"false_snapshot_state"}
        assert late.chain.blocks.oldest_block() == 1
        assert not cluster.home(LATE).chain_ready.exists()
        # What was fetched of it does not stay: it could be as large as the disk.
        assert not late.stores.snapshots.chunks.has(forged.manifest.state[0].hash)


async def test_one_who_offers_ever_new_ones_and_finishes_none_is_not_followed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.snapshots.patience.UNFINISHED_MAX", 6)
    async with three_with_snapshots(tmp_path) as cluster:
        liar = cluster.node(0)
        files = liar.stores.snapshots
        true = load_head(files, files.names()[-1])
        assert true is not None
        handed_out: list[bytes] = []

        def another() -> None:
            """One more snapshot under the true head: a chunk that is there, and one that is not."""
            data = b"chunk %d" % len(handed_out)
            here, gone = sha256(data).digest(), sha256(data + b"gone").digest()
            refs = (ChunkRef(here, len(data)), ChunkRef(gone, 1))
            manifest = msgspec.structs.replace(true.manifest, past=refs, state=refs)
            offer(liar, msgspec.structs.replace(true, manifest=manifest))

        async def one_of_each(peer: bytes, payload: bytes) -> None:
            asked = decode(GetChunk, payload, size_max=64).hash
            data = b"chunk %d" % len(handed_out)
            if asked != sha256(data).digest():
                liar.network.send(peer, FrameKind.CHUNK, Chunk(asked, b""))
                return
            handed_out.append(asked)
            another()
            liar.network.send(peer, FrameKind.CHUNK, Chunk(asked, data))

        another()
        liar.network.handle(FrameKind.GET_CHUNK, one_of_each)
        for index in (1, 2):
            offer_nothing(cluster.node(index))
        await cluster.start(LATE)
        late = cluster.node(LATE)
        assert await late.tracker.wait_height(HEIGHT, WAIT_S)
        assert len(handed_out) == 6
        assert late.chain.blocks.oldest_block() == 1


async def test_more_honest_offers_than_may_be_lies_come_first_though_the_lie_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three_with_snapshots(tmp_path) as cluster:
        liar = cluster.node(0)
        forged = forge(liar.stores.snapshots)
        newer = msgspec.structs.replace(forged.manifest, height=HEIGHT)
        offer(liar, msgspec.structs.replace(forged, manifest=newer))
        await cluster.start(LATE)
        found = reasons(cluster.node(LATE), monkeypatch)
        await begun(cluster)
        assert found == []


async def test_a_head_that_proves_nothing_costs_its_sender_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three_with_snapshots(tmp_path) as cluster:
        for index in (0, 1, 2):
            node = cluster.node(index)
            head = load_head(node.stores.snapshots, node.stores.snapshots.names()[-1])
            assert head is not None
            lie = msgspec.structs.replace(head.certificate, round=7)
            offer(node, msgspec.structs.replace(head, certificate=lie))
        await cluster.start(LATE)
        late = cluster.node(LATE)
        short_bans(late, monkeypatch)
        found = reasons(late, monkeypatch)
        assert await late.tracker.wait_height(HEIGHT, WAIT_S)
        assert set(found) == {"bad_snapshot_certificate_signature"}


async def test_an_interrupted_transfer_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if there is just the room for what is missing, and for the database."""
    async with three_with_snapshots(tmp_path) as cluster:
        asked: list[bytes] = []
        halfway = asyncio.Event()
        files = cluster.node(0).stores.snapshots
        head = load_head(files, files.names()[-1])
        assert head is not None
        total = len({ref.hash for ref in head.manifest.chunks()})
        for index in (0, 1, 2):
            node = cluster.node(index)
            serve = node.network._handlers[FrameKind.GET_CHUNK]

            async def counted(peer: bytes, payload: bytes, serve: Handler = serve) -> None:
                if halfway.is_set() or len(asked) < total // 2:
                    asked.append(decode(GetChunk, payload, size_max=64).hash)
                    await serve(peer, payload)

            node.network.handle(FrameKind.GET_CHUNK, counted)
        await cluster.start(LATE)
        chunks = cluster.node(LATE).stores.snapshots.chunks
        await until(lambda: len(list(chunks.ids())) >= total // 2)
        fetching = cluster.node(LATE).snapshots.fetching.status()
        assert fetching is not None
        assert (fetching.height, fetching.chunks) == (INTERVAL, len(head.manifest.chunks()))
        await cluster.stop(LATE)
        here = set(chunks.ids())
        refs = {ref.hash: ref.size for ref in head.manifest.chunks()}
        room = sum(ref.size for ref in head.manifest.chunks())
        room += sum(size for chunk, size in refs.items() if chunk not in here)
        monkeypatch.setattr("node.snapshots.sharing.room_above", lambda *_: room)
        asked.clear()
        halfway.set()
        await cluster.start(LATE)
        node = await begun(cluster)
        assert node.chain.blocks.oldest_block() == INTERVAL + 1
        assert len(asked) == total - len(here)
        assert not here & set(asked)


async def test_a_young_network_is_not_waited_for(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 4, start=[]) as cluster:
        cluster.sync = Sync(mode="auto")
        await cluster.start(0, 1, 2, 3)
        tx = cluster.transaction()
        await cluster.submit(0, tx)
        await cluster.committed([tx])


async def test_answers_that_nobody_asked_for_are_not_even_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        node = cluster.node(0)
        dropped: list[str] = []
        monkeypatch.setattr(node.network, "dropped", dropped.append)
        questions = node.snapshots.fetching.questions
        for handle in (questions.on_snapshots, questions.on_snapshot, questions.on_chunk):
            await handle(bytes(33), b"not even decoded")
        assert dropped == ["snapshot_not_asked"] * 3


async def test_commits_go_on_while_a_snapshot_is_made(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 1) as cluster:
        await grow(cluster, 3)
        node = cluster.node(0)
        with closing(node.stores.kv.snapshot()) as view:
            # A slow machine may have made an empty height beside those three.
            tip = layout.unpack_height(view.get(layout.TIP) or b"")
            work = SnapshotWork(node.chain, view, node.stores.snapshots)
            work.step()
            await grow(cluster, 3)
            while work.step():
                pass
            assert work.finish().height == tip
            assert node.chain.blocks.tip() >= tip + 3

"""Peers that answer questions for blocks as a test wishes, without any network; and a chain that
they have and a node lacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from medquorum.codec import Wire, encode
from node.app import Node
from node.limits import SYNC_BLOCKS_PER_REQUEST
from node.wire import Blocks, CertifiedBlock, FrameKind, GetBlocks, Tip
from p2p.model import Frame, Lane
from tests.support.cluster import running_cluster
from tests.support.signed_chain import SignedChain

HEIGHTS: Final = 3 * SYNC_BLOCKS_PER_REQUEST
LATER_S: Final = 30.0

Bend = Callable[[CertifiedBlock], CertifiedBlock]
Give = Callable[[bytes, GetBlocks], Awaitable[Wire | None]]


def play_peers(
    node: Node, monkeypatch: pytest.MonkeyPatch, peers: Mapping[bytes, Give]
) -> dict[bytes, str]:
    """Answer what a node asks of these peers, the only ones that it is connected to. Those whom it
    disconnects are gone for good: in what is returned, with the reason.
    """
    punished: dict[bytes, str] = {}
    kept: set[asyncio.Task[None]] = set()

    async def answer(peer: bytes, question: GetBlocks) -> None:
        given = await peers[peer](peer, question)
        if given is not None:
            await node.network.on_frame(Frame(peer, Lane.BULK, FrameKind.BLOCKS, encode(given)))

    def send(peer: bytes, kind: FrameKind, message: Wire) -> bool:
        if peer in peers and isinstance(message, GetBlocks):
            kept.add(asyncio.get_running_loop().create_task(answer(peer, message)))
        return kind is FrameKind.GET_BLOCKS

    def connected() -> tuple[bytes, ...]:
        return tuple(peer for peer in peers if peer not in punished)

    def punish(peer: bytes, reason: str) -> None:
        punished.setdefault(peer, reason)
        node.sync.lost(peer)

    monkeypatch.setattr(node.network, "send", send)
    monkeypatch.setattr(node.network, "connected", connected)
    monkeypatch.setattr(node.network, "punish", punish)
    return punished


class Library:
    """The blocks of a chain that four founders signed, and peers that hand them out."""

    def __init__(self, chain: SignedChain) -> None:
        self.chain = chain
        self.asked: list[bytes] = []

    def blocks(self, question: GetBlocks) -> tuple[CertifiedBlock, ...]:
        heights = range(question.first, min(question.first + question.count, HEIGHTS + 1))
        found = [self.chain.chain.blocks.block(height) for height in heights]
        return tuple(
            CertifiedBlock(b.header, b.result, b.certificate, b.transactions) for b in found if b
        )

    async def honest(self, peer: bytes, question: GetBlocks) -> Blocks:
        self.asked.append(peer)
        return Blocks(question.first, self.blocks(question))

    async def silent(self, peer: bytes, _question: GetBlocks) -> None:
        self.asked.append(peer)

    async def empty(self, _peer: bytes, question: GetBlocks) -> Blocks:
        return Blocks(question.first, ())

    async def garbage(self, _peer: bytes, _question: GetBlocks) -> Tip:
        return Tip(1, 1)

    def liar(self, bend: Bend) -> Give:
        """One block in the midst of an answer is bent."""

        async def lie(_peer: bytes, question: GetBlocks) -> Blocks:
            blocks = list(self.blocks(question))
            blocks[len(blocks) // 2] = bend(blocks[len(blocks) // 2])
            return Blocks(question.first, tuple(blocks))

        return lie


@asynccontextmanager
async def behind(root: Path, *, txs: int = 1) -> AsyncIterator[tuple[Node, Library, list[bytes]]]:
    """A node without blocks, the chain that it lacks, and the keys of the other validators."""
    chain = SignedChain(root / "chain")
    try:
        chain.grow(HEIGHTS, txs=txs)
        async with running_cluster(root / "cluster", 4, start=[0]) as cluster:
            assert cluster.genesis.chain_id() == chain.chain.chain_id
            keys = [validator.node_key for validator in cluster.genesis.validators[1:]]
            yield cluster.node(0), Library(chain), keys
    finally:
        chain.close()


async def keep_claiming(node: Node, peers: list[bytes]) -> None:
    """What peers do once a second, only faster."""
    while True:
        for peer in peers:
            if peer in node.network.connected():
                node.sync.claim(peer, HEIGHTS)
        await asyncio.sleep(0.05)


async def catch_up(node: Node, library: Library, peers: list[bytes]) -> None:
    """Until the node has all of it."""
    async with asyncio.TaskGroup() as group:
        claiming = group.create_task(keep_claiming(node, peers))
        assert await node.tracker.wait_height(HEIGHTS, LATER_S)
        claiming.cancel()
    assert node.chain.state.root() == library.chain.chain.state.root()

"""Peers that answer questions for blocks as a test wishes, without any network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from medquorum.codec import Wire, encode
from node.app import Node
from node.wire import FrameKind, GetBlocks
from p2p.model import Frame, Lane

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

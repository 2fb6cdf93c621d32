"""Who gave old blocks up says so, and is not asked for them again; others are (N13)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from medquorum.codec import Wire, encode
from node.catchup.peers import Peers, Source
from node.catchup.window import Window
from node.pruning.removing import prune
from node.wire import Blocks, FrameKind, GetBlocks
from tests.support.played_peers import HEIGHTS, LATER_S, behind, catch_up, play_peers

OLDEST = HEIGHTS // 2
KEEPER, PRUNED = b"k" * 32, b"p" * 32


def test_below_the_oldest_block_a_peer_is_not_asked_and_above_it_is() -> None:
    window = Window[int](1)
    sources = [Source(PRUNED, 99, slow=False, oldest=40), Source(KEEPER, 99, slow=False)]
    asks = window.plan(sources, 0.0)
    assert {ask.peer for ask in asks} == {KEEPER, PRUNED}
    assert all(ask.peer == KEEPER or ask.first >= 40 for ask in asks)
    assert Window[int](1).plan(sources[:1], 0.0) == []


def test_what_a_peer_says_of_its_oldest_block_ends_with_its_link() -> None:
    peers = Peers()
    peers.claim(PRUNED, 99)
    peers.begins(PRUNED, 40)
    assert [source.oldest for source in peers.ahead(0, {PRUNED}, 0.0)] == [40]
    peers.lost(PRUNED)
    peers.claim(PRUNED, 99)
    assert [source.oldest for source in peers.ahead(0, {PRUNED}, 0.0)] == [0]


async def test_a_node_gets_from_others_what_one_gave_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind(tmp_path) as (node, library, (keeper, pruned, *_)):
        asked: list[int] = []
        in_vain = asyncio.Event()

        def drop(reason: str) -> None:
            if reason == "blocks_pruned":
                in_vain.set()

        async def without_old_ones(peer: bytes, question: GetBlocks) -> Blocks:
            asked.append(question.first)
            if question.first < OLDEST:
                return Blocks(question.first, (), OLDEST)
            return replace(await library.honest(peer, question), oldest=OLDEST)

        monkeypatch.setattr(node.network, "dropped", drop)
        punished = play_peers(node, monkeypatch, {keeper: library.honest, pruned: without_old_ones})
        node.sync.claim(pruned, HEIGHTS)
        await asyncio.wait_for(in_vain.wait(), LATER_S)
        vain = len(asked)
        await catch_up(node, library, [keeper, pruned])
        assert punished == {}
        assert all(first >= OLDEST for first in asked[vain:])


async def test_a_node_names_its_oldest_block_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Wire] = []

    def send(_peer: bytes, _kind: FrameKind, message: Wire) -> bool:
        sent.append(message)
        return True

    async with behind(tmp_path) as (node, _, (asking, *_)):
        list(prune(node.stores.kv, OLDEST))
        monkeypatch.setattr(node.network, "send", send)
        await node.sync.on_get_blocks(asking, encode(GetBlocks(3, 5)))
    assert Blocks(3, (), OLDEST) in sent

"""A real node catches up from peers of which some lie, stall or know nothing (N5, N11, N12)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from medquorum.codec import encode
from medquorum.quorum import VALIDATORS_MAX
from medquorum.transaction import Transaction, assemble
from node.ledger.limits import BLOCK_TXS_MAX
from node.limits import SYNC_BLOCKS_PER_REQUEST, SYNC_BYTES_PER_RESPONSE
from node.wire import SEVERAL_BLOCKS_BYTES_MAX, Blocks, CertifiedBlock, GetBlocks, Tip
from tests.support.played_peers import (
    HEIGHTS,
    LATER_S,
    Bend,
    Give,
    behind,
    catch_up,
    play_peers,
)
from tests.support.signed_chain import SignedChain


def other_signature(block: CertifiedBlock) -> CertifiedBlock:
    """The first validator's signature stands for all."""
    signatures = block.certificate.signatures
    return replace(
        block, certificate=replace(block.certificate, signatures=signatures[:1] * len(signatures))
    )


def too_few(block: CertifiedBlock) -> CertifiedBlock:
    """One validator is no quorum."""
    one = replace(block.certificate, signers=b"\x01", signatures=block.certificate.signatures[:1])
    return replace(block, certificate=one)


def false_hand(block: CertifiedBlock) -> CertifiedBlock:
    """The id of a transaction does not depend on its signatures: the header still fits."""
    first = Transaction.decode(block.transactions[0])
    forged = assemble(first.body_bytes, [b"\x01" + bytes(64)])
    assert forged.id == first.id
    return replace(block, transactions=(forged.raw, *block.transactions[1:]))


def one_less(block: CertifiedBlock) -> CertifiedBlock:
    """A transaction is missing."""
    return replace(block, transactions=block.transactions[1:])


def no_transaction(block: CertifiedBlock) -> CertifiedBlock:
    """What stands there is none."""
    return replace(block, transactions=(b"\xc1", *block.transactions[1:]))


def other_result(block: CertifiedBlock) -> CertifiedBlock:
    """Nobody signed this one."""
    return replace(block, result=replace(block.result, state_root=bytes(32)))


def other_parent(block: CertifiedBlock) -> CertifiedBlock:
    """It hangs in the air."""
    return replace(block, header=replace(block.header, parent=bytes(32)))


def other_height(block: CertifiedBlock) -> CertifiedBlock:
    """It says that it is another one."""
    return replace(block, header=replace(block.header, height=block.header.height + 1))


def stuffed(block: CertifiedBlock) -> CertifiedBlock:
    """Larger than one of several may be."""
    return replace(block, transactions=(bytes(SEVERAL_BLOCKS_BYTES_MAX), *block.transactions))


def too_many(block: CertifiedBlock) -> CertifiedBlock:
    """Transactions so small that their number alone fills the memory."""
    return replace(block, transactions=(b"tx",) * (BLOCK_TXS_MAX + 1))


LIES: Final[dict[str, tuple[Bend, set[str]]]] = {
    "other_signature": (other_signature, {"bad_block_certificate_signature"}),
    "too_few": (too_few, {"bad_block_certificate_quorum"}),
    "false_hand": (false_hand, {"bad_block_transaction_signature"}),
    "one_less": (one_less, {"bad_block_txs_root"}),
    "no_transaction": (no_transaction, {"bad_block_malformed"}),
    "other_result": (other_result, {"bad_block_parent_result", "bad_block_certificate_result"}),
    "other_parent": (other_parent, {"bad_block_parent", "bad_block_certificate_block"}),
    "other_height": (other_height, {"bad_block_height"}),
    "stuffed": (stuffed, {"bad_block_too_large"}),
    "too_many": (too_many, {"bad_payload_malformed"}),
}


@pytest.mark.parametrize("lie", sorted(LIES))
async def test_a_liar_is_named_and_the_chain_comes_from_the_honest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    bend, reasons = LIES[lie]
    async with behind(tmp_path) as (node, library, (liar, honest, _)):
        punished = play_peers(node, monkeypatch, {liar: library.liar(bend), honest: library.honest})
        await catch_up(node, library, [liar, honest])
        assert set(punished) == {liar}
        assert punished[liar] in reasons


async def test_no_mix_of_hostile_peers_keeps_the_chain_from_a_node_with_an_honest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.catchup.window.SYNC_HEDGE_S", 0.05)
    monkeypatch.setattr("node.catchup.window.TIMEOUT_S", 0.3)
    async with behind(tmp_path) as (node, library, _):
        habits: list[Give] = [
            library.silent,
            library.empty,
            library.garbage,
            *(library.liar(bend) for bend, _ in LIES.values()),
            library.honest,
        ]
        peers = {b"\x01" + bytes([number]) * 32: habit for number, habit in enumerate(habits)}
        monkeypatch.setattr(node.roster, "is_member", lambda _key: True)
        punished = play_peers(node, monkeypatch, peers)
        await catch_up(node, library, list(peers))
        *_, honest = peers
        assert honest not in punished
        assert all(
            reason.startswith(("bad_block_", "bad_payload_")) for reason in punished.values()
        )


async def test_a_peer_that_leaves_a_question_open_is_passed_over_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.catchup.window.SYNC_HEDGE_S", 0.05)
    monkeypatch.setattr("node.catchup.window.TIMEOUT_S", 0.1)
    async with behind(tmp_path) as (node, library, (silent, honest, _)):
        dropped: list[str] = []
        monkeypatch.setattr(node.network, "dropped", dropped.append)
        passed_over = asyncio.Event()

        async def late(peer: bytes, question: GetBlocks) -> Blocks:
            await passed_over.wait()
            return await library.honest(peer, question)

        peers = play_peers(node, monkeypatch, {silent: library.silent, honest: late})
        assert peers == {}
        stalled = node.sync._peers.stalled

        def watch(peer: bytes, now_s: float) -> None:
            stalled(peer, now_s)
            passed_over.set()

        monkeypatch.setattr(node.sync._peers, "stalled", watch)
        await node.sync.on_tip(silent, encode(Tip(1, HEIGHTS)))
        await asyncio.wait_for(passed_over.wait(), LATER_S)
        await node.sync.on_tip(silent, encode(Tip(1, HEIGHTS)))
        node.sync.claim(honest, HEIGHTS)
        status = node.sync.status()
        assert status is not None
        assert silent in status.passed_over
        monkeypatch.setattr("node.catchup.window.TIMEOUT_S", 30.0)
        await catch_up(node, library, [honest])
        assert "blocks_not_answered" in dropped


async def test_a_peer_that_has_not_got_what_it_claims_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind(tmp_path) as (node, library, (empty, honest, _)):
        dropped: list[str] = []
        in_vain = asyncio.Event()

        def drop(reason: str) -> None:
            dropped.append(reason)
            in_vain.set()

        monkeypatch.setattr(node.network, "dropped", drop)
        punished = play_peers(node, monkeypatch, {empty: library.empty, honest: library.honest})
        node.sync.claim(empty, HEIGHTS)
        await asyncio.wait_for(in_vain.wait(), LATER_S)
        await catch_up(node, library, [honest])
        assert ({*dropped}, punished) == ({"blocks_missing"}, {})


def test_no_honest_answer_with_several_blocks_is_too_large(tmp_path: Path) -> None:
    chain = SignedChain(tmp_path)
    chain.grow(1)
    stored = chain.chain.blocks.block(1)
    assert stored is not None
    transaction = stored.transactions[0]
    chain.close()
    certificate = replace(
        stored.certificate,
        round=2**53 - 1,
        signers=b"\xff" * 13,
        signatures=(bytes(64),) * VALIDATORS_MAX,
    )
    first = SYNC_BYTES_PER_RESPONSE // len(transaction) * (transaction,)
    blocks = tuple(
        CertifiedBlock(stored.header, stored.result, certificate, () if number else first)
        for number in range(SYNC_BLOCKS_PER_REQUEST)
    )
    assert len(encode(Blocks(1, blocks))) < SEVERAL_BLOCKS_BYTES_MAX


async def test_what_waits_for_its_turn_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 40_000
    monkeypatch.setattr("node.catchup.window.SYNC_BYTES_AHEAD_MAX", room)
    monkeypatch.setattr("node.catchup.window.SYNC_BYTES_PER_RESPONSE", 10_000)
    async with behind(tmp_path, txs=20) as (node, library, peers):
        whole = sum(len(encode(block)) for block in library.blocks(GetBlocks(1, 32)))
        assert whole > room
        # Nothing can be applied, but answers keep coming as long as the node asks for more.
        await node.work.lock.acquire()
        heard = asyncio.Event()
        answered = node.sync._peers.answered

        def hear(peer: bytes, seconds: float, blocks: int) -> None:
            answered(peer, seconds, blocks)
            heard.set()

        monkeypatch.setattr(node.sync._peers, "answered", hear)
        play_peers(node, monkeypatch, dict.fromkeys(peers, library.honest))
        for peer in peers:
            node.sync.claim(peer, HEIGHTS)
        window = node.sync._fetcher._window
        while not window.parts or window.is_waiting:
            heard.clear()
            await asyncio.wait_for(heard.wait(), LATER_S)
        held = [part.answer.size for part in window.parts if part.answer is not None]
        # The first answers were asked for when nobody knew how large they would be.
        assert len(held) <= room // 10_000
        node.work.lock.release()
        await catch_up(node, library, peers)

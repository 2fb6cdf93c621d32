"""A liar's messages: what each lie drops, bends or adds, and that its contradictions are signed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typing_extensions import override

from consensus.messages import (
    NO_JUSTIFICATION,
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    Vote,
    decode_message,
    encode_message,
    vote_payload,
)
from devnet.chaos import byzantine
from devnet.chaos.byzantine import (
    Equivocating,
    Garbage,
    LyingLinks,
    Selective,
    Silent,
    Withholding,
)
from medquorum.keys import SigningKey, verify
from node.network import Links
from node.wire import FrameKind
from p2p.model import Lane
from tests.support.chain import Chain
from tests.support.cli import found_alone

KEY = SigningKey(b"\7" * 32)
CHAIN = b"\1" * 32
PEERS = [b"\1" + bytes([number]) * 32 for number in range(12)]


@dataclass
class Wire(Links):
    """Remembers what is sent."""

    sent: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    banned: list[bytes] = field(default_factory=list)

    @override
    def send(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        self.sent.append((peer, kind, payload))
        return True

    @override
    def connected(self) -> tuple[bytes, ...]:
        return tuple(PEERS)

    @override
    def disconnect(self, peer: bytes, reason: str) -> None:
        self.banned.append(peer)


def said_by(links: LyingLinks, wire: Wire, kind: int, payload: bytes) -> dict[bytes, list[bytes]]:
    """What each peer hears when the node below says one thing to all of them."""
    for peer in PEERS:
        links.send(peer, Lane.CONSENSUS, kind, payload)
    return {peer: [p for to, _, p in wire.sent if to == peer] for peer in PEERS}


def prepare(height: int = 5) -> Prepare:
    vote = Prepare(height, 0, KEY.public, b"\2" * 32, KEY.sign(b""))
    return Prepare(height, 0, KEY.public, vote.block_hash, KEY.sign(vote.signed_bytes(CHAIN)))


def commit() -> Commit:
    return Commit(5, 0, KEY.public, b"\2" * 32, b"\3" * 32, KEY.sign(b""))


def proposal() -> Proposal:
    header = Chain().add(()).certified.header
    return Proposal(1, 0, KEY.public, header, b"", NO_JUSTIFICATION, KEY.sign(b""))


def equivocating(wire: Wire) -> Equivocating:
    return Equivocating(wire, random.Random(1), KEY, CHAIN)


@pytest.mark.parametrize("vote", [prepare(), commit()], ids=["prepare", "commit"])
def test_an_equivocator_says_two_signed_things_in_both_orders(vote: Vote) -> None:
    wire, truth = Wire(), encode_message(vote)
    heard = said_by(equivocating(wire), wire, FrameKind.CONSENSUS, truth)
    assert {tuple(payloads).index(truth) for payloads in heard.values()} == {0, 1}
    (lie,) = {payload for payloads in heard.values() for payload in payloads if payload != truth}
    other = decode_message(lie)
    assert isinstance(other, type(vote))
    assert (other.height, other.round, other.signer) == (vote.height, vote.round, vote.signer)
    assert vote_payload(other) != vote_payload(vote)
    assert verify(KEY.public, other.signed_bytes(CHAIN), other.signature)


def test_an_equivocator_proposes_one_block_to_some_and_another_to_the_rest() -> None:
    wire, truth = Wire(), proposal()
    heard = said_by(equivocating(wire), wire, FrameKind.CONSENSUS, encode_message(truth))
    assert all(len(payloads) == 1 for payloads in heard.values())
    proposed = {payload for payloads in heard.values() for payload in payloads}
    assert len(proposed) == 2
    for payload in proposed - {encode_message(truth)}:
        other = decode_message(payload)
        assert isinstance(other, Proposal)
        assert verify(KEY.public, other.signed_bytes(CHAIN), other.signature)


def test_an_equivocator_does_not_contradict_what_others_said_or_wishes() -> None:
    stranger = SigningKey(b"\x08" * 32)
    wish = RoundChange(5, 1, KEY.public, (), (), KEY.sign(b""))
    others: list[Message] = [Prepare(5, 0, stranger.public, b"\2" * 32, stranger.sign(b"")), wish]
    for message in others:
        wire, payload = Wire(), encode_message(message)
        heard = said_by(equivocating(wire), wire, FrameKind.CONSENSUS, payload)
        assert all(payloads == [payload] for payloads in heard.values())


def test_the_silent_one_is_silent_about_blocks_only() -> None:
    wire = Wire()
    links = Silent(wire, random.Random(1))
    said_by(links, wire, FrameKind.CONSENSUS, encode_message(prepare()))
    assert wire.sent == []
    said_by(links, wire, FrameKind.TX_BATCH, b"batch")
    assert len(wire.sent) == len(PEERS)


def test_the_withholding_one_votes_and_gives_nothing() -> None:
    wire = Wire()
    links = Withholding(wire, random.Random(1))
    for kind in (FrameKind.TXS, FrameKind.TX_BATCH, FrameKind.BLOCKS):
        said_by(links, wire, kind, b"body")
    assert wire.sent == []
    said_by(links, wire, FrameKind.CONSENSUS, encode_message(prepare()))
    assert len(wire.sent) == len(PEERS)


def test_the_selective_one_chooses_anew_at_each_height() -> None:
    chosen = set()
    for height in range(1, 20):
        wire = Wire()
        links = Selective(wire, random.Random(1))
        said_by(links, wire, FrameKind.CONSENSUS, encode_message(prepare(height)))
        chosen.add(frozenset(peer for peer, _, _ in wire.sent))
    assert len(chosen) > 10
    assert all(0 < len(peers) < len(PEERS) for peers in chosen)


def test_garbage_comes_beside_the_truth_and_seldom() -> None:
    wire, truth = Wire(), encode_message(prepare())
    links = Garbage(wire, random.Random(1))
    for _ in range(100):
        said_by(links, wire, FrameKind.CONSENSUS, truth)
    payloads = [payload for _, _, payload in wire.sent]
    assert payloads.count(truth) == 100 * len(PEERS)
    assert 0.05 < (len(payloads) / (100 * len(PEERS)) - 1) < 0.2


def test_a_liar_sees_and_bans_like_anybody() -> None:
    wire = Wire()
    links = Silent(wire, random.Random(1))
    links.disconnect(PEERS[0], "reason")
    assert (links.connected(), wire.banned) == (tuple(PEERS), [PEERS[0]])


def test_nobody_lies_on_an_earnest_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earnest = found_alone(tmp_path, chain_name="earnest")
    assert byzantine.main(["silent", "--home", str(earnest.home)]) == byzantine.USAGE
    assert "devnet-" in capsys.readouterr().err


def test_nobody_lies_to_an_engine_that_withstands_crashes_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crashing = found_alone(tmp_path, engine="raft")
    assert byzantine.main(["silent", "--home", str(crashing.home)]) == byzantine.USAGE
    assert "raft withstands crashes only" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["silent"], ["joke", "--home", "x"]])
def test_an_unknown_lie_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert byzantine.main(words) == byzantine.USAGE
    assert "usage" in capsys.readouterr().err

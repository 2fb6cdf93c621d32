"""Evidence that one node holds reaches all, and nobody is believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import structlog

from consensus.engine import Evidence as Found
from consensus.messages import Prepare, encode_message, prepare_bytes
from medquorum.certificate import VoteTag
from medquorum.codec import Wire, encode
from medquorum.evidence import Evidence, EvidenceKind, make_evidence
from node.chain import Chain
from node.evidence.exchange import EvidenceExchange
from node.ledger.registry import Registry
from node.ledger.types import BUILT_IN
from node.limits import EVIDENCE_PER_MESSAGE
from node.threads import Threads
from node.wire import EvidenceBatch, EvidenceSettled, FrameKind
from storage.memory import MemoryKV
from storage.wal import WriteAheadLog
from tests.support.cluster import key_of, make_genesis, running_cluster
from tests.support.evidence import A, B, C, evidence_against, statement

GENESIS: Final = make_genesis(4)
CHAIN: Final = GENESIS.chain_id()
LIAR: Final = key_of("vote3")
NEAR, FAR = b"near", b"far"


class Wires:
    """The network of a node, as far as evidence goes over it."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, FrameKind, Wire]] = []
        self.punished: list[tuple[bytes, str]] = []
        self.reasons: list[str] = []
        self.counted: list[str] = []

    def members(self) -> tuple[bytes, ...]:
        return (NEAR, FAR)

    def send(self, peer: bytes, kind: FrameKind, message: Wire) -> bool:
        self.sent.append((peer, kind, message))
        return True

    def punish(self, peer: bytes, reason: str) -> None:
        self.punished.append((peer, reason))

    def dropped(self, reason: str) -> None:
        self.reasons.append(reason)

    def evidence(self, kind: str) -> None:
        self.counted.append(kind)

    def offered(self, peer: bytes) -> list[Evidence]:
        """All that was offered to a peer, repetitions included."""
        return [
            piece
            for to, _, message in self.sent
            if to == peer and isinstance(message, EvidenceBatch)
            for piece in message.pieces
        ]

    def settled(self, peer: bytes) -> list[bytes]:
        """What a peer was told to be settled."""
        return [
            evidence_id
            for to, _, message in self.sent
            if to == peer and isinstance(message, EvidenceSettled)
            for evidence_id in message.ids
        ]


class Desk:
    """An exchange over a chain at height 0, with its book, log and wires."""

    def __init__(self, path: Path, spawn: Callable[[Coroutine[object, object, None]], object]):
        self.wires, self.threads = Wires(), Threads(verifiers=1)
        self.journal = WriteAheadLog.open(path)
        self.exchange = EvidenceExchange(
            journal=self.journal,
            chain=Chain(MemoryKV(), GENESIS, Registry(BUILT_IN), keep_versions=10),
            peers=self.wires,
            threads=self.threads,
            counts=self.wires,
            spawn=spawn,
            log=structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[]),
        )
        self.book = self.exchange.book

    async def hear(self, peer: bytes, *pieces: Evidence) -> None:
        """A peer passes these on."""
        await self.exchange.on_evidence(peer, encode(EvidenceBatch(pieces)))


@asynccontextmanager
async def a_desk(path: Path) -> AsyncIterator[Desk]:
    """A desk whose tasks have ended, and whose log is closed, at the end."""
    async with asyncio.TaskGroup() as group:
        desk = Desk(path, group.create_task)
        yield desk
    desk.threads.close()
    desk.journal.close()


async def test_what_is_new_is_kept_counted_and_passed_on_at_once(tmp_path: Path) -> None:
    piece = evidence_against(LIAR, CHAIN, 1)
    async with a_desk(tmp_path / "log") as desk:
        await desk.hear(NEAR, piece)
        assert desk.wires.offered(FAR) == [piece]
        assert desk.wires.offered(NEAR) == []
        assert desk.wires.settled(NEAR) == [piece.id()]
        assert desk.wires.counted == ["equivocation"]
        await desk.hear(FAR, piece)
        assert desk.wires.settled(FAR) == [piece.id()]
        assert desk.wires.offered(FAR) == [piece]
        assert desk.wires.counted == ["equivocation"]
    async with a_desk(tmp_path / "log") as desk:
        assert [kept for _, kept in desk.book.items()] == [piece]


async def test_what_our_engine_saw_is_passed_on_as_statements(tmp_path: Path) -> None:
    votes = [
        Prepare(1, 0, LIAR.public, hash_, LIAR.sign(prepare_bytes(CHAIN, 1, 0, hash_)))
        for hash_ in (A, B)
    ]
    async with a_desk(tmp_path / "log") as desk:
        first, second = sorted(map(encode_message, votes))
        desk.exchange.found(Found(LIAR.public, "equivocation", first, second))
    expected = evidence_against(LIAR, CHAIN, 1)
    assert desk.wires.offered(NEAR) == desk.wires.offered(FAR) == [expected]


def innocent() -> Evidence:
    pair = [statement(LIAR, CHAIN, 1, VoteTag.PREPARE, round_, A) for round_ in (0, 1)]
    return make_evidence(LIAR.public, 1, *pair)


def swapped() -> Evidence:
    good = evidence_against(LIAR, CHAIN, 1)
    return Evidence(good.validator, good.height, good.second, good.first)


@pytest.mark.parametrize(
    "false",
    [
        innocent(),
        swapped(),
        evidence_against(LIAR, b"\x09" * 32, 1),
        evidence_against(key_of("a stranger"), CHAIN, 1),
        Evidence(
            key_of("vote2").public,
            1,
            evidence_against(LIAR, CHAIN, 1).first,
            evidence_against(LIAR, CHAIN, 1).second,
        ),
    ],
)
async def test_false_evidence_costs_the_connection_and_goes_nowhere(
    tmp_path: Path, false: Evidence
) -> None:
    async with a_desk(tmp_path / "log") as desk:
        await desk.hear(NEAR, false, evidence_against(LIAR, CHAIN, 1))
        assert desk.wires.punished == [(NEAR, "false_evidence")]
        assert len(desk.book) == 0
        assert desk.wires.sent == []


async def test_what_cannot_be_judged_yet_is_left_for_later(tmp_path: Path) -> None:
    async with a_desk(tmp_path / "log") as desk:
        await desk.hear(NEAR, evidence_against(LIAR, CHAIN, 2))
        assert desk.wires.reasons == ["evidence_ahead"]
        assert desk.wires.punished == []
        assert desk.wires.settled(NEAR) == []


async def test_a_peer_is_offered_what_it_may_lack_until_it_says_otherwise(tmp_path: Path) -> None:
    pieces = [evidence_against(key_of(f"vote{i}"), CHAIN, 1) for i in range(4)]
    async with a_desk(tmp_path / "log") as desk:
        await desk.hear(NEAR, *pieces)
        desk.wires.sent.clear()
        desk.exchange.on_tip(FAR)
        desk.exchange.on_tip(FAR)
        assert len(desk.wires.offered(FAR)) == 8
        settled = EvidenceSettled(tuple(piece.id() for piece in pieces[1:]))
        await desk.exchange.on_settled(FAR, encode(settled))
        desk.wires.sent.clear()
        desk.exchange.on_tip(FAR)
        assert desk.wires.offered(FAR) == pieces[:1]
        desk.exchange.on_tip(NEAR)
        assert desk.wires.offered(NEAR) == []
        desk.exchange.lost(FAR)
        desk.wires.sent.clear()
        desk.exchange.on_tip(FAR)
        assert len(desk.wires.offered(FAR)) == 4


async def test_who_is_no_member_is_offered_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path / "log") as desk:
        await desk.hear(NEAR, evidence_against(LIAR, CHAIN, 1))
        desk.exchange.on_tip(b"stranger")
        assert desk.wires.offered(b"stranger") == []


async def test_a_peer_cannot_make_us_remember_more_than_we_hold(tmp_path: Path) -> None:
    async with a_desk(tmp_path / "log") as desk:
        made_up = tuple(bytes([number]) * 32 for number in range(EVIDENCE_PER_MESSAGE))
        await desk.exchange.on_settled(NEAR, encode(EvidenceSettled(made_up)))
        assert not any(desk.exchange._settled.values())


async def test_other_signatures_for_a_known_accusation_settle_and_change_nothing(
    tmp_path: Path,
) -> None:
    first, other = evidence_against(LIAR, CHAIN, 1), evidence_against(LIAR, CHAIN, 1, other=C)
    async with a_desk(tmp_path / "log") as desk:
        await desk.hear(NEAR, first)
        await desk.hear(FAR, other)
        assert desk.wires.settled(FAR) == [other.id()]
        assert len(desk.book) == 1
        assert desk.wires.counted == ["equivocation"]


async def test_all_nodes_of_a_network_hold_it_and_keep_it_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path, 4, start=(0, 1, 2)) as cluster:
        piece = evidence_against(LIAR, cluster.genesis.chain_id(), 1, kind=EvidenceKind.TWO_RESULTS)
        node = cluster.node(0)
        await node.exchange.on_evidence(
            cluster.genesis.validators[3].node_key, encode(EvidenceBatch((piece,)))
        )

        async def held(index: int) -> None:
            counted = asyncio.Event()
            watched = cluster.node(index)
            monkeypatch.setattr(watched.metrics, "evidence", lambda _kind: counted.set())
            if watched.exchange.book.get(piece.id()) is None:
                await counted.wait()

        async with asyncio.timeout(30):
            await held(1)
            await held(2)
            # Who was away hears of it when it returns; who restarts has not forgotten.
            await cluster.start(3)
            await held(3)
            await cluster.stop(1)
            await cluster.start(1)
        assert cluster.node(1).exchange.book.get(piece.id()) is not None

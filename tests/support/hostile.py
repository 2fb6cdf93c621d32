"""A member with real keys who says whatever it likes: to test that nobody else minds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from msgspec.structs import replace

from consensus.messages import (
    NO_JUSTIFICATION,
    BlockRequest,
    BlockResponse,
    Commit,
    DecidedMessage,
    Justification,
    Message,
    Prepare,
    Prepared,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundChangeEntry,
    RoundProof,
    Status,
    encode_message,
)
from medquorum import merkle
from medquorum.block import Header
from medquorum.certificate import CommitCertificate
from medquorum.codec import encode
from node.limits import FETCH_TXS_MAX
from node.wire import (
    KINDS,
    BlockBody,
    Blocks,
    EvidenceBatch,
    FrameKind,
    GetBlocks,
    GetTxs,
    Tip,
    TxBatch,
)
from p2p.transport import Frame, Lane, PeerAddress, Transport
from tests.support.cluster import Cluster, key_of
from tests.support.evidence import evidence_against

FAR: Final = 2**52
NO_SIGNATURE: Final = b"\x01" + bytes(64)


class Silent:
    """An observer that does not care."""

    def sent(self, kind: int, size: int) -> None:
        """Nothing."""

    def received(self, kind: int, size: int) -> None:
        """Nothing."""

    def dropped(self, reason: str) -> None:
        """Nothing."""

    def peer_changed(self, peer: bytes, connected: bool) -> None:
        """Nothing."""


class HostileMember:
    """Validator `index` of a cluster, in whose place no node runs."""

    def __init__(self, cluster: Cluster, index: int, seed: int) -> None:
        self._cluster = cluster
        self._vote, self._node = key_of(f"vote{index}"), key_of(f"node{index}")
        self._random = Random(seed)
        self._heard: list[Frame] = []
        validators = cluster.genesis.validators
        self.victims = [v.node_key for i, v in enumerate(validators) if i != index]
        self.transport = Transport(
            node_key=self._node,
            chain_id=cluster.genesis.chain_id(),
            host="127.0.0.1",
            port=cluster.ports[index],
            peers=[
                PeerAddress(v.node_key, "127.0.0.1", cluster.ports[i])
                for i, v in enumerate(validators)
                if i != index
            ],
            is_member=lambda _key: True,
            on_frame=self._hear,
            on_peer=lambda _peer, _up: None,
            kinds=KINDS,
            observer=Silent(),
        )
        self.lies: Mapping[str, Callable[[], tuple[Lane, int, bytes]]] = {
            **{name: self._message(make) for name, make in self._messages().items()},
            "mutated": self._mutated,
            "junk": lambda: self._frame(self._random.choice(list(FrameKind)), self._bytes(40)),
            "tip": lambda: self._frame(FrameKind.TIP, encode(Tip(1, 10**12))),
            "get_blocks": lambda: self._frame(FrameKind.GET_BLOCKS, encode(GetBlocks(FAR, 32))),
            "get_txs": lambda: self._frame(FrameKind.GET_TXS, encode(GetTxs(self._hashes(1_000)))),
            "txs": lambda: self._batch(FrameKind.TXS),
            "gossip": lambda: self._batch(FrameKind.TX_BATCH),
            "slander": self._slander,
            "ahead": self._far_evidence,
            "blocks": lambda: self._frame(FrameKind.BLOCKS, encode(Blocks(self._height(), ()))),
        }

    def _slander(self) -> tuple[Lane, int, bytes]:
        """Evidence against an honest validator, signed by ourselves."""
        own = evidence_against(self._vote, self._cluster.genesis.chain_id(), 1)
        slander = replace(own, validator=self._cluster.genesis.validators[0].key)
        return self._frame(FrameKind.EVIDENCE, encode(EvidenceBatch((slander,))))

    def _far_evidence(self) -> tuple[Lane, int, bytes]:
        """Good evidence, of a height that nobody can judge yet."""
        far = evidence_against(self._vote, self._cluster.genesis.chain_id(), FAR)
        return self._frame(FrameKind.EVIDENCE, encode(EvidenceBatch((far,))))

    def tell(self, lie: str) -> int:
        """Say it to everybody; how many connections took it."""
        lane, kind, payload = self.lies[lie]()
        return sum(self.transport.send(peer, lane, kind, payload) for peer in self.victims)

    async def _hear(self, frame: Frame) -> None:
        self._heard = [*self._heard[-20:], frame]

    def _messages(self) -> dict[str, Callable[[], Message]]:
        return {
            "proposal": lambda: self._proposal(encode(BlockBody(self._hashes(3)))),
            "false body": lambda: self._proposal(self._bytes(100_000)),
            "prepare": lambda: self._signed(Prepare(*self._place(), self._hash(), NO_SIGNATURE)),
            "commit": lambda: self._signed(
                Commit(*self._place(), self._hash(), self._hash(), NO_SIGNATURE)
            ),
            "wish": lambda: self._signed(RoundChange(*self._place(), (), (), NO_SIGNATURE)),
            "false wish": lambda: self._signed(
                RoundChange(
                    *self._place(),
                    (Prepared(0, self._hash()),),
                    self._justification().certificate,
                    NO_SIGNATURE,
                )
            ),
            "round proof": lambda: RoundProof(self._height(), 5, self._justification()),
            "status": lambda: Status(self._height(), 2**32 - 1),
            "block request": lambda: BlockRequest(self._height(), self._hash()),
            "block response": lambda: BlockResponse(
                self._height(), self._header(self._hashes(1)), self._bytes(100)
            ),
            "decided": self._decided,
        }

    def _message(self, make: Callable[[], Message]) -> Callable[[], tuple[Lane, int, bytes]]:
        return lambda: self._frame(FrameKind.CONSENSUS, encode_message(make()))

    def _frame(self, kind: int, payload: bytes) -> tuple[Lane, int, bytes]:
        return KINDS[kind].lane, kind, payload

    def _batch(self, kind: FrameKind) -> tuple[Lane, int, bytes]:
        raws = [self._bytes(300), *(self._cluster.transaction(valid_until=0).raw for _ in "abc")]
        return self._frame(kind, encode(TxBatch(tuple(raws))))

    def _mutated(self) -> tuple[Lane, int, bytes]:
        if not self._heard:
            return self.lies["junk"]()
        frame = self._random.choice(self._heard)
        payload = bytearray(frame.payload)
        payload[self._random.randrange(len(payload))] ^= 1 << self._random.randrange(8)
        return frame.lane, frame.kind, bytes(payload)

    def _bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def _hash(self) -> bytes:
        return self._bytes(32)

    def _hashes(self, count: int) -> tuple[bytes, ...]:
        return tuple(self._hash() for _ in range(min(count, FETCH_TXS_MAX)))

    def _height(self) -> int:
        height = self._cluster.node(0).chain.tip.height + 1
        return self._random.choice([height, height, height, height + 1, max(1, height - 1), FAR])

    def _place(self) -> tuple[int, int, bytes]:
        round_ = self._random.choice([0, 0, 1, 7, 2**32 - 1])
        return self._height(), round_, self._vote.public

    def _signed(self, vote: Prepare | Commit | RoundChange) -> Message:
        signature = self._vote.sign(vote.signed_bytes(self._cluster.genesis.chain_id()))
        return replace(vote, signature=signature)

    def _proposal(self, body: bytes) -> Proposal:
        height, round_, signer = self._place()
        header = self._header(self._hashes(3))
        justification = NO_JUSTIFICATION if round_ == 0 else self._justification()
        unsigned = Proposal(height, round_, signer, header, body, justification, NO_SIGNATURE)
        signature = self._vote.sign(unsigned.signed_bytes(self._cluster.genesis.chain_id()))
        return replace(unsigned, signature=signature)

    def _header(self, tx_ids: tuple[bytes, ...]) -> Header:
        start = self._cluster.node(0).work.height_started()
        return Header(
            1,
            self._cluster.genesis.chain_id(),
            start.height,
            start.parent_time_ms + 1,
            self._vote.public,
            start.parent_hash,
            start.parent_result_hash,
            start.validators.hash(),
            merkle.root(tx_ids),
            len(tx_ids),
        )

    def _decided(self) -> DecidedMessage:
        tx_ids = self._hashes(1)
        header = self._header(tx_ids)
        signatures = tuple(b"\x01" + self._bytes(64) for _ in range(3))
        certificate = CommitCertificate(
            "pbft", header.height, 0, header.hash(), self._hash(), b"\x07", signatures
        )
        return DecidedMessage(header.height, header, encode(BlockBody(tx_ids)), certificate)

    def _justification(self) -> Justification:
        def entries() -> Iterator[RoundChangeEntry]:
            for validator in self._cluster.genesis.validators[:3]:
                yield RoundChangeEntry(validator.key, (), b"\x01" + self._bytes(64))

        signatures = tuple(b"\x01" + self._bytes(64) for _ in range(3))
        certificate = PreparedCertificate(0, self._hash(), b"\x07", signatures)
        return Justification(tuple(entries()), (certificate,))


@asynccontextmanager
async def hostile_member(
    cluster: Cluster, index: int, *, seed: int = 0
) -> AsyncIterator[HostileMember]:
    """It is connected to whoever lets it."""
    async with asyncio.TaskGroup() as group:
        member = HostileMember(cluster, index, seed)
        bound = asyncio.Event()
        running = group.create_task(member.transport.run(bound))
        await bound.wait()
        try:
            yield member
        finally:
            running.cancel()

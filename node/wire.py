"""What daemons say to each other besides votes:

frame kinds, their limits, and the structures inside (docs/spec/network.md).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta

from medquorum.block import Header, Result
from medquorum.certificate import CommitCertificate
from medquorum.codec import U16, Hash, Height, Wire, decode
from medquorum.evidence import EVIDENCE_BYTES_MAX, Evidence
from medquorum.transaction import TX_BYTES_MAX
from node.ledger.limits import BLOCK_BYTES_MAX, BLOCK_TXS_MAX
from node.limits import (
    EVIDENCE_PER_MESSAGE,
    FETCH_TXS_MAX,
    GOSSIP_BATCH_BYTES,
    SYNC_BLOCKS_PER_REQUEST,
    SYNC_BYTES_PER_RESPONSE,
)
from node.snapshots.limits import CHUNK_BYTES_MAX, HEAD_BYTES_MAX, OFFERS_MAX
from p2p.model import KindLimit, Lane

CONSENSUS_BYTES_MAX: Final = 4 * 1024 * 1024
BATCH_BYTES_MAX: Final = GOSSIP_BATCH_BYTES + TX_BYTES_MAX + 64 * 1024
TXS_BYTES_MAX: Final = 16 * 1024 * 1024
SEVERAL_BLOCKS_BYTES_MAX: Final = SYNC_BYTES_PER_RESPONSE + 1024 * 1024
"""Of an answer with more than one block: what their transactions may take, and room for headers and
certificates of all validators.
"""
BLOCKS_BYTES_MAX: Final = SEVERAL_BLOCKS_BYTES_MAX + BLOCK_BYTES_MAX
EVIDENCE_BATCH_BYTES_MAX: Final = EVIDENCE_PER_MESSAGE * EVIDENCE_BYTES_MAX


class FrameKind(IntEnum):
    """The kinds of frames. Numbers are never reused."""

    CONSENSUS = 1
    TX_BATCH = 2
    GET_TXS = 3
    TXS = 4
    GET_BLOCKS = 5
    BLOCKS = 6
    TIP = 7
    EVIDENCE = 8
    EVIDENCE_SETTLED = 9
    GET_SNAPSHOTS = 10
    SNAPSHOTS = 11
    GET_SNAPSHOT = 12
    SNAPSHOT = 13
    GET_CHUNK = 14
    CHUNK = 15


KINDS: Final[dict[int, KindLimit]] = {
    FrameKind.CONSENSUS: KindLimit("consensus", Lane.CONSENSUS, CONSENSUS_BYTES_MAX, 5_000, 20_000),
    FrameKind.TX_BATCH: KindLimit("tx_batch", Lane.BULK, BATCH_BYTES_MAX, 500, 2_000),
    FrameKind.GET_TXS: KindLimit("get_txs", Lane.BULK, 64 + FETCH_TXS_MAX * 34, 100, 400),
    FrameKind.TXS: KindLimit("txs", Lane.BULK, TXS_BYTES_MAX, 200, 800),
    FrameKind.GET_BLOCKS: KindLimit("get_blocks", Lane.BULK, 64, 50, 200),
    FrameKind.BLOCKS: KindLimit("blocks", Lane.BULK, BLOCKS_BYTES_MAX, 50, 200),
    FrameKind.TIP: KindLimit("tip", Lane.BULK, 64, 200, 1_000),
    FrameKind.EVIDENCE: KindLimit("evidence", Lane.BULK, EVIDENCE_BATCH_BYTES_MAX, 20, 200),
    FrameKind.EVIDENCE_SETTLED: KindLimit(
        "evidence_settled", Lane.BULK, 64 + EVIDENCE_PER_MESSAGE * 34, 20, 200
    ),
    FrameKind.GET_SNAPSHOTS: KindLimit("get_snapshots", Lane.BULK, 64, 5, 20),
    FrameKind.SNAPSHOTS: KindLimit("snapshots", Lane.BULK, 64 + OFFERS_MAX * 64, 5, 20),
    FrameKind.GET_SNAPSHOT: KindLimit("get_snapshot", Lane.BULK, 64, 2, 10),
    FrameKind.SNAPSHOT: KindLimit("snapshot", Lane.BULK, 64 + HEAD_BYTES_MAX, 2, 10),
    FrameKind.GET_CHUNK: KindLimit("get_chunk", Lane.BULK, 64, 500, 1_000),
    FrameKind.CHUNK: KindLimit("chunk", Lane.BULK, 64 + CHUNK_BYTES_MAX, 500, 1_000),
}


class TxBatch(Wire):
    """Raw transactions, in gossip and as the answer to GetTxs."""

    transactions: Annotated[tuple[bytes, ...], Meta(max_length=FETCH_TXS_MAX)]


class GetTxs(Wire):
    """Asks for transactions that a proposal names."""

    ids: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=FETCH_TXS_MAX)]


class GetBlocks(Wire):
    """Asks for certified blocks from a height on. The answer may hold fewer."""

    first: Height
    count: Annotated[int, Meta(ge=1, le=SYNC_BLOCKS_PER_REQUEST)]


class CertifiedBlock(Wire):
    """One height with all that another node needs to check and apply it."""

    header: Header
    result: Result
    certificate: CommitCertificate
    transactions: Annotated[tuple[bytes, ...], Meta(max_length=BLOCK_TXS_MAX)]


class Blocks(Wire):
    """Consecutive certified blocks; empty if the node has none of those asked for. `oldest` is the
    first height of which it has the block: those before were given up, or never were there.
    """

    first: Height
    blocks: Annotated[tuple[CertifiedBlock, ...], Meta(max_length=SYNC_BLOCKS_PER_REQUEST)]
    oldest: Height = 0


class Tip(Wire):
    """The height a node has committed. A hint: whoever acts on it asks for certificates."""

    version: U16
    height: Height


class EvidenceBatch(Wire):
    """Pieces of evidence that the sender has verified, and holds."""

    pieces: Annotated[tuple[Evidence, ...], Meta(min_length=1, max_length=EVIDENCE_PER_MESSAGE)]


class EvidenceSettled(Wire):
    """Ids of pieces that the sender needs no more: it has them, or enough of their kind."""

    ids: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=EVIDENCE_PER_MESSAGE)]


class GetSnapshots(Wire):
    """Asks which snapshots there are."""

    version: U16


class Offer(Wire):
    """A snapshot that the sender has, by the height and the digest of its manifest."""

    height: Height
    digest: Hash


class Snapshots(Wire):
    """The height that the sender has committed, and its snapshots."""

    height: Height
    offers: Annotated[tuple[Offer, ...], Meta(max_length=OFFERS_MAX)]


class GetSnapshot(Wire):
    """Asks for the head of a snapshot."""

    height: Height
    digest: Hash


class Snapshot(Wire):
    """A head (node/snapshots/format.py), canonical; empty if it is not here (any more)."""

    digest: Hash
    head: bytes


class GetChunk(Wire):
    """Asks for a chunk."""

    hash: Hash


class Chunk(Wire):
    """A chunk; empty if it is not here (any more)."""

    hash: Hash
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES_MAX)]


class BlockBody(Wire):
    """The body of a proposal:

    the ids of its transactions, in order. What the engine carries as opaque bytes.
    """

    tx_ids: tuple[Hash, ...]


def decode_body(data: bytes) -> BlockBody:
    """The ids in a proposal's body. Raises a DecodeError."""
    return decode(BlockBody, data, size_max=CONSENSUS_BYTES_MAX)

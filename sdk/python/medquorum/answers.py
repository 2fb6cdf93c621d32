"""What the client returns. Fields that a newer node adds are ignored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from medquorum.history import Certified
from medquorum.kem import KemKey
from medquorum.vault import bind, open_record, unwrap

TxState = Literal["unknown", "pending", "committed", "rejected", "expired"]
FINAL_STATES: Final = frozenset({"committed", "rejected", "expired"})


class TxStatus(msgspec.Struct, frozen=True):
    """Where a transaction stands. `code` is "ok", or why it was rejected at operation `operation`.
    `txid` is hexadecimal.
    """

    txid: str
    state: TxState
    height: int | None = None
    index: int | None = None
    code: str | None = None
    operation: int | None = None
    duplicate: bool = False

    @property
    def final(self) -> bool:
        """Whether this can never change again."""
        return self.state in FINAL_STATES


class Problem(msgspec.Struct, frozen=True):
    """Why one transaction of a batch was not taken."""

    code: str
    detail: str = ""
    retryable: bool = False


class BatchItem(msgspec.Struct, frozen=True):
    """What became of one transaction of a batch, in the order in which they were sent. `state` is
    empty if there is a problem.
    """

    txid: str = ""
    state: str = ""
    duplicate: bool = False
    problem: Problem | None = None


class Status(msgspec.Struct, frozen=True):
    """A node's own view of itself. Nothing here is proven."""

    chain_id: str
    height: int
    node: str = ""
    chain_name: str = ""
    time_ms: int = 0
    role: str = ""
    version: str = ""
    halted: str | None = None


class QueryResult(msgspec.Struct, frozen=True):
    """The answer of a query at a height. It is this node's word; `Client.state` gives proven
    values.
    """

    height: int
    result: object = None


class Schema(msgspec.Struct, frozen=True):
    """The published shape of one operation type."""

    type: str
    version: int
    schema: dict[str, object]
    fields: tuple[str, ...] = ()
    module: str = ""
    summary: str = ""


class LedgerEvent(msgspec.Struct, frozen=True):
    """Something that happened. `cursor` resumes the stream after it. At least once: after a lost
    connection, compare cursors.
    """

    cursor: str
    height: int
    type: str
    txid: str = ""
    tx: int = 0
    time_ms: int = 0
    attributes: dict[str, object] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """A block whose certificate was verified, and the ids of its transactions, which match its
    header.
    """

    block: Certified
    tx_ids: tuple[bytes, ...]

    @property
    def height(self) -> int:
        """The height of the block."""
        return self.block.header.height


@dataclass(frozen=True, slots=True)
class StateValue:
    """A value of the ledger state, proven at `height`. None is proven absence. The node may know
    later heights.
    """

    value: bytes | None
    height: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class ReleasedRecord:
    """A record as it left a vault: still sealed."""

    rec_id: bytes
    version: int
    envelope: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)

    def open(
        self,
        key: KemKey,
        *,
        chain_id: bytes,
        req_id: bytes,
        purpose: str,
        expires_ms: int,
        ct_hash: bytes,
        commitment: bytes,
    ) -> bytes:
        """The JSON text, after it matched the two hashes that the chain has of it. Raises
        VaultError.

        `purpose` and `expires_ms` are those of the access request.
        """
        binding = bind(
            chain_id=chain_id,
            context=req_id,
            rec_id=self.rec_id,
            version=self.version,
            recipient=key.public,
            purpose=purpose,
            expires_ms=expires_ms,
        )
        return open_record(
            self.ciphertext,
            unwrap(self.envelope, key, binding),
            chain_id=chain_id,
            rec_id=self.rec_id,
            version=self.version,
            ct_hash=ct_hash,
            commitment_on_chain=commitment,
        )


@dataclass(frozen=True, slots=True)
class Release:
    """What a vault released, and the transaction that logged it first."""

    log_tx_id: bytes
    height: int
    records: tuple[ReleasedRecord, ...]

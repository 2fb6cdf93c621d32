"""Receipts: one JSON file that proves what became of one transaction, without a node
(docs/spec/receipt.md).

The file holds the transaction, its outcome with the path to receipts_root, its id with the path to
txs_root, the header and result of its block, the commit certificate over both, and every change of
the validator set since the genesis. With the genesis, which the verifier has from a source of their
own, that is the whole argument.

The form is strict: a file must equal, byte for byte, what `Receipt.dump` writes. So nobody can hide
anything in a receipt, two receipts can be compared by their hashes, and changing one byte either
breaks the proof or does not parse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from medquorum import merkle
from medquorum.block import Event, Header, Result, TxOutcome
from medquorum.certificate import unpack_signers
from medquorum.codec import encode
from medquorum.encoding import from_base64url, from_hex, to_base64url
from medquorum.errors import DecodeError, VerificationError
from medquorum.genesis import Genesis
from medquorum.history import Certified, SetChange, ValidatorHistory
from medquorum.limits import (
    EVENT_BYTES_MAX,
    OUTCOME_BYTES_MAX,
    PATH_HASHES_MAX,
    RECEIPT_BYTES_MAX,
    RECEIPT_EVENTS_MAX,
)
from medquorum.prooffile import (
    CertifiedFile,
    ChangeFile,
    pack,
    pack_certified,
    pack_changes,
    unpack,
    unpack_certified,
    unpack_changes,
)
from medquorum.transaction import Operation, Transaction

FORMAT: Final = "medquorum/receipt/v1"


@dataclass(frozen=True, slots=True)
class ProvenEvent:
    """An event, and the path from entry `index` of the block's events to events_root."""

    event: Event
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The parts of a receipt, decoded and not verified. What they prove, `verify` says."""

    transaction: Transaction
    outcome: TxOutcome
    tx_path: tuple[bytes, ...]
    outcome_path: tuple[bytes, ...]
    block: Certified
    history: tuple[SetChange, ...]
    event_count: int
    """How many events the whole block has; 0 if this receipt shows none."""
    events: tuple[ProvenEvent, ...]

    def dump(self) -> bytes:
        """The file: indented JSON, hexadecimal for hashes, unpadded base64url for encoded
        structures.
        """
        return msgspec.json.format(msgspec.json.encode(_to_file(self)), indent=2) + b"\n"

    @classmethod
    def load(cls, data: bytes) -> Receipt:
        """Read a file, without verifying what it says. Raises VerificationError with a `receipt_`
        reason.
        """
        if len(data) > RECEIPT_BYTES_MAX:
            raise VerificationError(
                "receipt_size", f"{len(data)} bytes, at most {RECEIPT_BYTES_MAX}"
            )
        try:
            receipt = _from_file(msgspec.json.decode(data, type=_ReceiptFile))
        except (msgspec.DecodeError, DecodeError, ValueError, RecursionError) as error:
            raise VerificationError("receipt_form", f"not a receipt: {error}") from None
        if receipt.dump() != data:
            raise VerificationError("receipt_form", "not the one form that a receipt has")
        return receipt

    def verify(self, genesis: Genesis) -> VerifiedReceipt:
        """What is proven on the chain that starts from `genesis`. Raises VerificationError."""
        history = ValidatorHistory(genesis)
        history.extend(self.history)
        header, result = self.block.header, self.block.result
        if header.height <= history.height:
            raise VerificationError("receipt_history", "the history goes beyond the block")
        history.verify(self.block)
        self._verify_transaction(header)
        self._verify_outcome(header, result)
        self._verify_events(result)
        validators = history.validators_at(header.height).validators
        signed = unpack_signers(self.block.certificate.signers, len(validators))
        body = self.transaction.body
        return VerifiedReceipt(
            tx_id=self.transaction.id,
            chain_id=header.chain_id,
            height=header.height,
            index=self.outcome.index,
            time_ms=header.time_ms,
            block_hash=header.hash(),
            code=self.outcome.code,
            failed_operation=self.outcome.operation,
            operations=body.operations,
            signers=body.signers,
            events=tuple(proven.event for proven in self.events),
            certified_by=tuple(validators[index].key for index in signed),
            recoveries=history.recoveries(header.height),
        )

    def _verify_transaction(self, header: Header) -> None:
        body = self.transaction.body
        if body.chain_id != header.chain_id:
            raise VerificationError("tx_chain", "the transaction is for another chain")
        if body.valid_until < header.height:
            raise VerificationError("tx_expired", "the transaction had expired at that height")
        if not self.transaction.signatures_hold():
            raise VerificationError("tx_signature", "a signature of the transaction is wrong")
        if not merkle.verify(
            header.txs_root, self.transaction.id, self.outcome.index, header.tx_count, self.tx_path
        ):
            raise VerificationError("tx_path", "the transaction is not in the block")

    def _verify_outcome(self, header: Header, result: Result) -> None:
        if self.outcome.tx_id != self.transaction.id:
            raise VerificationError("outcome_tx", "the outcome is another transaction's")
        if not merkle.verify(
            result.receipts_root,
            encode(self.outcome),
            self.outcome.index,
            header.tx_count,
            self.outcome_path,
        ):
            raise VerificationError("outcome_path", "the outcome is not in the result")

    def _verify_events(self, result: Result) -> None:
        if not self.events and self.event_count != 0:
            raise VerificationError("event_count", "events are counted but not shown")
        last = -1
        for proven in self.events:
            if proven.index <= last:
                raise VerificationError("event_order", "the events do not ascend")
            last = proven.index
            if proven.event.tx != self.outcome.index:
                raise VerificationError("event_tx", "an event is another transaction's")
            if not merkle.verify_counted(
                result.events_root,
                encode(proven.event),
                proven.index,
                self.event_count,
                proven.path,
            ):
                raise VerificationError("event_path", "an event is not in the result")


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a receipt proves. `signers` signed the transaction; `certified_by` are the validators
    that certified its block.

    `code` is "ok", or says why the transaction was rejected at operation `failed_operation`; a
    rejected one changed nothing. `events` were emitted by this transaction; a receipt may show some
    of them and leave others out. `time_ms` is block time, UTC. `recoveries` is how often before
    this block organisations named the validators because too many were lost: trust has then passed
    through their root keys (docs/spec/disaster-recovery.md).
    """

    tx_id: bytes
    chain_id: bytes
    height: int
    index: int
    time_ms: int
    block_hash: bytes
    code: str
    failed_operation: int
    operations: tuple[Operation, ...]
    signers: tuple[bytes, ...]
    events: tuple[Event, ...]
    certified_by: tuple[bytes, ...]
    recoveries: int

    @property
    def succeeded(self) -> bool:
        """Whether the operations took effect."""
        return self.code == "ok"


def verify_receipt(data: bytes, genesis: Genesis) -> VerifiedReceipt:
    """What the receipt file `data` proves on the chain of `genesis`. Raises VerificationError and
    nothing else.
    """
    return Receipt.load(data).verify(genesis)


def make_receipt(
    *,
    transaction: Transaction,
    outcomes: Sequence[TxOutcome],
    tx_ids: Sequence[bytes],
    index: int,
    block: Certified,
    history: Sequence[SetChange],
    events: Sequence[Event] = (),
) -> Receipt:
    """The receipt of transaction `index` of a block, given all outcomes, transaction ids and events
    of that block.

    `history` has every change of the validator set below the height of the block. The receipt
    carries the events of its own transaction only.
    """
    proofs = BlockProofs(outcomes=outcomes, tx_ids=tx_ids, block=block, events=events)
    return proofs.receipt(transaction, index, history)


class BlockProofs:
    """What the receipts of one block share, worked out once: its three trees."""

    __slots__ = ("_block", "_events", "_ids", "_of_tx", "_outcomes", "_results", "_shown")

    def __init__(
        self,
        *,
        outcomes: Sequence[TxOutcome],
        tx_ids: Sequence[bytes],
        block: Certified,
        events: Sequence[Event] = (),
    ) -> None:
        """All outcomes, transaction ids and events of the block, each in its order."""
        self._block = block
        self._outcomes = outcomes
        self._shown = events
        self._ids = merkle.Tree(tx_ids)
        self._results = merkle.Tree([encode(outcome) for outcome in outcomes])
        self._events = merkle.Tree([encode(event) for event in events])
        self._of_tx: dict[int, list[int]] = {}
        for number, event in enumerate(events):
            self._of_tx.setdefault(event.tx, []).append(number)

    def receipt(
        self, transaction: Transaction, index: int, history: Sequence[SetChange]
    ) -> Receipt:
        """The receipt of transaction `index`, with its own events only; see `make_receipt`."""
        own = self._of_tx.get(index, [])
        return Receipt(
            transaction=transaction,
            outcome=self._outcomes[index],
            tx_path=self._ids.path(index),
            outcome_path=self._results.path(index),
            block=self._block,
            history=tuple(history),
            event_count=len(self._events) if own else 0,
            events=tuple(
                ProvenEvent(self._shown[number], number, self._events.path(number))
                for number in own
            ),
        )


class _EventFile(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    index: int
    path: list[str]


class _ReceiptFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["medquorum/receipt/v1"]
    tx_id: str
    height: int
    code: str
    transaction: str
    outcome: str
    tx_path: list[str]
    outcome_path: list[str]
    block: CertifiedFile
    history: list[ChangeFile]
    event_count: int
    events: list[_EventFile]


def _to_file(receipt: Receipt) -> _ReceiptFile:
    block = receipt.block
    return _ReceiptFile(
        format=FORMAT,
        # The three facts that a person looks for first. Loading compares them with the proof.
        tx_id=receipt.transaction.id.hex(),
        height=block.header.height,
        code=receipt.outcome.code,
        transaction=to_base64url(receipt.transaction.raw),
        outcome=pack(receipt.outcome),
        tx_path=[h.hex() for h in receipt.tx_path],
        outcome_path=[h.hex() for h in receipt.outcome_path],
        block=pack_certified(block),
        history=pack_changes(receipt.history),
        event_count=receipt.event_count,
        events=[
            _EventFile(pack(e.event), e.index, [h.hex() for h in e.path]) for e in receipt.events
        ],
    )


def _from_file(file: _ReceiptFile) -> Receipt:
    if len(file.events) > RECEIPT_EVENTS_MAX:
        raise ValueError(f"more than {RECEIPT_EVENTS_MAX} events")
    return Receipt(
        transaction=Transaction.decode(from_base64url(file.transaction)),
        outcome=unpack(TxOutcome, file.outcome, OUTCOME_BYTES_MAX),
        tx_path=_path(file.tx_path),
        outcome_path=_path(file.outcome_path),
        block=unpack_certified(file.block.header, file.block.result, file.block.certificate),
        history=unpack_changes(file.history),
        event_count=file.event_count,
        events=tuple(
            ProvenEvent(unpack(Event, e.event, EVENT_BYTES_MAX), e.index, _path(e.path))
            for e in file.events
        ),
    )


def _path(hashes: list[str]) -> tuple[bytes, ...]:
    if len(hashes) > PATH_HASHES_MAX:
        raise ValueError(f"a path of more than {PATH_HASHES_MAX} hashes")
    return tuple(from_hex(text, size=32) for text in hashes)

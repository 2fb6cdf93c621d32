"""Checks what one height consists of, without any store: so that other processes can do it.

A height is checked against the validators that are said to vote on it. That they do, and that it
follows the height before, is seen by who puts the heights one after the other (the audit of a
database, the proof of an archive).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta

from medquorum import merkle
from medquorum.block import Event, Header, Result, TxOutcome, ValidatorSet
from medquorum.certificate import CommitCertificate, verify_certificate
from medquorum.codec import WireT, decode, encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.quorum import EngineName
from medquorum.transaction import Transaction
from node.checking.findings import Finding, Part
from node.ledger.limits import BLOCK_TXS_MAX

_Transactions = Annotated[tuple[bytes, ...], Meta(max_length=BLOCK_TXS_MAX)]
_Outcomes = Annotated[tuple[TxOutcome, ...], Meta(max_length=BLOCK_TXS_MAX)]
"""Bounded before anything is taken apart: a few bytes in an archive can say that millions follow,
and each of them would take memory, and be a finding.
"""


class RawHeight(NamedTuple):
    """A height as it is stored; None for what is not there. `validators` vote on it."""

    height: int
    validators: bytes
    header: bytes | None
    result: bytes | None
    certificate: bytes | None
    transactions: bytes | None
    outcomes: bytes | None
    events: bytes | None

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(len(part) for part in self[1:] if part is not None)


class CheckedHeight(NamedTuple):
    """What a height says of itself, as far as it can be read, and what is wrong with it.

    `result_hash` and the hash of the header are those of what is stored.
    """

    height: int
    header: Header | None
    result: Result | None
    tx_ids: tuple[bytes, ...]
    findings: tuple[Finding, ...]


def check_heights(
    chain_id: bytes, engine: EngineName, heights: Sequence[RawHeight]
) -> list[CheckedHeight]:
    """Check each of them. Costs one signature check for each signer and each validator that
    signed.
    """
    return [_Check(chain_id, engine, raw).run() for raw in heights]


class _Check:
    def __init__(self, chain_id: bytes, engine: EngineName, raw: RawHeight) -> None:
        self._chain_id = chain_id
        self._engine = engine
        self._raw = raw
        self._findings: list[Finding] = []

    def run(self) -> CheckedHeight:
        raw = self._raw
        header = self._decode(Header, "header", raw.header)
        result = self._decode(Result, "result", raw.result)
        self._certificate(header, result)
        tx_ids = self._transactions(header)
        self._outcomes(tx_ids, result)
        self._events(result)
        return CheckedHeight(raw.height, header, result, tx_ids, tuple(self._findings))

    def _decode(self, kind: type[WireT], part: Part, data: bytes | None) -> WireT | None:
        if data is None:
            self._found(part, "it is missing")
            return None
        try:
            return decode(kind, data, size_max=len(data))
        except DecodeError as error:
            self._found(part, str(error))
            return None

    def _certificate(self, header: Header | None, result: Result | None) -> None:
        certificate = self._decode(CommitCertificate, "certificate", self._raw.certificate)
        if header is None or result is None or certificate is None:
            return
        validators = decode(ValidatorSet, self._raw.validators, size_max=len(self._raw.validators))
        try:
            verify_certificate(
                engine=self._engine,
                header=header,
                result=result,
                certificate=certificate,
                validators=validators,
            )
        except VerificationError as error:
            self._found("certificate", str(error))

    def _transactions(self, header: Header | None) -> tuple[bytes, ...]:
        listed = self._decode(_Transactions, "transactions", self._raw.transactions)
        if listed is None:
            return ()
        tx_ids: list[bytes] = []
        for index, raw in enumerate(listed):
            try:
                transaction = Transaction.decode(raw)
            except DecodeError as error:
                self._found("transactions", str(error), f"index {index}")
                continue
            tx_ids.append(transaction.id)
            if transaction.body.chain_id != self._chain_id:
                self._found("transactions", "it is of another chain", f"index {index}")
            elif not transaction.signatures_hold():
                self._found("transactions", "a signature does not hold", f"index {index}")
        if header is not None and header.tx_count != len(listed):
            self._found("transactions", f"{len(listed)} where the header has {header.tx_count}")
        elif header is not None and merkle.root(tx_ids) != header.txs_root:
            self._found("transactions", "they do not have the root that the header names")
        return tuple(tx_ids)

    def _outcomes(self, tx_ids: tuple[bytes, ...], result: Result | None) -> None:
        outcomes = self._decode(_Outcomes, "outcomes", self._raw.outcomes)
        if outcomes is None:
            return
        if tuple(outcome.tx_id for outcome in outcomes) != tx_ids:
            self._found("outcomes", "they are those of other transactions")
        if result is not None and (
            merkle.root([encode(outcome) for outcome in outcomes]) != result.receipts_root
        ):
            self._found("outcomes", "they do not have the root that the result names")

    def _events(self, result: Result | None) -> None:
        events = self._decode(tuple[Event, ...], "events", self._raw.events)
        if events is None or result is None:
            return
        if merkle.counted_root([encode(event) for event in events]) != result.events_root:
            self._found("events", "they do not have the root that the result names")

    def _found(self, part: Part, detail: str, key: str = "") -> None:
        self._findings.append(Finding(part, self._raw.height, key, detail))

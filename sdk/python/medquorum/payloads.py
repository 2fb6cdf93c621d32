"""The JSON answers of a node as they travel, and the bytes in them. What the client returns is in
answers.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from medquorum.answers import BatchItem, Release, ReleasedRecord, TxStatus
from medquorum.codec import decode
from medquorum.encoding import from_base64url, from_hex
from medquorum.errors import AnswerError, DecodeError
from medquorum.history import Certified, SetChange
from medquorum.limits import BATCH_TRANSACTIONS_MAX, STATE_PROOF_BYTES_MAX
from medquorum.prooffile import unpack_certified, unpack_change
from medquorum.statetree import StateProof


class BatchAnswer(msgspec.Struct):
    """POST /v1/txs/batch."""

    results: tuple[BatchItem, ...]


class StatesAnswer(msgspec.Struct):
    """POST /v1/txs/states."""

    results: tuple[TxStatus, ...]


class RawBlock(msgspec.Struct):
    """A certified block: three encoded structures."""

    header: str
    result: str
    certificate: str


class BlockAnswer(msgspec.Struct):
    """GET /v1/blocks/{height}."""

    raw: RawBlock
    tx_ids: tuple[str, ...]


class StateAnswer(RawBlock):
    """GET /v1/state/{namespace}/{key}."""

    value: str | None
    proof: str


class ChangeAnswer(RawBlock):
    """A change of the validator set; `recovery` is empty unless organisations named the set."""

    validators: str
    recovery: str = ""


class ValidatorsAnswer(msgspec.Struct):
    """GET /v1/validators."""

    history: tuple[ChangeAnswer, ...]


class KemAnswer(msgspec.Struct):
    """GET /v1/vault/kem."""

    kem_public: str


class UploadAnswer(msgspec.Struct):
    """PUT /v1/vault/records/{rec_id}/{version}."""

    blob: str


class ReleasedAnswer(msgspec.Struct):
    """One record of a release."""

    rec_id: str
    version: int
    envelope: str
    ciphertext: str


class ReleaseAnswer(msgspec.Struct):
    """POST /v1/vault/release."""

    log_txid: str
    height: int
    records: tuple[ReleasedAnswer, ...]


def certified_of(raw: RawBlock) -> Certified:
    """The block in an answer, not verified. Raises AnswerError."""
    try:
        return unpack_certified(raw.header, raw.result, raw.certificate)
    except (DecodeError, ValueError) as error:
        raise AnswerError(f"a block that cannot be read: {error}") from None


def changes_of(answer: ValidatorsAnswer) -> list[SetChange]:
    """The changes of the validator set in an answer, not verified. Raises AnswerError."""
    try:
        return [
            unpack_change(c.header, c.result, c.certificate, c.validators, c.recovery)
            for c in answer.history
        ]
    except (DecodeError, ValueError) as error:
        raise AnswerError(f"a validator set that cannot be read: {error}") from None


def release_of(answer: ReleaseAnswer) -> Release:
    """The records that a vault released. Raises AnswerError."""
    records = [
        ReleasedRecord(
            hex_bytes(r.rec_id), r.version, base64_bytes(r.envelope), base64_bytes(r.ciphertext)
        )
        for r in answer.records
    ]
    return Release(hex_bytes(answer.log_txid), answer.height, tuple(records))


def proof_of(text: str) -> StateProof:
    """The state proof in an answer. Raises AnswerError."""
    try:
        return decode(StateProof, base64_bytes(text), size_max=STATE_PROOF_BYTES_MAX)
    except DecodeError as error:
        raise AnswerError(f"a proof that cannot be read: {error}") from None


def hex_bytes(text: str) -> bytes:
    """Bytes from hexadecimal. Raises AnswerError."""
    try:
        return from_hex(text)
    except ValueError as error:
        raise AnswerError(str(error)) from None


def base64_bytes(text: str) -> bytes:
    """Bytes from unpadded base64url. Raises AnswerError."""
    try:
        return from_base64url(text)
    except ValueError as error:
        raise AnswerError(str(error)) from None


def states_body(tx_ids: Sequence[bytes]) -> bytes:
    """What POST /v1/txs/states takes. Raises ValueError for too many."""
    if len(tx_ids) > BATCH_TRANSACTIONS_MAX:
        raise ValueError(f"{len(tx_ids)} transactions are too many")
    return msgspec.json.encode({"txids": [tx_id.hex() for tx_id in tx_ids]})


def states_of(answer: StatesAnswer, tx_ids: Sequence[bytes]) -> tuple[TxStatus, ...]:
    """The states in an answer about these transactions. Raises AnswerError if it is not."""
    if [status.txid for status in answer.results] != [tx_id.hex() for tx_id in tx_ids]:
        raise AnswerError("the answer is not about the transactions that were asked about")
    return answer.results

"""Transactions: operations that happen together or not at all, under one or more signatures
(docs/spec/transaction.md).

On the wire a transaction is `[body, signatures]` where `body` is a byte string that holds the
canonical encoding of TxBody. So the signed bytes are exactly the received bytes, and the id never
depends on signature bytes, which their signer could vary:

    signed bytes = "medquorum/tx/v1" 0x00 || body        id = SHA-256(signed bytes)
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from typing_extensions import override

from medquorum.codec import U16, Bytes16, Hash, Height, Name, Wire, decode, encode
from medquorum.errors import MalformedError
from medquorum.hashing import Kind
from medquorum.keys import PublicKey, Signature, SigningKey, verify

TX_BYTES_MAX: Final = 128 * 1024
OPERATION_BYTES_MAX: Final = 64 * 1024
OPERATIONS_MAX: Final = 256
SIGNERS_MAX: Final = 16

_TAG: Final = Kind.TRANSACTION.value


class Operation(Wire):
    """One step of a transaction. `body` holds the canonical encoding of the type's own
    structure.
    """

    type: Name
    version: U16
    body: Annotated[bytes, Meta(max_length=OPERATION_BYTES_MAX)]


class TxBody(Wire):
    """What the signers sign. `valid_until` is the last height at which it may be committed."""

    version: Literal[1]
    chain_id: Hash
    nonce: Bytes16
    valid_until: Height
    operations: Annotated[tuple[Operation, ...], Meta(min_length=1, max_length=OPERATIONS_MAX)]
    signers: Annotated[tuple[PublicKey, ...], Meta(min_length=1, max_length=SIGNERS_MAX)]


class _SignedTx(Wire):
    body: bytes
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=SIGNERS_MAX)]


def signing_bytes(body: bytes) -> bytes:
    """What each signer signs, given the canonical encoding of a TxBody."""
    return _TAG + body


class Transaction(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A transaction of correct form, decoded once; `raw` and `id` are carried along. Its signatures
    may be wrong.
    """

    raw: bytes
    id: bytes
    body: TxBody
    body_bytes: bytes
    signatures: tuple[bytes, ...]

    @classmethod
    def decode(cls, raw: bytes) -> Transaction:
        """Decode and check the form: size, canonical encoding, distinct signers, one signature for
        each.

        Raises a DecodeError. Chain, expiry and signatures are for the caller to check.
        """
        signed = decode(_SignedTx, raw, size_max=TX_BYTES_MAX)
        body = decode(TxBody, signed.body, size_max=TX_BYTES_MAX)
        signers = len(body.signers)
        if len(signed.signatures) != signers:
            raise MalformedError(f"{signers} signers but {len(signed.signatures)} signatures")
        if signers > 1 and len(set(body.signers)) != signers:
            raise MalformedError("a signer is named twice")
        return cls(raw, tx_id(signed.body), body, signed.body, signed.signatures)

    def signatures_hold(self) -> bool:
        """Whether every signer's signature is right. Costs one Ed25519 verification a signer."""
        message = signing_bytes(self.body_bytes)
        return all(
            verify(key, message, signature)
            for key, signature in zip(self.body.signers, self.signatures, strict=True)
        )

    @override
    def __repr__(self) -> str:
        return f"Transaction({self.id.hex()[:16]}, {len(self.body.operations)} operations)"


def tx_id(body: bytes) -> bytes:
    """The id of the transaction whose canonical body this is. Known before it is signed."""
    return sha256(signing_bytes(body)).digest()


def build(
    *,
    chain_id: bytes,
    nonce: bytes,
    valid_until: int,
    operations: Sequence[Operation],
    signers: Sequence[bytes],
) -> bytes:
    """The canonical body bytes of a new transaction. Raises a DecodeError if a field is out of
    bounds.
    """
    body = encode(TxBody(1, chain_id, nonce, valid_until, tuple(operations), tuple(signers)))
    decode(TxBody, body, size_max=TX_BYTES_MAX)
    return body


def assemble(body: bytes, signatures: Sequence[bytes]) -> Transaction:
    """Join a body with its signatures, in the order of its signers. Raises a DecodeError."""
    return Transaction.decode(encode(_SignedTx(body, tuple(signatures))))


def sign(body: bytes, keys: Sequence[SigningKey]) -> Transaction:
    """Sign a body with all its signers' keys, in the order of its signers."""
    message = signing_bytes(body)
    return assemble(body, [key.sign(message) for key in keys])

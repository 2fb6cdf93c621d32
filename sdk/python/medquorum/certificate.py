"""Votes and commit certificates (docs/spec/pbft.md and docs/spec/raft.md, section 3).

A commit certificate is a quorum of COMMIT votes (of acks, on Raft) over one block AND its result.
It stands beside the header, outside its hash, because any quorum of signatures proves the same
thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated

from msgspec import Meta

from medquorum.block import Header, Result, ValidatorSet
from medquorum.codec import U32, Hash, Height, Wire, encode
from medquorum.errors import VerificationError
from medquorum.hashing import Kind
from medquorum.invariants import require
from medquorum.keys import Signature, verify
from medquorum.quorum import VALIDATORS_MAX, EngineName, quorum


class VoteTag(Enum):
    """What a validator's signature means. No two tags share signed bytes."""

    PROPOSAL = "X"
    PREPARE = "P"
    COMMIT = "C"
    ROUND_CHANGE = "R"
    ACK = "A"


def vote_bytes(
    tag: VoteTag, chain_id: bytes, height: int, round_: int, payload: tuple[bytes | int, ...]
) -> bytes:
    """The bytes that a validator signs to say `tag` about `payload` at (height, round)."""
    return Kind.VOTE.value + encode((chain_id, tag.value, height, round_, payload))


class CommitCertificate(Wire):
    """A quorum of COMMIT votes, or of acks of one term. `signers` is a bitmap over the validator
    set, least significant bit of byte 0 first.
    """

    engine: EngineName
    height: Height
    round: U32
    block_hash: Hash
    result_hash: Hash
    signers: Annotated[bytes, Meta(min_length=1, max_length=(VALIDATORS_MAX + 7) // 8)]
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]


def pack_signers(indexes: Iterable[int], n: int) -> bytes:
    """The bitmap of `indexes` among `n` validators."""
    bitmap = bytearray((n + 7) // 8)
    for index in indexes:
        require(0 <= index < n, f"validator {index} of {n}")
        bitmap[index >> 3] |= 1 << (index & 7)
    return bytes(bitmap)


def unpack_signers(bitmap: bytes, n: int) -> tuple[int, ...]:
    """The validators in `bitmap`, ascending. Raises VerificationError if it is not one over `n`
    validators.
    """
    if len(bitmap) != (n + 7) // 8:
        raise VerificationError("certificate_bitmap", f"{len(bitmap)} bytes for {n} validators")
    indexes = tuple(i for i in range(len(bitmap) * 8) if bitmap[i >> 3] >> (i & 7) & 1)
    if len(indexes) > 0 and indexes[-1] >= n:
        raise VerificationError("certificate_bitmap", f"names validator {indexes[-1]} of {n}")
    return indexes


def make_certificate(
    *,
    engine: EngineName,
    height: int,
    round_: int,
    block_hash: bytes,
    result_hash: bytes,
    votes: Mapping[int, bytes],
    n: int,
) -> CommitCertificate:
    """Build a certificate from verified signatures, keyed by the signer's position in the set."""
    order = sorted(votes)
    return CommitCertificate(
        engine,
        height,
        round_,
        block_hash,
        result_hash,
        pack_signers(order, n),
        tuple(votes[i] for i in order),
    )


def verify_certificate(
    *,
    engine: EngineName,
    header: Header,
    result: Result,
    certificate: CommitCertificate,
    validators: ValidatorSet,
) -> None:
    """Raise VerificationError unless `certificate` finalises `header` and `result` under
    `validators`.

    `engine` comes from the genesis, never from the certificate: a chain accepts one engine's
    certificates only. That `validators` is the right set for this height is the caller's knowledge;
    here its hash is compared with the header's.
    """
    if certificate.engine != engine:
        raise VerificationError("certificate_engine", f"{certificate.engine} on a {engine} chain")
    if header.validators_hash != validators.hash():
        raise VerificationError("certificate_validators", "the header names another validator set")
    if (certificate.height, certificate.block_hash) != (header.height, header.hash()):
        raise VerificationError("certificate_block", "the certificate is for another block")
    if certificate.result_hash != result.hash():
        raise VerificationError("certificate_result", "the certificate is for another result")
    members = validators.validators
    indexes = unpack_signers(certificate.signers, len(members))
    if len(indexes) != len(certificate.signatures):
        raise VerificationError("certificate_signatures", "not one signature for each signer")
    if len(indexes) < quorum(engine, len(members)):
        raise VerificationError(
            "certificate_quorum", f"{len(indexes)} of {len(members)} validators signed"
        )
    tag = VoteTag.COMMIT if engine == "pbft" else VoteTag.ACK
    message = vote_bytes(
        tag,
        header.chain_id,
        header.height,
        certificate.round,
        (certificate.block_hash, certificate.result_hash),
    )
    for index, signature in zip(indexes, certificate.signatures, strict=True):
        if not verify(members[index].key, message, signature):
            raise VerificationError("certificate_signature", f"validator {index} did not sign this")

"""Evidence: two statements that one validator signed, and that no correct validator signs both.

It proves itself. What it proves follows from the two signatures, the chain id and the chain's
engine, and from nothing else: no clock, and no word of whoever passes it on.
The rules are those of docs/spec/pbft.md, section 7, and docs/spec/raft.md, section 8.

Somebody who signs can sign the same words in many ways, so one misdeed has many forms. What is one
accusation is therefore told by (validator, kind, height), never by the bytes (`Accusation`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from medquorum.certificate import VoteTag, vote_bytes
from medquorum.codec import U32, Height, Wire, decode, encode
from medquorum.errors import VerificationError
from medquorum.hashing import HASH_BYTES, Kind, tagged_hash
from medquorum.keys import PUBLIC_KEY_BYTES, PublicKey, Signature, verify
from medquorum.quorum import EngineName

EVIDENCE_BYTES_MAX: Final = 1024
"""Two statements of at most 340 bytes each, a key and a height, with room to spare."""

ROUND_MAX: Final = 2**32 - 1


class EvidenceKind(StrEnum):
    """What a pair of statements proves."""

    EQUIVOCATION = "equivocation"
    """Two payloads in one height, round (or term) and phase."""

    AMNESIA = "amnesia"
    """A COMMIT, and a wish for a later round that does not own up to having prepared."""

    TWO_RESULTS = "two_results"
    """Two results of one block: a liar, or an executor that is not deterministic."""


Payload = Annotated[
    tuple[
        Annotated[int, Meta(ge=0, le=ROUND_MAX)]
        | Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=PUBLIC_KEY_BYTES)],
        ...,
    ],
    Meta(max_length=2),
]


class Statement(Wire, frozen=True):
    """What a validator said at a height: `tag` is a VoteTag's letter, `payload` what it signed
    beside the place (docs/spec/pbft.md, section 3).
    """

    tag: Annotated[str, Meta(min_length=1, max_length=1)]
    round: U32
    payload: Payload
    signature: Signature


class Evidence(Wire, frozen=True):
    """Two statements of one validator at one height, in bytewise order of their encodings."""

    validator: PublicKey
    height: Height
    first: Statement
    second: Statement

    def id(self) -> bytes:
        """The name of these very bytes."""
        return tagged_hash(Kind.EVIDENCE, encode(self))


@dataclass(frozen=True, slots=True, order=True)
class Accusation:
    """What somebody is accused of: all evidence of one accusation says the same."""

    validator: bytes
    kind: EvidenceKind
    height: int


def make_evidence(validator: bytes, height: int, one: Statement, other: Statement) -> Evidence:
    """Evidence in its one form. Says nothing about whether it proves anything."""
    first, second = sorted((one, other), key=encode)
    return Evidence(validator, height, first, second)


def decode_evidence(data: bytes) -> Evidence:
    """The evidence in `data`. Raises a DecodeError."""
    return decode(Evidence, data, size_max=EVIDENCE_BYTES_MAX)


def verify_evidence(evidence: Evidence, chain_id: bytes, engine: EngineName) -> Accusation:
    """What the evidence proves of the holder of the key. Pure.

    That the key was a validator's at that height is the caller's to know. Raises VerificationError
    if nothing is proven: `evidence_form`, `evidence_order`, `evidence_no_contradiction` or
    `evidence_signature`.
    """
    pair = (evidence.first, evidence.second)
    if evidence.height == 0:
        raise VerificationError("evidence_form", "nobody votes on height 0")
    for statement in pair:
        if not is_well_formed(statement, engine):
            raise VerificationError(
                "evidence_form", f"no {engine} validator says {statement.tag!r} in this form"
            )
    if encode(evidence.first) >= encode(evidence.second):
        raise VerificationError("evidence_order", "the statements are not in bytewise order")
    kind = contradiction(*pair)
    if kind is None:
        raise VerificationError("evidence_no_contradiction", "a correct validator may say both")
    for statement in pair:
        said = signed_bytes(statement, chain_id, evidence.height)
        if not verify(evidence.validator, said, statement.signature):
            raise VerificationError("evidence_signature", "the validator did not sign this")
    return Accusation(evidence.validator, kind, evidence.height)


def signed_bytes(statement: Statement, chain_id: bytes, height: int) -> bytes:
    """What the statement's signature signs."""
    return vote_bytes(VoteTag(statement.tag), chain_id, height, statement.round, statement.payload)


def contradiction(one: Statement, other: Statement) -> EvidenceKind | None:
    """What two well-formed statements of one signer and height prove; None if both may be said."""
    if one.tag == other.tag and one.round == other.round:
        return None if one.payload == other.payload else EvidenceKind.EQUIVOCATION
    if one.tag == other.tag:
        return EvidenceKind.TWO_RESULTS if _two_results(one, other) else None
    for commit, wish in ((one, other), (other, one)):
        if (commit.tag, wish.tag) == (VoteTag.COMMIT.value, VoteTag.ROUND_CHANGE.value):
            return EvidenceKind.AMNESIA if _denies(wish, commit) else None
    return None


def _two_results(one: Statement, other: Statement) -> bool:
    if one.tag not in (VoteTag.COMMIT.value, VoteTag.ACK.value):
        return False
    return one.payload[0] == other.payload[0] and one.payload[1] != other.payload[1]


def _denies(wish: Statement, commit: Statement) -> bool:
    """Whether a wish for a later round hides that its signer had prepared in the COMMIT's."""
    if wish.round <= commit.round:
        return False
    claimed = next((part for part in wish.payload if isinstance(part, int)), None)
    return claimed is None or claimed < commit.round


def is_well_formed(statement: Statement, engine: EngineName) -> bool:
    """Whether validators of such a chain say things of this form at all."""
    hashes = tuple(len(part) if isinstance(part, bytes) else None for part in statement.payload)
    match engine, statement.tag:
        case ("pbft", "X" | "P") | ("raft", "X"):
            return hashes == (HASH_BYTES,)
        case ("pbft", "C") | ("raft", "A"):
            return hashes == (HASH_BYTES, HASH_BYTES)
        case ("raft", "R"):
            return hashes == (PUBLIC_KEY_BYTES,)
        case ("pbft", "R"):
            claim = statement.payload
            if len(claim) == 0:
                return True
            return hashes == (None, HASH_BYTES) and _below(claim[0], statement.round)
        case _:
            return False


def _below(claimed: int | bytes, round_: int) -> bool:
    return isinstance(claimed, int) and claimed < round_

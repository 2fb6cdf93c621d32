"""Evidence against validators whose keys a test holds."""

from __future__ import annotations

from typing import Final

from medquorum.certificate import VoteTag, vote_bytes
from medquorum.evidence import Evidence, EvidenceKind, Statement, make_evidence
from medquorum.keys import SigningKey

A: Final = b"\xaa" * 32
B: Final = b"\xbb" * 32
C: Final = b"\xcc" * 32


def statement(
    key: SigningKey, chain_id: bytes, height: int, tag: VoteTag, round_: int, *payload: bytes | int
) -> Statement:
    """What the holder of `key` says."""
    message = vote_bytes(tag, chain_id, height, round_, payload)
    return Statement(tag.value, round_, payload, key.sign(message))


def evidence_against(
    key: SigningKey,
    chain_id: bytes,
    height: int,
    *,
    kind: EvidenceKind = EvidenceKind.EQUIVOCATION,
    other: bytes = B,
    round_: int = 0,
) -> Evidence:
    """Evidence of this kind. Another `other` or `round_` makes another piece for one accusation."""

    def say(tag: VoteTag, at: int, *payload: bytes | int) -> Statement:
        return statement(key, chain_id, height, tag, at, *payload)

    match kind:
        case EvidenceKind.EQUIVOCATION:
            pair = (say(VoteTag.PREPARE, round_, A), say(VoteTag.PREPARE, round_, other))
        case EvidenceKind.AMNESIA:
            pair = (say(VoteTag.COMMIT, round_, A, other), say(VoteTag.ROUND_CHANGE, round_ + 1))
        case EvidenceKind.TWO_RESULTS:
            pair = (say(VoteTag.COMMIT, round_, A, C), say(VoteTag.COMMIT, round_ + 1, A, other))
    return make_evidence(key.public, height, *pair)

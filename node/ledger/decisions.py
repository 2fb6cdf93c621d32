"""What the consortium decided: proposals, the votes on them, and whether a proposal has passed.

The governance module writes these rows. Whoever carries a decision out asks `require_passed`: the
governance module for its own kinds, the identity module for organisations. Votes are weighed when
it is carried out, by the validators of then.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta

from medquorum.codec import Bytes16, Bytes32, Height, Name, TimeMs, Wire, encode
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.errors import TxError, refuse_unless
from node.ledger.membership import NAMESPACE, validator_set
from node.ledger.tables import Table

CONTENT_BYTES_MAX: Final = 4096
APPROVE: Final = "approve"
REJECT: Final = "reject"
OPEN: Final = "open"
EXECUTED: Final = "executed"
EXPIRED: Final = "expired"

_PROPOSAL_TAG: Final = b"medquorum/proposal/v1\0"


class Draft(Wire, frozen=True):
    """What is proposed.

    `content` is the canonical encoding of the kind's structure (proposals.py).
    """

    kind: Name
    content: Annotated[bytes, Meta(max_length=CONTENT_BYTES_MAX)]
    nonce: Bytes16


class Proposal(Wire, frozen=True):
    """A proposal and what became of it.

    Those that the identity module carries out are filed there.
    """

    draft: Draft
    proposer: Bytes32
    proposed: Height
    expires_ms: TimeMs
    status: Name
    closed: Height


class Vote(Wire, frozen=True):
    """What an organisation said, once and for all."""

    decision: Name
    height: Height


PROPOSALS = Table(
    b"q",
    "proposals",
    key=("proposal",),
    value=Proposal,
    meaning="what was proposed, and its status",
)
VOTES = Table(
    b"w", "votes", key=("proposal", "org"), value=Vote, meaning="one vote an organisation"
)


def proposal_id(draft: Draft) -> bytes:
    """The id of a proposal: who knows the id knows the content."""
    return sha256(_PROPOSAL_TAG + encode(draft)).digest()


def tally(view: View, proposal: bytes) -> tuple[int, int, int]:
    """(validators for, validators against, all): an organisation counts once a validator."""
    weights: dict[bytes, int] = {}
    validators = validator_set(view).validators
    for validator in validators:
        weights[validator.org] = weights.get(validator.org, 0) + 1
    approved = rejected = 0
    for org, weight in weights.items():
        vote = VOTES.get(view.read(NAMESPACE), proposal, org)
        if vote is not None and vote.decision == APPROVE:
            approved += weight
        elif vote is not None:
            rejected += weight
    return approved, rejected, len(validators)


def has_passed(view: View, proposal: bytes) -> bool:
    """Whether more than two thirds of the validators are for it."""
    approved, _, total = tally(view, proposal)
    return 3 * approved > 2 * total


def require_open(view: View, proposal: bytes) -> Proposal:
    """The proposal, if it may still be voted on or carried out. E_NOTFOUND, E_STATE, E_EXPIRED."""
    row = PROPOSALS.get(view.read(NAMESPACE), proposal)
    if row is None:
        raise TxError(Code.NOT_FOUND, "no such proposal")
    refuse_unless(row.status != EXECUTED, Code.STATE, "the proposal was carried out before")
    in_time = row.status == OPEN and view.time_ms < row.expires_ms
    refuse_unless(in_time, Code.EXPIRED, "the proposal has expired")
    return row


def require_passed(view: View, proposal: bytes) -> Draft:
    """What was decided, if it was. E_QUORUM, and what `require_open` raises."""
    row = require_open(view, proposal)
    refuse_unless(has_passed(view, proposal), Code.QUORUM, "two thirds have not approved")
    return row.draft

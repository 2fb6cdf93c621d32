"""Validators that the consortium suspended for evidence of misbehaviour, and what that takes.

The ledger judges evidence by itself: by the signatures in it, the chain id and the validators of
today. Who voted at its height is proven elsewhere (medquorum.evidence_file) and does not matter
here: whoever votes today with a key that contradicted itself on this chain is the one to suspend.
"""

from __future__ import annotations

from typing import Final, get_args

from medquorum.codec import Bytes32, Hash, Height, Name, Wire
from medquorum.errors import VerificationError
from medquorum.evidence import Accusation, Evidence, verify_evidence
from medquorum.quorum import EngineName
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.decisions import OPEN, PROPOSALS
from node.ledger.errors import TxError, refuse_unless
from node.ledger.keyrules import chain_id
from node.ledger.limits import EVIDENCE_HEIGHTS_MAX
from node.ledger.membership import NAMESPACE
from node.ledger.tables import Table

_ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)


class Suspension(Wire, frozen=True):
    """A validator that was suspended. `lifted` is the height at which `successor` took its place
    again, 0 and empty before that.
    """

    org: Bytes32
    kind: Name
    evidence: Hash
    height: Height
    lifted: Height
    successor: bytes


class Charge(Wire, frozen=True):
    """The last proposal to suspend a validator."""

    proposal: Bytes32


SUSPENSIONS = Table(
    b"s",
    "suspensions",
    key=("key",),
    value=Suspension,
    meaning="vote keys that were suspended for evidence; they never vote again",
)
CHARGES = Table(
    b"c",
    "charges",
    key=("key",),
    value=Charge,
    meaning="the last proposal to suspend the validator",
)


def proven(view: View, evidence: Evidence) -> Accusation:
    """What the evidence proves, if it is recent enough. E_STATE of a height to come, E_EXPIRED of
    one too long ago, E_SIG if the validator did not sign it, E_SCHEMA if it proves nothing.
    """
    refuse_unless(evidence.height <= view.height, Code.STATE, "nobody has voted there yet")
    recent = evidence.height + EVIDENCE_HEIGHTS_MAX >= view.height
    refuse_unless(recent, Code.EXPIRED, f"evidence counts for {EVIDENCE_HEIGHTS_MAX} heights")
    refusals: list[VerificationError] = []
    # A chain has one engine for ever, and no key of it signs in the forms of the other one.
    for engine in _ENGINES:
        try:
            return verify_evidence(evidence, chain_id(view), engine)
        except VerificationError as error:
            refusals.append(error)
    unsigned = any(error.reason == "evidence_signature" for error in refusals)
    raise TxError(Code.SIG if unsigned else Code.SCHEMA, refusals[0].detail)


def require_uncharged(view: View, key: bytes) -> None:
    """E_DUP if a proposal to suspend this validator is open."""
    charge = CHARGES.get(view.read(NAMESPACE), key)
    row = None if charge is None else PROPOSALS.get(view.read(NAMESPACE), charge.proposal)
    is_open = row is not None and row.status == OPEN and view.time_ms < row.expires_ms
    refuse_unless(not is_open, Code.DUPLICATE, "it is proposed to suspend this validator")


def suspended(view: View, key: bytes) -> Suspension:
    """The suspension of a vote key that nobody lifted. E_NOTFOUND, E_STATE."""
    row = SUSPENSIONS.get(view.read(NAMESPACE), key)
    if row is None:
        raise TxError(Code.NOT_FOUND, "no such validator was suspended")
    refuse_unless(row.lifted == 0, Code.STATE, "the suspension was lifted before")
    return row

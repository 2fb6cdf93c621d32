"""Proposals and votes: one vote an organisation, weighed by the validators that it operates."""

from __future__ import annotations

from typing import Final

import msgspec

from medquorum.invariants import require
from node.ledger.access import signer_with_role
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.decisions import (
    APPROVE,
    EXECUTED,
    EXPIRED,
    OPEN,
    PROPOSALS,
    REJECT,
    VOTES,
    Proposal,
    Vote,
    proposal_id,
    require_open,
    tally,
)
from node.ledger.errors import refuse_unless
from node.ledger.identities import CARRIED_OUT
from node.ledger.identities import NAMESPACE as IDENTITY
from node.ledger.limits import PROPOSALS_OPEN_MAX
from node.ledger.membership import validators_of
from node.ledger.params import param
from node.ledger.proposal_checks import check_content
from node.ledger.proposals import VALIDATOR_CHANGES, ValidatorSuspend, content_of
from node.ledger.roles import Role
from node.ledger.suspensions import CHARGES, Charge, require_uncharged
from node.ledger.types.governance.bodies import CastVote, Override, Propose
from node.ledger.types.governance.parameters import PROPOSAL_MS
from node.ledger.types.governance.rows import (
    OPEN_PROPOSALS,
    OVERRIDES,
    OpenProposals,
    Overridden,
)

EXPIRE: Final = "expire"


def propose(body: Propose, ctx: Context) -> None:
    """gov.propose"""
    require_voter(ctx, body.org)
    identifier = proposal_id(body.draft)
    refuse_unless(not PROPOSALS.has(ctx.state, identifier), Code.DUPLICATE, "proposed before")
    content = content_of(body.draft)
    check_content(ctx, content)
    if isinstance(content, ValidatorSuspend):
        require_uncharged(ctx, content.evidence.validator)
    count = _open_count(ctx, body.org)
    refuse_unless(count < PROPOSALS_OPEN_MAX, Code.LIMIT, "too many open proposals")
    expires_ms = ctx.time_ms + param(ctx, PROPOSAL_MS)
    row = Proposal(body.draft, body.org, ctx.height, expires_ms, OPEN, 0)
    PROPOSALS.put(ctx.state, row, identifier)
    if isinstance(content, ValidatorSuspend):
        CHARGES.put(ctx.state, Charge(identifier), content.evidence.validator)
    OPEN_PROPOSALS.put(ctx.state, OpenProposals(count + 1), body.org)
    ctx.schedule(expires_ms, EXPIRE, identifier)
    ctx.emit("gov.proposed", proposal=identifier, kind=body.draft.kind, org=body.org)


def vote(body: CastVote, ctx: Context) -> None:
    """gov.vote"""
    require_voter(ctx, body.org)
    known = body.decision in (APPROVE, REJECT)
    refuse_unless(known, Code.SCHEMA, "a vote is approve or reject")
    require_open(ctx, body.proposal)
    voted = VOTES.has(ctx.state, body.proposal, body.org)
    refuse_unless(not voted, Code.DUPLICATE, "the organisation has voted")
    VOTES.put(ctx.state, Vote(body.decision, ctx.height), body.proposal, body.org)
    approved, rejected, total = tally(ctx, body.proposal)
    ctx.emit(
        "gov.voted",
        proposal=body.proposal, org=body.org, decision=body.decision,
        approved=approved, rejected=rejected, validators=total,
    )  # fmt: skip


def override(body: Override, ctx: Context) -> None:
    """gov.override"""
    require_voter(ctx, body.org)
    row = require_open(ctx, body.proposal)
    refuse_unless(
        row.draft.kind in VALIDATOR_CHANGES, Code.STATE, "the proposal changes no validators"
    )
    # Asked for with each step, so an organisation may answer for one proposal more than once.
    OVERRIDES.put(ctx.state, Overridden(body.reason, ctx.height), body.proposal, body.org)
    ctx.emit("gov.overridden", proposal=body.proposal, org=body.org, reason=body.reason)


def expire(reference: bytes, ctx: Context) -> None:
    """Due work: the time of a proposal is over. One that was carried out is closed as such."""
    row = PROPOSALS.get(ctx.state, reference)
    if row is None or row.status != OPEN:
        return
    if CARRIED_OUT.has(ctx.read(IDENTITY), reference):
        close(ctx, reference, row, EXECUTED)
        return
    close(ctx, reference, row, EXPIRED)
    ctx.emit("gov.proposal_expired", proposal=reference, kind=row.draft.kind)


def close(ctx: Context, proposal: bytes, row: Proposal, status: str) -> None:
    """File what became of a proposal, and make room for another one."""
    count = _open_count(ctx, row.proposer)
    require(count > 0, "an open proposal was not counted")
    OPEN_PROPOSALS.put(ctx.state, OpenProposals(count - 1), row.proposer)
    closed = msgspec.structs.replace(row, status=status, closed=ctx.height)
    PROPOSALS.put(ctx.state, closed, proposal)


def require_voter(ctx: Context, org: bytes) -> None:
    """An administrator of `org` signed, and `org` operates a validator. E_ROLE, E_EXPIRED."""
    signer_with_role(ctx, Role.ORG_ADMIN, org)
    refuse_unless(
        len(validators_of(ctx, org)) > 0, Code.ROLE, "the organisation operates no validator"
    )


def _open_count(ctx: Context, org: bytes) -> int:
    row = OPEN_PROPOSALS.get(ctx.state, org)
    return 0 if row is None else row.count

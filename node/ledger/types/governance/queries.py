"""What can be asked about members, parameters, proposals and what is active."""

from __future__ import annotations

from typing import Final

import msgspec

from node.ledger.context import View
from node.ledger.decisions import OPEN, PROPOSALS, VOTES, Proposal, has_passed, tally
from node.ledger.identities import CARRIED_OUT
from node.ledger.identities import NAMESPACE as IDENTITY
from node.ledger.limits import PAGE_DEFAULT
from node.ledger.membership import NAMESPACE, OBSERVERS, PAUSES, activations, validator_set
from node.ledger.paging import PageLimit, take
from node.ledger.params import PARAMS
from node.ledger.suspensions import SUSPENSIONS
from node.ledger.txtype import Query
from node.ledger.types.governance.rows import OVERRIDES


class NoParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of queries that need none."""


class ValidatorAnswer(msgspec.Struct, kw_only=True):
    """A validator, at its place in the order."""

    key: bytes
    node_key: bytes
    org: bytes


class ValidatorsAnswer(msgspec.Struct, kw_only=True):
    """The set that votes on the next height."""

    items: tuple[ValidatorAnswer, ...]
    validators_hash: bytes


class ObserverAnswer(msgspec.Struct, kw_only=True):
    """A daemon that follows without a vote."""

    node_key: bytes
    org: bytes


class ObserversAnswer(msgspec.Struct, kw_only=True):
    """All observers: their number is bounded."""

    items: tuple[ObserverAnswer, ...]


class ParamAnswer(msgspec.Struct, kw_only=True):
    """A parameter. `next_value` differs from `value` if a change was decided in this very block."""

    name: str
    value: int
    next_value: int
    minimum: int
    maximum: int


class ParamsAnswer(msgspec.Struct, kw_only=True):
    """All parameters."""

    items: tuple[ParamAnswer, ...]


class ProposalParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of gov.proposal."""

    proposal: bytes


class ProposalsParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of gov.proposals: all, paged, in the order of their ids."""

    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class VoteAnswer(msgspec.Struct, kw_only=True):
    """What one organisation said."""

    org: bytes
    decision: str
    height: int


class OverrideAnswer(msgspec.Struct, kw_only=True):
    """An organisation answered for this change although a quorum might be missing after it."""

    org: bytes
    reason: str
    height: int


class ProposalAnswer(msgspec.Struct, kw_only=True):
    """A proposal.

    `status` is open, passed, executed or expired; weights count today's validators.
    """

    proposal: bytes
    kind: str
    content: bytes
    nonce: bytes
    proposer: bytes
    proposed: int
    expires_ms: int
    status: str
    approved: int
    rejected: int
    validators: int
    votes: tuple[VoteAnswer, ...]
    overrides: tuple[OverrideAnswer, ...]


class ProposalsAnswer(msgspec.Struct, kw_only=True):
    """A page of proposals."""

    items: tuple[ProposalAnswer, ...]
    next_cursor: bytes


class ActivationAnswer(msgspec.Struct, kw_only=True):
    """A decision to run code. Version 0 is a whole module. `status` is pending or active."""

    name: str
    version: int
    height: int
    code_hash: bytes
    status: str


class ActivationsAnswer(msgspec.Struct, kw_only=True):
    """All decisions to run code."""

    items: tuple[ActivationAnswer, ...]


class PauseAnswer(msgspec.Struct, kw_only=True):
    """The last pause of a module. `status` is paused or over."""

    module: str
    from_height: int
    until_ms: int
    status: str


class PausesAnswer(msgspec.Struct, kw_only=True):
    """All modules that were ever paused."""

    items: tuple[PauseAnswer, ...]


class SuspensionsParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of gov.suspensions: all, paged, in the order of their keys."""

    limit: PageLimit = PAGE_DEFAULT
    cursor: bytes = b""


class SuspensionAnswer(msgspec.Struct, kw_only=True):
    """A validator that was suspended. `status` is suspended or lifted."""

    validator: bytes
    org: bytes
    kind: str
    evidence: bytes
    height: int
    status: str
    lifted: int
    successor: bytes


class SuspensionsAnswer(msgspec.Struct, kw_only=True):
    """A page of suspensions."""

    items: tuple[SuspensionAnswer, ...]
    next_cursor: bytes


def _suspensions(params: SuspensionsParams, view: View) -> SuspensionsAnswer:
    rows, cursor = take(SUSPENSIONS.rows(view.read(NAMESPACE), after=params.cursor), params.limit)
    items = tuple(
        SuspensionAnswer(
            validator=key,
            org=row.org,
            kind=row.kind,
            evidence=row.evidence,
            height=row.height,
            status="suspended" if row.lifted == 0 else "lifted",
            lifted=row.lifted,
            successor=row.successor,
        )
        for key, row in rows
    )
    return SuspensionsAnswer(items=items, next_cursor=cursor)


def _validators(_params: NoParams, view: View) -> ValidatorsAnswer:
    found = validator_set(view)
    items = tuple(
        ValidatorAnswer(key=v.key, node_key=v.node_key, org=v.org) for v in found.validators
    )
    return ValidatorsAnswer(items=items, validators_hash=found.hash())


def _observers(_params: NoParams, view: View) -> ObserversAnswer:
    rows = OBSERVERS.rows(view.read(NAMESPACE))
    return ObserversAnswer(
        items=tuple(ObserverAnswer(node_key=row.node_key, org=row.org) for _, row in rows)
    )


def _params(_params: NoParams, view: View) -> ParamsAnswer:
    return ParamsAnswer(
        items=tuple(
            ParamAnswer(
                name=key.rstrip(b"\0").decode(),
                value=row.value if view.height >= row.from_height else row.before,
                next_value=row.value,
                minimum=row.minimum,
                maximum=row.maximum,
            )
            for key, row in PARAMS.rows(view.read(NAMESPACE))
        )
    )


def _proposal(params: ProposalParams, view: View) -> ProposalAnswer | None:
    row = PROPOSALS.get(view.read(NAMESPACE), params.proposal)
    return None if row is None else _shown(params.proposal, row, view)


def _proposals(params: ProposalsParams, view: View) -> ProposalsAnswer:
    rows, cursor = take(PROPOSALS.rows(view.read(NAMESPACE), after=params.cursor), params.limit)
    items = tuple(_shown(proposal, row, view) for proposal, row in rows)
    return ProposalsAnswer(items=items, next_cursor=cursor)


def _shown(proposal: bytes, row: Proposal, view: View) -> ProposalAnswer:
    approved, rejected, validators = tally(view, proposal)
    return ProposalAnswer(
        proposal=proposal,
        kind=row.draft.kind,
        content=row.draft.content,
        nonce=row.draft.nonce,
        proposer=row.proposer,
        proposed=row.proposed,
        expires_ms=row.expires_ms,
        status=_status(proposal, row, view),
        approved=approved,
        rejected=rejected,
        validators=validators,
        votes=tuple(
            VoteAnswer(org=org, decision=vote.decision, height=vote.height)
            for org, vote in VOTES.rows(view.read(NAMESPACE), proposal)
        ),
        overrides=tuple(
            OverrideAnswer(org=org, reason=row.reason, height=row.height)
            for org, row in OVERRIDES.rows(view.read(NAMESPACE), proposal)
        ),
    )


def _status(proposal: bytes, row: Proposal, view: View) -> str:
    if row.status != OPEN:
        return row.status
    if CARRIED_OUT.has(view.read(IDENTITY), proposal):
        return "executed"
    return "passed" if has_passed(view, proposal) else OPEN


def _activations(_params: NoParams, view: View) -> ActivationsAnswer:
    return ActivationsAnswer(
        items=tuple(
            ActivationAnswer(
                name=decided.name,
                version=decided.version,
                height=decided.height,
                code_hash=decided.code_hash,
                status="active" if view.height >= decided.height else "pending",
            )
            for decided in activations(view)
        )
    )


def _pauses(_params: NoParams, view: View) -> PausesAnswer:
    return PausesAnswer(
        items=tuple(
            PauseAnswer(
                module=key.rstrip(b"\0").decode(),
                from_height=row.from_height,
                until_ms=row.until_ms,
                status="paused" if row.holds(view.height, view.time_ms) else "over",
            )
            for key, row in PAUSES.rows(view.read(NAMESPACE))
        )
    )


QUERIES: Final = (
    Query("gov.validators", NoParams, _validators, "The validators of the next height."),
    Query("gov.observers", NoParams, _observers, "The daemons that follow without a vote."),
    Query("gov.params", NoParams, _params, "The parameters and their bounds."),
    Query("gov.proposal", ProposalParams, _proposal, "A proposal and its votes."),
    Query("gov.proposals", ProposalsParams, _proposals, "All proposals."),
    Query("gov.activations", NoParams, _activations, "Which code runs from which height."),
    Query("gov.pauses", NoParams, _pauses, "Modules on hold."),
    Query("gov.suspensions", SuspensionsParams, _suspensions, "Validators suspended for evidence."),
)

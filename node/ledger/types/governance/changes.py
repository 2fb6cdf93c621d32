"""Who votes after a change, and what changes a transaction brings closer.

For the nodes, which look ahead (node/preflight.py), and for carrying a change out: both must mean
the same set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from medquorum.block import Validator, ValidatorSet
from medquorum.codec import decode
from medquorum.transaction import Operation
from node.ledger.context import View
from node.ledger.decisions import APPROVE, PROPOSALS, Draft, proposal_id
from node.ledger.errors import TxError
from node.ledger.membership import NAMESPACE
from node.ledger.proposals import (
    ValidatorAdd,
    ValidatorChange,
    ValidatorReinstate,
    ValidatorRemove,
    ValidatorReplace,
    ValidatorSuspend,
    content_of,
)
from node.ledger.types.governance.bodies import CastVote, Execute, Override, Propose

_VERSION: Final = 1
_BODIES: Final[dict[str, type[Propose | CastVote | Execute | Override]]] = {
    "gov.propose": Propose,
    "gov.vote": CastVote,
    "gov.execute": Execute,
    "gov.override": Override,
}


def validators_after(before: ValidatorSet, change: ValidatorChange) -> ValidatorSet:
    """The set after `change`. One whose validator is not in the set changes nothing."""
    old = before.validators
    match change:
        case ValidatorAdd():
            return ValidatorSet((*old, Validator(change.key, change.node_key, change.org)))
        case ValidatorRemove():
            return ValidatorSet(tuple(v for v in old if v.key != change.key))
        case ValidatorSuspend():
            return ValidatorSet(tuple(v for v in old if v.key != change.evidence.validator))
        case ValidatorReinstate():
            if any(v.key == change.new_key for v in old):
                return before
            returned = Validator(change.new_key, change.new_node_key, change.org)
            return ValidatorSet((*old, returned))
        case ValidatorReplace():
            return ValidatorSet(
                tuple(
                    Validator(change.new_key, change.new_node_key, v.org)
                    if v.key == change.key
                    else v
                    for v in old
                )
            )
        case _:
            assert_never(change)


def newcomers(before: ValidatorSet, after: ValidatorSet) -> tuple[Validator, ...]:
    """Those of `after` whose vote key is new, in its order."""
    known = {validator.key for validator in before.validators}
    return tuple(v for v in after.validators if v.key not in known)


def change_proposed(view: View, proposal: bytes) -> ValidatorChange | None:
    """How a proposal on the chain would change the validators; None if it is unknown or about
    something else.
    """
    row = PROPOSALS.get(view.read(NAMESPACE), proposal)
    return None if row is None else _change_of(row.draft)


def changes_ahead(
    view: View, operations: Sequence[Operation]
) -> tuple[tuple[bytes, ValidatorChange], ...]:
    """(proposal, change) for each change of the validators that these operations propose, approve
    or carry out, without answering for it (gov.override) themselves. Each once, in their order.

    The operations' bodies have been checked for their form.
    """
    found: dict[bytes, ValidatorChange] = {}
    answered: set[bytes] = set()
    for body in _bodies(operations):
        match body:
            case Propose():
                proposal, change = proposal_id(body.draft), _change_of(body.draft)
            case CastVote():
                approves = body.decision == APPROVE
                proposal = body.proposal
                change = change_proposed(view, proposal) if approves else None
            case Execute():
                proposal, change = body.proposal, change_proposed(view, body.proposal)
            case Override():
                answered.add(body.proposal)
                continue
        if change is not None:
            found.setdefault(proposal, change)
    return tuple((proposal, found[proposal]) for proposal in found if proposal not in answered)


def _bodies(operations: Sequence[Operation]) -> Iterator[Propose | CastVote | Execute | Override]:
    for operation in operations:
        kind = _BODIES.get(operation.type)
        if kind is not None and operation.version == _VERSION:
            yield decode(kind, operation.body, size_max=len(operation.body))


def _change_of(draft: Draft) -> ValidatorChange | None:
    try:
        content = content_of(draft)
    except TxError:
        # Nobody can carry it out, so it changes nothing.
        return None
    return content if isinstance(content, ValidatorChange) else None

"""The operations of the governance module."""

from __future__ import annotations

from medquorum.codec import Bytes32, Name, TimeMs, Wire
from node.ledger.decisions import Draft


class Propose(Wire, frozen=True):
    """Put a draft to the vote, as `org`, which operates a validator."""

    org: Bytes32
    draft: Draft


class CastVote(Wire, frozen=True):
    """Say approve or reject, as `org`, which operates a validator. Final."""

    org: Bytes32
    proposal: Bytes32
    decision: Name


class Execute(Wire, frozen=True):
    """Carry out a proposal that has passed.

    Proposals about organisations are carried out by id.org types.
    """

    proposal: Bytes32


class Override(Wire, frozen=True):
    """Answer for a change of the validators although a quorum may not be there after it, as `org`,
    which operates a validator. `reason` is a token, e.g. `site.lost`: it stays on the record.
    """

    org: Bytes32
    proposal: Bytes32
    reason: Name


class EmergencyPause(Wire, frozen=True):
    """Pause a module for a short time, as two organisations that operate validators."""

    first_org: Bytes32
    second_org: Bytes32
    module: Name
    until_ms: TimeMs

"""The tables that only the governance module needs.

The others are in membership, params and decisions.
"""

from __future__ import annotations

from typing import Final

from medquorum.codec import U32, Height, Name, Wire
from node.ledger.decisions import PROPOSALS, VOTES
from node.ledger.membership import ACTIVATIONS, DAEMON_KEYS, OBSERVERS, PAUSES, VALIDATORS
from node.ledger.params import PARAMS
from node.ledger.recoveries import RECOVERIES
from node.ledger.suspensions import CHARGES, SUSPENSIONS
from node.ledger.tables import Table


class OpenProposals(Wire, frozen=True):
    """How many proposals of an organisation have not expired and were not executed."""

    count: U32


class Overridden(Wire, frozen=True):
    """Who operates a validator answers for a change of the set; the last time, if there are more.

    Each of them is an event.
    """

    reason: Name
    height: Height


OPEN_PROPOSALS = Table(
    b"n",
    "open_proposals",
    key=("org",),
    value=OpenProposals,
    meaning="how many proposals of the organisation are open",
)
OVERRIDES = Table(
    b"x",
    "overrides",
    key=("proposal", "org"),
    value=Overridden,
    meaning="the organisation answers for a change after which a quorum may be missing",
)

TABLES: Final = (
    VALIDATORS,
    OBSERVERS,
    DAEMON_KEYS,
    ACTIVATIONS,
    PAUSES,
    PARAMS,
    PROPOSALS,
    VOTES,
    OPEN_PROPOSALS,
    OVERRIDES,
    SUSPENSIONS,
    CHARGES,
    RECOVERIES,
)

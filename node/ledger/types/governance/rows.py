"""The tables that only the governance module needs.

The others are in membership, params and decisions.
"""

from __future__ import annotations

from typing import Final

from medquorum.codec import U32, Wire
from node.ledger.decisions import PROPOSALS, VOTES
from node.ledger.membership import ACTIVATIONS, DAEMON_KEYS, OBSERVERS, PAUSES, VALIDATORS
from node.ledger.params import PARAMS
from node.ledger.tables import Table


class OpenProposals(Wire, frozen=True):
    """How many proposals of an organisation have not expired and were not executed."""

    count: U32


OPEN_PROPOSALS = Table(
    b"n",
    "open_proposals",
    key=("org",),
    value=OpenProposals,
    meaning="how many proposals of the organisation are open",
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
)

"""What the chain demands of every node: how long blocks are kept whole, so that what they hold can
be audited. Two parameters, changed by governance; both have to be met.

Days are counted by the time of the blocks, so all nodes agree on what is old enough, whatever their
clocks say and however long they were off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.ledger.context import View
from node.ledger.membership import NAMESPACE
from node.ledger.params import PARAMS, RETENTION_DAYS, RETENTION_HEIGHTS

DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Retention:
    """What is demanded. 0: nothing."""

    heights: int
    days: int


def demanded_retention(view: View) -> Retention:
    """What the chain demands at the view's height."""
    return Retention(_value(view, RETENTION_HEIGHTS), _value(view, RETENTION_DAYS))


def _value(view: View, name: str) -> int:
    """0 in a database whose genesis was applied by software that did not know the parameter."""
    row = PARAMS.get(view.read(NAMESPACE), name)
    if row is None:
        return 0
    return row.value if view.height >= row.from_height else row.before

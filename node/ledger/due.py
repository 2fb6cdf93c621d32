"""Deadlines: what modules asked to have done at a time, in the order in which it falls due.

Part of the state, so that a node that joins today keeps the promises of a year ago. Key: due time,
module, kind, reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from medquorum.codec import Height, Wire
from node.ledger.tables import ReadableState, Table, WritableState

NAMESPACE: Final = "due"
_INT_BYTES: Final = 8


class Scheduled(Wire, frozen=True):
    """Asked for at this height."""

    height: Height


DUE = Table(
    b"d",
    "due",
    key=("due_ms", "module", "kind", "reference"),
    value=Scheduled,
    meaning="work to be done at the end of the first block whose time reaches due_ms",
)


@dataclass(frozen=True, slots=True)
class DueItem:
    """One piece of work."""

    due_ms: int
    module: str
    kind: str
    reference: bytes


def schedule(state: WritableState, item: DueItem, height: int) -> None:
    """Add the item. Adding it twice changes nothing."""
    DUE.put(state, Scheduled(height), item.due_ms, item.module, item.kind, item.reference)


def cancel(state: WritableState, item: DueItem) -> None:
    """Remove the item, if it is there."""
    DUE.delete(state, item.due_ms, item.module, item.kind, item.reference)


def is_scheduled(state: ReadableState, item: DueItem) -> bool:
    """Whether the item is still wanted."""
    return DUE.has(state, item.due_ms, item.module, item.kind, item.reference)


def due_until(state: ReadableState, time_ms: int) -> Iterator[DueItem]:
    """Everything with due_ms <= time_ms, the earliest first."""
    for key, _ in state.scan(DUE.key(0), DUE.key(time_ms + 1)):
        yield _item(key[1:])


def next_due_ms(state: ReadableState) -> int | None:
    """When the next work falls due, or None: a quiet chain needs a block then."""
    for remainder, _ in DUE.rows(state):
        return _item(remainder).due_ms
    return None


def _item(remainder: bytes) -> DueItem:
    due_ms, rest = int.from_bytes(remainder[:_INT_BYTES], "big"), remainder[_INT_BYTES:]
    module, kind, reference = rest.split(b"\0", 2)
    return DueItem(due_ms, module.decode(), kind.decode(), reference)

"""Events of the chain in one order, with cursors from which a reader can always go on.

A cursor is `height-tx-n`: the height, the transaction's position in the block, and the event's
position among all events of the block. `height-4294967295-0` stands after everything of a height.
Reading is at least once: whoever keeps the cursor of what they handled misses nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from medquorum.block import Event
from medquorum.codec import INT_MAX
from node.errors import RefusedError
from storage.chain import ChainStore

END_OF_HEIGHT: Final = 2**32 - 1
_PARTS: Final = 3
_DIGITS_MAX: Final = len(str(INT_MAX))


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place between two events."""

    height: int
    tx: int
    n: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what `str` wrote. Raises RefusedError `schema_violation`."""
        parts = text.split("-")
        if len(parts) == _PARTS and all(
            part.isascii() and part.isdigit() and len(part) <= _DIGITS_MAX for part in parts
        ):
            return cls(*(int(part) for part in parts))
        raise RefusedError("schema_violation", "a cursor is height-tx-n")

    @classmethod
    def after_height(cls, height: int) -> Cursor:
        """The place after everything of a height; of height 0, the beginning."""
        return cls(height, END_OF_HEIGHT, 0)

    @override
    def __str__(self) -> str:
        return f"{self.height}-{self.tx}-{self.n}"


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """An event and where it stands. `tx_id` is empty for work that was due at the end of a
    block.
    """

    cursor: Cursor
    tx_id: bytes
    time_ms: int
    event: Event


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, and where to go on. It may be empty and yet move on, over heights without
    events of the wanted types.
    """

    events: tuple[PlacedEvent, ...]
    next: Cursor


def read_page(
    blocks: ChainStore,
    after: Cursor,
    *,
    types: Collection[str],
    limit: int,
    tip: int,
    heights_max: int,
) -> Page:
    """The next events after a cursor, of all types if `types` is empty; `limit` of them, from
    `heights_max` heights at most. For a reader thread.

    A cursor beyond the tip is kept as it is: those heights are still to come. Raises RefusedError
    `cursor_pruned` if events after the cursor are not here: nobody shall miss one unawares.
    """
    found: list[PlacedEvent] = []
    place = after
    first = _first_height(after)
    for height in range(first, min(tip, first + heights_max - 1) + 1):
        for placed in _events_of(blocks, height):
            if placed.cursor <= after or (types and placed.event.type not in types):
                continue
            found.append(placed)
            if len(found) == limit:
                break
        if len(found) == limit:
            place = found[-1].cursor
            break
        place = Cursor.after_height(height)
    # Afterwards: they may go while they are read, and their line is drawn before.
    require_kept(blocks, after)
    return Page(tuple(found), place)


def require_kept(blocks: ChainStore, after: Cursor) -> None:
    """Raise RefusedError `cursor_pruned` if events after the cursor are not here (any more)."""
    oldest = blocks.oldest_block()
    if _first_height(after) < oldest:
        raise RefusedError("cursor_pruned", f"go on after {Cursor.after_height(oldest - 1)}")


def _first_height(after: Cursor) -> int:
    return max(after.height + (after.tx == END_OF_HEIGHT), 1)


def _events_of(blocks: ChainStore, height: int) -> list[PlacedEvent]:
    events = blocks.events(height)
    header = blocks.header(height)
    if not events or header is None:
        return []
    outcomes = blocks.outcomes(height)
    return [
        PlacedEvent(
            Cursor(height, event.tx, n),
            outcomes[event.tx].tx_id if event.tx < len(outcomes) else b"",
            header.time_ms,
            event,
        )
        for n, event in enumerate(events)
    ]

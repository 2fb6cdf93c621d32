"""What a range of keys takes on the disk, and how its room is given back.

A store that frees pages by itself has nothing to compact, and its ranges count as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from storage import layout
from storage.kv import KV, prefix_end

PARTS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "transactions": (layout.TRANSACTIONS,),
    "events": (layout.EVENTS,),
    "headers": (layout.HEADER, layout.RESULT, layout.CERTIFICATE, layout.VALIDATORS),
    "outcomes": (layout.OUTCOMES,),
    "indexes": (layout.HEADER_HASH, layout.TX),
    "values": (layout.STATE,),
    "pages": (layout.PAGE,),
    "history": (layout.HISTORY, layout.STATE_HEAD, layout.STALE, layout.DELETED),
}
"""What a database is made of, in the order in which it grows. The first two are what pruning gives
up; the last one, and what of the pages only it needs, is what versions of the state take.
"""


@runtime_checkable
class Compactable(Protocol):
    """A store whose deleted entries take room until their range is rewritten."""

    def compact(self, start: bytes, stop: bytes) -> None:
        """Rewrite this range without deleted entries."""
        ...

    def range_bytes(self, start: bytes, stop: bytes) -> int:
        """About how much room this range takes."""
        ...


def room_of_parts(kv: KV) -> dict[str, int]:
    """About how much room each of PARTS takes; nothing if the store cannot tell."""
    if not isinstance(kv, Compactable):
        return {}
    return {
        part: sum(kv.range_bytes(prefix, prefix_end(prefix)) for prefix in prefixes)
        for part, prefixes in PARTS.items()
    }


def range_bytes(kv: KV, start: bytes, stop: bytes) -> int:
    """About how much room this range takes."""
    return kv.range_bytes(start, stop) if isinstance(kv, Compactable) and start < stop else 0


def compact(kv: KV, start: bytes, stop: bytes) -> int:
    """Give the room of what was deleted in this range back; about how many bytes that freed.

    May take seconds. Reads and writes go on meanwhile.
    """
    if not isinstance(kv, Compactable) or start >= stop:
        return 0
    before = kv.range_bytes(start, stop)
    kv.compact(start, stop)
    return max(0, before - kv.range_bytes(start, stop))

"""What a range of keys takes on the disk, and how its room is given back.

A store that frees pages by itself has nothing to compact, and its ranges count as nothing.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from storage.kv import KV


@runtime_checkable
class Compactable(Protocol):
    """A store whose deleted entries take room until their range is rewritten."""

    def compact(self, start: bytes, stop: bytes) -> None:
        """Rewrite this range without deleted entries."""
        ...

    def range_bytes(self, start: bytes, stop: bytes) -> int:
        """About how much room this range takes."""
        ...


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

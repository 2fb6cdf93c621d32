"""The step of the database from layout 1 to layout 2 (docs/spec/storage.md, section 8).

Layout 1 was written by two generations of software. The first did not write down which keys a
height removed, so the states before such a height cannot be put together: they can be asked for a
key, but nobody can tell all keys. Layout 2 promises that this is possible for every height that is
kept. The names cannot be found again, for history knows keys by their hashes only; so the heights
below the last removal without names are given up, as pruning gives heights up.
"""

from __future__ import annotations

from typing import Final

import msgspec

from storage import layout
from storage.kv import KV, Batch, Reader, prefix_end
from storage.state import newest_head, read_page
from storage.tree import TreeRoot, walk
from storage.unpacked import unpacked

_KEYS: Final = msgspec.msgpack.Decoder(list[bytes])
_PRESENT: Final = b"\x01"
_PATH_BYTES: Final = 32


def give_up_unnamed(kv: KV) -> None:
    """Make `kv` keep the promise of layout 2. Harmless to repeat: interrupted anywhere, the next
    call goes on. Reads all history and a page or two for each key that it knows.

    Raises DamagedStoreError, DiskError.
    """
    height = last_unnamed(kv)
    if height is not None:
        _give_up_below(kv, height)


def last_unnamed(kv: Reader) -> int | None:
    """The last height that removed a value and does not tell which; None if there is none."""
    search = _Search(kv)
    for key, value in kv.scan(layout.HISTORY, prefix_end(layout.HISTORY)):
        height = layout.unpack_height(key[-layout.HEIGHT_BYTES :])
        search.add(key[: -layout.HEIGHT_BYTES], height, value[:1] == _PRESENT)
    search.end()
    return search.unnamed


class _Search:
    """Takes history in the order of its keys, value after value, and of each its heights."""

    def __init__(self, kv: Reader) -> None:
        self.unnamed: int | None = None
        self._kv = kv
        self._trees = newest_head(kv).trees
        self._place = b""
        self._changes: list[tuple[int, bool]] = []

    def add(self, place: bytes, height: int, before: bool) -> None:
        """`height` changed the value at `place`, which was there `before`, or not."""
        if place != self._place:
            self.end()
            self._place = place
        self._changes.append((height, before))

    def end(self) -> None:
        """All changes of a value are there: look from the last one down for a removal without a
        name, and no further than to one that is known already.
        """
        after: bool | None = None
        while self._changes:
            height, before = self._changes.pop()
            if self.unnamed is not None and height <= self.unnamed:
                self._changes.clear()
            elif before and not self._after(after) and not self._named(height):
                self.unnamed = height
            after = before

    def _after(self, before_the_next: bool | None) -> bool:
        return self._is_here() if before_the_next is None else before_the_next

    def _named(self, height: int) -> bool:
        return self._kv.get(layout.at_height(layout.DELETED, height)) is not None

    def _is_here(self) -> bool:
        """Whether the latest state has the value: its key is not known, but its path is."""
        packed, path = self._place[1:-_PATH_BYTES], self._place[-_PATH_BYTES:]
        tree: TreeRoot | None = self._trees.get(packed[1:].decode("ascii"))
        _, leaf = walk(packed, tree, path, lambda key, _depth: read_page(self._kv, key))
        return leaf[:_PATH_BYTES] == path


def _give_up_below(kv: KV, height: int) -> None:
    """Delete what only states below `height` need, chunk by chunk, as StateStore.prune does."""
    for index, data in kv.scan(layout.STALE, layout.at_height(layout.STALE, height + 1)):
        batch = Batch()
        for key in unpacked(_KEYS, data):
            batch.delete(key)
        batch.delete(index)
        since, _ = layout.unpack_place(index[len(layout.STALE) :])
        batch.put(layout.STATE_OLDEST, layout.pack_height(since))
        kv.write(batch, sync=False)

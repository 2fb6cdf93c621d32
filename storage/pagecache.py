"""The pages of the state tree that are kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from storage.limits import STATE_CACHE_BYTES_MAX
from storage.pages import Page
from storage.tree import PageLayer

_LAYERS: Final = 8
"""Depths that are told apart; all deeper ones share the last."""
_DEPTHS: Final = 65
"""A path has 64 nibbles, and below each may hang a page."""
_ENTRY_BYTES: Final = 200
"""What an entry takes beside the bytes of its page: its key, two objects, its place in a table."""


class PageCache:
    """Pages by their key, which names their version: an entry is never wrong, only unwanted.

    When it is full, the deepest layer gives way first, and in it the page that was written longest
    ago: nearly every update needs a page near the root, and hardly any a given one far down. One
    thread may call `move_on`; any may call `get_many` meanwhile.
    """

    __slots__ = ("_bytes", "_bytes_max", "_depths", "_layers")

    def __init__(self, bytes_max: int = STATE_CACHE_BYTES_MAX) -> None:
        self._bytes = 0
        self._bytes_max = bytes_max
        self._layers: tuple[dict[bytes, Page], ...] = tuple({} for _ in range(_LAYERS))
        self._depths = tuple(self._layers[min(depth, _LAYERS - 1)] for depth in range(_DEPTHS))

    @property
    def bytes_held(self) -> int:
        """About how much memory it takes."""
        return self._bytes

    def get_many(self, keys: Sequence[bytes], depth: int) -> list[Page | None]:
        """The pages with these keys, which are all at this depth; None for one that is not here."""
        return list(map(self._depths[depth].get, keys))

    def move_on(
        self, written: Sequence[PageLayer], stale: Sequence[tuple[int, Sequence[bytes]]]
    ) -> None:
        """Take in the pages of a height and let go of those they replace."""
        held = self._bytes
        for depth, keys in stale:
            pop = self._depths[depth].pop
            for key in keys:
                page = pop(key, None)
                if page is not None:
                    held -= len(page) + _ENTRY_BYTES
        for depth, keys, pages in written:
            self._depths[depth].update(zip(keys, pages, strict=True))
            held += sum(map(len, pages)) + _ENTRY_BYTES * len(pages)
        for layer in reversed(self._layers):
            unwanted = []
            for key, page in layer.items():
                if held <= self._bytes_max:
                    break
                held -= len(page) + _ENTRY_BYTES
                unwanted.append(key)
            for key in unwanted:
                del layer[key]
        self._bytes = held

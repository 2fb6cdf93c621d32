"""The pages of the state tree that are kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from storage.limits import STATE_PAGES_CACHED_MAX
from storage.pages import Page
from storage.tree import StoredPage

_LAYERS: Final = 8
"""Depths that are told apart; all deeper ones share the last."""


class PageCache:
    """Pages by their key, which names their version: an entry is never wrong, only unwanted.

    When it is full, the deepest layer gives way first, and in it the page that was written longest
    ago: nearly every update needs a page near the root, and hardly any a given one far down. One
    thread may call `move_on`; any may call `get` meanwhile.
    """

    __slots__ = ("_layers", "_pages_max")

    def __init__(self, pages_max: int = STATE_PAGES_CACHED_MAX) -> None:
        self._pages_max = pages_max
        self._layers: tuple[dict[bytes, Page], ...] = tuple({} for _ in range(_LAYERS))

    def __len__(self) -> int:
        return sum(len(layer) for layer in self._layers)

    def get(self, key: bytes, depth: int) -> Page | None:
        """The page with this key, or None."""
        return self._layers[min(depth, _LAYERS - 1)].get(key)

    def move_on(self, written: Sequence[StoredPage], stale: Sequence[tuple[bytes, int]]) -> None:
        """Take in the pages of a height and let go of those they replace."""
        for key, depth in stale:
            self._layers[min(depth, _LAYERS - 1)].pop(key, None)
        for stored in written:
            self._layers[min(stored.depth, _LAYERS - 1)][stored.key] = stored.page
        excess = len(self) - self._pages_max
        for layer in reversed(self._layers):
            if excess <= 0:
                break
            for key in list(islice(layer, excess)):
                del layer[key]
                excess -= 1

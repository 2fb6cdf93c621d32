"""The state tree: changing many leaves at once, and walking to one (docs/spec/state.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from storage import pages
from storage.pages import EMPTY, LEAF, MANY, PATH_BYTES, SLOTS, Page, nibble, page_key

Leaf: TypeAlias = tuple[bytes, bytes, bytes]
"""A change: the path; path || value hash, or nothing to delete; the leaf's hash, or nothing."""

LoadPage: TypeAlias = Callable[[bytes, int], Page]
"""Gives the page with this key, at this depth."""


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """Where a namespace's tree starts: the hash of its root and the version of its first page."""

    hash: bytes
    version: bytes


class StoredPage(NamedTuple):
    """A page as it is cached (`page`) and as it is stored (`encoded`)."""

    key: bytes
    depth: int
    page: Page
    encoded: bytes


class TreeUpdate:
    """Applies one sorted list of changes to one namespace's tree, touching each page once.

    Nothing stored is changed. The outcome: `root` (None for a tree without leaves), the pages
    `written`, and the key and depth of those that they make `stale`.
    """

    __slots__ = ("_load", "_namespace", "_version", "root", "stale", "written")

    def __init__(self, namespace: bytes, version: bytes, load: LoadPage) -> None:
        self._namespace = namespace
        self._version = version
        self._load = load
        self.root: TreeRoot | None = None
        self.written: list[StoredPage] = []
        self.stale: list[tuple[bytes, int]] = []

    def apply(self, base: TreeRoot | None, changes: Sequence[Leaf]) -> None:
        """Apply `changes`, in strictly ascending order of their paths, to the tree at `base`."""
        first_path = changes[0][0]
        page = pages.empty_page() if base is None else self._open(base.version, 0, first_path)
        self._change(page, 0, changes)
        if page[1] != EMPTY:
            self._write(page, 0, first_path)
            self.root = TreeRoot(pages.node_hash(page, 1), self._version)

    def _open(self, version: bytes, depth: int, path: bytes) -> bytearray:
        """A copy of a stored page, which becomes stale."""
        key = page_key(version, self._namespace, depth, path)
        self.stale.append((key, depth))
        return bytearray(self._load(key, depth))

    def _write(self, page: bytearray, depth: int, path: bytes) -> None:
        key = page_key(self._version, self._namespace, depth, path)
        frozen = bytes(page)
        self.written.append(StoredPage(key, depth, frozen, pages.encode(frozen)))

    def _change(self, page: bytearray, depth: int, changes: Sequence[Leaf]) -> None:
        """Apply `changes`, all of which lie under `page`, to it and to the pages below."""
        dirty: list[int] = []
        first, count = 0, len(changes)
        while first < count:
            path, ref, hashed = changes[first]
            slot = nibble(path, depth)
            after = first + 1
            while after < count and nibble(changes[after][0], depth) == slot:
                after += 1
            kind = page[SLOTS + slot]
            if kind == MANY:
                child = self._open(pages.child_version(page, slot), depth + 1, path)
                self._change(child, depth + 1, changes[first:after])
                self._place(page, slot, depth + 1, child, path)
            elif after - first > 1 or (kind == LEAF and not pages.holds(page, slot, path)):
                self._split(page, slot, depth, changes[first:after])
            elif ref:
                pages.set_leaf(page, slot, ref, hashed)
            else:
                pages.set_empty(page, slot)
            dirty.append(slot)
            first = after
        pages.rehash(page, dirty)

    def _split(self, page: bytearray, slot: int, depth: int, changes: Sequence[Leaf]) -> None:
        """Apply `changes` to a slot that holds at most one leaf and may come to hold several."""
        leaves = {change[0]: change for change in changes}
        if page[SLOTS + slot] == LEAF:
            ref = pages.leaf_ref(page, slot)
            path = ref[:PATH_BYTES]
            leaves.setdefault(path, (path, ref, pages.node_hash(page, SLOTS + slot)))
        child = pages.empty_page()
        self._change(child, depth + 1, [leaves[path] for path in sorted(leaves)])
        self._place(page, slot, depth + 1, child, changes[0][0])

    def _place(self, page: bytearray, slot: int, depth: int, child: bytearray, path: bytes) -> None:
        """Let `slot` hold what `child`, at `depth`, holds: only two leaves or more need a page."""
        kind = child[1]
        if kind == MANY:
            self._write(child, depth, path)
            pages.set_child(page, slot, self._version, pages.node_hash(child, 1))
        elif kind == LEAF:
            ref = pages.leaf_ref(child, pages.only_leaf(child))
            pages.set_leaf(page, slot, ref, pages.node_hash(child, 1))
        else:
            pages.set_empty(page, slot)


def walk(
    namespace: bytes, base: TreeRoot | None, path: bytes, load: LoadPage
) -> tuple[tuple[bytes, ...], bytes]:
    """The siblings on the way to `path`, from the root down, and the leaf found at its end.

    The leaf is empty for an empty subtree. These are the parts of a StateProof.
    """
    if base is None:
        return (), b""
    siblings: list[bytes] = []
    version, depth = base.version, 0
    while True:
        page = load(page_key(version, namespace, depth, path), depth)
        slot = nibble(path, depth)
        for shift in (4, 3, 2, 1):
            node = (SLOTS + slot) >> shift
            if page[node] != MANY:
                return tuple(siblings), _leaf_under(page, node)
            siblings.append(pages.node_hash(page, ((SLOTS + slot) >> (shift - 1)) ^ 1))
        if page[SLOTS + slot] != MANY:
            return tuple(siblings), _leaf_under(page, SLOTS + slot)
        version, depth = pages.child_version(page, slot), depth + 1


def _leaf_under(page: Page, node: int) -> bytes:
    """The reference of the only leaf under `node`, or nothing if it is empty."""
    if page[node] == EMPTY:
        return b""
    while node < SLOTS:
        node = 2 * node if page[2 * node] == LEAF else 2 * node + 1
    return pages.leaf_ref(page, node - SLOTS)

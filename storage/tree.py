"""The state tree: changing many leaves at once, and walking to one (docs/spec/state.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from storage import pages
from storage.pages import (
    EMPTY,
    LEAF_BYTES,
    MANY,
    PATH_BYTES,
    SLOTS,
    Page,
    nibble,
    nibbles,
    page_key,
)

Leaf: TypeAlias = tuple[bytes, bytes]
"""A change: the path; path || value hash, or nothing to delete it."""

LoadPage: TypeAlias = Callable[[bytes, int], Page]
"""Gives the page with this key, at this depth."""


class TreeRoot(NamedTuple):
    """Where a namespace's tree starts: its root's hash and the version of its first page."""

    hash: bytes
    version: bytes


class StoredPage(NamedTuple):
    """A page with its key and its depth."""

    key: bytes
    depth: int
    page: Page


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
        self.written.append(StoredPage(key, depth, bytes(page)))

    def _change(self, page: bytearray, depth: int, changes: Sequence[Leaf]) -> None:
        """Apply `changes`, all of which lie under `page`, to it and to the pages below."""
        dirty: list[int] = []
        slots = nibbles(changes, depth)
        first, count = 0, len(changes)
        while first < count:
            path = changes[first][0]
            slot = slots[first]
            after = first + 1
            while after < count and slots[after] == slot:
                after += 1
            group = changes if after - first == count else changes[first:after]
            if page[SLOTS + slot] == MANY and pages.is_child(page, slot):
                child = self._open(pages.child_version(page, slot), depth + 1, path)
                self._change(child, depth + 1, group)
                self._place(page, slot, depth + 1, child, path)
            else:
                self._change_slot(page, slot, depth, group)
            dirty.append(slot)
            first = after
        pages.rehash(page, dirty)

    def _change_slot(self, page: bytearray, slot: int, depth: int, changes: Sequence[Leaf]) -> None:
        """Apply `changes` to a slot that holds its leaves itself. It becomes a page if need be."""
        held = pages.slot_leaves(page, slot)
        if len(changes) == 1 and (len(held) == 0 or held[:PATH_BYTES] == changes[0][0]):
            leaves = changes[0][1] + held[LEAF_BYTES:]
        else:
            table: dict[bytes, bytes] = {}
            for start in range(0, len(held), LEAF_BYTES):
                table[held[start : start + PATH_BYTES]] = held[start : start + LEAF_BYTES]
            table.update(changes)
            leaves = b"".join([table[path] for path in sorted(table)])
            if len(leaves) > LEAF_BYTES * pages.SLOT_LEAVES_MAX:
                child = pages.empty_page()
                self._change(child, depth + 1, [item for item in sorted(table.items()) if item[1]])
                self._place(page, slot, depth + 1, child, changes[0][0])
                return
        pages.set_leaves(page, slot, leaves, pages.leaves_hash(leaves, 4 * depth + 4))

    def _place(self, page: bytearray, slot: int, depth: int, child: bytearray, path: bytes) -> None:
        """Put what `child`, at `depth`, holds into `slot`: a page, or the leaves if it has few."""
        leaves = pages.all_leaves(child)
        if leaves is not None:
            pages.set_leaves(page, slot, leaves, pages.node_hash(child, 1))
        else:
            self._write(child, depth, path)
            pages.set_child(page, slot, self._version, pages.node_hash(child, 1))


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
                return tuple(siblings), _only_leaf(page, node)
            siblings.append(pages.node_hash(page, ((SLOTS + slot) >> (shift - 1)) ^ 1))
        if not pages.is_child(page, slot):
            leaf = _walk_slot(pages.slot_leaves(page, slot), path, 4 * depth + 4, siblings)
            return tuple(siblings), leaf
        version, depth = pages.child_version(page, slot), depth + 1


def _only_leaf(page: Page, node: int) -> bytes:
    """The only leaf under `node`, or nothing if it is empty."""
    first, last = node, node
    while first < SLOTS:
        first, last = 2 * first, 2 * last + 1
    return b"".join(pages.slot_leaves(page, slot - SLOTS) for slot in range(first, last + 1))


def _walk_slot(leaves: bytes, path: bytes, bit: int, siblings: list[bytes]) -> bytes:
    """Go on from `bit` among the leaves of one slot, adding siblings; the leaf found at the end."""
    while len(leaves) > LEAF_BYTES:
        sides = [b"", b""]
        for start in range(0, len(leaves), LEAF_BYTES):
            leaf = leaves[start : start + LEAF_BYTES]
            sides[_bit(leaf, bit)] += leaf
        turn = _bit(path, bit)
        bit += 1
        siblings.append(pages.leaves_hash(sides[1 - turn], bit))
        leaves = sides[turn]
    return leaves


def _bit(path: bytes, bit: int) -> int:
    return path[bit >> 3] >> (7 - (bit & 7)) & 1

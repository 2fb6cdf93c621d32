"""Where two states part, found by walking both trees at once: only pages whose hashes differ are
read (docs/spec/state.md section 7).

How pages are cut depends on the past of a store, so slots are compared, not pages: the hash of a
slot is that of its subtree, however either store keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from typing import Final

from medquorum.hashing import EMPTY_HASH
from medquorum.statetree import key_path
from storage import layout, pages
from storage.kv import Reader, prefix_end
from storage.limits import DIFFERENT_PATHS_HELD_MAX
from storage.pages import LEAF_BYTES, PATH_BYTES, SLOTS, nibble, page_key
from storage.state import head_at, read_page
from storage.stateaudit import path_of, removed_since
from storage.tree import TreeRoot, walk


@dataclass(frozen=True, slots=True)
class StateDifference:
    """The first key, in the order of the keys, that has not the same value in both states, in the
    first namespace that has such a key. `key` is empty if neither store knows a key for any leaf
    that differs: its values are damaged, or its history is.
    """

    namespace: str
    key: bytes


@dataclass(frozen=True, slots=True)
class _Part:
    """A subtree that begins at a slot: of a page, if it has a version, or of leaves."""

    hash: bytes
    leaves: bytes
    version: bytes


_EMPTY: Final = _Part(EMPTY_HASH, b"", b"")


def first_difference(left: Reader, right: Reader, height: int) -> StateDifference | None:
    """Where the states of `height`, which both keep, part; None if they have the same root.

    It takes the trees' word: a value that is not the one its leaf stands for is not seen here (see
    StateAudit). The walk reads about two pages a layer for each leaf that differs; then the keys of
    the namespace are gone through up to the one that is told. Raises DamagedStoreError.
    """
    trees = (head_at(left, height).trees, head_at(right, height).trees)
    for namespace in sorted(trees[0].keys() | trees[1].keys()):
        here, there = trees[0].get(namespace), trees[1].get(namespace)
        if _hash(here) != _hash(there):
            walk_ = _Walk((left, right), layout.pack_namespace(namespace), (here, there))
            return StateDifference(namespace, walk_.first_key(height))
    return None


def _hash(tree: TreeRoot | None) -> bytes:
    return EMPTY_HASH if tree is None else tree.hash


class _Walk:
    """Goes down the trees of one namespace, given as they are packed, in two stores."""

    def __init__(
        self,
        readers: tuple[Reader, Reader],
        namespace: bytes,
        trees: tuple[TreeRoot | None, TreeRoot | None],
    ) -> None:
        self._readers = readers
        self._namespace = namespace
        self._trees = trees

    def first_key(self, height: int) -> bytes:
        """See StateDifference.key."""
        paths: set[bytes] = set()
        for path in self._paths(self._root(0), self._root(1), b""):
            paths.add(path)
            if len(paths) > DIFFERENT_PATHS_HELD_MAX:
                # So many that the first one is near: each key is asked for.
                return next((k for k in self._keys(height) if self._parts_at(key_path(k))), b"")
        return next((key for key in self._keys(height) if key_path(key) in paths), b"")

    def _root(self, side: int) -> _Part:
        tree = self._trees[side]
        return _EMPTY if tree is None else _Part(tree.hash, b"", tree.version)

    def _paths(self, here: _Part, there: _Part, way: bytes) -> Iterator[bytes]:
        """The paths under `way`, which has one nibble a byte, whose leaves differ."""
        if here.hash == there.hash:
            return
        if not here.version and not there.version:
            leaves = _leaves(here.leaves) ^ _leaves(there.leaves)
            yield from sorted({leaf[:PATH_BYTES] for leaf in leaves})
            return
        below = zip(self._slots(0, here, way), self._slots(1, there, way), strict=True)
        for slot, (left, right) in enumerate(below):
            yield from self._paths(left, right, way + bytes((slot,)))

    def _slots(self, side: int, part: _Part, way: bytes) -> Sequence[_Part]:
        depth = len(way)
        if part.version:
            key = page_key(part.version, self._namespace, depth, path_of(way))
            page = read_page(self._readers[side], key)
            return [
                _Part(
                    pages.node_hash(page, SLOTS + slot),
                    pages.slot_leaves(page, slot),
                    pages.child_version(page, slot) if pages.is_child(page, slot) else b"",
                )
                for slot in range(SLOTS)
            ]
        slots = [_EMPTY] * SLOTS
        for slot, leaves in groupby(sorted(_leaves(part.leaves)), lambda leaf: nibble(leaf, depth)):
            held = b"".join(leaves)
            slots[slot] = _Part(pages.leaves_hash(held, 4 * depth + 4), held, b"")
        return slots

    def _parts_at(self, path: bytes) -> bool:
        leaves = [self._leaf(side, path) for side in (0, 1)]
        return leaves[0] != leaves[1]

    def _leaf(self, side: int, path: bytes) -> bytes:
        reader = self._readers[side]
        tree = self._trees[side]
        _, leaf = walk(self._namespace, tree, path, lambda key, _: read_page(reader, key))
        return leaf if leaf[:PATH_BYTES] == path else b""

    def _keys(self, height: int) -> Iterator[bytes]:
        """The keys that either store knows of at `height`, and some others, in order."""
        prefix = layout.STATE + self._namespace
        known: list[Iterator[bytes]] = []
        for reader in self._readers:
            gone = sorted(removed_since(reader, height))
            known.append(key for key in gone if key.startswith(prefix))
            known.append(key for key, _ in reader.scan(prefix, prefix_end(prefix)))
        for key, _ in groupby(merge(*known)):
            yield key[len(prefix) :]


def _leaves(data: bytes) -> set[bytes]:
    return {data[start : start + LEAF_BYTES] for start in range(0, len(data), LEAF_BYTES)}

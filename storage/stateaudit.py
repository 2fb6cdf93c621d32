"""Re-checks a stored state: that the pages are the tree of its root, and the values its leaves
(docs/spec/state.md section 4). Also reads the state of an earlier height, every value of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from medquorum.statetree import key_path, value_hash
from storage import layout, pages
from storage.errors import DamagedStoreError
from storage.kv import Reader, prefix_end
from storage.pages import EMPTY, LEAF_BYTES, SLOTS, Page, page_key
from storage.state import head_at, read_page, value_at
from storage.statebuild import read_state
from storage.tree import TreeRoot, walk
from storage.unpacked import unpacked

_KEYS: Final = msgspec.msgpack.Decoder(list[bytes])


@dataclass(frozen=True, slots=True)
class StateDamage:
    """Where stored state is not what its root says. `key` is that of a page, or of a value; of a
    value that is missing it is the path, for the key is known from the value alone.
    """

    kind: Literal["page", "value"]
    namespace: str
    key: bytes
    detail: str


class StateAudit:
    """Checks the latest state in `reader`, which is that of `height`. For one thread.

    Raises DamagedStoreError where even the beginning cannot be read.
    """

    def __init__(self, reader: Reader, height: int, *, pages_held_max: int) -> None:
        self._reader = reader
        self._head = head_at(reader, height)
        self._held: dict[bytes, Page] = {}
        self._pages_held_max = pages_held_max
        self._leaves: dict[str, int] = {}
        self.values = 0
        """How many values were looked up."""

    @property
    def root(self) -> bytes:
        """The state root that the head of the state stands for."""
        return self._head.root

    def tree(self) -> Iterator[StateDamage]:
        """Walk all pages from the roots down, and hash every node again."""
        for namespace, tree in self._head.trees.items():
            walk_ = _PageWalk(self._reader, namespace)
            yield from walk_.run(tree)
            self._leaves[namespace] = walk_.leaves

    def every_value(self) -> Iterator[StateDamage]:
        """Look up every value in the tree, key by key, and whether the tree has more leaves than
        there are values. After `tree`, which says whether the tree can be trusted.
        """
        counts: dict[str, int] = {}
        for namespace, key, value in read_state(self._reader):
            counts[namespace] = counts.get(namespace, 0) + 1
            self.values += 1
            wrong = self._wrong_with(namespace, key, value)
            if wrong is not None:
                yield StateDamage("value", namespace, key, wrong)
        for namespace, leaves in self._leaves.items():
            if leaves > counts.get(namespace, 0):
                yield from self._missing(namespace)

    def _wrong_with(self, namespace: str, key: bytes, value: bytes) -> str | None:
        path = key_path(key)
        try:
            _, leaf = walk(
                layout.pack_namespace(namespace), self._head.trees.get(namespace), path, self._page
            )
        except DamagedStoreError as error:
            return f"its leaf cannot be read: {error.detail}"
        if leaf[: len(path)] != path:
            return "the tree has no such key"
        return None if leaf == path + value_hash(value) else "the tree has another value"

    def _missing(self, namespace: str) -> Iterator[StateDamage]:
        prefix = layout.STATE + layout.pack_namespace(namespace)
        here = {
            key_path(key[len(prefix) :]) for key, _ in self._reader.scan(prefix, prefix_end(prefix))
        }
        walk_ = _PageWalk(self._reader, namespace, lambda path: path not in here)
        for damage in walk_.run(self._head.trees[namespace]):
            if damage.kind == "value":
                yield damage

    def _page(self, key: bytes, depth: int) -> Page:
        page = self._held.get(key)
        if page is None:
            page = _read(self._reader, key, depth)
            if len(self._held) >= self._pages_held_max:
                self._held.clear()
            self._held[key] = page
        return page


class _PageWalk:
    """Goes over one namespace's tree. Leaves for which `missing` holds are told as missing."""

    def __init__(
        self, reader: Reader, namespace: str, missing: Callable[[bytes], bool] | None = None
    ) -> None:
        self.leaves = 0
        self._reader = reader
        self._namespace = namespace
        self._packed = layout.pack_namespace(namespace)
        self._missing = missing

    def run(self, tree: TreeRoot) -> Iterator[StateDamage]:
        yield from self._walk(tree.version, 0, b"", tree.hash)

    def _walk(
        self, version: bytes, depth: int, way: bytes, expected: bytes
    ) -> Iterator[StateDamage]:
        """`way` has one nibble a byte."""
        key = page_key(version, self._packed, depth, path_of(way))
        try:
            page = _read(self._reader, key, depth)
        except DamagedStoreError as error:
            yield StateDamage("page", self._namespace, key, error.detail)
            return
        if pages.node_hash(page, 1) != expected:
            yield StateDamage("page", self._namespace, key, "it is not the page that was committed")
        if not _hashes(page, depth):
            yield StateDamage("page", self._namespace, key, "a node does not hash to what it says")
        for slot in range(SLOTS):
            if pages.is_child(page, slot):
                below = pages.node_hash(page, SLOTS + slot)
                child = pages.child_version(page, slot)
                yield from self._walk(child, depth + 1, way + bytes([slot]), below)
            else:
                yield from self._slot(page, slot)

    def _slot(self, page: Page, slot: int) -> Iterator[StateDamage]:
        leaves = pages.slot_leaves(page, slot)
        for start in range(0, len(leaves), LEAF_BYTES):
            self.leaves += 1
            path = leaves[start : start + pages.PATH_BYTES]
            if self._missing is not None and self._missing(path):
                yield StateDamage("value", self._namespace, path, "the value is missing")


def _hashes(page: Page, depth: int) -> bool:
    """Whether kinds and hashes of all nodes are those of the slots, and these of their leaves."""
    again = bytearray(page)
    for slot in range(SLOTS):
        if pages.is_child(page, slot):
            continue
        leaves = pages.slot_leaves(page, slot)
        pages.set_leaves(again, slot, leaves, pages.leaves_hash(leaves, 4 * depth + 4))
    pages.rehash(again, pages.ALL_SLOTS)
    return bytes(again) == page and page[0] == EMPTY


def path_of(way: bytes) -> bytes:
    """The beginning of a path, from its nibbles."""
    padded = way + b"\x00" if len(way) % 2 else way
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _read(reader: Reader, key: bytes, depth: int) -> Page:
    page = read_page(reader, key)
    if not pages.in_place(page, depth, key[len(key) - (depth + 1) // 2 :]):
        raise DamagedStoreError("the database", "its leaves are not where their paths lead")
    return page


def removed_since(reader: Reader, height: int) -> set[bytes]:
    """The full keys of values that heights above `height` removed, whether or not they are here
    again.
    """
    start = layout.at_height(layout.DELETED, height + 1)
    keys: set[bytes] = set()
    for _, data in reader.scan(start, prefix_end(layout.DELETED)):
        removed = unpacked(_KEYS, data)
        keys.update(removed)
    return keys


def read_state_at(reader: Reader, height: int) -> Iterator[tuple[str, bytes, bytes]]:
    """All values after `height`, with their namespaces and keys, in the order of `read_state`.

    The height is one whose history is kept. The caller compares the root: what is damaged may lack
    keys.
    """
    gone = sorted(removed_since(reader, height), reverse=True)
    for full_key, _ in reader.scan(layout.STATE, prefix_end(layout.STATE)):
        while gone and gone[-1] < full_key:
            yield from _then(reader, gone.pop(), height)
        if gone and gone[-1] == full_key:
            gone.pop()
        yield from _then(reader, full_key, height)
    while gone:
        yield from _then(reader, gone.pop(), height)


def _then(reader: Reader, full_key: bytes, height: int) -> Iterator[tuple[str, bytes, bytes]]:
    name_end = 2 + full_key[1]
    value = value_at(reader, full_key[1:name_end], full_key[name_end:], height)
    if value is not None:
        yield full_key[2:name_end].decode("ascii"), full_key[name_end:], value

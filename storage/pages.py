"""Pages of the state tree:

four levels of the binary tree in one value (docs/spec/state.md section 4).

A page is a heap of 31 nodes: node 1 is its root, node i has the children 2i and 2i + 1, nodes 16 to
31 are its slots. A slot is empty, or a leaf, or another page further down. The hashes of the inner
nodes are kept as well, so a change costs one hash a level and not fifteen a page.

In memory a page is 2048 bytes, in which every field has its place. So reading a field is a slice, a
copy is one call, the pair of hashes that a node is made of is one slice too, and the garbage
collector sees nothing:

    byte i                    kind of node i: EMPTY, LEAF (one leaf) or MANY (two or more)
    bytes 32i .. 32i + 31     hash of node i; that of its only leaf for LEAF, zeros for EMPTY
    bytes 1024 + 64s .. + 63  reference of slot s: path || value hash of a leaf; version (8 bytes)
                              of a page, then zeros; zeros if it is empty

On the disk a page with more than SPARSE_SLOTS_MAX slots in use is these bytes. A page with fewer is
its first 32 bytes, the hashes of the inner nodes of kind MANY, and for each slot in use its hash
and its reference (64 or 8 bytes), all in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from storage import layout

EMPTY: Final = 0
"""The kind of a subtree without leaves."""
LEAF: Final = 1
"""The kind of a subtree with exactly one leaf, which hashes to that leaf."""
MANY: Final = 2
"""The kind of a subtree with two leaves or more."""

SLOTS: Final = 16
PATH_BYTES: Final = 32
PAGE_BYTES: Final = 2048
SPARSE_SLOTS_MAX: Final = 6

_HASH: Final = 32
_REFS: Final = 1024
_REF: Final = 64
_EMPTY_REF: Final = bytes(_REF)
_EMPTY_HASH: Final = bytes(_HASH)
_ANCESTORS: Final = tuple(
    tuple((SLOTS + slot) >> level for level in (1, 2, 3, 4)) for slot in range(SLOTS)
)

Page: TypeAlias = bytes
"""A page that others may see: it cannot change."""


def empty_page() -> bytearray:
    """A page without leaves, to be filled."""
    return bytearray(PAGE_BYTES)


def node_hash(page: Page | bytearray, node: int) -> bytes:
    """The hash of the subtree at `node`; 32 zero bytes if it is empty."""
    return bytes(page[_HASH * node : _HASH * (node + 1)])


def leaf_ref(page: Page | bytearray, slot: int) -> bytes:
    """path || value hash of the leaf in `slot`."""
    return bytes(page[_REFS + _REF * slot : _REFS + _REF * (slot + 1)])


def holds(page: Page | bytearray, slot: int, path: bytes) -> bool:
    """Whether the leaf in `slot` is the one of `path`."""
    start = _REFS + _REF * slot
    return page[start : start + PATH_BYTES] == path


def child_version(page: Page | bytearray, slot: int) -> bytes:
    """The version of the page that `slot` stands for."""
    start = _REFS + _REF * slot
    return bytes(page[start : start + layout.HEIGHT_BYTES])


def only_leaf(page: Page | bytearray) -> int:
    """The slot of the only leaf of a page whose root is of kind LEAF."""
    return page.index(LEAF, SLOTS, 2 * SLOTS) - SLOTS


def set_leaf(page: bytearray, slot: int, ref: bytes, hashed: bytes) -> None:
    """Put a leaf into `slot`. The inner nodes follow at the next `rehash`, here and below."""
    node = SLOTS + slot
    page[node] = LEAF
    page[_HASH * node : _HASH * (node + 1)] = hashed
    page[_REFS + _REF * slot : _REFS + _REF * (slot + 1)] = ref


def set_child(page: bytearray, slot: int, version: bytes, hashed: bytes) -> None:
    """Let `slot` stand for a page further down."""
    set_leaf(page, slot, version + _EMPTY_REF[layout.HEIGHT_BYTES :], hashed)
    page[SLOTS + slot] = MANY


def set_empty(page: bytearray, slot: int) -> None:
    """Empty `slot`."""
    set_leaf(page, slot, _EMPTY_REF, _EMPTY_HASH)
    page[SLOTS + slot] = EMPTY


def rehash(page: bytearray, slots: Sequence[int]) -> None:
    """Bring the inner nodes up to date after these slots have changed; each node is hashed once."""
    if len(slots) == 1:
        nodes: Sequence[int] = _ANCESTORS[slots[0]]
    else:
        # A child has a higher number than its parent, so descending order goes upward.
        nodes = sorted({node for slot in slots for node in _ANCESTORS[slot]}, reverse=True)
    for node in nodes:
        left_kind, right_kind = page[2 * node], page[2 * node + 1]
        start = _HASH * node
        if left_kind + right_kind >= MANY:
            page[node] = MANY
            pair = page[2 * start : 2 * start + 2 * _HASH]
            page[start : start + _HASH] = sha256(b"\x01" + pair).digest()
        else:
            page[node] = left_kind + right_kind
            source = 2 * start if left_kind == LEAF else 2 * start + _HASH
            page[start : start + _HASH] = page[source : source + _HASH]


def encode(page: Page) -> bytes:
    """The value that is stored."""
    if page.count(EMPTY, SLOTS, 2 * SLOTS) < SLOTS - SPARSE_SLOTS_MAX:
        return page
    parts = [page[: 2 * SLOTS]]
    parts += [
        page[_HASH * node : _HASH * (node + 1)] for node in range(1, SLOTS) if page[node] == MANY
    ]
    for slot in range(SLOTS):
        kind = page[SLOTS + slot]
        if kind != EMPTY:
            node = SLOTS + slot
            ref = _REFS + _REF * slot
            parts.append(page[_HASH * node : _HASH * (node + 1)])
            parts.append(page[ref : ref + (_REF if kind == LEAF else layout.HEIGHT_BYTES)])
    return b"".join(parts)


def decode(data: bytes) -> Page:
    """What `encode` encoded. Raises ValueError for other lengths than it gives."""
    if len(data) == PAGE_BYTES:
        return data
    page = empty_page()
    kinds = data[: 2 * SLOTS]
    page[: 2 * SLOTS] = kinds
    offset = 2 * SLOTS
    for node in range(1, SLOTS):
        if kinds[node] == MANY:
            page[_HASH * node : _HASH * (node + 1)] = data[offset : offset + _HASH]
            offset += _HASH
    for node in range(SLOTS, 2 * SLOTS):
        if kinds[node] == EMPTY:
            continue
        hashed = data[offset : offset + _HASH]
        length = _REF if kinds[node] == LEAF else layout.HEIGHT_BYTES
        ref = _REFS + _REF * (node - SLOTS)
        page[ref : ref + length] = data[offset + _HASH : offset + _HASH + length]
        offset += _HASH + length
        page[_HASH * node : _HASH * (node + 1)] = hashed
        above = node >> 1
        while kinds[above] == LEAF and above > 0:
            page[_HASH * above : _HASH * (above + 1)] = hashed
            above >>= 1
    if offset != len(data) or len(page) != PAGE_BYTES:
        raise ValueError(f"{len(data)} bytes are not a page of the state tree")
    return bytes(page)


def nibble(path: bytes, depth: int) -> int:
    """The slot that `path` takes in a page at `depth`, counted in pages from the root."""
    byte = path[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def page_key(version: bytes, namespace: bytes, depth: int, path: bytes) -> bytes:
    """The key of the page at `depth` on the way to `path`. `namespace` is packed."""
    prefix = path[: depth >> 1]
    if depth & 1:
        prefix += bytes((path[depth >> 1] & 0xF0,))
    return b"%b%b%b%c%b" % (layout.PAGE, version, namespace, depth, prefix)

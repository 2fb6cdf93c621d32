"""Pages of the state tree:

four levels of the binary tree in one value (docs/spec/state.md section 4).

A page is a heap of 31 nodes: node 1 is its root, node i has the children 2i and 2i + 1, nodes 16 to
31 are its slots. A slot is empty, or holds a few leaves, or stands for another page further down.
The hashes of the inner nodes are kept, so a change costs one hash a level and not fifteen a page.
Leaves stay in the page above until there are more than SLOT_LEAVES_MAX of them in one slot: most
changes then touch one page less, and no page is nearly empty.

A page is bytes, in memory as on the disk, and every field has its place. So reading a field is a
slice, a copy is one call, the pair of hashes that a node is made of is one slice too, and the
garbage collector sees nothing:

    byte i                     kind of node i: EMPTY, LEAF (one leaf below) or MANY (more)
    bytes 32i .. 32i + 31      hash of node i; that of its only leaf for LEAF, zeros for EMPTY
    byte 1024 + s              how many leaves slot s holds; 0 for MANY means another page
    bytes 1040 + 8s .. + 7     version of the page that slot s stands for, if it does
    bytes 1168 ..              the leaves, path || value hash (64), ascending
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from medquorum.hashing import EMPTY_HASH
from storage import layout

EMPTY: Final = 0
"""The kind of a subtree without leaves."""
LEAF: Final = 1
"""The kind of a subtree with exactly one leaf, which hashes to that leaf."""
MANY: Final = 2
"""The kind of a subtree with two leaves or more."""

SLOTS: Final = 16
PATH_BYTES: Final = 32
LEAF_BYTES: Final = 64
SLOT_LEAVES_MAX: Final = 6
"""With more leaves than this, a slot becomes a page."""
PAGE_LEAVES_MIN: Final = 3
"""With this many leaves or fewer, and no page below, a page becomes a slot again."""

_HASH: Final = 32
_COUNTS: Final = 1024
_VERSIONS: Final = _COUNTS + SLOTS
_LEAVES: Final = _VERSIONS + SLOTS * layout.HEIGHT_BYTES
_PATH_BITS: Final = 8 * PATH_BYTES
_ANCESTORS: Final = tuple(
    tuple((SLOTS + slot) >> level for level in (1, 2, 3, 4)) for slot in range(SLOTS)
)

Page: TypeAlias = bytes
"""A page that others may see: it cannot change. A bytearray is one that is being worked on."""


def empty_page() -> bytearray:
    """A page without leaves, to be filled."""
    return bytearray(_LEAVES)


def check_page(data: bytes) -> Page:
    """`data` if it has the form of a page. Raises ValueError."""
    size = _LEAVES + LEAF_BYTES * sum(data[_COUNTS:_VERSIONS])
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes where a page of the state tree has {size}")
    return data


def node_hash(page: Page | bytearray, node: int) -> bytes:
    """The hash of the subtree at `node`; 32 zero bytes if it is empty."""
    return bytes(page[_HASH * node : _HASH * (node + 1)])


def slot_leaves(page: Page | bytearray, slot: int) -> bytes:
    """The leaves that `slot` holds, one after the other."""
    start = _LEAVES + LEAF_BYTES * sum(page[_COUNTS : _COUNTS + slot])
    return bytes(page[start : start + LEAF_BYTES * page[_COUNTS + slot]])


def is_child(page: Page | bytearray, slot: int) -> bool:
    """Whether `slot` stands for another page."""
    return page[SLOTS + slot] == MANY and page[_COUNTS + slot] == 0


def child_version(page: Page | bytearray, slot: int) -> bytes:
    """The version of the page that `slot` stands for."""
    start = _VERSIONS + layout.HEIGHT_BYTES * slot
    return bytes(page[start : start + layout.HEIGHT_BYTES])


def all_leaves(page: Page | bytearray) -> bytes | None:
    """The leaves of a page with so few, and no page below, that it should be a slot; else None."""
    if len(page) > _LEAVES + LEAF_BYTES * PAGE_LEAVES_MIN:
        return None
    if any(is_child(page, slot) for slot in range(SLOTS)):
        return None
    return bytes(page[_LEAVES:])


def set_leaves(page: bytearray, slot: int, leaves: bytes, hashed: bytes) -> None:
    """Let `slot` hold these leaves, whose subtree has this hash. The nodes above: see `rehash`."""
    start = _LEAVES + LEAF_BYTES * sum(page[_COUNTS : _COUNTS + slot])
    page[start : start + LEAF_BYTES * page[_COUNTS + slot]] = leaves
    count = len(leaves) // LEAF_BYTES
    node = SLOTS + slot
    page[_COUNTS + slot] = count
    page[node] = count if count < MANY else MANY
    page[_HASH * node : _HASH * (node + 1)] = hashed


def set_child(page: bytearray, slot: int, version: bytes, hashed: bytes) -> None:
    """Let `slot` stand for the page of this version, whose root has this hash."""
    set_leaves(page, slot, b"", hashed)
    page[SLOTS + slot] = MANY
    start = _VERSIONS + layout.HEIGHT_BYTES * slot
    page[start : start + layout.HEIGHT_BYTES] = version


def rehash(page: bytearray, slots: Sequence[int]) -> None:
    """Bring the inner nodes up to date after these slots have changed; each is hashed once."""
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


def leaves_hash(leaves: bytes, bit: int) -> bytes:
    """The hash of the subtree that starts at `bit` of the path and holds these leaves."""
    if len(leaves) == 0:
        return EMPTY_HASH
    starts = range(0, len(leaves), LEAF_BYTES)
    hashes = [sha256(b"\x00" + leaves[i : i + LEAF_BYTES]).digest() for i in starts]
    if len(hashes) == 1:
        return hashes[0]
    paths = [int.from_bytes(leaves[i : i + PATH_BYTES], "big") for i in starts]
    return _join(paths, hashes, bit)


def _join(paths: Sequence[int], hashes: Sequence[bytes], bit: int) -> bytes:
    """The hash of the subtree that starts at `bit` and holds the leaves with these hashes."""
    if len(hashes) == 1:
        return hashes[0]
    # The leaves are in order, so all agree in the bits in which the first and the last agree.
    fork = _PATH_BITS - (paths[0] ^ paths[-1]).bit_length()
    right = 1
    while not paths[right] >> (_PATH_BITS - 1 - fork) & 1:
        right += 1
    left_hash = _join(paths[:right], hashes[:right], fork + 1)
    joined = sha256(b"\x01" + left_hash + _join(paths[right:], hashes[right:], fork + 1)).digest()
    for level in range(fork - 1, bit - 1, -1):
        if paths[0] >> (_PATH_BITS - 1 - level) & 1:
            joined = sha256(b"\x01" + EMPTY_HASH + joined).digest()
        else:
            joined = sha256(b"\x01" + joined + EMPTY_HASH).digest()
    return joined


def nibble(path: bytes, depth: int) -> int:
    """The slot that `path` takes in a page at `depth`, counted in pages from the root."""
    byte = path[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def nibbles(changes: Sequence[tuple[bytes, bytes]], depth: int) -> list[int]:
    """The slots that the paths of `changes` take in a page at `depth`; one call for all of them."""
    byte = depth >> 1
    if depth & 1:
        return [path[byte] & 15 for path, _ in changes]
    return [path[byte] >> 4 for path, _ in changes]


def page_key(version: bytes, namespace: bytes, depth: int, path: bytes) -> bytes:
    """The key of the page at `depth` on the way to `path`. `namespace` is packed."""
    prefix = path[: depth >> 1]
    if depth & 1:
        prefix += bytes((path[depth >> 1] & 0xF0,))
    return b"%b%b%b%c%b" % (layout.PAGE, version, namespace, depth, prefix)

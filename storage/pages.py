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
ALL_SLOTS: Final = (1 << SLOTS) - 1
PATH_BYTES: Final = 32
LEAF_BYTES: Final = 64
SLOT_LEAVES_MAX: Final = 6
"""With more leaves than this, a slot becomes a page."""
PAGE_LEAVES_MIN: Final = 3
"""With this many leaves or fewer, and no page below, a page becomes a slot again."""

DEPTHS: Final = 2 * PATH_BYTES
"""How deep pages go: each takes half a byte of a path."""

_HASH: Final = 32
COUNTS: Final = 1024
"""Where a page says how many leaves each slot holds."""
_VERSIONS: Final = COUNTS + SLOTS
_LEAVES: Final = _VERSIONS + SLOTS * layout.HEIGHT_BYTES
_FEW_LEAVES_BYTES: Final = _LEAVES + LEAF_BYTES * PAGE_LEAVES_MIN
_PATH_BITS: Final = 8 * PATH_BYTES

_Step: TypeAlias = tuple[int, slice, slice]
"""To hash one inner node: its number, the place of its hash, the place of its children's."""


def _hash_place(node: int) -> slice:
    return slice(_HASH * node, _HASH * (node + 1))


_SLOT_HASHES: Final = tuple(_hash_place(SLOTS + slot) for slot in range(SLOTS))
SLOT_VERSIONS: Final = tuple(
    slice(_VERSIONS + layout.HEIGHT_BYTES * slot, _VERSIONS + layout.HEIGHT_BYTES * (slot + 1))
    for slot in range(SLOTS)
)


def _steps(slots: int) -> tuple[_Step, ...]:
    """What has to be hashed after these slots have changed, upward; not the root."""
    nodes = {(SLOTS + s) >> up for s in range(SLOTS) if slots >> s & 1 for up in (1, 2, 3)}
    # A child has a higher number than its parent, so descending order goes upward.
    return tuple(_step(node) for node in sorted(nodes, reverse=True))


def _step(node: int) -> _Step:
    return node, _hash_place(node), slice(2 * _HASH * node, 2 * _HASH * (node + 1))


_STEPS_LOW: Final = tuple(_steps(slots) for slots in range(256))
_STEPS_HIGH: Final = tuple(_steps(slots << 8) for slots in range(256))
_STEP_ROOT: Final = (_step(1),)

Page: TypeAlias = bytes
"""A page that others may see: it cannot change. A bytearray is one that is being worked on."""


def empty_page() -> bytearray:
    """A page without leaves, to be filled."""
    return bytearray(_LEAVES)


def check_page(data: bytes) -> Page:
    """`data` if it has the form of a page. Raises ValueError."""
    size = _LEAVES + LEAF_BYTES * sum(data[COUNTS:_VERSIONS])
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes where a page of the state tree has {size}")
    return data


def in_place(page: Page, depth: int, way: bytes) -> bool:
    """Whether a page can stand at `depth` on the way to the paths that begin with `way`, and its
    leaves where they do: ascending, each in the slot of its path. Whoever hashes leaves, or looks
    for one, relies on it.
    """
    if depth >= DEPTHS:
        return False
    here, last = page_key(b"", b"", depth, way), b""
    for slot in range(SLOTS):
        leaves = slot_leaves(page, slot)
        for start in range(0, len(leaves), LEAF_BYTES):
            path = leaves[start : start + PATH_BYTES]
            led_to = page_key(b"", b"", depth, path), nibble(path, depth)
            if path <= last or led_to != (here, slot):
                return False
            last = path
    return True


def node_hash(page: Page | bytearray, node: int) -> bytes:
    """The hash of the subtree at `node`; 32 zero bytes if it is empty."""
    return bytes(page[_HASH * node : _HASH * (node + 1)])


def slot_leaves(page: Page | bytearray, slot: int) -> bytes:
    """The leaves that `slot` holds, one after the other."""
    start = _LEAVES + LEAF_BYTES * sum(page[COUNTS : COUNTS + slot])
    return bytes(page[start : start + LEAF_BYTES * page[COUNTS + slot]])


def is_child(page: Page | bytearray, slot: int) -> bool:
    """Whether `slot` stands for another page."""
    return page[SLOTS + slot] == MANY and page[COUNTS + slot] == 0


def child_version(page: Page | bytearray, slot: int) -> bytes:
    """The version of the page that `slot` stands for."""
    start = _VERSIONS + layout.HEIGHT_BYTES * slot
    return bytes(page[start : start + layout.HEIGHT_BYTES])


def all_leaves(page: Page | bytearray) -> bytes | None:
    """The leaves of a page with so few, and no page below, that it should be a slot; else None."""
    if len(page) > _FEW_LEAVES_BYTES:
        return None
    full = page.count(MANY, SLOTS, 2 * SLOTS)
    if full > 1 or (full == 1 and max(page[COUNTS:_VERSIONS]) < MANY):
        return None
    return bytes(page[_LEAVES:])


def set_leaves(page: bytearray, slot: int, leaves: bytes, hashed: bytes) -> None:
    """Let `slot` hold these leaves, whose subtree has this hash. The nodes above: see `rehash`."""
    counts = COUNTS + slot
    start = _LEAVES + LEAF_BYTES * sum(page[COUNTS:counts])
    page[start : start + LEAF_BYTES * page[counts]] = leaves
    count = len(leaves) // LEAF_BYTES
    page[counts] = count
    page[SLOTS + slot] = count if count < MANY else MANY
    page[_SLOT_HASHES[slot]] = hashed


def set_child(page: bytearray, slot: int, version: bytes, child: bytearray) -> None:
    """Let `slot` stand for `child`, as the page of this version."""
    if page[COUNTS + slot]:
        set_leaves(page, slot, b"", EMPTY_HASH)
    page[SLOTS + slot] = MANY
    page[_SLOT_HASHES[slot]] = child[_HASH : 2 * _HASH]
    page[SLOT_VERSIONS[slot]] = version


def rehash(page: bytearray, slots: int) -> None:
    """Bring the inner nodes up to date after some slots have changed, each hashed once. `slots` has
    a bit for each of them.
    """
    for node, place, pair in _STEPS_LOW[slots & 255] + _STEPS_HIGH[slots >> 8] + _STEP_ROOT:
        kinds = page[2 * node] + page[2 * node + 1]
        if kinds >= MANY:
            page[node] = MANY
            page[place] = sha256(b"\x01" + page[pair]).digest()
        else:
            page[node] = kinds
            both = page[pair]
            page[place] = both[:_HASH] if page[2 * node] == LEAF else both[_HASH:]


def leaves_hash(leaves: bytes, bit: int) -> bytes:
    """The hash of the subtree that starts at `bit` of the path and holds these leaves."""
    if len(leaves) == LEAF_BYTES:
        return sha256(b"\x00" + leaves).digest()
    if len(leaves) == 0:
        return EMPTY_HASH
    starts = range(0, len(leaves), LEAF_BYTES)
    hashes = [sha256(b"\x00" + leaves[i : i + LEAF_BYTES]).digest() for i in starts]
    paths = [int.from_bytes(leaves[i : i + PATH_BYTES], "big") for i in starts]
    return _join(paths, hashes, bit)


def _join(paths: Sequence[int], hashes: Sequence[bytes], bit: int) -> bytes:
    """The hash of the subtree that starts at `bit` and holds the two leaves or more with these
    hashes.
    """
    # The leaves are in order, so all agree in the bits in which the first and the last agree.
    fork = _PATH_BITS - (paths[0] ^ paths[-1]).bit_length()
    last = len(paths) - 1
    right = 1
    while right < last and not paths[right] >> (_PATH_BITS - 1 - fork) & 1:
        right += 1
    left_hash = hashes[0] if right == 1 else _join(paths[:right], hashes[:right], fork + 1)
    right_hash = hashes[-1] if right == last else _join(paths[right:], hashes[right:], fork + 1)
    joined = sha256(b"\x01" + left_hash + right_hash).digest()
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


def page_key(version: bytes, namespace: bytes, depth: int, path: bytes) -> bytes:
    """The key of the page at `depth` on the way to `path`. `namespace` is packed."""
    prefix = path[: depth >> 1]
    if depth & 1:
        prefix += bytes((path[depth >> 1] & 0xF0,))
    return b"%b%b%b%c%b" % (layout.PAGE, version, namespace, depth, prefix)

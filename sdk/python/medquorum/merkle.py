"""Merkle trees over lists (RFC 6962 section 2.1): roots, inclusion paths and their verification.

leaf = SHA-256(0x00 || data)    node = SHA-256(0x01 || left || right)    empty list = SHA-256("")

A path alone does not tell how many entries there are: entry 0 of six has the path that it has among
seven. Where nothing else certifies the count, the root is a counted one:

counted root = SHA-256(0x02 || count, 8 bytes, big-endian || root)
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def root(entries: Sequence[bytes]) -> bytes:
    """The root over `entries` in their order. Pairing level by level, an odd last node moves up
    unchanged.
    """
    if len(entries) == 0:
        return EMPTY_ROOT
    return _levels(entries)[-1][0]


def counted_root(entries: Sequence[bytes]) -> bytes:
    """A root that also says how many entries it is over."""
    return _counted(len(entries), root(entries))


def path(entries: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings from leaf `index` to the root (RFC 6962 section 2.1.1). Raises IndexError."""
    if not 0 <= index < len(entries):
        raise IndexError(index)
    return _path_in(_levels(entries), index)


def paths(entries: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """The paths of all entries, hashing each only once."""
    tree = Tree(entries)
    return [tree.path(index) for index in range(len(tree))]


class Tree:
    """All hashes over entries in their order, for whoever asks for one path after another."""

    __slots__ = ("_levels", "_size")

    def __init__(self, entries: Sequence[bytes]) -> None:
        self._size = len(entries)
        self._levels = _levels(entries) if self._size else []

    def __len__(self) -> int:
        return self._size

    def path(self, index: int) -> tuple[bytes, ...]:
        """The siblings from leaf `index` to the root. Raises IndexError."""
        if not 0 <= index < self._size:
            raise IndexError(index)
        return _path_in(self._levels, index)


def verify(root_hash: bytes, data: bytes, index: int, size: int, siblings: Sequence[bytes]) -> bool:
    """Whether `data` is entry `index` of the `size` entries under `root_hash`. Total.

    Follows RFC 9162 section 2.1.3.2, which also fixes the length of the path.
    """
    return _root_of(data, index, size, siblings) == root_hash


def verify_counted(
    root_hash: bytes, data: bytes, index: int, size: int, siblings: Sequence[bytes]
) -> bool:
    """The same for a counted root: then `size` is the number of entries. Total."""
    found = _root_of(data, index, size, siblings)
    return found is not None and _counted(size, found) == root_hash


def _counted(size: int, root_hash: bytes) -> bytes:
    return sha256(b"\x02" + size.to_bytes(8, "big") + root_hash).digest()


def _root_of(data: bytes, index: int, size: int, siblings: Sequence[bytes]) -> bytes | None:
    """The root to which a path leads, None if it cannot be a path to this entry."""
    if not 0 <= index < size or size >= 1 << 64:
        return None
    position, last = index, size - 1
    current = leaf_hash(data)
    for sibling in siblings:
        if last == 0:
            return None
        if position & 1 or position == last:
            current = node_hash(sibling, current)
            while not position & 1 and position != 0:
                position >>= 1
                last >>= 1
        else:
            current = node_hash(current, sibling)
        position >>= 1
        last >>= 1
    return current if last == 0 else None


def _levels(entries: Sequence[bytes]) -> list[list[bytes]]:
    level = [sha256(b"\x00" + entry).digest() for entry in entries]
    levels = [level]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        if len(level) & 1:
            above.append(level[-1])
        levels.append(above)
        level = above
    return levels


def _path_in(levels: Sequence[Sequence[bytes]], index: int) -> tuple[bytes, ...]:
    siblings = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            siblings.append(level[sibling])
        index >>= 1
    return tuple(siblings)

"""Which pages of an LMDB file are in use, read from the file itself.

Whoever looks through LMDB at a page that the file lacks is killed by the kernel. And the length of
the file does not tell: a sound one lacks pages at its end that were given up before they were
written. So where it is shorter than its database, this says whether anything is missing.

    page    number (8) | unused (2) | kind (2) | end of the list of nodes (2) | unused (2) | places
            of the nodes (2 each) ... | nodes
    node    lower (2) | upper (2) | flags (2) | length of the key (2) | key | data of a leaf
    meta    page head | 24 bytes | two trees of 48 bytes, the root last | last page (8) | change (8)

In a node of a branch, lower, upper and flags are the number of the page below. In one of a leaf,
the first two are the length of the data; data that is large is the number of the first page of its
own. All in the order of bytes of the machine.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("=QHHHH")
_NODE: Final = struct.Struct("=HHHH")
_NUMBER: Final = struct.Struct("=Q")
_META: Final = struct.Struct("=64xQ40xQ8xQ")
"""Behind the head of the page: the roots of both trees and the number of the last change."""
_META_PAGES: Final = 2
_BRANCH: Final = 1
_LEAF: Final = 2
_LARGE: Final = 1
_NO_PAGE: Final = (1 << 64) - 1


def missing_page(path: Path, page_bytes: int) -> int | None:
    """The number of a page that is in use and not whole in the file at `path`, or that cannot be
    one; None if there is none. Reads all pages of keys. Raises OSError.
    """
    here = path.stat().st_size // page_bytes
    with path.open("rb") as file:
        metas = [file.read(page_bytes) for _ in range(_META_PAGES)]
        found: list[tuple[int, ...]] = [_META.unpack_from(meta, _HEAD.size) for meta in metas]
        *roots, _ = max(found, key=lambda meta: meta[-1])
        waiting, seen = [root for root in roots if root != _NO_PAGE], 0
        while waiting:
            number = waiting.pop()
            seen += 1
            if not _META_PAGES <= number < here or seen > here:
                return number
            file.seek(number * page_bytes)
            below = _named_by(file.read(page_bytes))
            if below is None:
                return number
            pages, large = below
            waiting += pages
            for first, size in large:
                last = first + (_HEAD.size + size - 1) // page_bytes
                if first < _META_PAGES or last >= here:
                    return last
    return None


def _named_by(page: bytes) -> tuple[list[int], list[tuple[int, int]]] | None:
    """The pages below a page, and where its large values begin, with their sizes. None for what is
    no such page.
    """
    _, _, kind, end, _ = _HEAD.unpack_from(page)
    pages: list[int] = []
    large: list[tuple[int, int]] = []
    if kind not in (_BRANCH, _LEAF) or end % 2 or not _HEAD.size <= end <= len(page):
        return None
    for (place,) in struct.iter_unpack("=H", page[_HEAD.size : end]):
        if place + _NODE.size > len(page):
            return None
        lower, upper, flags, key_bytes = _NODE.unpack_from(page, place)
        if kind == _BRANCH:
            pages.append(lower | upper << 16 | flags << 32)
        elif flags & _LARGE:
            data = place + _NODE.size + key_bytes
            if data + _NUMBER.size > len(page):
                return None
            large.append((_NUMBER.unpack_from(page, data)[0], lower | upper << 16))
    return pages, large

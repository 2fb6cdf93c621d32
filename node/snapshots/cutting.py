"""Cuts what a snapshot holds into chunks: the same way at every member (docs/spec/snapshot.md, P1).

The generators yield None now and then, so that whoever drives them can rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zlib import crc32

from medquorum.codec import encode
from node.snapshots.errors import UnmakeableError
from node.snapshots.format import PastChunk, PastHeight, StateChunk
from node.snapshots.limits import (
    CHUNK_BYTES_MAX,
    CHUNK_BYTES_MIN,
    CHUNK_CUT,
    STEP_ENTRIES,
)
from storage.chain import ChainStore
from storage.kv import Reader
from storage.statebuild import read_state

_FRAME_BYTES: Final = 128
"""What a chunk takes beside its entries, at most: two array heads and a name."""
_ENTRY_FRAME_BYTES: Final = 11
"""What an entry of the state takes beside its key and its value, at most."""


def past_chunks(blocks: ChainStore, first: int, last: int) -> Iterator[bytes | None]:
    """The heights from `first` to `last`. Raises UnmakeableError if one is not here."""
    heights: list[PastHeight] = []
    size = _FRAME_BYTES
    for height in range(first, last + 1):
        header, result = blocks.header(height), blocks.result(height)
        if header is None or result is None:
            raise UnmakeableError(f"height {height} is not here")
        past = PastHeight(header, result, blocks.outcomes(height))
        if len(past.outcomes) != header.tx_count:
            raise UnmakeableError(f"the outcomes of height {height} are not here (any more)")
        past_size = len(encode(past))
        if heights and size + past_size > CHUNK_BYTES_MAX:
            yield _checked(encode(PastChunk(tuple(heights))))
            heights, size = [], _FRAME_BYTES
        heights.append(past)
        size += past_size
        if height % STEP_ENTRIES == 0:
            yield None
    yield _checked(encode(PastChunk(tuple(heights))))


def state_chunks(reader: Reader) -> Iterator[bytes | None]:
    """All values of the state.

    A chunk ends with its namespace, before it would be too large, and once it is large enough after
    a key whose checksum says so: where chunks end depends on what is near and not on all before.
    """
    namespace = ""
    entries: list[tuple[bytes, bytes]] = []
    size = _FRAME_BYTES
    for count, (name, key, value) in enumerate(read_state(reader)):
        added = _ENTRY_FRAME_BYTES + len(key) + len(value)
        if entries and (name != namespace or size + added > CHUNK_BYTES_MAX):
            yield _checked(encode(StateChunk(namespace, tuple(entries))))
            entries, size = [], _FRAME_BYTES
        namespace = name
        entries.append((key, value))
        size += added
        if size >= CHUNK_BYTES_MIN and crc32(key) % CHUNK_CUT == 0:
            yield _checked(encode(StateChunk(namespace, tuple(entries))))
            entries, size = [], _FRAME_BYTES
        elif count % STEP_ENTRIES == 0:
            yield None
    if entries:
        yield _checked(encode(StateChunk(namespace, tuple(entries))))


def _checked(chunk: bytes) -> bytes:
    if len(chunk) > CHUNK_BYTES_MAX:
        raise UnmakeableError(f"a single entry takes {len(chunk)} bytes")
    return chunk

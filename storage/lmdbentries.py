"""How keys and values stand in LMDB, which takes keys of 511 bytes at most and has no checksums
(docs/spec/storage.md, rules K3 and K4).

    entry of a key of up to 510 bytes    CRC-32 of key and value (4) | value
    entry of the longer ones             CRC-32 of both (4) | [[rest of the key, value] ...]

The longer ones share the entry of their first 510 bytes with a zero behind them, which no short key
is. It stands behind the short key of those 510 bytes and before all others, as its keys do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from storage.errors import DamagedStoreError

SHORT_BYTES_MAX: Final = 510
LONG: Final = b"\x00"
_CHECK_BYTES: Final = 4
_REST: Final = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])


def entry_of(key: bytes) -> bytes:
    """Under which name LMDB has a key; the key itself if it is short."""
    return key if len(key) <= SHORT_BYTES_MAX else key[:SHORT_BYTES_MAX] + LONG


def sealed(entry: bytes, value: bytes) -> bytes:
    """A value behind its checksum."""
    return crc32(value, crc32(entry)).to_bytes(_CHECK_BYTES, "big") + value


def opened(path: Path, entry: bytes, data: bytes) -> Sequence[tuple[bytes, bytes]]:
    """The keys of an entry with their values, ascending. Raises DamagedStoreError."""
    value = data[_CHECK_BYTES:]
    if crc32(value, crc32(entry)).to_bytes(_CHECK_BYTES, "big") != data[:_CHECK_BYTES]:
        raise DamagedStoreError(path, f"the checksum of the key {entry.hex()} does not match")
    if len(entry) <= SHORT_BYTES_MAX:
        return ((entry, value),)
    try:
        return [(entry[:SHORT_BYTES_MAX] + rest, found) for rest, found in _REST.decode(value)]
    except msgspec.DecodeError as error:
        raise DamagedStoreError(path, f"the key {entry.hex()}: {error}") from None


def changed_rest(
    path: Path, entry: bytes, data: bytes | None, key: bytes, value: bytes | None
) -> bytes | None:
    """What the entry of a long key holds once the key has this value; None for nothing.

    Raises DamagedStoreError: a new checksum would vouch for what is damaged.
    """
    pairs = {} if data is None else dict(opened(path, entry, data))
    if value is None:
        pairs.pop(key, None)
    else:
        pairs[key] = value
    rests = [(held[SHORT_BYTES_MAX:], pairs[held]) for held in sorted(pairs)]
    return msgspec.msgpack.encode(rests) if rests else None

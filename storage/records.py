"""How records stand one after another in a file, so that whatever a crash or a bad disk does to
them is noticed.

    file    = magic (8) | salt (8) | CRC-32 of both (4) | record ...
    record  = length (4) | head check (4) | body check (4) | payload (length bytes, at least 1)
    head check = CRC-32 of salt | offset of the record in the file (8) | length
    body check = CRC-32 of the payload, started from the head check

Integers are big-endian. The salt is random for each file, so bytes inside a payload, whoever chose
them, do not pass for a record, and neither do the remains of an older file. The head has a check of
its own so that a search for records behind a bad one looks at 12 bytes a position, not at a
payload.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final
from zlib import crc32

from medquorum.invariants import InvariantBroken, require
from storage.limits import RECORD_BYTES_MAX

MAGIC_BYTES: Final = 8
SALT_BYTES: Final = 8
CHECK_BYTES: Final = 4
HEADER_BYTES: Final = MAGIC_BYTES + SALT_BYTES + CHECK_BYTES
RECORD_HEAD_BYTES: Final = 12

_U32: Final = Struct(">I")
_HEAD: Final = Struct(">III")
_OFFSET_LENGTH: Final = Struct(">QI")


def file_header(magic: bytes, salt: bytes) -> bytes:
    """The first bytes of a file of records."""
    require(len(magic) == MAGIC_BYTES, f"a magic has {MAGIC_BYTES} bytes")
    require(len(salt) == SALT_BYTES, f"a salt has {SALT_BYTES} bytes")
    return magic + salt + _U32.pack(crc32(magic + salt))


def header_salt(magic: bytes, data: bytes) -> bytes | None:
    """The salt in the header of the file `data`, or None if the header is not whole or of another
    kind.
    """
    head = data[: HEADER_BYTES - CHECK_BYTES]
    check = data[HEADER_BYTES - CHECK_BYTES : HEADER_BYTES]
    if len(check) != CHECK_BYTES or not head.startswith(magic) or _U32.pack(crc32(head)) != check:
        return None
    return head[len(magic) :]


def encode_records(salt: bytes, offset: int, payloads: Iterable[bytes]) -> bytes:
    """The bytes that these payloads take at `offset` of a file with this salt."""
    parts: list[bytes] = []
    for payload in payloads:
        length = len(payload)
        if not 0 < length <= RECORD_BYTES_MAX:
            raise InvariantBroken(f"a record of {length} bytes")
        head_check = crc32(salt + _OFFSET_LENGTH.pack(offset, length))
        parts.append(_HEAD.pack(length, head_check, crc32(payload, head_check)))
        parts.append(payload)
        offset += RECORD_HEAD_BYTES + length
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Run:
    """The good records from `start` on:

    `stop` is where they end, at the end of the file or at the first bad record.
    """

    records: tuple[bytes, ...]
    stop: int


def read_run(salt: bytes, data: bytes, start: int) -> Run:
    """Read records from `start` until the end or the first bad one."""
    records: list[bytes] = []
    offset = start
    while (length := _length_at(salt, data, offset)) is not None:
        payload = data[offset + RECORD_HEAD_BYTES : offset + RECORD_HEAD_BYTES + length]
        _, head_check, body_check = _HEAD.unpack_from(data, offset)
        if len(payload) != length or crc32(payload, head_check) != body_check:
            break
        records.append(payload)
        offset += RECORD_HEAD_BYTES + length
    return Run(tuple(records), offset)


def next_good(salt: bytes, data: bytes, bad: int) -> int | None:
    """The offset of the first good record behind the bad one at `bad`, or None if nothing good
    follows.

    Where the head of the bad record is whole and its payload runs over the end of the file, the
    tear is certain.
    """
    length = _length_at(salt, data, bad)
    if length is not None and bad + RECORD_HEAD_BYTES + length > len(data):
        return None
    for offset in range(bad + 1, len(data) - RECORD_HEAD_BYTES):
        if (
            _length_at(salt, data, offset) is not None
            and read_run(salt, data, offset).stop > offset
        ):
            return offset
    return None


def _length_at(salt: bytes, data: bytes, offset: int) -> int | None:
    """The length that a whole record head at `offset` states; None if there is no whole head."""
    if offset + RECORD_HEAD_BYTES > len(data):
        return None
    length, head_check, _ = _HEAD.unpack_from(data, offset)
    if not 0 < length <= RECORD_BYTES_MAX:
        return None
    if crc32(salt + _OFFSET_LENGTH.pack(offset, length)) != head_check:
        return None
    return int(length)

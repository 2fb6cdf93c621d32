"""One file that holds a range of the chain, and what proves it (docs/spec/archive.md).

    file    = magic (8) | length of the head (4) | hash of the head (32) | head | entry ...
    entry   = length (4) | hash (32) | a height, compressed with zlib (length bytes)

Integers are big-endian. The head has the root over the hashes of all entries, so no byte of the
file can be another without one of these hashes saying where. What is held against what: proving.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from hashlib import sha256
from struct import Struct
from typing import Annotated, BinaryIO, Final, Literal, NamedTuple

from msgspec import Meta

from medquorum import merkle
from medquorum.block import Header, Result, ValidatorSet
from medquorum.certificate import CommitCertificate
from medquorum.codec import Hash, Height, Wire, WireT, decode, encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.history import Certified, SetChange
from medquorum.limits import HISTORY_CHANGES_MAX, RECOVERY_BYTES_MAX
from medquorum.recovery import unpack_recovery
from node.archive.limits import (
    ARCHIVE_ENTRY_BYTES_MAX,
    ARCHIVE_HEAD_BYTES_MAX,
    ARCHIVE_HEIGHTS_MAX,
)

MAGIC: Final = b"MQARCH\x00\x01"
_HASH_BYTES: Final = 32
_LENGTH: Final = Struct(">I")
_LEVEL: Final = 6


class ArchivedChange(Wire):
    """A height below the archive that changed the validators, and the set that votes after it."""

    header: Header
    result: Result
    certificate: CommitCertificate
    validators: ValidatorSet
    recovery: Annotated[bytes, Meta(max_length=RECOVERY_BYTES_MAX)]
    """How organisations named that set; empty if the result did."""


class ArchiveHead(Wire):
    """What an archive says of itself. `parent` is the hash of the block below `first`, and the
    chain's id for height 1; `changes` lead from the genesis to the validators of `first`.
    """

    version: Literal[1]
    chain_id: Hash
    first: Height
    last: Height
    parent: Hash
    root: Hash
    changes: Annotated[tuple[ArchivedChange, ...], Meta(max_length=HISTORY_CHANGES_MAX)]

    def set_changes(self) -> tuple[SetChange, ...]:
        """The history of the validators below the archive."""
        return tuple(
            SetChange(
                Certified(c.header, c.result, c.certificate),
                c.validators,
                unpack_recovery(c.recovery),
            )
            for c in self.changes
        )


class ArchivedHeight(Wire):
    """A height, each part as the database holds it. `validators` is the set that votes from the
    next height on if it is another one, else empty.
    """

    header: bytes
    result: bytes
    certificate: bytes
    transactions: bytes
    outcomes: bytes
    events: bytes
    validators: bytes


class Payload(NamedTuple):
    """A height as it stands in a file, and the hash of it that the root is made of."""

    framed: bytes
    digest: bytes


def payload_of(content: ArchivedHeight) -> Payload:
    """An entry of a file."""
    payload = zlib.compress(encode(content), _LEVEL)
    digest = sha256(payload).digest()
    return Payload(_LENGTH.pack(len(payload)) + digest + payload, digest)


def framed(head: ArchiveHead) -> bytes:
    """The beginning of a file, up to its first entry."""
    data = encode(head)
    return MAGIC + _LENGTH.pack(len(data)) + sha256(data).digest() + data


class Entry(NamedTuple):
    """A height of an archive, and where it stands in the file."""

    height: int
    offset: int
    digest: bytes
    content: ArchivedHeight


class ArchiveReader:
    """Reads an archive. Each byte that is not what was written raises VerificationError, with the
    place: `archive_head`, `archive_entry` with its height, `archive_root`, `archive_end`.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Reads the head of a file that is open at its beginning."""
        self._stream = stream
        if stream.read(len(MAGIC)) != MAGIC:
            raise VerificationError("archive_format", "this is no archive of this version")
        frame = stream.read(_LENGTH.size + _HASH_BYTES)
        if len(frame) != _LENGTH.size + _HASH_BYTES:
            raise VerificationError("archive_head", "the file ends in the head")
        (length,) = _LENGTH.unpack_from(frame)
        if length > ARCHIVE_HEAD_BYTES_MAX:
            raise VerificationError("archive_head", f"{length} bytes are too many")
        data = stream.read(length)
        if len(data) != length or sha256(data).digest() != frame[_LENGTH.size :]:
            raise VerificationError("archive_head", "it is not what was written")
        self.head = _decoded(ArchiveHead, data, "archive_head", "the head", ARCHIVE_HEAD_BYTES_MAX)
        count = self.head.last - self.head.first + 1
        if self.head.first < 1 or not 1 <= count <= ARCHIVE_HEIGHTS_MAX:
            raise VerificationError("archive_head", "its range is none")
        self._start = stream.tell()

    def entries(self) -> Iterator[Entry]:
        """All heights, ascending. The root and the end of the file are checked after the last."""
        self._stream.seek(self._start)
        hashes: list[bytes] = []
        for height in range(self.head.first, self.head.last + 1):
            entry = self._read(height)
            hashes.append(entry.digest)
            yield entry
        if merkle.root(hashes) != self.head.root:
            raise VerificationError("archive_root", "the entries do not have the root of the head")
        if self._stream.read(1):
            raise VerificationError("archive_end", "something follows the last entry")

    def again(self, height: int, offset: int, digest: bytes) -> ArchivedHeight:
        """A height that was read before. Raises VerificationError if the file changed meanwhile."""
        self._stream.seek(offset)
        entry = self._read(height)
        if entry.digest != digest:
            raise VerificationError("archive_entry", f"height {height} changed while it was read")
        return entry.content

    def _read(self, height: int) -> Entry:
        offset = self._stream.tell()
        frame = self._stream.read(_LENGTH.size + _HASH_BYTES)
        if len(frame) != _LENGTH.size + _HASH_BYTES:
            raise VerificationError("archive_entry", f"the file ends before height {height}")
        (length,) = _LENGTH.unpack_from(frame)
        digest = frame[_LENGTH.size :]
        if length > ARCHIVE_ENTRY_BYTES_MAX:
            raise VerificationError("archive_entry", f"height {height} has {length} bytes")
        payload = self._stream.read(length)
        # At the end of the file a length that is too long would read the right bytes all the same.
        if len(payload) != length or sha256(payload).digest() != digest:
            raise VerificationError("archive_entry", f"height {height} is not what was written")
        data = _inflated(payload, height)
        content = _decoded(
            ArchivedHeight, data, "archive_entry", f"height {height}", ARCHIVE_ENTRY_BYTES_MAX
        )
        return Entry(height, offset, digest, content)


def _inflated(payload: bytes, height: int) -> bytes:
    """A small file must not become a large memory: what grows beyond the limit is refused."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(payload, ARCHIVE_ENTRY_BYTES_MAX)
    except zlib.error as error:
        raise VerificationError("archive_entry", f"height {height}: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise VerificationError("archive_entry", f"height {height} is not one compressed entry")
    return data


def _decoded(kind: type[WireT], data: bytes, reason: str, what: str, size_max: int) -> WireT:
    try:
        return decode(kind, data, size_max=size_max)
    except DecodeError as error:
        raise VerificationError(reason, f"{what}: {error}") from None

"""What a backup is made of: all entries of the chain's database at one height, in chunks that are
named by their hashes, and a manifest that names the chunks.

    LOCK                      one process at a time writes here
    <height>-<digest>.head    the manifest behind its hash; there once all chunks are durable
    chunks/<hh>/<hash>        entries, shared by all backups that hold them

Keys, sign state, logs and the vault are not in it.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from medquorum.codec import U32, U53, Hash, Height, Wire, decode, encode
from medquorum.errors import DecodeError
from node.backup.errors import FalseBackupError
from node.backup.limits import (
    CHUNK_BYTES_TARGET_MAX,
    CHUNK_FRAME_BYTES,
    CHUNKS_MAX,
    MANIFEST_BYTES_MAX,
    SOFTWARE_CHARS_MAX,
)
from storage.errors import FormatError
from storage.limits import VAULT_BLOB_BYTES_MAX
from storage.snapshots import SnapshotFiles, SnapshotName

VERSION: Final = 1


class ChunkRef(Wire):
    """A chunk by the SHA-256 of its bytes, and how many they are."""

    hash: Hash
    size: Annotated[int, Meta(ge=1, le=VAULT_BLOB_BYTES_MAX)]


Entry = tuple[bytes, bytes]
"""A key of the database, and its value."""


class BackupChunk(Wire):
    """Keys of the database with their values, ascending."""

    entries: Annotated[tuple[Entry, ...], Meta(min_length=1)]


class LargeEntry(Wire):
    """A chunk with one entry: every chunk that is larger than others may be."""

    entries: tuple[Entry]


class BackupManifest(Wire):
    """All of a backup by its hashes. `layout` is the version of the database's layout."""

    version: Literal[1]
    software: Annotated[str, Meta(max_length=SOFTWARE_CHARS_MAX)]
    layout: U32
    chain_id: Hash
    height: Height
    block_hash: Hash
    result_hash: Hash
    state_root: Hash
    entries: U53
    chunks: Annotated[tuple[ChunkRef, ...], Meta(min_length=1, max_length=CHUNKS_MAX)]

    def name(self) -> SnapshotName:
        """Under what it is kept."""
        return SnapshotName(self.height, sha256(encode(self)).digest())

    def size(self) -> int:
        """The bytes of all chunks together."""
        return sum(chunk.size for chunk in self.chunks)


def load_manifest(files: SnapshotFiles, name: SnapshotName) -> BackupManifest:
    """The manifest with this name. Raises FalseBackupError if it rotted, FormatError if a
    newer version of MedQuorum wrote it; DiskError.
    """
    part = f"the manifest {name.height:016d}-{name.digest.hex()}"
    data = files.head(name)
    if data is None:
        raise FalseBackupError(part, "it is not there, or not what was written")
    try:
        manifest = decode(BackupManifest, data, size_max=MANIFEST_BYTES_MAX)
    except DecodeError as error:
        _refuse_newer(part, data)
        raise FalseBackupError(part, str(error)) from None
    if manifest.name() != name:
        raise FalseBackupError(part, "it is that of another backup")
    return manifest


def _refuse_newer(part: str, data: bytes) -> None:
    """Raise FormatError for the manifest of a newer version, which begins with its number too."""
    try:
        first = msgspec.msgpack.decode(data, type=list[object])[:1]
    except msgspec.DecodeError:
        return
    match first:
        case [int(version)] if version > VERSION:
            raise FormatError(part, version, VERSION)


def decode_chunk(data: bytes) -> tuple[Entry, ...]:
    """What a chunk holds. Raises DecodeError. What it takes in memory is bounded: of many entries
    each takes some, however few bytes it has in the chunk.
    """
    if len(data) > CHUNK_BYTES_TARGET_MAX + CHUNK_FRAME_BYTES:
        return decode(LargeEntry, data, size_max=VAULT_BLOB_BYTES_MAX).entries
    return decode(BackupChunk, data, size_max=len(data)).entries


def chunks_of(directory: Path) -> Path:
    """Where the chunks of the backups in a directory are."""
    return directory / "chunks"

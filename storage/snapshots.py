"""Snapshots on the disk: heads under their heights, chunks under their hashes
(docs/spec/snapshot.md, P6).

    <height>-<digest>.head   a hash, and what the snapshot is: there once all chunks are durable
    chunks/<hh>/<hash>       content, shared by all snapshots that hold it

What the bytes mean is the caller's knowledge. A head and a chunk are hashed whenever they are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

from storage.files import TEMP_SUFFIX, DiskFiles, Files, replace_file
from storage.limits import SNAPSHOT_HEAD_BYTES_MAX
from storage.vault import VaultDirectory, read_blob

_SUFFIX: Final = ".head"
_HEIGHT_DIGITS: Final = 16
_DIGEST_DIGITS: Final = 64
_HASH_BYTES: Final = 32


class SnapshotName(NamedTuple):
    """What a snapshot is told by. Of two, the later one is the greater."""

    height: int
    digest: bytes


class SnapshotFiles:
    """The snapshots of one node, or what it has of one that it fetches.

    Safe from several threads at once; one process at a time writes. All may raise DiskFullError,
    DiskFailedError.
    """

    __slots__ = ("_chunks", "_files", "_opening", "_path")

    def __init__(self, path: Path, *, files: Files | None = None) -> None:
        """Touches nothing yet."""
        self._path = path
        self._files: Files = DiskFiles() if files is None else files
        self._chunks: VaultDirectory | None = None
        self._opening = Lock()

    @property
    def chunks(self) -> VaultDirectory:
        """The chunks by their hashes, for the process that writes: the first use creates the
        directory if it is not there, and removes what an interrupted process was writing.
        """
        with self._opening:
            if self._chunks is None:
                self._chunks = VaultDirectory(self._path / "chunks", files=self._files)
            return self._chunks

    def read_chunk(self, chunk: bytes) -> bytes:
        """The content with this hash. Only reads, so another process may write meanwhile.

        Raises BlobNotFoundError, DamagedBlobError.
        """
        return read_blob(self._path / "chunks", chunk, files=self._files)

    def names(self) -> tuple[SnapshotName, ...]:
        """All snapshots that are whole, ascending."""
        found = (_parse(name) for name in self._files.names(self._path))
        return tuple(sorted(name for name in found if name is not None))

    def head(self, name: SnapshotName) -> bytes | None:
        """The head of a snapshot, or None: also if it rotted. What it says is to be held against
        the digest.
        """
        file = self._file_of(name)
        size = self._files.size(file)
        if size is None or not _HASH_BYTES < size <= SNAPSHOT_HEAD_BYTES_MAX:
            return None
        data = self._files.read(file)
        if data is None or sha256(data[_HASH_BYTES:]).digest() != data[:_HASH_BYTES]:
            return None
        return data[_HASH_BYTES:]

    def keep(self, name: SnapshotName, head: bytes) -> None:
        """Give chunks that are here a head. It is durable when this returns."""
        replace_file(self._files, self._file_of(name), sha256(head).digest() + head)

    def keep_last(self, keep: int, made: SnapshotName) -> None:
        """Drop all but the last `keep`, of which `made` is one, whatever its height: a chain that
        was taken back makes lower ones than are here, and these would be gone as soon as made.
        """
        others = [name for name in self.names() if name != made]
        for name in others[: max(0, len(others) - (keep - 1))]:
            self.drop(name)

    def drop(self, name: SnapshotName) -> None:
        """Forget a snapshot. Its chunks stay until `sweep`."""
        self._files.remove(self._file_of(name))
        self._files.sync_directory(self._path)

    def sweeping(self, needed: Collection[bytes]) -> Iterator[int]:
        """Delete every chunk that is not needed, and what a crash left, in short steps; how many
        were deleted in each.

        What else stands in the directory, nobody knows whose it is, and it stays.
        """
        for name in self._files.names(self._path):
            if name.endswith(TEMP_SUFFIX) and _parse(name.removesuffix(TEMP_SUFFIX)) is not None:
                self._files.remove(self._path / name)
        yield from self.chunks.keep_only(needed)

    def _file_of(self, name: SnapshotName) -> Path:
        return self._path / f"{name.height:0{_HEIGHT_DIGITS}d}-{name.digest.hex()}{_SUFFIX}"


def _parse(name: str) -> SnapshotName | None:
    """What a file name stands for; None for a file that is not ours."""
    height, dash, digest = name.removesuffix(_SUFFIX).partition("-")
    if not name.endswith(_SUFFIX) or dash == "" or not height.isdigit():
        return None
    if len(height) != _HEIGHT_DIGITS or len(digest) != _DIGEST_DIGITS:
        return None
    try:
        return SnapshotName(int(height), bytes.fromhex(digest))
    except ValueError:
        return None

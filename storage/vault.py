"""The vault: blobs named by the SHA-256 of their content (docs/spec/storage.md section 6).

It neither knows nor asks that they are ciphertext. Rules, numbered as there:
B1 `put` returns after the blob and its name are on the disk.
B2 `get` returns what was put or raises: the content is hashed on every read.
B3 `delete` unlinks the file and syncs the directory; nothing is kept aside.
B4 What an interrupted `put` leaves behind is removed at the next opening.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Final

from medquorum.invariants import require
from storage.errors import BlobNotFoundError, DamagedBlobError, DiskError
from storage.files import TEMP_SUFFIX, DiskFiles, Files, write_synced
from storage.limits import VAULT_BLOB_BYTES_MAX

_INCOMING: Final = "incoming"
_ID_BYTES: Final = 32
_SHARD_CHARACTERS: Final = 2


class VaultDirectory:
    """Blobs in the files of a directory, spread over 256 shards by the first byte of their ids.

    Safe from several threads at once; one process at a time.
    """

    __slots__ = ("_files", "_path", "_serial")

    def __init__(self, path: Path, *, files: Files | None = None) -> None:
        """Open the vault at `path`, creating it if it is not there (B4).

        Raises DiskFullError, DiskFailedError.
        """
        self._path = path
        self._files: Files = DiskFiles() if files is None else files
        self._serial = count()
        incoming = path / _INCOMING
        self._files.make_directory(incoming)
        for name in self._files.names(incoming):
            self._files.remove(incoming / name)

    def put(self, ciphertext: bytes) -> bytes:
        """Keep `ciphertext` and return its id; harmless if it is here already (B1).

        The caller has checked its size against VAULT_BLOB_BYTES_MAX. A damaged copy is replaced.
        Raises DiskFullError, DiskFailedError.
        """
        require(len(ciphertext) <= VAULT_BLOB_BYTES_MAX, f"a blob of {len(ciphertext)} bytes")
        blob_id = sha256(ciphertext).digest()
        target = self._file_of(blob_id)
        self._files.make_directory(target.parent)
        if self._files.read(target) != ciphertext:
            # Two threads may put the same blob: each writes a file of its own, and the renames
            # agree.
            name = f"{blob_id.hex()}.{next(self._serial)}{TEMP_SUFFIX}"
            temp = self._path / _INCOMING / name
            try:
                write_synced(self._files, temp, ciphertext)
            except DiskError:
                with suppress(DiskError):  # give back the room it takes
                    self._files.remove(temp)
                raise
            self._files.rename(temp, target)
        # Also when the blob was here: the crash of an earlier put may have come before its sync.
        self._files.sync_directory(target.parent)
        return blob_id

    def get(self, blob_id: bytes) -> bytes:
        """The ciphertext with this id (B2).

        Raises BlobNotFoundError, DamagedBlobError, DiskFailedError.
        """
        return read_blob(self._path, blob_id, files=self._files)

    def has(self, blob_id: bytes) -> bool:
        """Whether there is a file for this id. Does not read it."""
        return self._files.size(self._file_of(blob_id)) is not None

    def delete(self, blob_id: bytes) -> bool:
        """Remove the blob (B3); whether it was there.

        What the device itself remembers is beyond our reach.
        """
        target = self._file_of(blob_id)
        if not self._files.remove(target):
            return False
        self._files.sync_directory(target.parent)
        return True

    def keep_only(self, needed: Collection[bytes]) -> Iterator[int]:
        """Remove every other blob, as B3 does, in 256 steps; how many went with each. What is put
        between two steps and is not `needed` may go, too.
        """
        for shard in range(256):
            directory = self._path / f"{shard:02x}"
            gone = 0
            for name in self._files.names(directory):
                blob_id = parse_id(directory.name, name)
                if blob_id is not None and blob_id not in needed:
                    gone += self._files.remove(directory / name)
            if gone > 0:
                self._files.sync_directory(directory)
            yield gone

    def ids(self) -> Iterator[bytes]:
        """The ids of all blobs, ascending.

        Blobs that come or go meanwhile may or may not be among them.
        """
        for _, blob_id in self._entries():
            yield blob_id

    def bytes_used(self) -> int:
        """The size of all blobs together. Looks at every file, so not for a hot path."""
        return sum(self._files.size(path) or 0 for path, _ in self._entries())

    def _entries(self) -> Iterator[tuple[Path, bytes]]:
        for shard in range(256):
            directory = self._path / f"{shard:02x}"
            for name in self._files.names(directory):
                if (blob_id := parse_id(directory.name, name)) is not None:
                    yield directory / name, blob_id

    def _file_of(self, blob_id: bytes) -> Path:
        return _file_in(self._path, blob_id)


def read_blob(path: Path, blob_id: bytes, *, files: Files, size: int | None = None) -> bytes:
    """What `VaultDirectory(path).get` gives, without opening the vault, which cleans it up: for
    directories that another process writes, or that nobody can write. Of another `size` than the
    one that is expected nothing is read.

    Raises BlobNotFoundError, DamagedBlobError, DiskFailedError.
    """
    file = _file_in(path, blob_id)
    if size is not None and files.size(file) not in {None, size}:
        raise DamagedBlobError(blob_id)
    data = files.read(file)
    if data is None:
        raise BlobNotFoundError(blob_id)
    if sha256(data).digest() != blob_id:
        raise DamagedBlobError(blob_id)
    return data


def _file_in(path: Path, blob_id: bytes) -> Path:
    require(len(blob_id) == _ID_BYTES, f"a blob id has {_ID_BYTES} bytes, not {len(blob_id)}")
    name = blob_id.hex()
    return path / name[:_SHARD_CHARACTERS] / name


def parse_id(shard: str, name: str) -> bytes | None:
    """The id that a file name in a shard stands for; None for a file that is not ours."""
    if len(name) != 2 * _ID_BYTES or not name.startswith(shard) or name != name.lower():
        return None
    try:
        return bytes.fromhex(name)
    except ValueError:
        return None

"""LevelDB behind the KV interface. The only file that knows plyvel."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import plyvel

from medquorum.invariants import InvariantBroken
from storage import limits
from storage.errors import DamagedStoreError, DiskFailedError, DiskFullError, StorageError
from storage.files import DiskFiles
from storage.kv import Batch, Snapshot

Compression: TypeAlias = Literal["none", "snappy"]

_BEYOND_THE_END = os.strerror(errno.EINVAL)
"""How LevelDB says that a table ends before a block which its index names."""
_DATA_SUFFIXES = frozenset({".ldb", ".log", ".sst"})
_FULL_TEXTS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class _RawReader(Protocol):
    """What a plyvel database and a plyvel snapshot have in common."""

    def get(self, key: bytes, *, verify_checksums: bool) -> bytes | None: ...

    def iterator(
        self, *, start: bytes | None, stop: bytes, reverse: bool, verify_checksums: bool
    ) -> _RawIterator: ...

    def close(self) -> None: ...


class _RawIterator(Protocol):
    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...

    def close(self) -> None: ...


class LevelDB:
    """A KV in a directory. One process at a time may have it open; its threads may share it.

    Whoever closes it makes sure that no other thread is inside a call. Checksums are verified on
    every read, and with `paranoid_checks` in compactions and on recovery as well: a state that
    silently differs from the others' is a fork.
    """

    __slots__ = ("_db", "_failed", "_path", "_write_batch")

    def __init__(
        self,
        path: Path,
        *,
        write_buffer_bytes: int = limits.LEVELDB_WRITE_BUFFER_BYTES,
        cache_bytes: int = limits.LEVELDB_CACHE_BYTES,
        open_files_max: int = limits.LEVELDB_OPEN_FILES_MAX,
        compression: Compression = "none",
    ) -> None:
        """Open the store at `path`, creating it if it is not there. `compression` is for tables
        that are written from now on; each block of a table says how it was written.

        Recovery replays LevelDB's own log, so this may write. Raises DamagedStoreError,
        DiskFullError, DiskFailedError.
        """
        self._path = path
        self._failed: StorageError | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            _require_current(path)
            self._db = plyvel.DB(
                str(path),
                create_if_missing=True,
                paranoid_checks=True,
                write_buffer_size=write_buffer_bytes,
                lru_cache_size=cache_bytes,
                block_size=limits.LEVELDB_BLOCK_BYTES,
                max_file_size=limits.LEVELDB_FILE_BYTES,
                max_open_files=open_files_max,
                bloom_filter_bits=limits.LEVELDB_BLOOM_BITS,
                compression=None if compression == "none" else compression,
            )
            # The first acknowledged write needs the names of the files it is in.
            files = DiskFiles()
            files.sync_directory(path)
            files.sync_directory(path.parent)
        except (plyvel.Error, OSError) as error:
            raise _typed(path, "open", error) from None
        self._write_batch = self._db.write_batch

    def get(self, key: bytes) -> bytes | None:
        """See Reader.get."""
        # Not by way of `_get`: executing a block reads thousands of values.
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except (plyvel.Error, RuntimeError) as error:
            raise _typed(self._path, "read", error) from None
        return value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader.scan.

        The iterator holds an implicit snapshot until it is exhausted or dropped.
        """
        return _scan(self._path, self._db, start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """See KV.write.

        A failed append may leave half a record in LevelDB's log, behind which later records would
        be lost on recovery. That is why a failure is final until the store is opened again.
        """
        if self._failed is not None:
            raise self._failed
        try:
            with self._write_batch(transaction=True, sync=sync) as raw:
                for key, value in batch.operations:
                    if value is None:
                        raw.delete(key)
                    else:
                        raw.put(key, value)
        except (plyvel.Error, OSError, RuntimeError) as error:
            self._failed = _typed(self._path, "write", error)
            raise self._failed from None

    def snapshot(self) -> Snapshot:
        """See KV.snapshot."""
        try:
            return _LevelDBSnapshot(self._path, self._db.snapshot())
        except RuntimeError as error:
            raise _typed(self._path, "snapshot", error) from None

    def compact(self, start: bytes, stop: bytes) -> None:
        """Rewrite this key range without deleted entries.

        Takes seconds on a large store; needs room for a copy.
        """
        try:
            self._db.compact_range(start=start, stop=stop)
        except (plyvel.Error, RuntimeError) as error:
            raise _typed(self._path, "compact", error) from None

    def range_bytes(self, start: bytes, stop: bytes) -> int:
        """About how much room the files give to this key range, deleted entries included.

        What was written last and is still in memory does not count.
        """
        try:
            size: int = self._db.approximate_size(start, stop)
        except (plyvel.Error, RuntimeError) as error:
            raise _typed(self._path, "measure", error) from None
        return size

    def close(self) -> None:
        """See KV.close. Writes without `sync` survive: the kernel has them."""
        self._db.close()

    def bytes_on_disk(self) -> int:
        """See KV.bytes_on_disk: the sizes of all files of the store."""
        if self._db.closed:
            raise InvariantBroken("the store is closed")
        total = 0
        for file in self._path.iterdir():
            try:
                total += file.stat().st_size
            except FileNotFoundError:  # a compaction has just removed it
                continue
        return total


class _LevelDBSnapshot:
    __slots__ = ("_path", "_snapshot")

    def __init__(self, path: Path, snapshot: _RawReader) -> None:
        self._path = path
        self._snapshot = snapshot

    def get(self, key: bytes) -> bytes | None:
        return _get(self._path, self._snapshot, key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return _scan(self._path, self._snapshot, start, stop, reverse=reverse)

    def close(self) -> None:
        self._snapshot.close()


def _get(path: Path, source: _RawReader, key: bytes) -> bytes | None:
    try:
        return source.get(key, verify_checksums=True)
    except (plyvel.Error, RuntimeError) as error:
        raise _typed(path, "read", error) from None


def _scan(
    path: Path, source: _RawReader, start: bytes, stop: bytes, *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    try:
        # Made here and not in the generator, whose body would only run at the first step. Plyvel's
        # own lower bound loses the last pair of a range, read backwards, whose key is that bound.
        low, last = (None, start) if reverse else (start, b"")
        iterator = source.iterator(start=low, stop=stop, reverse=reverse, verify_checksums=True)
    except (plyvel.Error, RuntimeError) as error:
        raise _typed(path, "read", error) from None
    return _pairs(path, iterator, last)


def _pairs(path: Path, iterator: _RawIterator, last: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those from the key `last` on."""
    try:
        for pair in iterator:
            if pair[0] < last:
                return
            yield pair
    except (plyvel.Error, RuntimeError) as error:
        raise _typed(path, "read", error) from None
    finally:
        iterator.close()


def _typed(path: Path, operation: str, error: Exception) -> StorageError:
    """LevelDB's status as one of our errors.

    It has no code, only the text of strerror, so the text decides.
    """
    if isinstance(error, RuntimeError):
        raise InvariantBroken(f"{operation} of a closed store: {error}")
    detail = (
        error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
    )
    if any(text in detail for text in _FULL_TEXTS):
        return DiskFullError(path, operation, detail)
    if isinstance(error, plyvel.CorruptionError) or detail.startswith(
        ("Corruption", "NotFound", "Invalid argument")
    ):
        return DamagedStoreError(path, detail)
    if operation == "read" and detail.endswith(_BEYOND_THE_END):
        return DamagedStoreError(path, f"{detail}: a file is shorter than it was")
    return DiskFailedError(path, operation, detail)


def data_files(path: Path) -> list[str]:
    """The files in a directory that LevelDB keeps its data in, by name."""
    return [file.name for file in path.iterdir() if file.suffix in _DATA_SUFFIXES]


def _require_current(path: Path) -> None:
    """Refuse a directory with data and without the file that says what of it counts: LevelDB would
    begin an empty store there, and remove the data. A creation that a crash cut short has none yet.
    """
    if (path / "CURRENT").exists():
        return
    left = data_files(path)
    if left:
        raise DamagedStoreError(path, f"CURRENT is missing, although {min(left)} is there")

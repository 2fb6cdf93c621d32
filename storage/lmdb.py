"""LMDB behind the KV interface. The only file that knows lmdb, which is an extra: nothing imports
this one unless the configuration asks for it (docs/spec/storage.md, section 9).

What LMDB does not do by itself is done here. It has no checksums: each value is stored behind a
CRC-32 of its key and itself. Its keys have 511 bytes at most, and ours more: those that are as long
as that share an entry with all that begin alike, which keeps their order. Its map has a size: it
grows while nobody reads, and there is room for as much again as the database has.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, RLock
from typing import Final

import lmdb

from medquorum.invariants import InvariantBroken, require
from storage import limits
from storage.errors import DamagedStoreError, DiskFailedError, DiskFullError, StorageError
from storage.files import FULL, DiskFiles, sync_file
from storage.kv import Batch, Snapshot
from storage.lmdbentries import LONG, SHORT_BYTES_MAX, changed_rest, entry_of, opened, sealed
from storage.lmdbpages import missing_page

DATA_NAME: Final = "data.mdb"
_COMPACTED: Final = "compacted.tmp"
_DAMAGED: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)


class LMDB:
    """A KV in a directory. One process at a time may have it open; its threads may share it.

    Every write is synced, whether or not it asks for it: LMDB without a sync may leave a database
    that a power cut damages. Whoever closes it makes sure that no other thread is inside a call.
    """

    __slots__ = (
        "_closed",
        "_env",
        "_failed",
        "_map_bytes_max",
        "_map_bytes_min",
        "_path",
        "_readers",
        "_writing",
    )

    def __init__(
        self,
        path: Path,
        *,
        map_bytes_min: int = limits.LMDB_MAP_BYTES_MIN,
        map_bytes_max: int = limits.LMDB_MAP_BYTES_MAX,
    ) -> None:
        """Open the store at `path`, creating it if it is not there.

        The map takes addresses and no room: the file is as large as what was written to it. Raises
        DamagedStoreError, DiskFullError, DiskFailedError.
        """
        self._path = path
        self._map_bytes_min = map_bytes_min
        self._map_bytes_max = map_bytes_max
        self._failed: StorageError | None = None
        self._closed = False
        self._writing = Lock()
        self._readers = _Readers()
        try:
            path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(path / _COMPACTED, ignore_errors=True)
            self._env = self._opened()
        except (lmdb.Error, OSError) as error:
            raise _typed(path, "open", error) from None
        files = DiskFiles()
        files.sync_directory(path)
        files.sync_directory(path.parent)

    def get(self, key: bytes) -> bytes | None:
        """See Reader.get."""
        view = self._view("read")
        try:
            return view.get(key)
        finally:
            view.close()

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader.scan. The map cannot grow until the iterator is exhausted or dropped."""
        return self._view("read").scan(start, stop, reverse=reverse, own=True)

    def write(self, batch: Batch, *, sync: bool) -> None:  # noqa: ARG002 - it always is
        """See KV.write. With or without `sync` it is on disk when this returns."""
        with self._writing:
            require(not self._closed, "the store is closed")
            if self._failed is not None:
                raise self._failed
            try:
                if _used(self._env) * 2 > self._map_bytes():
                    self._grow()
                while not self._committed(batch):
                    if not self._grow():
                        detail = f"its map of {self._map_bytes()} bytes is full"
                        raise DiskFullError(self._path, "write", detail)
            except (lmdb.Error, OSError) as error:
                self._failed = _typed(self._path, "write", error)
                raise self._failed from None
            except StorageError as error:
                self._failed = error
                raise

    def snapshot(self) -> Snapshot:
        """See KV.snapshot. While it is open the map cannot grow, and no room is used again."""
        return self._view("snapshot")

    def rewrite(self) -> None:
        """Copy the database without what was deleted and put the copy in its place. Nobody may be
        reading. A crash leaves the old one or the new one.

        Raises DiskFullError, DiskFailedError: then the database is in use as before.
        """
        with self._writing, self._readers.none() as alone:
            require(alone, "somebody reads the store while it is rewritten")
            require(not self._closed, "the store is closed")
            copy = self._path / _COMPACTED
            try:
                copy.mkdir()
                self._env.copy(str(copy), compact=True)
                sync_file(copy / DATA_NAME)
                self._env.close()
                try:
                    (copy / DATA_NAME).replace(self._path / DATA_NAME)
                    DiskFiles().sync_directory(self._path)
                finally:
                    self._env = self._opened()
            except (lmdb.Error, OSError) as error:
                raise _typed(self._path, "compact", error) from None
            finally:
                shutil.rmtree(copy, ignore_errors=True)

    def close(self) -> None:
        """See KV.close."""
        if not self._closed:
            self._closed = True
            self._env.close()

    def bytes_on_disk(self) -> int:
        """See KV.bytes_on_disk: the sizes of all files of the store."""
        require(not self._closed, "the store is closed")
        return sum(file.stat().st_size for file in self._path.iterdir() if file.is_file())

    @property
    def map_bytes(self) -> int:
        """How large the database may become before the map has to grow."""
        require(not self._closed, "the store is closed")
        return self._map_bytes()

    def _opened(self) -> lmdb.Environment:
        data = self._path / DATA_NAME
        size = self._map_bytes_min
        here = data.stat().st_size if data.exists() else 0
        while size < 2 * here and size < self._map_bytes_max:
            size = min(2 * size, self._map_bytes_max)
        env = lmdb.open(
            str(self._path),
            map_size=max(size, here),
            mode=0o600,
            readahead=False,
            max_readers=limits.LMDB_READERS_MAX,
            max_spare_txns=limits.LMDB_SPARE_READERS,
        )
        try:
            self._require_all_pages(env, data)
        except BaseException:
            env.close()
            raise
        return env

    def _require_all_pages(self, env: lmdb.Environment, data: Path) -> None:
        """The kernel kills whoever reads behind the end of a mapped file, so look before."""
        needed, here = _used(env), data.stat().st_size
        if needed > here:
            missing = missing_page(data, env.stat()["psize"])
            if missing is not None:
                raise DamagedStoreError(
                    self._path,
                    f"{DATA_NAME} has {here} of {needed} bytes: page {missing} is missing",
                )

    def _map_bytes(self) -> int:
        return self._env.info()["map_size"]

    def _grow(self) -> bool:
        """Double the map if nobody reads; whether it has grown. Readers look through the old one:
        it must not go away under them.
        """
        size = min(2 * self._map_bytes(), self._map_bytes_max)
        with self._readers.none() as alone:
            if not alone or size <= self._map_bytes():
                return False
            self._env.set_mapsize(size)
            return True

    def _committed(self, batch: Batch) -> bool:
        """Whether the batch found room in the map; if not, nothing of it is there."""
        try:
            with self._env.begin(write=True) as transaction:
                for key, value in batch.operations:
                    self._change(transaction, key, value)
        except lmdb.MapFullError:
            return False
        return True

    def _change(
        self, transaction: lmdb.Transaction[bytes], key: bytes, value: bytes | None
    ) -> None:
        """Put or delete one key."""
        entry = entry_of(key)
        # A long key may be the same as its entry: one of 511 bytes that ends with a zero.
        if len(key) > SHORT_BYTES_MAX:
            value = changed_rest(self._path, entry, transaction.get(entry), key, value)
        if value is None:
            transaction.delete(entry)
        else:
            transaction.put(entry, sealed(entry, value))

    def _view(self, operation: str) -> _View:
        require(not self._closed, "the store is closed")
        self._readers.enter()
        try:
            return _View(self._path, self._env.begin(), self._readers)
        except lmdb.Error as error:
            self._readers.leave()
            raise _typed(self._path, operation, error) from None


class _Readers:
    """How many read at the moment."""

    __slots__ = ("_count", "_lock")

    def __init__(self) -> None:
        # Reentrant: whoever holds it may drop the last reference to a view, which leaves.
        self._lock = RLock()
        self._count = 0

    def enter(self) -> None:
        """Begin to read; waits while somebody is in `none`."""
        with self._lock:
            self._count += 1

    def leave(self) -> None:
        """Read no more."""
        with self._lock:
            self._count -= 1

    @contextmanager
    def none(self) -> Iterator[bool]:
        """Whether nobody reads; as long as this lasts, nobody begins to."""
        with self._lock:
            yield self._count == 0


class _View:
    """A read transaction: the store at one moment. Its threads take turns. It ends when it is
    closed or nobody holds it any more.
    """

    __slots__ = ("_closed", "_lock", "_path", "_readers", "_transaction")

    def __init__(self, path: Path, transaction: lmdb.Transaction[bytes], readers: _Readers) -> None:
        self._path = path
        self._transaction = transaction
        self._readers = readers
        self._closed = False
        self._lock = Lock()

    def get(self, key: bytes) -> bytes | None:
        require(not self._closed, "the snapshot is closed")
        entry = entry_of(key)
        if not entry:
            return None
        try:
            with self._lock:
                data = self._transaction.get(entry)
        except lmdb.Error as error:
            raise _typed(self._path, "read", error) from None
        return None if data is None else dict(opened(self._path, entry, data)).get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, own: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader.scan; a view that is the scan's `own` is closed at its end."""
        require(not self._closed, "the snapshot is closed")
        return self._pairs(start, stop, reverse=reverse, own=own)

    def close(self) -> None:
        """See Snapshot.close."""
        if not self._closed:
            self._closed = True
            with self._lock:
                self._transaction.abort()
            self._readers.leave()

    def __del__(self) -> None:
        self.close()

    def _pairs(
        self, start: bytes, stop: bytes, *, reverse: bool, own: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        try:
            low, high = start[:SHORT_BYTES_MAX], stop[:SHORT_BYTES_MAX] + LONG
            for entry, data in self._entries(low, high, reverse=reverse):
                # Before it may end the scan, for a damaged key may seem to lie behind the end.
                pairs = opened(self._path, entry, data)
                if entry < low or entry > high:
                    return
                for key, value in reversed(pairs) if reverse else pairs:
                    if start <= key < stop:
                        yield key, value
        except lmdb.Error as error:
            raise _typed(self._path, "read", error) from None
        finally:
            if own:
                self.close()

    def _entries(self, low: bytes, high: bytes, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        """The entries from the first on that may hold keys of the range, and those behind it."""
        with self._lock:
            cursor = self._transaction.cursor()
            if reverse:
                more = cursor.prev() if cursor.set_range(high + LONG) else cursor.last()
            else:
                more = cursor.set_range(low)
        while more:
            with self._lock:
                entry, data = cursor.item()
            yield entry, data
            require(not self._closed, "the snapshot is closed")
            with self._lock:
                more = cursor.prev() if reverse else cursor.next()


def _used(env: lmdb.Environment) -> int:
    """How many bytes the database has, whatever the length of its file."""
    return (env.info()["last_pgno"] + 1) * env.stat()["psize"]


def _typed(path: Path, operation: str, error: lmdb.Error | OSError) -> StorageError:
    """LMDB's error as one of ours."""
    if isinstance(error, OSError):
        kind = DiskFullError if error.errno in FULL else DiskFailedError
        return kind(path, operation, error.strerror or "")
    if "closed/deleted/dropped" in str(error):
        raise InvariantBroken(f"{operation} of a closed store: {error}")
    if error.code == errno.EIO and _nothing_free(path):
        # A write that the disk took a part of, which LMDB calls an I/O error.
        return DiskFullError(path, operation, str(error))
    if error.code in FULL or os.strerror(errno.ENOSPC) in str(error):
        return DiskFullError(path, operation, str(error))
    if isinstance(error, _DAMAGED):
        return DamagedStoreError(path, str(error))
    return DiskFailedError(path, operation, str(error))


def _nothing_free(path: Path) -> bool:
    try:
        return shutil.disk_usage(path).free < limits.LMDB_FULL_BYTES
    except OSError:
        return False

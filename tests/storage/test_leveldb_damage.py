"""What LevelDB does about bytes that changed on the disk."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from pathlib import Path

import pytest

from storage.errors import DamagedStoreError, DiskFailedError, DiskFullError
from storage.kv import Batch
from storage.leveldb import LevelDB


def _fill(path: Path) -> list[bytes]:
    """A store whose content is in sorted files; its keys."""
    kv = LevelDB(path)
    keys = [sha256(b"%d" % i).digest() for i in range(2000)]
    batch = Batch()
    for key in keys:
        batch.put(key, sha256(key).digest())
    kv.write(batch, sync=True)
    kv.compact(b"\x00", b"\xff" * 33)
    kv.close()
    return keys


def test_a_changed_byte_is_reported_and_never_returned(tmp_path: Path) -> None:
    keys = _fill(tmp_path / "db")
    (table,) = (tmp_path / "db").glob("*.ldb")
    data = bytearray(table.read_bytes())
    data[len(data) // 3] ^= 1
    table.write_bytes(bytes(data))
    kv = LevelDB(tmp_path / "db")
    refused = 0
    for key in keys:
        try:
            assert kv.get(key) == sha256(key).digest()
        except DamagedStoreError:
            refused += 1
    assert 0 < refused < len(keys)
    with pytest.raises(DamagedStoreError):
        list(kv.scan(b"\x00", b"\xff" * 33))
    kv.close()


def test_a_missing_file_is_reported_at_opening(tmp_path: Path) -> None:
    _fill(tmp_path / "db")
    (table,) = (tmp_path / "db").glob("*.ldb")
    table.unlink()
    with pytest.raises(DamagedStoreError):
        LevelDB(tmp_path / "db")


def test_d2_after_one_failed_write_every_later_one_is_refused(tmp_path: Path) -> None:
    kv = LevelDB(tmp_path / "db")
    works = kv._write_batch

    def fails(**_: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # Whether LevelDB itself refuses afterwards depends on where it failed, so its answer is made
    # up.
    kv._write_batch = fails
    batch = Batch()
    batch.put(b"key", b"value")
    with pytest.raises(DiskFullError):
        kv.write(batch, sync=True)
    kv._write_batch = works
    with pytest.raises(DiskFullError):
        kv.write(batch, sync=True)
    assert kv.get(b"key") is None
    kv.close()
    again = LevelDB(tmp_path / "db")
    again.write(batch, sync=True)
    again.close()


def test_a_place_that_is_no_directory_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskFailedError):
        LevelDB(tmp_path / "file" / "db")

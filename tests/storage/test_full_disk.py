"""A full disk is reported as such, loses nothing that was acknowledged, and is forgiven once there
is room.

On a real file system of 4 MiB in memory, since what LevelDB does on a full disk cannot be faked.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from storage.errors import DiskFullError
from storage.journal import MempoolJournal
from storage.kv import KV, Batch
from storage.leveldb import LevelDB
from storage.signstate import SignState
from storage.vault import VaultDirectory
from storage.wal import WriteAheadLog
from tests.support.databases import open_kind

SIZE_MIB = 4
BALLAST_BYTES = 2 * 1024 * 1024
CHAIN, KEY = bytes(32), b"\x01" + bytes(32)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The mount point of a small file system, half of it taken by a file named ballast."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount command here")
    point = tmp_path / "disk"
    point.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "medquorum-test", str(point)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not permitted here: {mounted.stderr.strip()}")
    try:
        (point / "ballast").write_bytes(bytes(BALLAST_BYTES))
        yield point
    finally:
        subprocess.run([umount, str(point)], check=True)


def _make_room(point: Path) -> None:
    (point / "ballast").unlink()


def _key(index: int, part: int) -> bytes:
    return b"%06d/%d" % (index, part)


def _incompressible(seed: bytes) -> bytes:
    return b"".join(sha256(b"%b %d" % (seed, i)).digest() for i in range(64))


def _batches_until_full(kv: KV) -> int:
    """Write batches of four keys until the disk is full; how many were acknowledged."""
    with pytest.raises(DiskFullError):
        for acknowledged in itertools.count():
            batch = Batch()
            for part in range(4):
                batch.put(_key(acknowledged, part), _incompressible(_key(acknowledged, part)))
            kv.write(batch, sync=True)
    assert acknowledged > 20
    return acknowledged


def test_the_log_keeps_every_acknowledged_record(small_disk: Path) -> None:
    path = small_disk / "wal"
    log = WriteAheadLog.open(path)
    acknowledged: list[bytes] = []
    with pytest.raises(DiskFullError) as caught:
        for index in itertools.count():
            record = b"%d" % index + bytes(10_007)
            log.append((record,))
            acknowledged.append(record)
    assert caught.value.path == path
    log.close()
    before = WriteAheadLog.open(path)
    assert before.records == tuple(acknowledged)
    assert before.torn_bytes > 0
    _make_room(small_disk)
    before.append((b"goes on",))
    before.close()
    again = WriteAheadLog.open(path)
    assert again.records == (*acknowledged, b"goes on")
    again.close()


def test_leveldb_keeps_every_acknowledged_batch(small_disk: Path) -> None:
    path = small_disk / "db"
    kv = LevelDB(path, write_buffer_bytes=128 * 1024)
    acknowledged = _batches_until_full(kv)
    _make_room(small_disk)
    with pytest.raises(DiskFullError):
        kv.write(Batch(), sync=True)
    kv.close()
    again = LevelDB(path, write_buffer_bytes=128 * 1024)
    found = [key for key, _ in again.scan(b"0", b":")]
    expected = [_key(i, part) for i in range(acknowledged) for part in range(4)]
    refused = [_key(acknowledged, part) for part in range(4)]
    assert found in (expected, expected + refused)
    batch = Batch()
    batch.put(b"goes on", b"yes")
    again.write(batch, sync=True)
    again.close()
    third = LevelDB(path)
    assert third.get(b"goes on") == b"yes"
    third.close()


def test_the_vault_keeps_every_acknowledged_blob(small_disk: Path) -> None:
    vault = VaultDirectory(small_disk / "vault")
    acknowledged: list[bytes] = []
    with pytest.raises(DiskFullError):
        for index in itertools.count():
            blob_id = vault.put(b"%d" % index + bytes(100_000))
            acknowledged.append(blob_id)
    assert set(vault.ids()) == set(acknowledged)
    _make_room(small_disk)
    blob_id = vault.put(b"goes on" + bytes(100_000))
    again = VaultDirectory(small_disk / "vault")
    assert set(again.ids()) == {*acknowledged, blob_id}
    for known in acknowledged:
        assert len(again.get(known)) > 100_000


def test_the_sign_state_and_the_journal_keep_what_they_acknowledged(small_disk: Path) -> None:
    guard = SignState.create(small_disk / "sign", CHAIN, KEY)
    guard.check_and_save(1, 0, 0, bytes(32))
    journal = MempoolJournal(small_disk / "journal")
    acknowledged: list[bytes] = []
    with pytest.raises(DiskFullError):
        for index in itertools.count():
            item = b"%d" % index + bytes(50_000)
            journal.append((item,))
            acknowledged.append(item)
    signed = 1
    with pytest.raises(DiskFullError):
        for height in itertools.count(2):
            guard.check_and_save(height, 0, 0, bytes(32))
            signed = height
            with (small_disk / f"filler{height}").open("wb") as filler, suppress(OSError):
                filler.write(bytes(16 * 4096))
    _make_room(small_disk)
    journal.append((b"goes on",))
    assert [item for _, item in journal.replay()] == [*acknowledged, b"goes on"]
    journal.close()
    again = SignState.open(small_disk / "sign")
    assert again.last == (signed, 0, 0)
    again.check_and_save(signed + 1, 0, 0, bytes(32))


def test_lmdb_keeps_every_acknowledged_batch(small_disk: Path) -> None:
    pytest.importorskip("lmdb", reason="LMDB is an extra")
    path = small_disk / "db"
    kv = open_kind("lmdb", path)
    acknowledged = _batches_until_full(kv)
    _make_room(small_disk)
    with pytest.raises(DiskFullError):
        kv.write(Batch(), sync=True)
    kv.close()
    again = open_kind("lmdb", path)
    expected = [_key(i, part) for i in range(acknowledged) for part in range(4)]
    assert [key for key, _ in again.scan(b"0", b":")] == expected
    batch = Batch()
    batch.put(b"goes on", b"yes")
    again.write(batch, sync=True)
    again.close()

"""The promises of the vault directory (docs/spec/storage.md section 6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from medquorum.invariants import InvariantBroken
from storage.errors import BlobNotFoundError, DamagedBlobError, DiskFullError
from storage.vault import VaultDirectory
from tests.support.fake_disk import FakeDisk, PowerCutError

PATH = Path("/data/vault")


def test_a_blob_is_found_under_the_hash_of_its_content(tmp_path: Path) -> None:
    vault = VaultDirectory(tmp_path / "v")
    blobs = [b"", b"one", b"two" * 1000]
    ids = [vault.put(blob) for blob in blobs]
    assert ids == [sha256(blob).digest() for blob in blobs]
    again = VaultDirectory(tmp_path / "v")
    assert [again.get(blob_id) for blob_id in ids] == blobs
    assert all(again.has(blob_id) for blob_id in ids)
    assert list(again.ids()) == sorted(ids)
    assert again.bytes_used() == sum(map(len, blobs))
    assert not again.has(bytes(32))
    with pytest.raises(BlobNotFoundError):
        again.get(bytes(32))
    with pytest.raises(InvariantBroken):
        again.get(b"short")


def test_putting_again_changes_nothing(tmp_path: Path) -> None:
    vault = VaultDirectory(tmp_path)
    assert vault.put(b"blob") == vault.put(b"blob")
    assert vault.bytes_used() == 4


def test_blobs_can_be_read_by_the_owner_only(tmp_path: Path) -> None:
    blob_id = VaultDirectory(tmp_path / "v").put(b"blob")
    file = tmp_path / "v" / blob_id.hex()[:2] / blob_id.hex()
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_b1_content_is_synced_before_the_rename_and_the_directory_after_it() -> None:
    disk = FakeDisk()
    vault = VaultDirectory(PATH, files=disk)
    disk.log.clear()
    blob_id = vault.put(b"blob")
    assert [operation for operation, _ in disk.log] == [
        "create", "write", "sync", "rename", "sync_directory",
    ]  # fmt: skip
    assert disk.log[3:] == [("rename", blob_id.hex()), ("sync_directory", blob_id.hex()[:2])]


def test_b1_a_power_cut_at_any_step_leaves_the_whole_blob_or_none() -> None:
    for steps in range(6):
        disk = FakeDisk()
        vault = VaultDirectory(PATH, files=disk)
        disk.power_cut_after = steps
        done = False
        try:
            vault.put(b"blob")
            done = True
        except PowerCutError:
            pass
        disk.crash()
        again = VaultDirectory(PATH, files=disk)
        assert list(again.ids()) in ([], [sha256(b"blob").digest()])
        assert done == again.has(sha256(b"blob").digest())
        assert again.get(again.put(b"blob")) == b"blob"


def test_b1_putting_again_makes_up_for_a_sync_that_never_came() -> None:
    disk = FakeDisk()
    disk.fail_at = {}
    vault = VaultDirectory(PATH, files=disk)
    disk.fail_at = {"sync_directory": DiskFullError(PATH, "sync", "full")}
    with pytest.raises(DiskFullError):
        vault.put(b"blob")
    disk.fail_at = {}
    blob_id = vault.put(b"blob")
    disk.crash()
    assert VaultDirectory(PATH, files=disk).get(blob_id) == b"blob"


def test_b2_a_damaged_blob_is_never_returned_and_can_be_put_again(tmp_path: Path) -> None:
    vault = VaultDirectory(tmp_path)
    blob_id = vault.put(b"blob")
    file = tmp_path / blob_id.hex()[:2] / blob_id.hex()
    file.write_bytes(b"blab")
    with pytest.raises(DamagedBlobError) as caught:
        vault.get(blob_id)
    assert caught.value.blob_id == blob_id
    vault.put(b"blob")
    assert vault.get(blob_id) == b"blob"


def test_b3_delete_unlinks_the_file_durably() -> None:
    disk = FakeDisk()
    vault = VaultDirectory(PATH, files=disk)
    blob_id = vault.put(b"blob")
    assert vault.delete(blob_id)
    assert not vault.delete(blob_id)
    disk.crash()
    again = VaultDirectory(PATH, files=disk)
    assert not again.has(blob_id)
    assert list(again.ids()) == []


def test_b4_leftovers_of_an_interrupted_put_are_removed_at_opening(tmp_path: Path) -> None:
    vault = VaultDirectory(tmp_path)
    blob_id = vault.put(b"blob")
    (tmp_path / "incoming" / "half.tmp").write_bytes(b"hal")
    (tmp_path / blob_id.hex()[:2] / "not ours").write_bytes(b"?")
    again = VaultDirectory(tmp_path)
    assert list((tmp_path / "incoming").iterdir()) == []
    assert list(again.ids()) == [blob_id]


def test_a_refused_put_gives_back_its_room() -> None:
    disk = FakeDisk()
    vault = VaultDirectory(PATH, files=disk)
    disk.fail_at = {"write": DiskFullError(PATH, "write", "full")}
    with pytest.raises(DiskFullError):
        vault.put(b"blob")
    assert disk.names(PATH / "incoming") == []


def test_threads_may_put_the_same_blobs_at_once(tmp_path: Path) -> None:
    vault = VaultDirectory(tmp_path)
    blobs = [bytes([i]) * 5000 for i in range(8)] * 8
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(vault.put, blobs))
    assert [vault.get(blob_id) for blob_id in ids] == blobs
    assert len(list(vault.ids())) == 8

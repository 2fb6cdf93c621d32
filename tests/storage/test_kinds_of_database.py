"""A database is opened as what it is or not at all (rule K1 of docs/spec/storage.md)."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

from storage.backends import BackendName, backend_of, open_backend
from storage.errors import BackendMismatchError, BackendMissingError, DamagedStoreError
from storage.kv import KV, Batch
from storage.leveldb import Compression, LevelDB
from storage.migration import copies_in, open_current
from storage.schema import database_format
from tests.support.databases import DURABLE, open_kind
from tests.support.old_layouts import write_layout_1

EVERYTHING = (b"\x00", b"\xff")
OTHER: dict[BackendName, BackendName] = {"leveldb": "lmdb", "lmdb": "leveldb"}


def opened(path: Path, backend: BackendName) -> KV:
    return open_backend(path, backend, write_buffer_bytes=1 << 20, cache_bytes=1 << 20)


@pytest.mark.parametrize("backend", DURABLE)
def test_a_database_is_never_opened_as_another_kind(backend: BackendName, tmp_path: Path) -> None:
    assert backend_of(tmp_path / "db") is None
    with closing(opened(tmp_path / "db", backend)) as kv:
        batch = Batch()
        batch.put(b"a", b"1")
        kv.write(batch, sync=True)
    before = {file.name for file in (tmp_path / "db").iterdir()}
    with pytest.raises(BackendMismatchError, match=f"kind {backend}.*is {OTHER[backend]}"):
        opened(tmp_path / "db", OTHER[backend])
    assert {file.name for file in (tmp_path / "db").iterdir()} == before
    with closing(opened(tmp_path / "db", backend)) as kv:
        assert kv.get(b"a") == b"1"


def test_compressed_or_not_a_database_is_read_either_way(tmp_path: Path) -> None:
    """An operator changes the key, and old and new tables stand side by side."""
    ways: list[Compression] = ["none", "snappy", "none"]
    value, number, sizes = b"same " * 200, 1_000, []
    for turn, compression in enumerate(ways):
        with closing(LevelDB(tmp_path, compression=compression)) as kv:
            before = kv.bytes_on_disk()
            batch = Batch()
            for index in range(number):
                batch.put(b"%d %d" % (turn, index), value)
            kv.write(batch, sync=True)
            kv.compact(b"%d" % turn, b"%d" % (turn + 1))
            sizes.append(kv.bytes_on_disk() - before)
            assert [found for _, found in kv.scan(*EVERYTHING)] == [value] * number * (turn + 1)
    assert sizes[1] < sizes[0] / 2
    assert sizes[1] < sizes[2] / 2


def test_a_leveldb_that_lost_current_is_still_one(tmp_path: Path) -> None:
    opened(tmp_path, "leveldb").close()
    # What was written is in a table once the log was read again.
    with closing(opened(tmp_path, "leveldb")) as kv:
        batch = Batch()
        batch.put(b"a", b"1")
        kv.write(batch, sync=True)
    (tmp_path / "CURRENT").unlink()
    with pytest.raises(BackendMismatchError, match="kind leveldb"):
        opened(tmp_path, "lmdb")
    with pytest.raises(DamagedStoreError, match="CURRENT"):
        opened(tmp_path, "leveldb")
    assert not (tmp_path / "data.mdb").exists()


def test_an_extra_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    monkeypatch.delitem(sys.modules, "storage.lmdb", raising=False)
    with pytest.raises(BackendMissingError, match=r"medquorum-node\[lmdb\]"):
        opened(tmp_path / "db", "lmdb")
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize("backend", DURABLE)
def test_every_kind_is_brought_forward_beside_its_copy(
    backend: BackendName, tmp_path: Path
) -> None:
    path, copies = tmp_path / "data" / "chain", tmp_path / "data" / "copies"
    with closing(open_kind(backend, path)) as kv:
        write_layout_1(kv, [{"a": {b"k": b"1", b"l": b"2"}}, {"a": {b"k": None}}], named_from=9)
        before = dict(kv.scan(*EVERYTHING))
    kv = open_current(path, lambda p: opened(p, backend), copies, began=lambda _task: None)
    with closing(kv):
        assert database_format(kv) == 2
        batch = Batch()
        batch.put(b"q", bytes(100_000))
        kv.write(batch, sync=True)
    (copy,) = copies_in(copies)
    with closing(opened(copy, backend)) as kv:
        assert dict(kv.scan(*EVERYTHING)) == before

"""LMDB's file is cut, or bytes of it change: what was stored is told rightly or named as damaged,
and nobody is killed (docs/spec/storage.md, rules K3 and K4, section 7).
"""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import pytest

from storage.errors import DamagedStoreError
from storage.kv import Batch

pytest.importorskip("lmdb", reason="LMDB is an extra")

import lmdb

from storage.lmdb import LMDB
from tests.support.databases import write_entry

ALL = (b"\x00", b"\xff" * 600)
PAGE_BYTES = 4096
SETTLED = 2 * PAGE_BYTES
"""The two pages that say what the others are."""


def rounds(path: Path) -> dict[bytes, bytes]:
    """Write a database of several levels, with large values, long keys and room to use again."""
    with closing(LMDB(path)) as kv:
        for number in range(6):
            batch = Batch()
            for part in range(40):
                key = b"key%03d" % ((number * 37 + part * 7) % 200)
                if (number + part) % 5 == 4:
                    batch.delete(key)
                else:
                    batch.put(key, sha256(key).digest() * (200 if part % 9 == 0 else 20))
            batch.put(b"long" * 130 + b"%d" % number, key)
            kv.write(batch, sync=True)
        return dict(kv.scan(*ALL))


def look(path: Path, held: dict[bytes, bytes]) -> None:
    """Open a cut database and read all of it; that it was cut must come to light."""
    with pytest.raises(DamagedStoreError), closing(LMDB(path)) as kv:
        assert dict(kv.scan(*ALL)) == held


def look_at_every_cut(path: Path, data: bytes, held: dict[bytes, bytes]) -> None:
    pages = range(SETTLED, len(data), PAGE_BYTES)
    inside = [page + 7 + (37 * page) % (PAGE_BYTES - 14) for page in pages]
    for cut in (1, 100, PAGE_BYTES, PAGE_BYTES + 50, SETTLED - 1, *pages, *inside, len(data) - 1):
        path.write_bytes(data[:cut])
        look(path.parent, held)


def test_a_cut_anywhere_is_named_and_kills_nobody(tmp_path: Path) -> None:
    """In a process of its own: the kernel kills who reads a map behind the end of its file."""
    held = rounds(tmp_path / "db")
    data = (tmp_path / "db" / "data.mdb").read_bytes()
    assert len(data) > 100 * PAGE_BYTES
    (tmp_path / "cut").mkdir()
    child = get_context("fork").Process(
        target=look_at_every_cut, args=(tmp_path / "cut" / "data.mdb", data, held)
    )
    child.start()
    child.join()
    assert child.exitcode == 0


def test_pages_that_were_given_up_before_they_were_written_are_not_missed(tmp_path: Path) -> None:
    held = rounds(tmp_path)
    with closing(LMDB(tmp_path)) as kv:
        batch = Batch()
        batch.put(b"first", b"1")
        batch.put(b"large", bytes(100 * PAGE_BYTES))
        batch.delete(b"large")
        kv.write(batch, sync=True)
    data = tmp_path / "data.mdb"
    size = data.stat().st_size
    with lmdb.open(str(tmp_path)) as env:
        assert (env.info()["last_pgno"] + 1) * PAGE_BYTES > size
    with closing(LMDB(tmp_path)) as kv:
        assert dict(kv.scan(*ALL)) == {**held, b"first": b"1"}
        write_entry(kv, b"larger", bytes(200 * PAGE_BYTES))
        assert kv.get(b"larger") == bytes(200 * PAGE_BYTES)


def test_a_damaged_key_does_not_end_a_scan_as_if_nothing_followed(tmp_path: Path) -> None:
    with closing(LMDB(tmp_path)) as kv:
        for key in (b"first", b"marked", b"second", b"third"):
            write_entry(kv, key, b"1")
    data = tmp_path / "data.mdb"
    content = data.read_bytes()
    data.write_bytes(content.replace(b"marked", b"zarked"))
    with closing(LMDB(tmp_path)) as kv, pytest.raises(DamagedStoreError, match=b"zarked".hex()):
        list(kv.scan(b"a", b"u"))


@pytest.mark.parametrize("found", [b"other value", b"\xc1" * 11], ids=["a flip", "no msgpack"])
def test_a_write_beside_a_damaged_long_key_seals_no_damage(tmp_path: Path, found: bytes) -> None:
    stem, marked = b"k" * 510, b"right value"
    with closing(LMDB(tmp_path)) as kv:
        write_entry(kv, stem + b"one", marked)
    data = tmp_path / "data.mdb"
    content = data.read_bytes()
    start = content.index(marked) - (len(found) if found[0] == 0xC1 else 0)
    data.write_bytes(content[:start] + found + content[start + len(found) :])
    for value in (b"2", None):
        with closing(LMDB(tmp_path)) as kv:
            with pytest.raises(DamagedStoreError, match=stem.hex()):
                write_entry(kv, stem + b"two", value)
            with pytest.raises(DamagedStoreError):
                kv.get(stem + b"one")

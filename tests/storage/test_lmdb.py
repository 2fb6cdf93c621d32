"""What LMDB must do beyond the suite of all stores: long keys, a map that grows, checksums, room
that is given back, a full disk, a kill (docs/spec/storage.md, section 9).
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medquorum.invariants import InvariantBroken
from storage.errors import DamagedStoreError, DiskFailedError, DiskFullError
from storage.kv import Batch
from tests.support.cli import ROOT

pytest.importorskip("lmdb", reason="LMDB is an extra")

from storage.lmdb import LMDB
from tests.support.databases import write_entry

KIB = 1024
MIB = 1024 * KIB
ALL = (b"\x00", b"\xff" * 600)
LONG = st.builds(
    lambda stem, rest: (stem * 600)[: 505 + len(rest)] + rest,
    st.sampled_from([b"a", b"b", b"ab"]),
    st.binary(max_size=70),
)
KEYS = st.one_of(LONG, st.binary(min_size=1, max_size=3), st.sampled_from([b"a" * 510, b"a" * 511]))


def put(kv: LMDB, **pairs: bytes) -> None:
    batch = Batch()
    for key, value in pairs.items():
        batch.put(key.encode(), value)
    kv.write(batch, sync=True)


@pytest.mark.parametrize("value", [b"", b"value"])
def test_a_long_key_that_is_also_the_name_of_its_entry_is_kept(
    tmp_path: Path, value: bytes
) -> None:
    key = b"k" * 510 + b"\x00"
    with closing(LMDB(tmp_path)) as kv:
        write_entry(kv, key, value)
        write_entry(kv, key + b"more", b"2")
        assert (kv.get(key), kv.get(key + b"more")) == (value, b"2")
        write_entry(kv, key, None)
        assert (kv.get(key), kv.get(key + b"more")) == (None, b"2")


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rounds=st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=3)), max_size=4),
    bounds=st.tuples(KEYS, KEYS),
    reverse=st.booleans(),
)
def test_keys_of_every_length_keep_their_order(
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[dict[bytes, bytes | None]],
    bounds: tuple[bytes, bytes],
    reverse: bool,
) -> None:
    model: dict[bytes, bytes] = {}
    with closing(LMDB(tmp_path_factory.mktemp("db"))) as kv:
        for changes in rounds:
            batch = Batch()
            for key, value in changes.items():
                if value is None:
                    batch.delete(key)
                    model.pop(key, None)
                else:
                    batch.put(key, value)
                    model[key] = value
            kv.write(batch, sync=False)
        start, stop = bounds
        for low, high in ((start, stop), ALL):
            expected = sorted(
                (pair for pair in model.items() if low <= pair[0] < high), reverse=reverse
            )
            assert list(kv.scan(low, high, reverse=reverse)) == expected
        for key in {*model, start, stop, start + b"x"}:
            assert kv.get(key) == model.get(key)


def test_the_map_grows_with_the_database_and_with_each_opening(tmp_path: Path) -> None:
    with closing(LMDB(tmp_path, map_bytes_min=256 * KIB)) as kv:
        for number in range(64):
            put(kv, **{f"k{number}": bytes(64 * KIB)})
        assert kv.map_bytes >= 8 * MIB
        put(kv, large=bytes(20 * MIB))
    with closing(LMDB(tmp_path, map_bytes_min=256 * KIB)) as kv:
        assert kv.map_bytes >= 2 * kv.bytes_on_disk() - 128 * KIB
        assert kv.get(b"large") == bytes(20 * MIB)
        assert len(list(kv.scan(*ALL))) == 65


def test_the_map_never_grows_under_a_reader(tmp_path: Path) -> None:
    with closing(LMDB(tmp_path, map_bytes_min=MIB)) as kv:
        put(kv, a=b"1", b=b"2")
        reader, unread = kv.snapshot(), kv.scan(*ALL)
        pairs = reader.scan(*ALL)
        assert next(pairs) == (b"a", b"1")
        put(kv, c=bytes(600 * KIB))
        put(kv, d=b"4")
        assert kv.map_bytes == MIB
        assert next(pairs) == (b"b", b"2")
        reader.close()
        del unread
        put(kv, e=b"5")
        assert kv.map_bytes == 2 * MIB


@pytest.mark.parametrize("bounded", [False, True])
def test_a_map_that_cannot_grow_is_a_full_disk_and_loses_nothing(
    tmp_path: Path, bounded: bool
) -> None:
    with closing(
        LMDB(tmp_path, map_bytes_min=MIB, map_bytes_max=MIB if bounded else 8 * MIB)
    ) as kv:
        put(kv, a=b"1")
        reader = None if bounded else kv.snapshot()
        with pytest.raises(DiskFullError, match="map of 1048576 bytes is full"):
            put(kv, b=b"2", large=bytes(2 * MIB))
        if reader is not None:
            reader.close()
        with pytest.raises(DiskFullError):
            put(kv, c=b"3")
        assert (kv.get(b"a"), kv.get(b"b")) == (b"1", None)
    with closing(LMDB(tmp_path, map_bytes_min=MIB)) as kv:
        put(kv, large=bytes(2 * MIB))
        assert [key for key, _ in kv.scan(*ALL)] == [b"a", b"large"]


def test_a_flipped_bit_of_a_value_is_named_and_never_served(tmp_path: Path) -> None:
    marked = b"a value that is easy to find"
    with closing(LMDB(tmp_path)) as kv:
        put(kv, aa=b"sound", key=marked)
    data = tmp_path / "data.mdb"
    content = bytearray(data.read_bytes())
    content[content.index(marked) + 5] ^= 1
    data.write_bytes(content)
    with closing(LMDB(tmp_path)) as kv:
        assert kv.get(b"aa") == b"sound"
        with pytest.raises(DamagedStoreError, match=b"key".hex()):
            kv.get(b"key")
        with pytest.raises(DamagedStoreError):
            list(kv.scan(*ALL))


def test_what_is_no_database_is_damage(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"no database" * 1_000)
    with pytest.raises(DamagedStoreError):
        LMDB(tmp_path)


def test_rewriting_gives_room_back_and_changes_nothing_that_is_read(tmp_path: Path) -> None:
    with closing(LMDB(tmp_path)) as kv:
        put(kv, **{f"k{number}": bytes(64 * KIB) for number in range(64)})
        batch = Batch()
        for number in range(60):
            batch.delete(b"k%d" % number)
        kv.write(batch, sync=True)
        before, pairs = kv.bytes_on_disk(), list(kv.scan(*ALL))
        kv.rewrite()
        assert kv.bytes_on_disk() < before / 4
        assert list(kv.scan(*ALL)) == pairs
        put(kv, more=b"1")
        reader = kv.snapshot()
        with pytest.raises(InvariantBroken):
            kv.rewrite()
        reader.close()
    (tmp_path / "compacted.tmp").mkdir()
    with closing(LMDB(tmp_path)) as kv:
        assert kv.get(b"more") == b"1"
        assert not (tmp_path / "compacted.tmp").exists()


def test_a_rewrite_that_the_disk_refuses_leaves_the_store_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_path: Path, _target: Path) -> Path:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with closing(LMDB(tmp_path)) as kv:
        put(kv, a=b"1")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", refused)
            with pytest.raises(DiskFailedError, match="compact"):
                kv.rewrite()
        assert not (tmp_path / "compacted.tmp").exists()
        put(kv, b=b"2")
        assert [key for key, _ in kv.scan(*ALL)] == [b"a", b"b"]
        kv.rewrite()
        assert kv.get(b"b") == b"2"


def test_readers_outlive_neither_their_close_nor_the_store(tmp_path: Path) -> None:
    kv = LMDB(tmp_path)
    put(kv, a=b"1")
    reader, pairs = kv.snapshot(), kv.scan(*ALL)
    kv.close()
    with pytest.raises(InvariantBroken):
        reader.get(b"a")
    with pytest.raises(InvariantBroken):
        next(pairs)
    reader.close()


CHILD = """
import sys
from pathlib import Path
from hashlib import sha256
from storage.kv import Batch
from storage.lmdb import LMDB
kv = LMDB(Path(sys.argv[1]), map_bytes_min=1 << 20)
number = 0
while True:
    batch = Batch()
    for part in range(8):
        name = b"%06d/%d" % (number, part)
        batch.put(name, sha256(name).digest() * 40)
    kv.write(batch, sync=True)
    print(number, flush=True)
    number += 1
"""


@pytest.fixture
def committing(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that commits batch after batch and says which it has committed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), f"{ROOT}/sdk/python"])}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "db")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("batches", [1, 7, 60, 400])
def test_killed_it_has_all_that_was_acknowledged_and_no_half_batch(
    committing: subprocess.Popen[str], tmp_path: Path, batches: int
) -> None:
    assert committing.stdout is not None
    said = -1
    while said < batches:
        said = int(committing.stdout.readline())
    committing.send_signal(signal.SIGKILL)
    said = max([said, *map(int, committing.stdout.read().split())])
    committing.wait()
    with closing(LMDB(tmp_path / "db", map_bytes_min=MIB)) as kv:
        found = dict(kv.scan(*ALL))
        assert all(value == sha256(key).digest() * 40 for key, value in found.items())
        names = [b"%06d/%d" % (number, part) for number in range(said + 1) for part in range(8)]
        later = [b"%06d/%d" % (said + 1, part) for part in range(8)]
        assert list(found) in (names, names + later)
        put(kv, later=b"1")

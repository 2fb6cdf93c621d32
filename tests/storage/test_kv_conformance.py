"""One suite for every KV: what LevelDB promises, LMDB and memory promise too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medquorum.invariants import InvariantBroken
from storage.kv import KV, Batch, prefix_end
from storage.memory import MemoryKV
from tests.support.databases import DURABLE, KINDS, open_kind


@pytest.fixture(params=KINDS)
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KV]:
    store = open_kind(request.param, tmp_path / "db")
    yield store
    store.close()


def _batch(*operations: tuple[bytes, bytes | None]) -> Batch:
    batch = Batch()
    for key, value in operations:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch


def test_what_was_written_is_read(kv: KV) -> None:
    kv.write(_batch((b"a", b"1"), (b"b", b"")), sync=True)
    assert kv.get(b"a") == b"1"
    assert kv.get(b"b") == b""
    assert kv.get(b"c") is None


def test_the_last_operation_on_a_key_wins(kv: KV) -> None:
    kv.write(
        _batch((b"a", b"1"), (b"a", None), (b"b", None), (b"b", b"2"), (b"c", b"3"), (b"c", b"4")),
        sync=False,
    )
    assert list(kv.scan(b"", b"z")) == [(b"b", b"2"), (b"c", b"4")]


def test_deleting_what_is_not_there_is_harmless(kv: KV) -> None:
    kv.write(_batch((b"a", None)), sync=True)
    assert list(kv.scan(b"", b"\xff")) == []


def test_a_scan_has_a_closed_start_and_an_open_stop(kv: KV) -> None:
    kv.write(_batch(*[(bytes([i]), b"v") for i in range(8)]), sync=False)
    assert [key[0] for key, _ in kv.scan(b"\x02", b"\x05")] == [2, 3, 4]
    assert [key[0] for key, _ in kv.scan(b"\x02", b"\x05", reverse=True)] == [4, 3, 2]
    assert list(kv.scan(b"\x05", b"\x02")) == []
    assert list(kv.scan(b"\x02", b"\x02")) == []
    assert list(kv.scan(b"", b"")) == []


@pytest.mark.parametrize("others", [(), (b"c",), (b"a", b"c"), (b"a", b"bb", b"d")])
def test_a_scan_backwards_ends_with_the_key_at_its_start(kv: KV, others: tuple[bytes, ...]) -> None:
    kv.write(_batch((b"b", b"1"), *((other, b"2") for other in others)), sync=True)
    with closing(kv.snapshot()) as snapshot:
        for source in (kv, snapshot):
            forwards = list(source.scan(b"b", b"c"))
            assert forwards[0] == (b"b", b"1")
            assert list(source.scan(b"b", b"c", reverse=True)) == forwards[::-1]
            assert list(source.scan(b"b", b"b", reverse=True)) == []


def test_keys_are_ordered_as_unsigned_bytes(kv: KV) -> None:
    keys = [b"\x00", b"\x00\x00", b"\x7f", b"\x80", b"\xff", b"\xff\x00"]
    kv.write(_batch(*[(key, b"") for key in reversed(keys)]), sync=False)
    assert [key for key, _ in kv.scan(b"", b"\xff\xff")] == keys


def test_a_scan_does_not_see_later_writes(kv: KV) -> None:
    kv.write(_batch((b"a", b"1"), (b"b", b"1")), sync=False)
    pairs = kv.scan(b"a", b"z")
    kv.write(_batch((b"a", b"2"), (b"b", None), (b"c", b"2")), sync=False)
    assert list(pairs) == [(b"a", b"1"), (b"b", b"1")]


def test_a_snapshot_keeps_its_moment(kv: KV) -> None:
    kv.write(_batch((b"a", b"1"), (b"b", b"1")), sync=False)
    snapshot = kv.snapshot()
    kv.write(_batch((b"a", b"2"), (b"b", None), (b"c", b"2")), sync=True)
    assert snapshot.get(b"a") == b"1"
    assert snapshot.get(b"c") is None
    assert list(snapshot.scan(b"a", b"z", reverse=True)) == [(b"b", b"1"), (b"a", b"1")]
    snapshot.close()
    snapshot.close()
    with pytest.raises(InvariantBroken):
        snapshot.get(b"a")
    with pytest.raises(InvariantBroken):
        snapshot.scan(b"a", b"b")


def test_use_after_close_is_a_broken_invariant(kv: KV) -> None:
    kv.close()
    kv.close()
    with pytest.raises(InvariantBroken):
        kv.get(b"a")
    with pytest.raises(InvariantBroken):
        kv.scan(b"a", b"b")
    with pytest.raises(InvariantBroken):
        kv.write(_batch((b"a", b"1")), sync=False)
    with pytest.raises(InvariantBroken):
        kv.snapshot()
    with pytest.raises(InvariantBroken):
        kv.bytes_on_disk()


def test_bytes_on_disk_grow_with_the_content(kv: KV) -> None:
    before = kv.bytes_on_disk()
    kv.write(_batch((b"a", bytes(100_000))), sync=True)
    assert kv.bytes_on_disk() >= before + 100_000


def test_an_empty_key_is_our_own_mistake() -> None:
    with pytest.raises(InvariantBroken):
        Batch().put(b"", b"value")


def test_extend_appends_operations_in_order() -> None:
    batch, other = _batch((b"a", b"1")), _batch((b"a", None), (b"b", b"2"))
    batch.extend(other)
    assert batch.operations == [(b"a", b"1"), (b"a", None), (b"b", b"2")]
    assert (len(batch), len(other)) == (3, 2)


@given(st.binary(min_size=1, max_size=3), st.binary(max_size=3))
def test_prefix_end_follows_every_key_with_the_prefix(prefix: bytes, rest: bytes) -> None:
    if prefix.strip(b"\xff") == b"":
        return
    end = prefix_end(prefix)
    assert prefix + rest < end
    assert not end.startswith(prefix)


_BOUND = st.binary(max_size=3)
_OPERATION = st.tuples(st.binary(min_size=1, max_size=3), st.none() | st.binary(max_size=4))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(st.lists(_OPERATION, max_size=90), max_size=5),
    bounds=st.tuples(_BOUND, _BOUND),
    reverse=st.booleans(),
)
def test_all_kinds_agree_with_a_dict(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[bytes, bytes | None]]],
    bounds: tuple[bytes, bytes],
    reverse: bool,
) -> None:
    start, stop = bounds
    stores = [open_kind(kind, tmp_path_factory.mktemp("db")) for kind in KINDS]
    model: dict[bytes, bytes] = {}
    for operations in batches:
        for key, value in operations:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        for store in stores:
            store.write(_batch(*operations), sync=False)
    expected = sorted((pair for pair in model.items() if start <= pair[0] < stop), reverse=reverse)
    for store in stores:
        assert list(store.scan(start, stop, reverse=reverse)) == expected
        store.close()


@pytest.mark.parametrize("kind", DURABLE)
def test_everything_is_kept_over_a_reopening(kind: str, tmp_path: Path) -> None:
    first = open_kind(kind, tmp_path / "deep" / "db")
    first.write(_batch((b"a", b"1")), sync=False)
    first.close()
    second = open_kind(kind, tmp_path / "deep" / "db")
    assert second.get(b"a") == b"1"
    second.close()


def test_a_crash_of_memory_forgets_exactly_the_unsynced_writes() -> None:
    kv = MemoryKV()
    kv.write(_batch((b"a", b"1"), (b"b", b"1")), sync=True)
    kv.write(_batch((b"a", b"2"), (b"b", None), (b"c", b"2")), sync=False)
    kv.write(_batch((b"a", b"3")), sync=False)
    kv.crash()
    assert list(kv.scan(b"", b"z")) == [(b"a", b"1"), (b"b", b"1")]
    kv.write(_batch((b"c", b"4")), sync=False)
    kv.write(_batch((b"d", b"4")), sync=True)
    kv.crash()
    assert [key for key, _ in kv.scan(b"", b"z")] == [b"a", b"b", b"c", b"d"]

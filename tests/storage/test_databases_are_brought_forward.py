"""A database of an older layout becomes one of today's, whatever interrupts it (rules S2 to S5 of
docs/spec/storage.md). The fixture writes what software before layout 2 wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from storage import layout
from storage.errors import DamagedStoreError, DiskFullError, FormatError, PrunedError
from storage.kv import KV, Batch, prefix_end
from storage.leveldb import LevelDB
from storage.memory import MemoryKV
from storage.migration import Migration, copies_in, open_current
from storage.removals import last_unnamed
from storage.schema import STEPS, bring_forward, database_format, steps_from
from storage.state import StateStore
from storage.stateaudit import read_state_at
from tests.support.old_layouts import Changes, Twin, write_layout_1

EVERYTHING = (b"\x00", b"\xff")
KEYS = st.sampled_from([bytes([first, second]) for first in range(2) for second in range(4)])
CHANGES = st.dictionaries(
    st.sampled_from(["a", "bb"]),
    st.dictionaries(KEYS, st.none() | st.sampled_from([b"", b"1", b"two"]), max_size=8),
    max_size=2,
)
HEIGHTS = st.lists(CHANGES, min_size=1, max_size=8)
SOME: list[Changes] = [
    {"a": {b"k1": b"1", b"k2": b"2"}, "bb": {b"x": b"y"}},
    {"a": {b"k1": None}},
    {"bb": {b"x": None, b"z": b"1"}},
    {"a": {b"k1": b"again"}},
    {"bb": {b"z": None}},
]


def content(kv: KV) -> dict[bytes, bytes]:
    return dict(kv.scan(*EVERYTHING))


def check(kv: KV, twins: list[Twin], oldest: int) -> None:
    """The database is of today's layout, and tells all keys of every height from `oldest` on."""
    assert database_format(kv) == layout.FORMAT_VERSION
    assert last_unnamed(kv) is None
    state = StateStore(kv, keep_versions=100)
    assert max(state.oldest(), 0) == oldest
    for height, twin in enumerate(twins):
        if height < oldest:
            with pytest.raises(PrunedError):
                state.get_at("a", b"k1", height)
            continue
        found = read_state_at(kv, height)
        assert {(namespace, key): value for namespace, key, value in found} == twin


def oldest_whole(twins: list[Twin], named_from: int) -> int:
    """The twin's answer: the last height below `named_from` that removed something, or 0."""
    gone = [
        height
        for height in range(1, min(named_from, len(twins)))
        if not twins[height - 1].keys() <= twins[height].keys()
    ]
    return max(gone, default=0)


@settings(max_examples=80, deadline=None)
@given(HEIGHTS, st.integers(0, 8))
def test_exactly_the_heights_that_cannot_be_put_together_are_given_up(
    heights: list[Changes], named_from: int
) -> None:
    kv = MemoryKV()
    twins = write_layout_1(kv, heights, named_from=named_from)
    assert bring_forward(kv) == 1
    check(kv, twins, oldest_whole(twins, named_from))


def test_what_nothing_needs_any_more_is_deleted(tmp_path: Path) -> None:
    kv = MemoryKV()
    write_layout_1(kv, SOME, named_from=9)
    bring_forward(kv)
    stale = layout.at_height(layout.STALE, 5)
    assert list(kv.scan(layout.STALE, stale)) == []
    assert list(kv.scan(layout.HISTORY, prefix_end(layout.HISTORY))) == []


class KilledError(Exception):
    """The process was killed here."""


class Killed(MemoryKV):
    """Dies at a certain write: before it, or once it is there."""

    def __init__(self, writes: int, *, after: bool) -> None:
        super().__init__()
        self.writes = writes
        self.after = after
        self.counting = False

    @override
    def write(self, batch: Batch, *, sync: bool) -> None:
        if self.counting:
            self.writes -= 1
        if self.writes < 0 and not self.after:
            raise KilledError
        super().write(batch, sync=sync)
        if self.writes < 0:
            raise KilledError


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("power", [False, True])
def test_killed_at_any_write_it_ends_as_if_it_had_not_been(power: bool, after: bool) -> None:
    whole = MemoryKV()
    twins = write_layout_1(whole, SOME, named_from=9)
    bring_forward(whole)
    kills = 0
    for writes in range(20):
        kv = Killed(writes, after=after)
        write_layout_1(kv, SOME, named_from=9)
        kv.counting = True
        try:
            bring_forward(kv)
        except KilledError:
            kills += 1
        kv.counting, kv.writes = False, 0
        if power:
            kv.crash()
        bring_forward(kv)
        assert content(kv) == content(whole)
    check(whole, twins, 4)
    assert kills > 3, "it should have been killed at several places"


def test_a_newer_database_is_refused_and_left_as_it_is() -> None:
    kv = MemoryKV()
    write_layout_1(kv, SOME, named_from=9)
    batch = Batch()
    batch.put(layout.FORMAT, layout.pack_height(layout.FORMAT_VERSION + 1))
    kv.write(batch, sync=True)
    before = content(kv)
    with pytest.raises(FormatError, match=r"format 3.*reads 2.*newer version") as caught:
        bring_forward(kv)
    assert (caught.value.found, caught.value.supported) == (3, 2)
    assert content(kv) == before


@pytest.mark.parametrize("data", [b"", b"\x01", layout.pack_height(0), bytes(9)])
def test_a_format_that_is_none_is_damage(data: bytes) -> None:
    kv = MemoryKV()
    batch = Batch()
    batch.put(layout.FORMAT, data)
    kv.write(batch, sync=True)
    with pytest.raises(DamagedStoreError):
        database_format(kv)


def test_steps_lead_from_every_format_to_this_one() -> None:
    assert [step.source for step in STEPS] == list(range(1, layout.FORMAT_VERSION))
    assert steps_from(layout.FORMAT_VERSION) == ()


# ------------------------------------------------------------------------- in a directory


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "chain"
    with closing(LevelDB(path)) as kv:
        write_layout_1(kv, SOME, named_from=9)
    with closing(LevelDB(path)):
        pass  # what was in its log is in a table now, as in most databases
    return path


def opened(path: Path, *, free: int = 1 << 40) -> tuple[KV, list[Migration]]:
    began: list[Migration] = []
    copies = path.with_name("copies")
    kv = open_current(path, LevelDB, copies, began=began.append, free_bytes=lambda _: free)
    return kv, began


def files_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def chain_of(path: Path) -> dict[bytes, bytes]:
    with closing(LevelDB(path)) as kv:
        return content(kv)


@pytest.fixture
def before(old: Path, tmp_path: Path) -> Iterator[dict[bytes, bytes]]:
    yield chain_of(old)


def test_the_database_as_it_was_stays_beside_it(old: Path, before: dict[bytes, bytes]) -> None:
    kv, (task,) = opened(old)
    (copy,) = copies_in(old.with_name("copies"))
    assert (task.copy, task.found, task.wanted, task.height) == (copy, 1, 2, 4)
    held = files_of(copy)
    batch = Batch()
    for number in range(2_000):
        batch.put(b"q%d" % number, bytes(1_000))
    kv.write(batch, sync=True)
    kv.close()
    again, began = opened(old)
    again.close()
    assert began == []
    assert files_of(copy) == held, "what the database does later must not reach its copy"
    assert chain_of(copy) == before


def test_without_room_nothing_is_changed(old: Path, before: dict[bytes, bytes]) -> None:
    with pytest.raises(DiskFullError, match="bytes are free"):
        opened(old, free=1_000)
    assert copies_in(old.with_name("copies")) == ()
    assert chain_of(old) == before


def test_a_copy_that_was_not_finished_is_made_again(
    old: Path, before: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    temp = old.with_name("copies") / "chain-1-4.tmp"
    temp.mkdir(parents=True)
    (temp / "CURRENT").write_bytes(b"half")
    opened(old)[0].close()
    (copy,) = copies_in(old.with_name("copies"))
    assert chain_of(copy) == before


def test_killed_in_a_step_it_goes_on_and_the_copy_is_from_before(
    old: Path, before: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(kv: KV) -> int | None:
        for index, data in kv.scan(layout.STALE, prefix_end(layout.STALE)):
            batch = Batch()
            batch.delete(index)
            batch.put(layout.STATE_OLDEST, index[1:9])
            kv.write(batch, sync=False)
            assert data
            raise KilledError
        return 1

    with monkeypatch.context() as patch:
        patch.setattr("storage.migration.bring_forward", half)
        with pytest.raises(KilledError):
            opened(old)
    kv, (task,) = opened(old, free=0)
    with closing(kv):
        assert database_format(kv) == layout.FORMAT_VERSION
        assert StateStore(kv, keep_versions=100).oldest() == 4
    assert chain_of(task.copy) == before


def test_a_fresh_database_needs_no_copy(tmp_path: Path) -> None:
    kv, began = opened(tmp_path / "data" / "chain")
    kv.close()
    assert (began, copies_in(tmp_path / "data" / "copies")) == ([], ())

"""The promises of the mempool journal (docs/spec/storage.md section 5)."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from storage.errors import DiskError, DiskFailedError, DiskFullError, FormatError, JournalFullError
from storage.files import replace_file
from storage.journal import MempoolJournal
from tests.support.fake_disk import FakeDisk

DIRECTORY = Path("/data/journal")


class ReadCounting(FakeDisk):
    """Knows which files were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_paths: list[Path] = []

    @override
    def read(self, path: Path) -> bytes | None:
        self.read_paths.append(path)
        return super().read(path)


def _open(disk: FakeDisk, *, segment_bytes: int = 200, bytes_max: int = 10_000) -> MempoolJournal:
    return MempoolJournal(DIRECTORY, files=disk, segment_bytes=segment_bytes, bytes_max=bytes_max)


def _replayed(journal: MempoolJournal) -> list[bytes]:
    return [item for _, item in journal.replay()]


def test_items_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    items = [b"item %d" % i for i in range(100)]
    journal = MempoolJournal(tmp_path / "j", segment_bytes=300)
    positions = journal.append(items[:60]) + journal.append(()) + journal.append(items[60:])
    journal.sync()
    journal.close()
    assert len(list((tmp_path / "j").iterdir())) > 1
    again = MempoolJournal(tmp_path / "j", segment_bytes=300)
    assert list(again.replay()) == list(zip(positions, items, strict=True))
    assert again.damaged_bytes == 0
    fresh = again.append((b"later",))
    assert fresh[0] > max(positions)
    again.close()


def test_j1_synced_items_survive_a_power_cut() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"synced",))
    journal.sync()
    journal.append((b"not synced",))
    disk.crash()
    assert _replayed(_open(disk)) == [b"synced"]


def test_j1_a_full_segment_is_synced_before_the_next_one_starts() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"x" * 200,))
    journal.append((b"y",))
    disk.crash()
    assert _replayed(_open(disk)) == [b"x" * 200]


def test_j1_a_sync_vouches_for_items_before_an_append_that_found_no_room() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"before",))
    disk.fail_at["write"] = DiskFullError("x", "write", "no space left")
    with pytest.raises(DiskFullError):
        journal.append((b"refused",))
    journal.sync()
    disk.crash()
    assert b"before" in _replayed(_open(disk))


def test_a_sync_costs_nothing_when_there_is_nothing_new() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"item",))
    journal.sync()
    synced = len(disk.log)
    journal.sync()
    assert len(disk.log) == synced


def test_j2_what_follows_a_damaged_stretch_is_kept() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"first",))
    journal.append((b"second",))
    journal.append((b"third",))
    (name,) = disk.names(DIRECTORY)
    data = disk.read(DIRECTORY / name)
    assert data is not None
    disk.overwrite(DIRECTORY / name, data.replace(b"second", b"sEcond"))
    again = _open(disk)
    assert _replayed(again) == [b"first", b"third"]
    assert again.damaged_bytes == len(b"second") + 12


def test_j3_a_segment_goes_when_its_last_item_is_released() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    first = journal.append((b"a" * 150, b"b" * 150))
    second = journal.append((b"c" * 250,))
    journal.append((b"d",))
    assert len(disk.names(DIRECTORY)) == 3
    journal.release(first[:1])
    journal.release(first[:1])
    assert len(disk.names(DIRECTORY)) == 3
    journal.release((first[1], *second))
    assert len(disk.names(DIRECTORY)) == 1
    assert _replayed(journal) == [b"d"]
    journal.release((first[0], 999 << 32))


def test_j3_the_segment_being_written_goes_only_when_it_is_finished() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.release(journal.append((b"a",)))
    assert len(disk.names(DIRECTORY)) == 1
    assert _replayed(journal) == [b"a"]
    journal.close()
    assert disk.names(DIRECTORY) == []


def test_j4_a_full_journal_takes_nothing_until_items_are_released() -> None:
    disk = FakeDisk()
    journal = _open(disk, bytes_max=1000)
    positions = journal.append((b"a" * 300, b"b" * 300))
    with pytest.raises(JournalFullError):
        journal.append((b"c" * 300, b"d" * 300))
    assert _replayed(journal) == [b"a" * 300, b"b" * 300]
    journal.append((b"e",))
    journal.release(positions)
    journal.append((b"c" * 300, b"d" * 300))
    assert journal.size_bytes <= 1000


def test_a_full_disk_refuses_the_items_and_the_journal_goes_on_when_there_is_room() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"before",))
    disk.fail_at = {"write": DiskFullError(DIRECTORY, "write", "full")}
    for _ in range(3):
        with pytest.raises(DiskFullError):
            journal.append((b"refused",))
    disk.fail_at = {}
    journal.append((b"after",))
    assert _replayed(journal) == [b"before", b"after"]
    journal.sync()
    assert _replayed(_open(disk)) == [b"before", b"after"]


def test_items_of_a_call_that_failed_half_way_do_not_count() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    kept = journal.append((b"kept",))
    disk.fail_at = {"create": DiskFullError(DIRECTORY, "create", "full")}
    with pytest.raises(DiskFullError):
        journal.append((b"a" * 300, b"b" * 300))
    disk.fail_at = {}
    journal.release(kept)
    assert disk.names(DIRECTORY) == [], "nothing holds the segment of the refused items"


def test_j5_what_a_full_disk_refused_does_not_come_back_after_a_restart() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"kept",))
    disk.fail_at = {"create": DiskFullError(DIRECTORY, "create", "full")}
    with pytest.raises(DiskFullError):
        journal.append((b"a" * 300, b"b" * 300))
    disk.fail_at = {}
    assert _replayed(_open(disk)) == [b"kept"]
    disk.crash()
    assert _replayed(_open(disk)) == [b"kept"]


def test_j5_what_a_full_disk_refused_is_gone_and_what_came_before_stays() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"kept",))
    disk.fail_at = {"create": DiskFullError(DIRECTORY, "create", "full")}
    with pytest.raises(DiskFullError):
        journal.append((b"a" * 300, b"b" * 300, b"c"))
    disk.fail_at = {}
    assert _replayed(journal) == [b"kept"]
    journal.append((b"later",))
    journal.sync()
    disk.crash()
    assert _replayed(_open(disk)) == [b"kept", b"later"]


def test_j5_a_disk_that_does_not_even_shorten_a_file_breaks_the_journal() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"kept",))
    full = DiskFullError(DIRECTORY, "write", "full")
    disk.fail_at = {"create": full, "truncate": full}
    with pytest.raises(DiskFailedError):
        journal.append((b"a" * 300, b"b" * 300))
    disk.fail_at = {}
    with pytest.raises(DiskFailedError):
        journal.append((b"c",))


@pytest.mark.parametrize("kind", [DiskFailedError, DiskFullError])
def test_a_failed_sync_is_final(kind: type[DiskError]) -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"a",))
    disk.fail_at = {"sync": kind(DIRECTORY, "sync", "broken")}
    with pytest.raises(DiskFailedError):
        journal.sync()
    disk.fail_at = {}
    with pytest.raises(DiskFailedError):
        journal.sync()
    with pytest.raises(DiskFailedError):
        journal.append((b"b",))


@pytest.mark.parametrize("kind", [DiskFailedError, DiskFullError])
def test_a_sync_that_failed_between_two_segments_is_not_tried_again(kind: type[DiskError]) -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"a" * 300,))
    disk.log.clear()
    disk.fail_at = {"sync": kind(DIRECTORY, "sync", "broken")}
    with pytest.raises(DiskFailedError):
        journal.append((b"b",))
    assert [operation for operation, _ in disk.log] == ["sync"]


def test_a_start_reads_each_segment_once() -> None:
    disk = ReadCounting()
    journal = _open(disk)
    for number in range(3):
        journal.append((b"%d" % number * 300,))
    journal.sync()
    disk.read_paths.clear()
    again = _open(disk)
    assert disk.read_paths == sorted(DIRECTORY / name for name in disk.names(DIRECTORY))
    assert len(_replayed(again)) == len(disk.names(DIRECTORY)) == 3


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"keep")
    (tmp_path / "1.journal").write_bytes(b"keep")
    journal = MempoolJournal(tmp_path)
    assert _replayed(journal) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.journal", "notes.txt"]
    journal.close()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=4),
            st.sets(st.integers(0, 20)),
            st.just("restart"),
        ),
        max_size=12,
    )
)
def test_no_unreleased_item_is_ever_lost(steps: list[list[bytes] | set[int] | str]) -> None:
    disk = FakeDisk()
    journal = _open(disk)
    live: dict[int, bytes] = {}
    for step in steps:
        match step:
            case list():
                live |= dict(zip(journal.append(step), step, strict=True))
            case set():
                chosen = [p for i, p in enumerate(sorted(live)) if i in step]
                journal.release(chosen)
                for position in chosen:
                    del live[position]
            case _:
                journal.sync()
                disk.crash()
                journal = _open(disk)
        found = dict(journal.replay())
        assert {position: found[position] for position in live} == live
        assert list(found) == sorted(found)


def test_j2_a_whole_segment_of_a_newer_format_is_refused_and_stays() -> None:
    disk = FakeDisk()
    journal = _open(disk)
    journal.append((b"a",))
    journal.sync()
    (name,) = disk.names(DIRECTORY)
    data = disk.read(DIRECTORY / name)
    assert data is not None
    head = b"MQJRN002" + data[8:16]
    replace_file(disk, DIRECTORY / name, head + crc32(head).to_bytes(4, "big") + data[20:])
    with pytest.raises(FormatError, match="format 2; this version reads 1"):
        _open(disk)
    assert disk.names(DIRECTORY) == [name]
    replace_file(disk, DIRECTORY / name, b"MQJRN002" + data[8:])
    assert _open(disk).damaged_bytes > 0, "a flipped bit is damage, and skipped"

"""The promises of the write-ahead log (docs/spec/storage.md section 3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.invariants import InvariantBroken
from storage import records as framing
from storage.errors import DamagedLogError, DiskFailedError, DiskFullError, FormatError
from storage.wal import WriteAheadLog
from tests.support.fake_disk import FakeDisk, PowerCutError

PATH = Path("/data/wal")
RECORDS = (b"first", b"x" * 40, b"\x00" * 25, b"last one")


def _recorded() -> tuple[FakeDisk, bytes, list[int]]:
    """A disk with a log of RECORDS, its bytes, and the offset behind each record."""
    disk = FakeDisk()
    log = WriteAheadLog.open(PATH, files=disk)
    ends = [log.size_bytes]
    for record in RECORDS:
        log.append((record,))
        ends.append(log.size_bytes)
    log.close()
    data = disk.read(PATH)
    assert data is not None
    return disk, data, ends


def test_appended_records_are_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "new" / "wal"
    log = WriteAheadLog.open(path)
    assert log.records == ()
    log.append(RECORDS[:2])
    log.append(())
    log.append(RECORDS[2:])
    log.close()
    log.close()
    with pytest.raises(InvariantBroken):
        log.append((b"late",))
    again = WriteAheadLog.open(path)
    assert again.records == RECORDS
    assert again.torn_bytes == 0
    again.close()


def test_w1_a_power_cut_after_append_loses_nothing() -> None:
    disk = FakeDisk()
    log = WriteAheadLog.open(PATH, files=disk)
    log.append(RECORDS[:2])
    disk.crash()
    assert WriteAheadLog.open(PATH, files=disk).records == RECORDS[:2]


def test_w1_append_syncs_the_file_after_writing_it() -> None:
    disk = FakeDisk()
    log = WriteAheadLog.open(PATH, files=disk)
    created = [
        ("create", "wal.tmp"), ("write", "wal.tmp"), ("sync", "wal.tmp"),
        ("rename", "wal"), ("sync_directory", "data"),
    ]  # fmt: skip
    assert disk.log == created
    log.append((b"a", b"b"))
    assert disk.log[len(created) :] == [("write", "wal"), ("sync", "wal")]


def test_w2_a_log_cut_at_any_offset_opens_with_the_whole_records() -> None:
    disk, data, ends = _recorded()
    for cut in range(ends[0], len(data)):
        disk.overwrite(PATH, data[:cut])
        log = WriteAheadLog.open(PATH, files=disk)
        whole = sum(end <= cut for end in ends[1:])
        assert log.records == RECORDS[:whole]
        assert log.torn_bytes == cut - ends[whole]
        log.append((b"after",))
        log.close()
        assert WriteAheadLog.open(PATH, files=disk).records == (*RECORDS[:whole], b"after")


def test_w2_the_cut_of_a_torn_tail_is_itself_durable() -> None:
    disk, data, ends = _recorded()
    disk.overwrite(PATH, data[:-1])
    WriteAheadLog.open(PATH, files=disk)
    disk.crash()
    assert disk.size(PATH) == ends[-2]


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_w3_a_flip_at_any_offset_is_refused_or_is_in_the_last_record(flip: int) -> None:
    disk, data, ends = _recorded()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= flip
        disk.overwrite(PATH, bytes(damaged))
        if position >= ends[-2]:
            assert WriteAheadLog.open(PATH, files=disk).records == RECORDS[:-1]
            continue
        with pytest.raises((DamagedLogError, FormatError)) as caught:
            WriteAheadLog.open(PATH, files=disk)
        if isinstance(caught.value, DamagedLogError):
            start = max((end for end in ends if end <= position), default=0)
            assert (caught.value.path, caught.value.offset) == (PATH, start)
            assert str(PATH) in str(caught.value)
            assert str(start) in str(caught.value)


def test_w3_a_torn_record_that_contains_a_log_is_still_a_torn_tail() -> None:
    disk, data, _ = _recorded()
    log = WriteAheadLog.open(PATH, files=disk)
    log.append((data,))
    torn = disk.read(PATH)
    assert torn is not None
    disk.overwrite(PATH, torn[:-1])
    assert WriteAheadLog.open(PATH, files=disk).records == RECORDS
    head_damaged = bytearray(torn)
    head_damaged[len(data)] ^= 1
    disk.overwrite(PATH, bytes(head_damaged))
    assert WriteAheadLog.open(PATH, files=disk).records == RECORDS


def test_a_log_of_a_later_version_is_refused_by_name() -> None:
    disk, _, _ = _recorded()
    header = framing.file_header(b"MQWAL002", bytes(8))
    disk.overwrite(PATH, header)
    with pytest.raises(FormatError) as caught:
        WriteAheadLog.open(PATH, files=disk)
    assert (caught.value.found, caught.value.supported) == (2, 1)


def test_w4_replace_leaves_the_old_or_the_new_records_wherever_the_power_fails() -> None:
    seen: set[tuple[bytes, ...]] = set()
    for steps in range(8):
        disk, _, _ = _recorded()
        log = WriteAheadLog.open(PATH, files=disk)
        disk.power_cut_after = steps
        done = False
        try:
            log.replace((b"only",))
            log.append((b"more",))
            done = True
        except PowerCutError:
            pass
        disk.crash()
        found = WriteAheadLog.open(PATH, files=disk).records
        assert found in (RECORDS, (b"only",), (b"only", b"more"))
        assert not done or found == (b"only", b"more")
        seen.add(found)
        assert disk.names(PATH.parent) == ["wal"]
    assert seen == {RECORDS, (b"only",), (b"only", b"more")}


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize(
    "error", [DiskFullError(PATH, "write", "full"), DiskFailedError(PATH, "sync", "broken")]
)
def test_w5_a_log_that_failed_once_refuses_everything_until_opened_again(
    operation: str, error: DiskFullError | DiskFailedError
) -> None:
    disk, _, _ = _recorded()
    log = WriteAheadLog.open(PATH, files=disk)
    disk.fail_at = {operation: error}
    with pytest.raises(type(error)):
        log.append((b"refused",))
    disk.fail_at = {}
    with pytest.raises(type(error)):
        log.append((b"refused too",))
    with pytest.raises(type(error)):
        log.replace(())
    disk.crash()
    again = WriteAheadLog.open(PATH, files=disk)
    assert again.records == RECORDS
    again.append((b"goes on",))
    assert WriteAheadLog.open(PATH, files=disk).records == (*RECORDS, b"goes on")


def test_replace_gives_up_the_records_that_were_found() -> None:
    disk, _, _ = _recorded()
    log = WriteAheadLog.open(PATH, files=disk)
    log.replace((b"only",))
    assert log.records == ()


def test_an_empty_record_is_our_own_mistake(tmp_path: Path) -> None:
    log = WriteAheadLog.open(tmp_path / "wal")
    with pytest.raises(InvariantBroken):
        log.append((b"",))
    log.close()


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.lists(st.binary(min_size=1, max_size=30), max_size=4), max_size=5),
    cut=st.integers(0, 10_000),
)
def test_a_cut_log_holds_a_prefix_of_what_was_appended(groups: list[list[bytes]], cut: int) -> None:
    disk = FakeDisk()
    log = WriteAheadLog.open(PATH, files=disk)
    for group in groups:
        log.append(group)
    data = disk.read(PATH)
    assert data is not None
    disk.overwrite(
        PATH, data[: framing.HEADER_BYTES + cut % (len(data) - framing.HEADER_BYTES + 1)]
    )
    flat = tuple(record for group in groups for record in group)
    found = WriteAheadLog.open(PATH, files=disk).records
    assert found == flat[: len(found)]

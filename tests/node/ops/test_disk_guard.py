"""Each line of the disk guard fires, and nothing fires above it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from node.ops.diskguard import DiskGuard, DiskLevel, DiskLowError, Line, Lines, room_above
from tests.support.daemon import FakeDisk

GIB = 1024**3
KIB_PER_GIB = 1024 * 1024
LINES = Lines(warn=Line(2 * GIB, 10), refuse=Line(GIB, 5), stop=Line(GIB // 2, 2))


def guard(disk: FakeDisk, *, check_seconds: float = 10) -> DiskGuard:
    """A guard over a disk that the test fills."""
    log = structlog.wrap_logger(structlog.testing.CapturingLogger())
    return DiskGuard(
        Path("/data"), LINES, check_seconds=check_seconds, log=log, statvfs=lambda _path: disk
    )


def disk_of(free_gib: float, *, size_gib: int, free_inodes: int = 1_000_000) -> FakeDisk:
    """A disk with a million inodes."""
    return FakeDisk(
        f_blocks=size_gib * KIB_PER_GIB,
        f_bavail=int(free_gib * KIB_PER_GIB),
        f_favail=free_inodes,
    )


@pytest.mark.parametrize(
    ("disk", "level"),
    [
        (disk_of(100, size_gib=100), DiskLevel.OK),
        # On a large disk the percentages come first.
        (disk_of(10, size_gib=100), DiskLevel.OK),
        (disk_of(9.9, size_gib=100), DiskLevel.WARN),
        (disk_of(5, size_gib=100), DiskLevel.WARN),
        (disk_of(4.9, size_gib=100), DiskLevel.REFUSE),
        (disk_of(2, size_gib=100), DiskLevel.REFUSE),
        (disk_of(1.9, size_gib=100), DiskLevel.STOP),
        # On a small one the bytes do.
        (disk_of(2, size_gib=4), DiskLevel.OK),
        (disk_of(1.9, size_gib=4), DiskLevel.WARN),
        (disk_of(1, size_gib=4), DiskLevel.WARN),
        (disk_of(0.9, size_gib=4), DiskLevel.REFUSE),
        (disk_of(0.5, size_gib=4), DiskLevel.REFUSE),
        (disk_of(0.4, size_gib=4), DiskLevel.STOP),
        # Room without inodes is no room.
        (disk_of(100, size_gib=100, free_inodes=100_000), DiskLevel.OK),
        (disk_of(100, size_gib=100, free_inodes=99_999), DiskLevel.WARN),
        (disk_of(100, size_gib=100, free_inodes=49_999), DiskLevel.REFUSE),
        (disk_of(100, size_gib=100, free_inodes=19_999), DiskLevel.STOP),
        # Some file systems do not count inodes.
        (FakeDisk(f_files=0, f_favail=0), DiskLevel.OK),
    ],
)
def test_each_line_fires_by_bytes_by_percent_and_by_inodes(
    disk: FakeDisk, level: DiskLevel
) -> None:
    found = guard(disk)
    assert found.state.level is level
    assert found.refuses == (level >= DiskLevel.REFUSE)


@pytest.mark.parametrize(
    ("disk", "gib"),
    [
        (disk_of(100, size_gib=100), 95),
        (disk_of(5, size_gib=100), 0),
        (disk_of(1, size_gib=100), 0),
        (disk_of(3, size_gib=4), 2),
        (disk_of(100, size_gib=100, free_inodes=49_999), 0),
    ],
)
def test_the_room_above_a_line_ends_where_the_line_is_crossed(disk: FakeDisk, gib: int) -> None:
    room = room_above(Path("/data"), LINES.refuse, lambda _path: disk)
    assert room == gib * GIB
    used = FakeDisk(
        f_blocks=disk.f_blocks,
        f_bavail=disk.f_bavail - room // 1024,
        f_favail=disk.f_favail,
    )
    assert room_above(Path("/data"), LINES.refuse, lambda _path: used) == 0


def test_a_node_does_not_start_below_the_stop_line() -> None:
    with pytest.raises(DiskLowError):
        guard(disk_of(0.4, size_gib=4)).check()


async def test_the_guard_ends_the_node_when_the_disk_fills() -> None:
    disk = disk_of(3, size_gib=4)
    watching = guard(disk, check_seconds=0.001)
    # Runs while the guard rests after its first look.
    asyncio.get_running_loop().call_soon(setattr, disk, "f_bavail", 1)
    with pytest.raises(DiskLowError) as low:
        async with asyncio.timeout(10):
            await watching.run()
    assert low.value.state.free_bytes == 1024


def test_room_that_was_made_lets_new_transactions_in_again() -> None:
    disk = disk_of(0.9, size_gib=4)
    watching = guard(disk)
    assert watching.refuses
    disk.f_bavail = 3 * KIB_PER_GIB
    watching.check()
    assert not watching.refuses


def test_a_change_of_level_is_logged_once(tmp_path: Path) -> None:
    log = structlog.testing.CapturingLogger()
    disk = disk_of(3, size_gib=4)
    watching = DiskGuard(
        tmp_path,
        LINES,
        check_seconds=10,
        log=structlog.wrap_logger(log, processors=[]),
        statvfs=lambda _path: disk,
    )
    for free_kib in (3 * KIB_PER_GIB, KIB_PER_GIB, KIB_PER_GIB, 3 * KIB_PER_GIB):
        disk.f_bavail = free_kib
        watching.check()
    assert [call.kwargs["state"] for call in log.calls] == ["warn", "ok"]


def test_the_real_file_system_can_be_measured(tmp_path: Path) -> None:
    lines = Lines(Line(0, 0), Line(0, 0), Line(0, 0))
    log = structlog.wrap_logger(structlog.testing.CapturingLogger())
    found = DiskGuard(tmp_path, lines, check_seconds=1, log=log).state
    assert found.level is DiskLevel.OK
    assert 0 < found.free_percent <= 100

"""Backups are made once a slot, whatever the clock, the disk and restarts do, and no failure of one
reaches the node.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import generate_latest

from node.backup.limits import SCHEDULE_RETRY_S
from node.backup.making import BackupMade, BackupMaker
from node.backup.schedule import HOUR_MS, Backups, Surroundings, last_made_ms
from node.errors import RefusedError
from node.logs import configure
from node.ops.backupmetrics import BackupMetrics
from node.ops.diskguard import DiskLevel, Line, Lines, measure
from node.ops.metrics import Metrics
from node.threads import Worker
from storage.snapshots import SnapshotFiles
from tests.support.signed_chain import SignedChain

MADE = BackupMade(7, "aa", "bb", "cc", 1, 2, 1, 3_000, 1_000, 1.5)
START_MS = 1_000 * 24 * HOUR_MS


class EndOfTest(Exception):  # noqa: N818 - no error: the time that the test looks at is over
    """Thrown where the schedule sleeps."""


class World:
    """A clock that moves only while the schedule sleeps, and what it had made when."""

    def __init__(self, *, hours: float, last_ms: int | None = None) -> None:
        self.now = float(START_MS)
        self.end = self.now + hours * HOUR_MS
        self.last_ms = last_ms
        self.height = 7
        self.made: list[float] = []
        self.tries: list[float] = []
        self.refuse: Callable[[float], str | None] = lambda _hour: None
        self.metrics = Metrics(version="test")

    @property
    def hour(self) -> float:
        """Hours since the beginning."""
        return round((self.now - START_MS) / HOUR_MS, 3)

    async def make(self) -> BackupMade:
        self.tries.append(self.hour)
        code = self.refuse(self.hour)
        if code is not None:
            raise RefusedError(code, "no")
        self.made.append(self.hour)
        return MADE

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += 1_000 * seconds
        if self.now >= self.end:
            raise EndOfTest

    async def last(self) -> int | None:
        return self.last_ms

    def backups(self, every_hours: int) -> Backups:
        around = Surroundings(lambda: int(self.now), lambda: self.height, self.last, self.sleep)
        watcher = BackupMetrics(self.metrics)
        return Backups(self.make, every_hours=every_hours, around=around, watcher=watcher)

    def run(self, every_hours: int) -> None:
        with pytest.raises(EndOfTest):
            asyncio.run(self.backups(every_hours).run())

    def figure(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(f"medquorum_{name}")
        return -1 if value is None else value


def test_one_is_made_in_each_slot_at_its_beginning() -> None:
    world = World(hours=25)
    world.run(6)
    assert world.made == [0, 6, 12, 18, 24]


def test_a_start_within_a_slot_that_has_one_waits_for_the_next() -> None:
    world = World(hours=13, last_ms=START_MS + 1)
    world.run(6)
    assert world.made == [6, 12]
    assert world.figure("backup_last_success_timestamp_seconds") == (START_MS + 12 * HOUR_MS) / 1000


def test_a_slot_that_was_missed_is_made_up_for_at_once() -> None:
    world = World(hours=7, last_ms=START_MS - 1)
    world.now += 2.5 * HOUR_MS
    world.run(6)
    assert world.made == [2.5, 6]


def test_a_refused_one_is_counted_tried_again_and_harms_nobody() -> None:
    world = World(hours=7)
    world.refuse = lambda hour: "disk_low" if hour < 0.4 else None
    world.run(6)
    step = SCHEDULE_RETRY_S / 3600
    assert world.tries == [0, round(step, 3), round(2 * step, 3), round(3 * step, 3), 6]
    assert world.made == [0.5, 6]
    counted = world.metrics.registry.get_sample_value(
        "medquorum_backup_failures_total", {"reason": "disk_low"}
    )
    assert counted == 3


def test_a_clock_that_was_ahead_does_not_stop_backups() -> None:
    world = World(hours=7, last_ms=START_MS + 10_000 * HOUR_MS)
    world.run(6)
    assert world.made == [0, 6]


def test_nothing_is_tried_before_there_is_a_block() -> None:
    world = World(hours=3)
    world.height = 0
    world.run(1)
    assert world.tries == []


def test_without_a_schedule_only_the_last_time_is_told() -> None:
    world = World(hours=3, last_ms=START_MS)
    asyncio.run(world.backups(0).run())
    assert world.tries == []
    assert world.figure("backup_last_success_timestamp_seconds") == START_MS / 1000


def test_metrics_tell_how_the_last_backup_went() -> None:
    world = World(hours=3)
    asyncio.run(world.backups(0).make())
    page = generate_latest(world.metrics.registry).decode()
    for line in ("last_size_bytes 3000.0", "last_new_bytes 1000.0", "last_duration_seconds 1.5"):
        assert f"medquorum_backup_{line}" in page


def test_the_directory_tells_when_the_last_one_was_made(tmp_path: Path) -> None:
    assert last_made_ms(tmp_path) is None
    assert last_made_ms(tmp_path / "not mounted") is None
    for name, seconds in (("0000000000000002-aa.head", 50), ("0000000000000009-aa.head", 20)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (seconds, seconds))
    assert last_made_ms(tmp_path) == 50_000


class Room(NamedTuple):
    """What statvfs says."""

    f_frsize: int
    f_blocks: int
    f_bavail: int
    f_files: int
    f_favail: int


def answer(room: Room, _path: Path) -> Room:
    """Plays statvfs."""
    return room


def test_a_disk_is_measured_by_the_lines_of_the_guard(tmp_path: Path) -> None:
    lines = Lines(warn=Line(0, 50), refuse=Line(0, 20), stop=Line(0, 5))
    for free, level in ((60, DiskLevel.OK), (40, DiskLevel.WARN), (10, DiskLevel.REFUSE)):
        found = Room(f_frsize=1, f_blocks=100, f_bavail=free, f_files=0, f_favail=0)
        assert measure(tmp_path, lines, partial(answer, found)).level is level


async def back_up(member: SignedChain, directory: Path, rooms: list[str | None]) -> BackupMade:
    """Have one made while the disk says what `rooms` says, each time that it is asked."""
    worker = Worker("backup")
    ended: BackupMade | RefusedError
    async with asyncio.TaskGroup() as group:
        maker = BackupMaker(
            member.kv,
            directory,
            chain_id=member.chain.chain_id,
            keep=2,
            software="test",
            worker=worker,
            spawn=group.create_task,
            log=configure("error", "plain", "test", StringIO()),
            short_of_room=lambda: rooms.pop(0) if rooms else None,
        )
        try:
            ended = await maker.make()
        except RefusedError as refused:
            ended = refused
    worker.close()
    if isinstance(ended, RefusedError):
        raise ended
    return ended


@pytest.mark.parametrize("looks_before", [0, 1])
async def test_a_full_backup_disk_is_a_refusal_that_leaves_the_earlier_backups(
    tmp_path: Path, looks_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.backup.making.ROOM_LOOK_STEPS", 2)
    directory = tmp_path / "backups"
    directory.mkdir()
    with closing(SignedChain(tmp_path / "member")) as member:
        member.grow(3)
        first = await back_up(member, directory, [])
        files = SnapshotFiles(directory)
        before = set(files.chunks.ids())
        member.grow(3)
        with pytest.raises(RefusedError) as refused:
            await back_up(member, directory, [*[None] * looks_before, "1 bytes are free"])
        assert (refused.value.code, refused.value.detail) == ("disk_low", "1 bytes are free")
        assert files.names() == (first.name(),)
        assert set(files.chunks.ids()) == before, "half a backup should give its room back"
        assert (await back_up(member, directory, [])).height == 6

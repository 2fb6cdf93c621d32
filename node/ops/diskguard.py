"""Acts before the disk is full: warn, then refuse new transactions, then stop cleanly.

A full disk in the midst of a commit is a crash, and a node that restarts on a full disk crashes
again. So the node goes on voting while it refuses new work, and stops while it still can: with exit
code 73, after which the service manager is told not to restart it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Protocol

from structlog.typing import FilteringBoundLogger

from node.config.schema import Disk
from node.errors import NodeError

PERCENT: Final = 100


class DiskLevel(IntEnum):
    """How bad it is. Each level includes those below it."""

    OK = 0
    WARN = 1
    REFUSE = 2
    STOP = 3


class StatVfs(Protocol):
    """The fields of os.statvfs that are read."""

    @property
    def f_frsize(self) -> int:
        """The size of a block, in bytes."""
        ...

    @property
    def f_blocks(self) -> int:
        """All blocks."""
        ...

    @property
    def f_bavail(self) -> int:
        """Blocks that we may still use: those reserved for root do not count."""
        ...

    @property
    def f_files(self) -> int:
        """All inodes; 0 on a file system that has no such limit."""
        ...

    @property
    def f_favail(self) -> int:
        """Inodes that we may still use."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """Crossed when fewer bytes are free, or a smaller part of the disk or of its inodes."""

    bytes: int
    percent: float


@dataclass(frozen=True, slots=True)
class Lines:
    """When to warn, to refuse and to stop."""

    warn: Line
    refuse: Line
    stop: Line


@dataclass(frozen=True, slots=True)
class DiskState:
    """What was measured. `free_inodes_percent` is 100 where inodes are not limited."""

    level: DiskLevel
    free_bytes: int
    free_percent: float
    free_inodes_percent: float


class DiskLowError(NodeError):
    """Less is free than a node needs to stop cleanly: it must not run here. Exit code 73."""

    def __init__(self, path: Path, state: DiskState) -> None:
        super().__init__(
            f"{path}: {state.free_bytes} bytes ({state.free_percent:.1f} %) and "
            f"{state.free_inodes_percent:.1f} % of the inodes are free; make room and start again"
        )
        self.path = path
        self.state = state


class DiskGuard:
    """Watches the file system that holds `path`. Lives on the event loop; on a local disk statvfs
    does not block.
    """

    def __init__(
        self,
        path: Path,
        lines: Lines,
        *,
        check_seconds: float,
        log: FilteringBoundLogger,
        statvfs: Callable[[Path], StatVfs] = os.statvfs,
    ) -> None:
        self._path = path
        self._lines = lines
        self._check_seconds = check_seconds
        self._log = log
        self._statvfs = statvfs
        self.state = self._measure()

    @property
    def refuses(self) -> bool:
        """Whether new transactions and records are refused."""
        return self.state.level >= DiskLevel.REFUSE

    def check(self) -> DiskState:
        """Measure now. Raises DiskLowError below the stop line: the caller lets it end the node, or
        does not start one.
        """
        before, self.state = self.state, self._measure()
        if self.state.level != before.level:
            report = self._log.warning if self.state.level > DiskLevel.OK else self._log.info
            report(
                "disk_level",
                state=self.state.level.name.lower(),
                free_bytes=self.state.free_bytes,
                path=str(self._path),
            )
        if self.state.level is DiskLevel.STOP:
            raise DiskLowError(self._path, self.state)
        return self.state

    async def run(self) -> None:
        """Check until cancelled. Ends by DiskLowError."""
        while True:
            self.check()
            await asyncio.sleep(self._check_seconds)

    def _measure(self) -> DiskState:
        return measure(self._path, self._lines, self._statvfs)


def measure(path: Path, lines: Lines, statvfs: Callable[[Path], StatVfs] = os.statvfs) -> DiskState:
    """How much room the file system that holds `path` has, by these lines. Raises OSError."""
    found = statvfs(path)
    free_bytes = found.f_bavail * found.f_frsize
    free_percent = _percent(found.f_bavail, found.f_blocks)
    free_inodes_percent = _percent(found.f_favail, found.f_files)
    level = DiskLevel.OK
    for line, reached in (
        (lines.warn, DiskLevel.WARN),
        (lines.refuse, DiskLevel.REFUSE),
        (lines.stop, DiskLevel.STOP),
    ):
        lowest = min(free_percent, free_inodes_percent)
        if free_bytes < line.bytes or lowest < line.percent:
            level = reached
    return DiskState(level, free_bytes, free_percent, free_inodes_percent)


def room_above(path: Path, line: Line, statvfs: Callable[[Path], StatVfs] = os.statvfs) -> int:
    """How many bytes may be written to the file system that holds `path` before `line` is crossed;
    0 if it is, also by its inodes. Raises OSError.
    """
    found = statvfs(path)
    if _percent(found.f_favail, found.f_files) < line.percent:
        return 0
    lowest = max(line.bytes, found.f_blocks * found.f_frsize * line.percent / PERCENT)
    return max(0, int(found.f_bavail * found.f_frsize - lowest))


def lines_of(disk: Disk) -> Lines:
    """Those that the configuration draws."""
    return Lines(
        warn=Line(disk.warn_bytes, disk.warn_percent),
        refuse=Line(disk.refuse_bytes, disk.refuse_percent),
        stop=Line(disk.stop_bytes, disk.stop_percent),
    )


def _percent(part: int, whole: int) -> float:
    return PERCENT * part / whole if whole > 0 else float(PERCENT)

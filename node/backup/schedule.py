"""Has a backup made once in each slot of the clock, and tells how backups are doing.

Slots begin at the multiples of `every_hours` since 1970, UTC: every node and every start agree on
them, without a file that remembers. When the last backup was made the directory says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from node.backup.limits import SCHEDULE_LOOK_S, SCHEDULE_RETRY_S
from node.backup.making import BackupMade
from node.errors import RefusedError

MS_PER_S: Final = 1_000
HOUR_MS: Final = 3_600 * MS_PER_S
NS_PER_MS: Final = 1_000_000


class Watcher(Protocol):
    """Hears how backups end. Every one that was asked for or due ends in one of two ways."""

    def made(self, made: BackupMade, at_ms: int) -> None:
        """A backup is there."""
        ...

    def failed(self, code: str) -> None:
        """There is none, for a reason of the catalogue."""
        ...

    def found(self, at_ms: int) -> None:
        """The last backup was made at this time, before this start."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a schedule needs of its node. `last_made_ms` looks at the disk, on another thread."""

    now_ms: Callable[[], int]
    height: Callable[[], int]
    last_made_ms: Callable[[], Awaitable[int | None]]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Backups:
    """Makes backups when it is asked to and when the clock says so. Lives on the event loop."""

    def __init__(
        self,
        make: Callable[[], Awaitable[BackupMade]],
        *,
        every_hours: int,
        around: Surroundings,
        watcher: Watcher,
    ) -> None:
        self._make = make
        self._period_ms = every_hours * HOUR_MS
        self._around = around
        self._watcher = watcher

    async def make(self) -> BackupMade:
        """Back the last height up, and return when it is durable. Raises RefusedError."""
        try:
            made = await self._make()
        except RefusedError as refused:
            self._watcher.failed(refused.code)
            raise
        self._watcher.made(made, self._around.now_ms())
        return made

    async def run(self) -> None:
        """Make them by the clock until cancelled; returns at once if they are only asked for.

        One that is refused is tried again in the same slot, and never ends the node.
        """
        last_ms = await self._around.last_made_ms()
        if last_ms is not None:
            self._watcher.found(last_ms)
        if self._period_ms == 0:
            return
        done = None if last_ms is None else last_ms // self._period_ms
        while True:
            slot = self._around.now_ms() // self._period_ms
            wait_s = SCHEDULE_LOOK_S
            # Another slot and not a later one: a clock that was ahead must not stop backups.
            if slot != done and self._around.height() > 0:
                try:
                    await self.make()
                    done = slot
                except RefusedError:
                    wait_s = SCHEDULE_RETRY_S
            await self._around.sleep(min(wait_s, self._till_next_s()))

    def _till_next_s(self) -> float:
        now = self._around.now_ms()
        return (self._period_ms - now % self._period_ms) / MS_PER_S


def last_made_ms(directory: Path) -> int | None:
    """When the last backup in a directory was made, as its file system says; None if there is none
    or the directory cannot be read.
    """
    try:
        times = [path.stat().st_mtime_ns for path in directory.glob("*.head")]
    except OSError:
        return None
    return max(times) // NS_PER_MS if times else None

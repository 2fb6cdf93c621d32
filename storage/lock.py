"""One process a data directory: two would sign with one key."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from storage.errors import DataDirLockedError

LOCK_NAME: Final = "LOCK"
_PID_BYTES_MAX: Final = 20


class DataDirLock:
    """An flock on a file in the data directory.

    The kernel drops it when the process ends, however it ends.

    The file stays, for removing it would let two processes lock two files of one name. It names the
    holder for people; the lock itself is what counts. Network file systems may not honour it.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, directory: Path) -> None:
        """Take the lock, creating the directory if needed.

        Raises DataDirLockedError at once if it is held.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / LOCK_NAME
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, _PID_BYTES_MAX, 0).strip()
            os.close(self._descriptor)
            pid = int(holder) if holder.isdigit() else 0
            raise DataDirLockedError(directory, pid) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let go. Calling it again is harmless."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> DataDirLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

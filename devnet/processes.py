"""Processes that outlive the command which started them.

A process is known by its pid, the moment it started and the boot of the machine, so a pid that the
kernel has given to somebody else is never taken for ours, and never killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from devnet.limits import GONE_S, POLL_S

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_STATE_FIELD: Final = 0
_UTIME_FIELD: Final = 11
_STIME_FIELD: Final = 12
_START_FIELD: Final = 19


class RunState(StrEnum):
    """What a process does."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    """It was ended by us, or never started."""
    DIED = "died"
    """It ended although nobody asked it to."""


class ProcessId(msgspec.Struct, frozen=True):
    """One process, for ever: no other will have the same three numbers."""

    pid: int
    started_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this pid now, or None."""
        fields = _stat(pid)
        if fields is None:
            return None
        return cls(pid, int(fields[_START_FIELD]), _BOOT_ID.read_text().strip())

    def state(self) -> RunState:
        """Running, paused, or died. A process that nobody has waited for yet is dead, too."""
        fields = _stat(self.pid)
        if fields is None or ProcessId.of(self.pid) != self or fields[_STATE_FIELD] in "ZX":
            return RunState.DIED
        return RunState.PAUSED if fields[_STATE_FIELD] in "Tt" else RunState.RUNNING

    @property
    def alive(self) -> bool:
        """Whether it is there, running or paused."""
        return self.state() is not RunState.DIED

    def cpu_seconds(self) -> float:
        """What it has used so far, all threads, user and system. 0 if it is gone."""
        fields = _stat(self.pid)
        if fields is None or not self.alive:
            return 0.0
        ticks = int(fields[_UTIME_FIELD]) + int(fields[_STIME_FIELD])
        return ticks / os.sysconf("SC_CLK_TCK")

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to it alone. False if it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The descriptor holds on to whoever has the pid now; look who that is, then signal.
            if not self.alive:
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def wait_gone(self, timeout_s: float) -> bool:
        """Whether it ended before the time was over."""
        return self.wait_state(RunState.DIED, timeout_s)

    def wait_state(self, state: RunState, timeout_s: float) -> bool:
        """Whether it came to this state before the time was over.

        A signal is delivered when the kernel gets to it: a process that sleeps on its disk stops
        and dies a little later than it is told to.
        """
        deadline = time.monotonic() + timeout_s
        while self.state() is not state:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True

    def ask_to_end(self) -> bool:
        """SIGTERM, once: a second one demands an end at once of a node. False if it is gone."""
        # A paused process takes note only after it is resumed.
        there = self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        return there

    def wait_end(self, timeout_s: float) -> bool:
        """Wait for one that was asked; SIGKILL when the time is over. False if it came to that."""
        if self.wait_gone(timeout_s):
            return True
        self.signal(signal.SIGKILL)
        self.wait_gone(GONE_S)
        return False


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on (proc_pid_stat(5), field 3)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the name in parentheses, which may hold anything, even parentheses.
    return text.rpartition(")")[2].split()


def spawn(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that neither Ctrl-C nor a closed terminal ends
    it. What it writes is appended to `log`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def remember(file: Path, process: ProcessId) -> None:
    """Write down which process it is; readers see the old file or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(process))
    temporary.replace(file)


def recall(file: Path) -> ProcessId | None:
    """What `remember` wrote, or None. A damaged file tells nothing, and kills nobody."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=ProcessId)
    except (FileNotFoundError, msgspec.DecodeError):
        return None

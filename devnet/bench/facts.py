"""What was measured on: without it a figure says nothing. And the one form in which results are
printed as JSON, so that `bench report` can read them.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from devnet.bench.limits import Limits
from devnet.layout import CHECKOUT

BUSY_LOAD: Final = 0.5
"""Processes that wait for each core, before a measurement begins, from which on the machine is not
at rest: its figures can be compared with each other, and with nothing else."""
_KIB: Final = 1024


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, and what it was doing when the measurement began."""

    processor: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    revision: str
    """The commit that was measured, with a `+` if files differed from it; empty if unknown."""
    began: str
    load_before: float
    """The load average of the last minute."""
    at_rest: bool


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What a command prints as JSON. `limits` are of the same run, null if it took none."""

    bench: str
    machine: Machine
    limits: Limits | None
    result: object


def machine() -> Machine:
    """This machine, now. Call it before the measurement: that puts a load on it."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return Machine(
        processor=_field("/proc/cpuinfo", "model name") or platform.machine(),
        cores=cores,
        memory_mib=int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) // _KIB,
        kernel=platform.release(),
        python=platform.python_version(),
        revision=_revision(),
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        load_before=round(load, 2),
        at_rest=load < BUSY_LOAD * cores,
    )


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _revision() -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    commands = (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "-uno"))
    try:
        commit, changed = (
            subprocess.run(
                (git, "-C", str(CHECKOUT), *command), capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}+" if changed else commit

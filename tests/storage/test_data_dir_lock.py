"""One process a data directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import DataDirLockedError
from storage.lock import LOCK_NAME, DataDirLock

_HOLD = """
import sys
from pathlib import Path
from storage.lock import DataDirLock
lock = DataDirLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_and_told_the_first_ones_pid(tmp_path: Path) -> None:
    with DataDirLock(tmp_path / "data"):
        with pytest.raises(DataDirLockedError) as caught:
            DataDirLock(tmp_path / "data")
        assert caught.value.pid == os.getpid()
        assert str(os.getpid()) in str(caught.value)
    with DataDirLock(tmp_path / "data") as again:
        again.release()
        again.release()
    assert (tmp_path / "data" / LOCK_NAME).read_bytes() == b""


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(DataDirLockedError) as caught:
            DataDirLock(tmp_path)
        assert caught.value.pid == child.pid
        child.kill()
        child.wait()
    DataDirLock(tmp_path).release()

"""A command that is told to end, or is killed, leaves nothing behind that nobody would remove."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.home import Home
from storage.lock import DataDirLock
from tests.support.cli import ROOT, ok, run
from tests.support.stopped_home import make_stopped_home

_ENDED = """
import os, signal, sys, tempfile
from pathlib import Path
from node.cli.main import ended

# Whoever runs the tests may have it ignored, as nohup does, and that is inherited.
signal.signal(int(sys.argv[2]), signal.SIG_DFL)

def command():
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as name:
        (Path(name) / "copy").write_bytes(b"of the ledger")
        os.kill(os.getpid(), int(sys.argv[2]))
        return 0

ended(command)
"""
_POOL = """
import os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from node.repair.blocks import _follow_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), _follow_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        sys.stdin.read()
"""
_DEADLINE_S = 60.0


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk" / "python")])}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_its_scratch_goes_and_whoever_waits_sees_the_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    script = tmp_path / "script.py"
    script.write_text(_ENDED)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, script, scratch, str(int(number))],
        env=_environment(),
        capture_output=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-number, b"")
    assert list(scratch.iterdir()) == []


def test_the_processes_of_a_check_do_not_outlive_one_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_POOL)
    with subprocess.Popen(
        [sys.executable, script],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        ready, _, _ = select.select([worker], [], [], _DEADLINE_S)
        assert ready == [worker]
    finally:
        os.close(worker)


def test_what_a_killed_one_left_goes_when_the_data_is_opened_next(tmp_path: Path) -> None:
    home = make_stopped_home(tmp_path)
    left = home.scratch / "kv" / "left"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"a copy of the ledger")
    ok("verify", "--home", home.root)
    assert not home.scratch.exists()
    left.parent.mkdir(parents=True)
    left.write_bytes(b"a copy of the ledger")
    ok("replay", "--home", home.root)
    assert not home.scratch.exists()


def test_snapshots_are_verified_one_at_a_time_over_what_a_killed_one_left(tmp_path: Path) -> None:
    home: Home = make_stopped_home(tmp_path)
    ok("snapshot", "create", "--home", home.root)
    scratch = home.snapshots / "verify"
    with DataDirLock(scratch):
        assert run("snapshot", "verify", "--home", home.root).exit_code == 75
    (scratch / "kv").mkdir()
    (scratch / "kv" / "left").write_bytes(b"a copy of the ledger")
    (scratch / "leaves").mkdir()
    ok("snapshot", "verify", "--home", home.root)
    assert not scratch.exists()

"""What was acknowledged survives kill -9, whole, whatever the process was doing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from storage.signstate import SignState
from storage.vault import VaultDirectory
from storage.wal import WriteAheadLog
from tests.support.crash_child import TXS, changes_of, open_stores

ROUNDS = 6


def _run_and_kill(directory: Path, acknowledgements: int) -> int:
    """Let the child acknowledge so many heights, kill it, and return the last one it told us of."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "tests.support.crash_child", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        last = 0
        for _ in range(acknowledgements):
            last = int(child.stdout.readline())
        child.kill()
        rest = child.stdout.read().split(b"\n")[:-1]
    return int(rest[-1]) if rest else last


def test_acknowledged_heights_survive_being_killed_at_random(tmp_path: Path) -> None:
    rng = random.Random(20)
    expected: dict[bytes, bytes] = {}
    checked = -1
    for _ in range(ROUNDS):
        acknowledged = _run_and_kill(tmp_path, rng.randrange(1, 60))
        kv, chain, state = open_stores(tmp_path)
        tip = chain.tip()
        assert tip in (acknowledged, acknowledged + 1)
        for height in range(checked + 1, tip + 1):
            for key, value in changes_of(height)["records"].items():
                if value is None:
                    expected.pop(key, None)
                else:
                    expected[key] = value
        assert state.height() == tip
        result = chain.result(tip)
        assert result is not None
        assert tip == 0 or result.state_root == state.root()
        assert dict(state.scan("records", b"", None)) == expected
        assert state.prepare(tip + 1, changes_of(tip + 1)).height == tip + 1
        for height in range(1, tip + 1):
            block = chain.block(height)
            assert block is not None
            assert [chain.locate(i) for i in block.tx_ids] == [(height, i) for i in range(TXS)]
        assert chain.block(tip + 1) is None
        checked = tip
        kv.close()
        _check_files(tmp_path, acknowledged)


def _check_files(directory: Path, acknowledged: int) -> None:
    log = WriteAheadLog.open(directory / "wal")
    # The child may have been killed after it replaced the log for the next height.
    newest = {b"%d" % acknowledged, b"%d" % (acknowledged + 1)}
    assert acknowledged == 0 or newest & set(log.records)
    log.close()
    last = SignState.open(directory / "sign").last
    assert last is None or last[0] >= acknowledged
    vault = VaultDirectory(directory / "vault")
    for height in range(1, acknowledged + 1):
        assert vault.has(sha256(b"blob of height %d" % height).digest())

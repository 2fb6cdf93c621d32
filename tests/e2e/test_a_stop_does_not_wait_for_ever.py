"""A backup into a file system that does not answer holds up neither the chain nor the end of a node
(docs/operators.md, *How it ends*). A FIFO in the place of a chunk plays it: reading it never ends.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medquorum.quorum import EngineName
from node.backup.format import load_manifest
from node.limits import LONG_WORK_S
from storage.snapshots import SnapshotFiles
from tests.support.cli import ok, process
from tests.support.network import (
    WAIT_S,
    assert_agreement,
    block_at,
    commit_some,
    height_of,
    running_network,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TEMPORARY = 75
VICTIM = 3


def silence(backups: Path) -> tuple[Path, bytes]:
    """Put a FIFO in the place of the chunk that every backup writes first, which is the genesis; it
    and what was there.
    """
    files = SnapshotFiles(backups)
    (name,) = files.names()
    chunk = load_manifest(files, name).chunks[0].hash.hex()
    path = backups / "chunks" / chunk[:2] / chunk
    data = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    return path, data


@pytest.mark.engines("pbft", why="about one node's files")
def test_a_backup_that_never_returns_is_left_behind_by_a_clean_stop(
    tmp_path: Path, engine: EngineName
) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    config: dict[str, object] = {"backup.directory": str(backups)}
    with running_network(tmp_path, engine=engine, config=config) as network:
        node = network.nodes[VICTIM]
        commit_some(network, 1)
        block_at(node, 1)
        ok("backup", "--ops", node.ops_url)
        path, data = silence(backups)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(process, "backup", "--ops", node.ops_url)
            # Opens once the node has it open too; then that waits for what never comes.
            with path.open("wb", buffering=0):
                # Meanwhile the node lives: it follows, and its API answers.
                commit_some(network, 2)
                block_at(node, 3)
                running = network.process(node)
                assert running is not None
                running.signal(signal.SIGTERM)
                assert network.exit_code(node, timeout_s=WAIT_S + LONG_WORK_S) == TEMPORARY
            assert asked.result().returncode != 0
        said = network.directory.log_file(VICTIM).read_text()
        left = next(line for line in said.splitlines() if "work_left" in line)
        assert "backup" in left
        assert "BackupWork.step" in left
        assert "Traceback" not in said
        # Everything else was closed, and whole.
        path.unlink()
        path.write_bytes(data)
        ok("verify", "--deep", "--home", network.directory.node(VICTIM).root)
        network.start([node])
        network.wait_ready([node])
        commit_some(network, 1)
        assert assert_agreement(network) == height_of(node)
        ok("backup", "--ops", node.ops_url)

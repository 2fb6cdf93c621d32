"""A disk that is full, has no inodes left, or gives I/O errors stops a real node with the exit code
that tells its service manager what to do; nothing that was acknowledged is lost, and the others go
on (docs/spec/storage.md, D1, D2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from devnet import api
from devnet.errors import StateError
from devnet.netfile import NodeInfo
from devnet.network import Launch, Network
from medquorum.errors import ProblemError
from medquorum.quorum import EngineName
from tests.support.disk import tiny_disk
from tests.support.network import (
    WAIT_S,
    assert_agreement,
    cheap_transaction,
    client_of,
    commit_some,
    height_of,
    running_network,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MIB = 1024 * 1024
DISK, TEMPORARY = 73, 75
VICTIM = 3
BLOCKS_MAX = 20
FAILING = Launch("tests.support.failing_disk_node", words=())
ONLY_INODES: dict[str, object] = {
    "disk.warn_bytes": 0,
    "disk.refuse_bytes": 0,
    "disk.stop_bytes": 0,
    "disk.warn_percent": 40.0,
    "disk.refuse_percent": 25.0,
    "disk.stop_percent": 10.0,
    "disk.check_seconds": 1,
}


def ended(network: Network, node: NodeInfo) -> int:
    return network.exit_code(node, timeout_s=WAIT_S)


def ended_at_work(network: Network, node: NodeInfo) -> int:
    """How a node ended that the others gave so much to do.

    One block need not be enough: three of four commit without this one, and whoever hears of a
    height only when it is certified has no vote to keep.
    """
    for _ in range(BLOCKS_MAX):
        commit_some(network, 1)
        with contextlib.suppress(StateError):
            return network.exit_code(node, timeout_s=1)
    return ended(network, node)


@pytest.mark.engines("pbft", why="about one node's disk")
@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        ("sync EIO consensus.log", TEMPORARY),
        ("sync EIO sign_state", TEMPORARY),
        ("write ENOSPC consensus.log", DISK),
        ("write EDQUOT sign_state", DISK),
    ],
)
def test_a_disk_that_refuses_stops_the_node_with_its_code(
    tmp_path: Path, engine: EngineName, refusal: str, code: int
) -> None:
    with running_network(tmp_path, engine=engine) as network:
        node = network.nodes[VICTIM]
        network.stop([node])
        network.launches[VICTIM] = FAILING
        network.start([node])
        network.wait_ready([node])
        commit_some(network, 1)
        switch = network.directory.node(VICTIM).root / "fail"
        switch.write_text(refusal)
        assert ended_at_work(network, node) == code
        said = network.directory.log_file(VICTIM).read_text()
        name = refusal.split()[1]
        assert "stopped_by" in said
        assert os.strerror(getattr(errno, name)) in said
        assert "Traceback" not in said
        # It does not start either while the disk is like this, if a start has to write there.
        switch.unlink()
        network.start([node])
        network.wait_ready([node])
        commit_some(network, 1)
        assert_agreement(network)


@pytest.mark.engines("pbft", why="about one node's disk")
def test_a_disk_without_inodes_warns_refuses_and_stops_a_node(
    tmp_path: Path, engine: EngineName
) -> None:
    with (
        running_network(tmp_path, engine=engine, config=ONLY_INODES) as network,
        tiny_disk(tmp_path / "disk", 64, inodes=1_000) as disk,
    ):
        node = network.nodes[VICTIM]
        network.stop([node])
        data = network.directory.node(VICTIM).data
        shutil.move(data, disk / "data")
        data.symlink_to(disk / "data")
        network.start([node])
        network.wait_ready([node])
        (disk / "files").mkdir()
        use_inodes(disk, leave_percent=20)
        wait_refusal(network, node)
        use_inodes(disk, leave_percent=5)
        assert ended(network, node) == DISK
        assert "disk_level" in network.directory.log_file(VICTIM).read_text()
        network.start([node])
        assert ended(network, node) == DISK
        shutil.rmtree(disk / "files")
        network.start([node])
        network.wait_ready([node])
        commit_some(network, 1)
        assert_agreement(network)
        network.stop([node])


def use_inodes(disk: Path, *, leave_percent: int) -> None:
    found = os.statvfs(disk)
    for number in range(found.f_favail - found.f_files * leave_percent // 100):
        (disk / "files" / f"{leave_percent}-{number}").touch()


def wait_refusal(network: Network, node: NodeInfo) -> None:
    """Until the node refuses new transactions by name, and says at /readyz why."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with client_of(network, node.index) as client:
            try:
                client.submit(cheap_transaction(network, height=height_of(node)))
            except ProblemError as problem:
                assert problem.code == "disk_low"
                answer = api.ready(node.ops, 3)
                assert answer is not None
                assert [check.component for check in answer.failed_checks] == ["disk"]
                return
    pytest.fail(f"{node.name} still takes transactions")

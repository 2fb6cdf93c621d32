"""Damaged files, full disks and peers that say nothing, met by real node processes."""

from __future__ import annotations

import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from devnet import api
from devnet.network import Network
from devnet.ports import HOST
from medquorum.quorum import EngineName
from tests.support.disk import tiny_disk
from tests.support.network import (
    WAIT_S,
    assert_agreement,
    commit_some,
    running_network,
    wait_height,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MIB = 1024 * 1024
CORRUPT, DISK = 65, 73
LINES_OFF: dict[str, object] = {
    "disk.warn_bytes": 0,
    "disk.refuse_bytes": 0,
    "disk.stop_bytes": 4 * MIB,
    "disk.warn_percent": 0.0,
    "disk.refuse_percent": 0.0,
    "disk.stop_percent": 0.0,
    "disk.check_seconds": 1,
}
"""A guard for a tiny disk: only the line at which a node stops is left."""


def test_a_torn_log_tail_is_dropped_at_start(network: Network) -> None:
    commit_some(network, 3)
    node = network.nodes[3]
    network.kill(node)
    log = network.directory.node(node.index).consensus_log
    with log.open("ab") as stream:
        # The beginning of a record whose rest never reached the disk.
        stream.write((1000).to_bytes(4, "big") + b"\x01\x02\x03")
    network.start([node])
    network.wait_ready([node])
    commit_some(network, 1)
    assert_agreement(network)


def test_a_log_damaged_in_the_middle_is_refused(network: Network) -> None:
    commit_some(network, 3)
    node = network.nodes[3]
    network.kill(node)
    log = network.directory.node(node.index).consensus_log
    damaged = bytearray(log.read_bytes())
    assert len(damaged) > 200, "the log is too short to have a middle"
    damaged[len(damaged) // 3] ^= 0xFF
    log.write_bytes(damaged)
    network.start([node])
    assert network.exit_code(node, timeout_s=WAIT_S) == CORRUPT
    said = network.directory.log_file(node.index).read_text()
    assert "consensus.log" in said
    # The other three neither need it nor are misled by it.
    commit_some(network, 1)


@pytest.mark.engines("pbft", why="about a database, whatever filled it")
def test_a_database_that_lost_its_last_heights_is_refused(network: Network) -> None:
    commit_some(network, 4)
    node = network.nodes[3]
    wait_height(node, 4)
    network.kill(node)
    chain = network.directory.node(node.index).chain
    (log,) = chain.glob("*.log")
    data = log.read_bytes()
    # The end is gone as after a crash that cut a write short, but it had been acknowledged.
    log.write_bytes(data[: len(data) * 2 // 3])
    network.start([node])
    assert network.exit_code(node, timeout_s=WAIT_S) == CORRUPT
    said = network.directory.log_file(node.index).read_text()
    assert "although height" in said
    assert "was durable" in said
    # As the manual says: without its database it fetches the chain, and votes again.
    shutil.rmtree(chain)
    network.start([node])
    network.wait_ready([node])
    commit_some(network, 1)
    assert_agreement(network)


@pytest.mark.engines("pbft", why="about links that carry nothing")
def test_peers_that_connect_and_say_nothing_are_dropped(network: Network) -> None:
    with ExitStack() as stack:
        node = network.nodes[0]
        silent = [
            stack.enter_context(socket.create_connection((HOST, node.p2p), timeout=WAIT_S))
            for _ in range(50)
        ]
        commit_some(network, 2)
        for connection in silent:
            # The node hangs up by itself: an end of file or a reset, and no time-out of ours.
            try:
                assert connection.recv(1) == b""
            except ConnectionResetError:
                continue
        commit_some(network, 1)
        answer = api.ready(node.ops, 3)
        assert answer is not None
        assert answer.ready


def test_a_full_disk_stops_a_node_and_freed_space_brings_it_back(
    tmp_path: Path, engine: EngineName
) -> None:
    with (
        running_network(tmp_path, engine=engine, config=LINES_OFF) as network,
        tiny_disk(tmp_path / "disk", 64) as disk,
    ):
        node = network.nodes[3]
        network.stop([node])
        data = network.directory.node(node.index).data
        shutil.move(data, disk / "data")
        data.symlink_to(disk / "data")
        network.start([node])
        network.wait_ready([node])
        ballast = disk / "ballast"
        with ballast.open("wb") as stream:
            stream.write(bytes(shutil.disk_usage(disk).free - 2 * MIB))
        assert network.exit_code(node, timeout_s=WAIT_S) == DISK
        commit_some(network, 2)
        ballast.unlink()
        network.start([node])
        network.wait_ready([node])
        commit_some(network, 1)
        assert_agreement(network)
        network.stop([node])

"""Four validators as processes: each of them, one at a time, may fail, and nothing is lost."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable

import pytest

from devnet.limits import STOP_S
from devnet.load import Plan
from devnet.loadbook import Report
from devnet.network import Network
from devnet.processes import RunState
from tests.support.network import (
    WAIT_S,
    assert_agreement,
    block_at,
    cheap_transaction,
    client_of,
    height_of,
    leader_of,
    under_load,
    wait_height,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SETUP_HEIGHTS = 20
"""Blocks that endowing the accounts takes before load begins; faults come after them."""


def assert_nothing_lost(report: Report) -> None:
    """Everything that was accepted is final, and the load was real."""
    assert report.lost == []
    assert report.accepted > 0
    assert report.accepted == report.committed
    assert report.refused == {}


def test_every_node_commits_for_its_clients(network: Network) -> None:
    for index in range(4):
        tx = cheap_transaction(network, height=height_of(network.nodes[index]), org=index)
        with client_of(network, index) as client:
            status = client.submit(tx, wait="committed", timeout_s=WAIT_S)
            assert (status.state, status.code) == ("committed", "ok")
            assert client.receipt(tx.id).tx_id == tx.id
        with client_of(network, (index + 1) % 4) as other:
            assert other.wait(tx.id, timeout_s=WAIT_S).state == "committed"
    assert assert_agreement(network) >= 4


@pytest.mark.parametrize("victim", ["a follower", "the leader"])
def test_a_killed_validator_loses_nothing_and_catches_up(
    network: Network, victim: str, record_property: Callable[[str, object], None]
) -> None:
    with under_load(network, Plan(rate=40, seconds=6)) as loading:
        wait_height(network.nodes[0], SETUP_HEIGHTS + 5)
        leader = leader_of(network)
        followers = [node for node in network.nodes if node != leader]
        node = leader if victim == "the leader" else followers[-1]
        network.kill(node)
        others = [other for other in network.nodes if other != node]
        wait_height(others[0], max(height_of(other) for other in others) + 2)
        network.start([node])
        network.wait_ready([node])
        report = loading.result()
    record_property("longest_gap_ms", report.longest_gap_ms)
    assert_nothing_lost(report)
    assert_agreement(network)


def test_a_paused_validator_is_not_missed_and_catches_up(network: Network) -> None:
    node = network.nodes[3]
    network.pause(node)
    assert network.state(node) is RunState.PAUSED
    before = height_of(network.nodes[0])
    with client_of(network, 0) as client:
        for number in range(3):
            tx = cheap_transaction(network, height=before, org=number)
            assert client.submit(tx, wait="committed", timeout_s=WAIT_S).state == "committed"
    network.resume(node)
    assert_agreement(network)


def test_without_a_quorum_nothing_commits_and_nothing_is_lost(network: Network) -> None:
    for node in network.nodes[2:]:
        network.kill(node)
    tx = cheap_transaction(network, height=height_of(network.nodes[0]))
    with client_of(network, 0) as client:
        assert client.submit(tx, wait="accepted").state == "pending"
        assert client.tx(tx.id).state == "pending"
    network.start([network.nodes[2]])
    with client_of(network, 1) as other:
        assert other.wait(tx.id, timeout_s=WAIT_S).state == "committed"


def test_restarting_all_at_once_loses_nothing(network: Network) -> None:
    with under_load(network, Plan(rate=40, seconds=2)) as loading:
        report = loading.result()
    assert_nothing_lost(report)
    before = [block_at(node, report.last_height) for node in network.nodes]
    for node in network.nodes:
        network.kill(node)
    network.start(network.nodes)
    network.wait_ready(network.nodes)
    assert [block_at(node, report.last_height) for node in network.nodes] == before
    tx = cheap_transaction(network, height=report.last_height)
    with client_of(network, 0) as client:
        assert client.submit(tx, wait="committed", timeout_s=WAIT_S).state == "committed"
    assert_agreement(network)


def test_what_was_pending_when_all_were_killed_is_committed_afterwards(network: Network) -> None:
    for node in network.nodes[1:]:
        network.kill(node)
    tx = cheap_transaction(network, height=height_of(network.nodes[0]))
    with client_of(network, 0) as client:
        assert client.submit(tx, wait="accepted").state == "pending"
    network.kill(network.nodes[0])
    network.start(network.nodes)
    network.wait_ready(network.nodes)
    with client_of(network, 3) as other:
        assert other.wait(tx.id, timeout_s=WAIT_S).state == "committed"


def test_a_validator_that_lost_its_chain_catches_up_and_votes(network: Network) -> None:
    with under_load(network, Plan(rate=40, seconds=2)) as loading:
        assert_nothing_lost(loading.result())
    node = network.nodes[2]
    network.stop([node])
    shutil.rmtree(network.directory.node(node.index).chain)
    network.start([node])
    network.wait_ready([node])
    height = assert_agreement(network)
    with client_of(network, node.index) as client:
        # It may have voted at the height that was under way, and observes to the end of that one.
        tx = cheap_transaction(network, height=height)
        assert client.submit(tx, wait="committed", timeout_s=WAIT_S).state == "committed"
        # Only three are left, so every one of them has to vote, the returned one as well.
        network.kill(network.nodes[0])
        tx = cheap_transaction(network, height=height)
        assert client.submit(tx, wait="committed", timeout_s=WAIT_S).state == "committed"


def test_sigterm_under_load_is_quick_and_loses_nothing(network: Network) -> None:
    node = network.nodes[1]
    with under_load(network, Plan(rate=40, seconds=5)) as loading:
        wait_height(network.nodes[0], SETUP_HEIGHTS + 5)
        process = network.process(node)
        assert process is not None
        began = time.monotonic()
        process.signal(signal.SIGTERM)
        assert network.exit_code(node, timeout_s=STOP_S) == 0
        assert time.monotonic() - began < STOP_S
        network.start([node])
        network.wait_ready([node])
        report = loading.result()
    assert_nothing_lost(report)
    assert_agreement(network)

"""Raft over processes: reads through every node see every commit, and leadership is handed over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from devnet import api
from devnet.load import Plan
from devnet.netfile import NodeInfo
from devnet.network import Network
from tests.support.cli import run
from tests.support.network import (
    WAIT_S,
    assert_agreement,
    cheap_transaction,
    client_of,
    height_of,
    leader_of,
    under_load,
    wait_height,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.engines("raft", why="about what only an engine with leaders offers"),
]

SETUP_HEIGHTS = 20
"""Blocks that endowing the accounts takes before load begins."""


def committed_at(network: Network, index: int) -> int:
    """Commit something through a node; at which height."""
    tx = cheap_transaction(network, height=height_of(network.nodes[index]), org=index)
    with client_of(network, index) as client:
        height = client.submit(tx, wait="committed", timeout_s=WAIT_S).height
    assert height is not None
    return height


def problem_of(node: NodeInfo, path: str) -> str:
    """The code with which a request is refused; empty if it is answered."""
    answered = api.get(node.rpc, path, timeout_s=WAIT_S + 5)
    assert answered is not None, f"{node.name} does not answer"
    status, body = answered
    return "" if status == 200 else str(json.loads(body)["code"])


def settled_leader(network: Network) -> NodeInfo:
    """Who leads. Whose linearizable read was answered follows that leader."""
    for node in network.alive():
        path = f"/v1/params?consistency=linearizable&timeout={WAIT_S:.0f}"
        assert problem_of(node, path) == ""
    return leader_of(network)


def test_a_read_through_any_node_sees_what_was_committed_through_any_other(
    network: Network,
) -> None:
    for turn in range(8):
        height = committed_at(network, turn % 4)
        for index in range(4):
            with client_of(network, index) as client:
                seen = client.query("gov.params", consistency="linearizable")
                assert seen.height >= height
                assert client.state("identity", b"none", linearizable=True).height >= height


def test_a_leader_that_is_cut_off_answers_no_linearizable_read(network: Network) -> None:
    committed_at(network, 0)
    leader = settled_leader(network)
    others = [node for node in network.nodes if node != leader]
    for node in others:
        network.pause(node)
    assert problem_of(leader, "/v1/params") == ""
    assert problem_of(leader, "/v1/params?consistency=linearizable&timeout=2") == "no_leader"
    for node in others:
        network.resume(node)
    network.wait_ready(network.nodes)
    settled_leader(network)


def test_an_operator_hands_the_leadership_over_under_load_and_nothing_is_lost(
    network: Network, record_property: Callable[[str, object], None]
) -> None:
    with under_load(network, Plan(rate=40, seconds=6)) as loading:
        wait_height(network.nodes[0], SETUP_HEIGHTS + 5)
        for _ in range(3):
            leader = settled_leader(network)
            heir = network.nodes[(leader.index + 1) % 4]
            command = ("node", "transfer-leader", "--ops", leader.ops_url)
            done = run(*command, "--to", heir.validator_key[:16])
            assert (done.exit_code, done.stdout) == (0, f"{heir.validator_key} leads now\n")
            refused = run(*command)
            assert refused.exit_code == 1
            assert "not_leader" in refused.stderr
        report = loading.result()
    record_property("longest_gap_ms", report.longest_gap_ms)
    assert report.lost == []
    assert report.accepted == report.committed > 0
    assert_agreement(network)


def test_a_leader_that_is_told_to_stop_leaves_a_leader_behind(
    network: Network, record_property: Callable[[str, object], None]
) -> None:
    committed_at(network, 0)
    leader = settled_leader(network)
    others = [node for node in network.nodes if node != leader]
    [stopped] = network.stop([leader])
    assert stopped.gracefully
    # Nobody had to notice its silence first: that takes an election timeout and more.
    assert leader_of(network) in others
    began = time.monotonic()
    committed_at(network, others[0].index)
    record_property("commit_after_stop_ms", 1_000 * (time.monotonic() - began))
    status = run("status", "--rpc", others[0].url)
    assert "raft term" in status.stdout
    network.start([leader])
    network.wait_ready([leader])
    assert_agreement(network)

"""A leader dies, also with a block half decided: nothing is lost, and every proof stays one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from devnet import api
from devnet.layout import CHECKOUT
from devnet.netfile import NodeInfo
from devnet.network import Network
from medquorum.quorum import EngineName
from medquorum.receipt import Receipt, verify_receipt
from medquorum.transaction import Transaction
from tests.support.network import (
    WAIT_S,
    assert_agreement,
    cheap_transaction,
    client_of,
    height_of,
    leader_of,
    running_network,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def committed_by(network: Network, node: NodeInfo) -> Transaction:
    """A transaction that this node took from a client, and that is committed."""
    tx = cheap_transaction(network, height=height_of(node))
    with client_of(network, node.index) as client:
        assert client.submit(tx, wait="committed", timeout_s=WAIT_S).state == "committed"
    return tx


def wait_acknowledged(node: NodeInfo, height: int) -> None:
    """Until this node has a block of this height on its disk and has said so."""
    deadline = time.monotonic() + WAIT_S
    while True:
        seen = api.consensus(node.rpc)
        if seen is not None and (seen.height, seen.phase) == (height, "acknowledged"):
            return
        assert time.monotonic() < deadline, f"{node.name} acknowledges nothing: {seen}"


def verified_by_the_command(receipt: Path, genesis: Path) -> bool:
    """What `medquorum verify-receipt` says."""
    command = ["verify-receipt", str(receipt), "--genesis", str(genesis)]
    return not subprocess.run(
        [sys.executable, "-m", "node.cli.main", *command],
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
    ).returncode


@pytest.mark.engines("raft", why="about an entry that is acknowledged in one term after another")
def test_a_block_that_outlives_its_leader_is_proven_by_those_who_are_left(
    network: Network, tmp_path: Path
) -> None:
    committed_by(network, network.nodes[0])
    leader = leader_of(network)
    first, *others = [node for node in network.nodes if node != leader]
    for node in others:
        network.pause(node)
    # Two of four have it: that decides nothing. But whoever is elected next has or gets this block,
    # for nobody is without the vote of `first`.
    height = height_of(leader) + 1
    tx = cheap_transaction(network, height=height)
    with client_of(network, leader.index) as client:
        assert client.submit(tx, wait="accepted").state == "pending"
    wait_acknowledged(first, height)
    network.kill(leader)
    for node in others:
        network.resume(node)
    with client_of(network, first.index) as client:
        assert client.wait(tx.id, timeout_s=WAIT_S).state == "committed"
        file = client.receipt_file(tx.id)
    block = Receipt.load(file).block
    assert block.header.proposer.hex() == leader.validator_key
    assert block.certificate.round > 0
    proven = verify_receipt(file, network.genesis)
    assert (proven.tx_id, proven.height, proven.succeeded) == (tx.id, height, True)
    left = {node.validator_key for node in network.nodes} - {leader.validator_key}
    assert {key.hex() for key in proven.certified_by} == left

    later = committed_by(network, others[0])
    network.start([leader])
    network.wait_ready([leader])
    assert_agreement(network)
    with client_of(network, leader.index) as client:
        assert verify_receipt(client.receipt_file(tx.id), network.genesis) == proven
        assert verify_receipt(client.receipt_file(later.id), network.genesis).height > height
    network.stop(network.nodes)
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(file)
    assert verified_by_the_command(receipt, network.directory.node(0).genesis_file)


@pytest.mark.engines("raft", why="three validators of the other engine need all of them")
def test_three_validators_lose_one_leader_after_another(tmp_path: Path, engine: EngineName) -> None:
    with running_network(tmp_path, engine=engine, validators=3) as network:
        made = [committed_by(network, network.nodes[0])]
        for _ in network.nodes:
            leader = leader_of(network)
            network.kill(leader)
            left = network.alive()
            made += [committed_by(network, node) for node in left]
            network.start([leader])
            network.wait_ready([leader])
        assert_agreement(network)
        for number, tx in enumerate(made):
            with client_of(network, number % 3) as client:
                assert len(client.receipt(tx.id).certified_by) >= 2

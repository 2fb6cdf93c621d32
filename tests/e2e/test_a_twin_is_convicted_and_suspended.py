"""One validator key, two daemons, one of which says two things at once: the chain goes on without a
fork, every honest node can prove it within two heights, and the members vote the validator out.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from devnet import api
from devnet.netfile import NodeInfo
from devnet.network import Launch, Network
from devnet.people import submit
from medquorum.client import Client
from medquorum.genesis import dump
from medquorum.keyfile import save_devnet_key
from node.home import Home
from node.ledger.decisions import APPROVE
from node.ledger.types.governance.bodies import CastVote, Execute
from tests.support.cli import COMMAND, ROOT, ok
from tests.support.network import (
    WAIT_S,
    block_at,
    cheap_transaction,
    client_of,
    height_of,
    running_network,
)
from tests.support.ports import free_ports

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.engines("pbft", why="whoever runs Raft trusts its members not to lie"),
]

TWIN = 4
HONEST = range(4)
SPREAD_HEIGHTS = 2
"""Within so many heights every honest node holds what one of them holds."""


class Piece(msgspec.Struct):
    """What a node can prove."""

    id: str
    validator: str


class Pieces(msgspec.Struct):
    """All of it."""

    evidence: list[Piece]


class Voter(msgspec.Struct):
    """Who votes on the next height."""

    key: str


class Voters(msgspec.Struct):
    """All of them."""

    validators: list[Voter]


@contextmanager
def second_copy(network: Network, node: NodeInfo, home: Path) -> Iterator[None]:
    """Another daemon with the keys, the sign state and the chain of `node`, which must be down."""
    shutil.copytree(network.directory.node(node.index).root, home)
    config = Home(home).config_file
    text = config.read_text()
    for own, other in zip(node.ports, free_ports(3), strict=True):
        text = text.replace(str(own), str(other))
    config.write_text(text)
    with home.with_suffix(".log").open("wb") as log:
        child = subprocess.Popen(
            [*COMMAND, "start", "--home", str(home)],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk/python")]),
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            child.kill()
            child.wait()


def evidence_at(node: NodeInfo, height: int = 0) -> list[Piece]:
    """What a node can prove once it has a height."""
    path = f"/v1/evidence?min_height={height}&timeout={WAIT_S:.0f}"
    found = api.get_as(Pieces, node.rpc, path, timeout_s=WAIT_S + 5)
    assert found is not None, f"{node.name} does not get to height {height}"
    return found.evidence


def commit_one(network: Network, through: int) -> int:
    """One more transaction; its height."""
    node = network.nodes[through]
    tx = cheap_transaction(network, height=height_of(node), org=through)
    with client_of(network, through) as client:
        status = client.submit(tx, wait="committed", timeout_s=WAIT_S)
        assert status.height is not None, status.state
        return status.height


def commit_until_somebody_knows(network: Network) -> int:
    """Transactions through all honest nodes in turn, until one of these can prove something; the
    height by then.
    """
    # The two take each other's connections, and dial again after a while: that takes seconds, in
    # which a quick machine makes any number of heights.
    deadline = time.monotonic() + WAIT_S
    for count in itertools.count():
        height = commit_one(network, count % len(HONEST))
        if any(evidence_at(network.nodes[index]) for index in HONEST):
            return height
        if time.monotonic() > deadline:
            break
    raise AssertionError(f"{height} heights, and nobody has evidence")


async def vote_out(network: Network, proposal: bytes) -> None:
    """The honest organisations approve, and one carries it out."""
    names = dict.fromkeys(network.nodes[index].org for index in HONEST)
    async with Client(network.nodes[1].url, genesis=network.genesis) as client:
        for name in names:
            body = CastVote(network.keys.org_id(name), proposal, APPROVE)
            await submit(client, [("gov.vote", body)], [network.keys.org(name)])
        await submit(
            client, [("gov.execute", Execute(proposal))], [network.keys.org(next(iter(names)))]
        )


def assert_no_fork(network: Network) -> None:
    height = max(height_of(network.nodes[index]) for index in HONEST)
    for at in range(1, height + 1):
        blocks = {block_at(network.nodes[index], at).hash for index in HONEST}
        assert len(blocks) == 1, f"a fork at height {at}"


def test_a_twin_is_proven_everywhere_and_voted_out(tmp_path: Path) -> None:
    genesis, key, proof = (tmp_path / name for name in ("genesis.json", "org.json", "proof.json"))
    with running_network(tmp_path, validators=5) as network:
        genesis.write_bytes(dump(network.genesis))
        save_devnet_key(key, network.keys.org(network.nodes[0].org), purpose="organisation")
        twin = network.nodes[TWIN]
        network.stop([twin])
        with second_copy(network, twin, tmp_path / "copy"):
            network.launches[TWIN] = Launch("devnet.chaos.byzantine", ("equivocate",))
            network.start([twin])
            height = commit_until_somebody_knows(network)
            for count in range(SPREAD_HEIGHTS):
                height = commit_one(network, count)
            for index in HONEST:
                held = evidence_at(network.nodes[index], height)
                assert {piece.validator for piece in held} == {twin.validator_key}, index
            piece = held[0].id
            rpc = ("--rpc", network.nodes[3].url, "--genesis", genesis)
            ok("evidence", "show", piece, *rpc, "-o", proof)
            told = json.loads(ok("evidence", "verify", proof, "--genesis", genesis, "--json"))
            assert (told["proven"], told["validator"]) == (True, twin.validator_key)
            made = json.loads(
                ok("evidence", "propose", proof, *rpc, "--key", key, "--yes", "--json")
            )
            asyncio.run(vote_out(network, bytes.fromhex(made["proposal"])))
            after = commit_one(network, 2)
            for index in HONEST:
                path = f"/v1/validators?min_height={after}&timeout={WAIT_S:.0f}"
                voters = api.get_as(Voters, network.nodes[index].rpc, path, timeout_s=WAIT_S + 5)
                assert voters is not None
                keys = {voter.key for voter in voters.validators}
                assert keys == {network.nodes[other].validator_key for other in HONEST}
            shown = json.loads(ok("query", "gov.suspensions", *rpc[:2]))["result"]["items"]
            assert [row["validator"] for row in shown] == [twin.validator_key]
        assert_no_fork(network)

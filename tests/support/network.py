"""A real network for end-to-end tests: processes, sockets, LevelDB, on free ports in a temporary
folder, ended by pid whatever happens in the test.

    with running_network(tmp_path) as network:
        with client_of(network, 0) as client:
            ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes

import msgspec

from devnet import api
from devnet.commands.running import bring_up
from devnet.layout import NetworkDir
from devnet.load import Plan, run_load
from devnet.loadbook import Report
from devnet.manifest import DEFAULT_FILE, load_manifest
from devnet.netfile import NodeInfo
from devnet.network import Network
from medquorum.client_sync import SyncClient
from medquorum.codec import encode
from medquorum.quorum import EngineName
from medquorum.transaction import Operation, Transaction, build, sign
from node.ledger.types.payments.bodies import AccountKind, AccountOpen

WAIT_S = 30.0
"""A deadline, not a delay: what is waited for normally comes within milliseconds."""
VALID_HEIGHTS = 500


@contextmanager
def running_network(
    root: Path,
    *,
    engine: EngineName = "pbft",
    validators: int = 4,
    config: dict[str, object] | None = None,
    params: dict[str, int] | None = None,
) -> Iterator[Network]:
    """A network whose nodes are all ready. Nodes that a test stopped stay as they are."""
    manifest = load_manifest(
        DEFAULT_FILE, name="e2e", engine=engine, validators=validators, base_port=0
    )
    manifest = msgspec.structs.replace(manifest, config=config or {}, params=params or {})
    network = bring_up(NetworkDir(root / "e2e"), manifest)
    try:
        yield network
    finally:
        network.close()


def client_of(network: Network, index: int) -> SyncClient:
    """A client of a node that trusts the genesis and nothing else."""
    return SyncClient(network.nodes[index].url, genesis=network.genesis)


def cheap_transaction(network: Network, *, height: int, org: int = 0) -> Transaction:
    """One operation, one signature, and it succeeds: a hospital opens an account."""
    name = network.manifest.hospitals[org].name
    key = network.keys.org(name)
    body = AccountOpen(token_bytes(32), AccountKind.HOSPITAL, network.keys.org_id(name), (), (), 0)
    unsigned = build(
        chain_id=bytes.fromhex(network.chain_id),
        nonce=token_bytes(16),
        valid_until=height + VALID_HEIGHTS,
        operations=[Operation("pay.acct.open", 1, encode(body))],
        signers=[key.public],
    )
    return sign(unsigned, [key])


class BlockSeen(msgspec.Struct, frozen=True):
    """What tests compare of a block."""

    height: int
    hash: str
    result: dict[str, object]


def commit_some(network: Network, count: int) -> None:
    """So many blocks, one transaction each, handed to the first node."""
    with client_of(network, 0) as client:
        for _ in range(count):
            tx = cheap_transaction(network, height=height_of(network.nodes[0]))
            assert client.submit(tx, wait="committed", timeout_s=WAIT_S).state == "committed"


def block_at(node: NodeInfo, height: int) -> BlockSeen:
    """The block of a height at a node, once the node has it."""
    path = f"/v1/blocks/{height}?min_height={height}&timeout={WAIT_S:.0f}"
    block = api.get_as(BlockSeen, node.rpc, path, timeout_s=WAIT_S + 5)
    assert block is not None, f"{node.name} does not get to height {height}"
    return block


def height_of(node: NodeInfo) -> int:
    """How far a node is."""
    status = api.status(node.rpc)
    assert status is not None, f"{node.name} does not answer"
    return status.height


def leader_of(network: Network) -> NodeInfo:
    """Who leads, as the first node that runs and knows it sees it."""
    for node in network.alive():
        seen = api.consensus(node.rpc)
        for leader in network.nodes:
            if seen is not None and leader.validator_key == seen.proposer:
                return leader
    raise AssertionError("nobody leads")


def assert_agreement(network: Network) -> int:
    """All nodes get to the greatest height among them and have the same blocks, results and state
    roots on the way; that height.
    """
    height = max(height_of(node) for node in network.nodes)
    for at in {1, max(1, height // 2), height}:
        blocks = [block_at(node, at) for node in network.nodes]
        assert "state_root" in blocks[0].result
        assert len({block.hash for block in blocks}) == 1, f"a fork at height {at}"
        assert all(block.result == blocks[0].result for block in blocks), f"results differ at {at}"
    return height


@contextmanager
def under_load(network: Network, plan: Plan) -> Iterator[Future[Report]]:
    """Load while inside; the result is its report. Leaving waits for the end of the load."""
    with ThreadPoolExecutor(1, "load") as pool:
        yield pool.submit(lambda: asyncio.run(run_load(network, plan)))


def wait_height(node: NodeInfo, height: int) -> None:
    """Until the node has committed this height."""
    block_at(node, height)

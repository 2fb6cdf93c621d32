"""A node joins a chain of hundreds of blocks by a snapshot, over real processes, and gets a vote;
where all snapshots are lies, it joins by the blocks.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest

from devnet import api
from devnet.economy import endow
from devnet.errors import NotReadyError
from devnet.joining import follow, join, promote
from devnet.netfile import NodeInfo
from devnet.network import Network
from devnet.people import submit
from medquorum.client import Client
from medquorum.errors import ProblemError
from medquorum.quorum import EngineName
from medquorum.receipt import verify_receipt
from node.home import Home
from node.ledger.types.payments.bodies import Memo, Transfer
from storage.snapshots import SnapshotFiles
from tests.support.cli import ok
from tests.support.network import running_network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

INTERVAL = 100
BLOCKS = 230
SPARE = {"pbft": 1, "raft": 2}
"""How many of five validators a chain can do without."""
CONFIG: dict[str, object] = {"snapshots.interval_heights": INTERVAL}


async def grow(network: Network, client: Client, blocks: int) -> list[bytes]:
    """Commit transfers one after the other until there are so many blocks; their ids."""
    (till, *_) = await endow(network, client, 2)
    body = Transfer(till.account(0), till.account(1), 1, Memo.SETTLEMENT)
    keys = [network.keys.actor(till.org, till.clerk)]
    ids: list[bytes] = []
    while (await client.status()).height < blocks:
        status = await submit(client, [("pay.transfer", body)], keys)
        ids.append(bytes.fromhex(status.txid))
    return ids


def status_of(node: NodeInfo) -> dict[str, object]:
    """What the node says of itself."""
    answered = api.get(node.rpc, "/v1/status")
    assert answered is not None
    document: dict[str, object] = json.loads(answered[1])
    return document


def home_of(network: Network, node: NodeInfo) -> Home:
    """Where the node keeps its things."""
    return network.directory.node(node.index)


async def _joins_and_votes(network: Network) -> None:
    async with Client(network.nodes[0].url, genesis=network.genesis) as client:
        ids = await grow(network, client, BLOCKS)
        newcomer = await join(network, client, network.nodes[1].org)
        oldest = status_of(newcomer)["oldest_block"]
        assert isinstance(oldest, int)
        assert oldest % INTERVAL == 1
        assert oldest > INTERVAL
        newcomer = await promote(network, client, newcomer)
        ids += await grow(network, client, (await client.status()).height + 5)
    async with Client(newcomer.url, genesis=network.genesis) as client:
        # It follows the others and may be a block behind them.
        assert (await client.wait(ids[-1])).state == "committed"
        receipt = verify_receipt(await client.receipt_file(ids[-1]), network.genesis)
        assert receipt.tx_id == ids[-1]
        with pytest.raises(ProblemError) as refused:
            await client.receipt_file(ids[0])
        assert refused.value.code in {"pruned", "not_found"}
    answered = api.get(newcomer.rpc, "/v1/blocks/1")
    assert answered is not None
    assert (answered[0], json.loads(answered[1])["code"]) == (410, "pruned")
    answered = api.get(newcomer.rpc, "/v1/events?after=0-0-0")
    assert answered is not None
    assert (answered[0], json.loads(answered[1])["code"]) == (410, "cursor_pruned")
    # Without as many of the five as may fail, every decision needs its vote.
    spare = SPARE[network.genesis.engine]
    await asyncio.to_thread(network.stop, list(network.nodes[4 - spare : 4]))
    async with Client(newcomer.url, genesis=network.genesis) as client:
        (last,) = (await grow(network, client, (await client.status()).height + 1))[-1:]
        signers = verify_receipt(await client.receipt_file(last), network.genesis).certified_by
        assert bytes.fromhex(newcomer.validator_key) in signers


def test_a_node_begins_with_a_snapshot_gets_a_vote_and_says_what_it_does_not_have(
    tmp_path: Path, engine: EngineName
) -> None:
    with running_network(tmp_path, engine=engine, config=CONFIG) as network:
        asyncio.run(_joins_and_votes(network))
        names = {
            SnapshotFiles(home_of(network, node).snapshots).names()[-1]
            for node in network.nodes[:2]
        }
        assert len(names) == 1
        ok("snapshot", "verify", "--home", home_of(network, network.nodes[0]).root)


async def _all_lie(network: Network) -> None:
    async with Client(network.nodes[0].url, genesis=network.genesis) as client:
        await grow(network, client, INTERVAL + 5)
        for node in network.nodes:
            files = SnapshotFiles(home_of(network, node).snapshots)
            for name in files.names():
                head = bytearray(files.head(name) or b"")
                head[-1] ^= 1
                files.keep(name, bytes(head))
        # Whoever lied is not spoken to for half a minute, which is as long as joining waits.
        with suppress(NotReadyError):
            await join(network, client, network.nodes[1].org)
        newcomer = network.nodes[-1]
        await follow(network, client, newcomer)
        assert status_of(newcomer)["oldest_block"] == 1


@pytest.mark.engines("pbft", why="what is proven of a snapshot is the same on both")
def test_where_all_snapshots_are_lies_a_node_fetches_the_blocks(
    tmp_path: Path, engine: EngineName
) -> None:
    with running_network(tmp_path, engine=engine, config=CONFIG) as network:
        asyncio.run(_all_lie(network))

"""A real node gives old blocks up by itself, into archives, while the chain goes on. They bring its
receipts back as they were.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from devnet import api
from devnet.network import Network
from medquorum.client import Client
from medquorum.errors import ProblemError
from medquorum.keys import SigningKey
from medquorum.quorum import EngineName
from medquorum.receipt import verify_receipt
from node.home import Home
from node.ledger.types.identity.bodies import KemSet
from node.receipts import receipt_file
from tests.support.archives import blocks_of
from tests.support.cli import ok
from tests.support.network import running_network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WINDOW = 10
KEPT = 20
RANGE = 5
BLOCKS = 30
WAIT_S = 120.0
CONFIG: dict[str, object] = {"snapshots.interval_heights": 0}


def configure(network: Network, archives: Path) -> Home:
    """Have node 0 prune, and no other; its home."""
    node = network.nodes[0]
    home = network.directory.node(node.index)
    network.stop([node])
    text = home.config_file.read_text("utf-8")
    wanted = {"keep_heights": KEPT, "range_heights": RANGE, "archive_directory": str(archives)}
    for name, value in wanted.items():
        (old,) = [line for line in text.splitlines() if line.startswith(f"# {name} = ")]
        text = text.replace(old, f"{name} = {json.dumps(value)}")
    home.config_file.write_text(text, "utf-8")
    network.start([node])
    network.wait_ready([node])
    return home


def oldest_of(network: Network) -> int:
    """The oldest block of node 0."""
    answered = api.get(network.nodes[0].rpc, "/v1/status")
    assert answered is not None
    document = json.loads(answered[1])
    oldest = document["oldest_block"]
    assert isinstance(oldest, int)
    # The line is drawn before it is counted.
    pruned = document["pruning"]["heights_pruned"]
    assert pruned <= oldest - 1
    assert pruned % RANGE == 0
    return oldest


async def _commit(client: Client, key: SigningKey) -> bytes:
    """A block with a transaction that is refused, and remembered; its id."""
    builder = await client.builder(window=WINDOW)
    draft = builder.operation("id.kem.set", KemSet(bytes(32), b"")).signer(key.public).build()
    status = await client.submit(draft.sign(key).complete(), wait="committed")
    return bytes.fromhex(status.txid)


async def _goes_on(network: Network) -> tuple[bytes, bytes]:
    """Commit until blocks went; the first transaction, and the receipt that it had."""
    key = network.keys.org(network.nodes[0].org)
    async with Client(network.nodes[0].url, genesis=network.genesis) as client:
        first = await _commit(client, key)
        receipt = await client.receipt_file(first)
        async with asyncio.timeout(WAIT_S):
            while oldest_of(network) <= BLOCKS:
                await _commit(client, key)
        assert (await client.tx(first)).height == 1
        with pytest.raises(ProblemError) as caught:
            await client.receipt_file(first)
        assert caught.value.code == "pruned"
        assert (caught.value.oldest or 0) > BLOCKS
    answered = api.get(network.nodes[0].ops, "/metrics")
    assert answered is not None
    page = answered[1].decode()
    assert 'medquorum_storage_bytes{part="transactions"}' in page
    assert "medquorum_pruning_heights_pruned_total" in page
    return first, receipt


@pytest.mark.engines("pbft", why="what is given up is the same on both")
def test_old_blocks_go_while_the_chain_goes_on_and_come_back_from_the_archives(
    tmp_path: Path, engine: EngineName
) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    params = {"tx.window_heights": WINDOW}
    with running_network(tmp_path, engine=engine, config=CONFIG, params=params) as network:
        home = configure(network, archives)
        first, receipt = asyncio.run(_goes_on(network))
        network.stop([network.nodes[0]])
        genesis = network.genesis
    files = sorted(archives.iterdir(), key=lambda file: -int(file.stem.split("-")[1]))
    assert len(files) >= BLOCKS // RANGE
    for file in files:
        ok("archive", "verify", file, "--genesis", home.genesis_file)
        ok("archive", "import", "--home", home.root, file)
    ok("verify", "--deep", "--home", home.root)
    with blocks_of(home) as blocks:
        assert blocks.oldest_block() == 1
        assert receipt_file(blocks, first) == receipt
    assert verify_receipt(receipt, genesis).tx_id == first

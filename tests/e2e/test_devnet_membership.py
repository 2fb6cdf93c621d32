"""Nodes join, take a vote, are replaced and leave, over real processes, on both engines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devnet import api
from devnet.economy import endow
from devnet.errors import StateError
from devnet.joining import join, leave, promote, replace
from devnet.netfile import Standing
from devnet.network import Network
from devnet.people import submit
from medquorum.client import Client
from medquorum.quorum import EngineName
from medquorum.receipt import verify_receipt
from node.ledger.types.payments.bodies import Memo, Transfer
from tests.support.network import running_network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def _pay(network: Network, client: Client) -> bytes:
    """A transfer, committed; its id."""
    (till, *_) = await endow(network, client, 2)
    body = Transfer(till.account(0), till.account(1), 1, Memo.SETTLEMENT)
    status = await submit(
        client, [("pay.transfer", body)], [network.keys.actor(till.org, till.clerk)]
    )
    return bytes.fromhex(status.txid)


async def _change_everything(network: Network) -> None:
    async with Client(network.nodes[0].url, genesis=network.genesis) as client:
        first = await _pay(network, client)
        newcomer = await join(network, client, network.nodes[1].org)
        assert newcomer.standing is Standing.OBSERVER
        newcomer = await promote(network, client, newcomer)
        replaced = network.nodes[1]
        successor = await replace(network, client, replaced)
        left = network.nodes[1]
        await leave(network, client, left)
        assert [node.name for node in network.nodes] == ["node0", "node3", "node4", "node5"]
        assert {newcomer.index, successor.index} == {4, 5}
        last = await _pay(network, client)
        files = [await client.receipt_file(tx_id) for tx_id in (first, last)]
        for file, tx_id in zip(files, (first, last), strict=True):
            assert verify_receipt(file, network.genesis).tx_id == tx_id
        voters = {node.validator_key for node in network.validators}
        signers = {key.hex() for key in verify_receipt(files[1], network.genesis).certified_by}
        assert signers <= voters
    async with Client(successor.url, genesis=network.genesis) as client:
        assert verify_receipt(await client.receipt_file(first), network.genesis).tx_id == first


def test_validators_join_are_replaced_and_leave_and_receipts_go_on_to_verify(
    tmp_path: Path, engine: EngineName
) -> None:
    with running_network(tmp_path, engine=engine) as network:
        asyncio.run(_change_everything(network))
        statuses = [api.status(node.rpc) for node in network.nodes]
        assert all(status is not None and status.halted is None for status in statuses)
        reopened = Network.open(network.directory)
        assert reopened.nodes == network.nodes
        assert reopened.next_index == 6


def test_an_observer_that_joins_a_chain_at_rest_has_it_at_once_and_serves_clients(
    tmp_path: Path, engine: EngineName
) -> None:
    async def observe(network: Network) -> None:
        async with Client(network.nodes[0].url, genesis=network.genesis) as client:
            node = await join(network, client, network.nodes[0].org)
            async with Client(node.url, genesis=network.genesis) as observing:
                paid = await _pay(network, observing)
                assert (await observing.receipt(paid)).succeeded
                assert node.validator_key not in {
                    key.hex() for key in (await observing.receipt(paid)).certified_by
                }
            await leave(network, client, node)
            with pytest.raises(StateError, match="no hospital"):
                await join(network, client, "nobody")

    with running_network(tmp_path, engine=engine) as network:
        asyncio.run(observe(network))
        assert len(network.nodes) == len(network.validators) == 4

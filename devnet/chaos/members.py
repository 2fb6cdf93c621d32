"""Membership that changes while a history is made, as a consortium and its operators do it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import assert_never

from devnet import api
from devnet.chaos.proxy import Proxy
from devnet.chaos.scenario import Join, Remove, Replace
from devnet.errors import NotReadyError, StateError
from devnet.joining import join, leave, promote, reconcile, replace
from devnet.netfile import NodeInfo
from devnet.network import Network
from devnet.ports import Ports
from devnet.processes import RunState
from medquorum.client import Client


async def change_members(
    network: Network, proxy: Proxy, step: Join | Replace | Remove, *, down: Collection[int]
) -> None:
    """Carry out a step. If it fails half way, `settle_members` finds out what was decided.

    Raises DevnetError, ClientError.
    """
    if isinstance(step, Join | Replace):
        await proxy.add(Ports.of(network.base_port, network.next_index).p2p)
    async with _asking(network, down) as client:
        match step:
            case Join():
                org = network.manifest.operator(network.next_index).name
                await promote(network, client, await join(network, client, org))
            case Replace():
                await replace(network, client, _present(network, step.node))
            case Remove():
                await leave(network, client, _present(network, step.node))
            case _:
                assert_never(step)


async def settle_members(network: Network) -> None:
    """Stop whoever is no member any more, and know who votes. Raises DevnetError, ClientError."""
    async with _asking(network, ()) as client:
        await reconcile(network, client)


@asynccontextmanager
async def _asking(network: Network, down: Collection[int]) -> AsyncIterator[Client]:
    """The validator that knows most."""
    running = [
        node
        for node in network.validators
        if node.index not in down and network.state(node) is RunState.RUNNING
    ]
    statuses = [(api.status(node.rpc), node) for node in running]
    _, url = max(
        ((status.height, node.url) for status, node in statuses if status is not None),
        default=(0, ""),
    )
    if url == "":
        raise NotReadyError("no validator answers that could be asked")
    async with Client(url, genesis=network.genesis) as client:
        yield client


def _present(network: Network, index: int) -> NodeInfo:
    node = network.at(index)
    if node is None:
        raise StateError(f"node{index} has left")
    return node

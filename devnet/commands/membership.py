"""add-node, replace-node, remove-node: decided by the consortium, and done by its operators."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import click

from devnet.commands.context import Target, pass_target
from devnet.errors import NotReadyError, StateError
from devnet.health import tolerance
from devnet.joining import join, leave, promote, replace
from devnet.network import Network
from devnet.processes import RunState
from medquorum.client import Client
from medquorum.errors import ClientError


@click.command("add-node")
@click.option("--org", help="The hospital that operates it. [the first one]")
@click.option("--observer", is_flag=True, help="It follows, and does not vote.")
@pass_target
def add_node(target: Target, *, org: str | None, observer: bool) -> None:
    """Let a new node join: admitted as an observer, it fetches the chain; then it gets a vote."""

    async def add(network: Network, client: Client) -> None:
        node = await join(network, client, org or network.manifest.hospitals[0].name)
        click.echo(f"{node.name} of {node.org} is an observer and has the chain")
        if not observer:
            await promote(network, client, node)
            click.echo(f"{node.name} votes from the next height on")
        click.echo(f"its API: {node.url}")

    _change(target, add)


@click.command("replace-node")
@click.argument("node", metavar="NODE")
@pass_target
def replace_node(target: Target, *, node: str) -> None:
    """Let another machine with other keys take a validator's place, and stop the old one."""

    async def change(network: Network, client: Client) -> None:
        old = network.node(node)
        new = await replace(network, client, old)
        click.echo(f"{new.name} votes in the place of {old.name}, which is stopped")

    _change(target, change)


@click.command("remove-node")
@click.argument("node", metavar="NODE")
@pass_target
def remove_node(target: Target, *, node: str) -> None:
    """Take a node's vote or its place as an observer, and stop it. Its home stays on the disk."""

    async def remove(network: Network, client: Client) -> None:
        leaving = network.node(node)
        await leave(network, client, leaving)
        click.echo(f"{leaving.name} has left and is stopped")

    _change(target, remove)


def _change(target: Target, change: Callable[[Network, Client], Awaitable[None]]) -> None:
    """Ask through the first node that runs, and say what the network withstands afterwards."""
    network = target.network()
    with network.directory.locked():
        try:
            asyncio.run(_through_a_node(network, change))
        except ClientError as error:
            raise StateError(str(error)) from None
        click.echo(tolerance(network.engine, len(network.validators)))


async def _through_a_node(
    network: Network, change: Callable[[Network, Client], Awaitable[None]]
) -> None:
    for node in network.nodes:
        if network.state(node) is RunState.RUNNING:
            async with Client(node.url, genesis=network.genesis) as client:
                await change(network, client)
            return
    raise NotReadyError("no node runs that could be asked: `devnet up` first")

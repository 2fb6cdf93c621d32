"""`medquorum inspect`: the API over the data of a stopped node, for reading."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from node.cli.exits import Ended, Exit
from node.cli.options import home_option
from node.cli.stopped import stopped_node
from node.home import Home
from node.logs import configure
from node.modules import installed_registry
from node.repair.inspection import Inspected, serve
from storage.chain import ChainStore


@click.command("inspect")
@home_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port on the loopback interface; 0 picks one. Default: that of the node's API.",
)
def inspect(home: Path, port: int | None) -> None:
    """Answer the API's reads from the data of a stopped node, until it is interrupted.

    Only on the loopback interface. Whatever would change something is refused (policy_denied);
    there is no consensus, no peer and no vault.
    """
    with stopped_node(Home(home)) as node:
        if ChainStore(node.kv).genesis() is None:
            raise Ended(Exit.NO, "the database is empty: this node has never run")
        data = Inspected(node.home, node.config, node.genesis, installed_registry(), node.kv)
        asyncio.run(_until_stopped(data, node.config.rpc.port if port is None else port))


async def _until_stopped(data: Inspected, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    log = configure("warning", data.config.base.log_format, data.config.base.moniker)
    await serve(
        data,
        log,
        port=port,
        stop=stop,
        ready=lambda bound: click.echo(f"http://127.0.0.1:{bound}", err=True),
    )

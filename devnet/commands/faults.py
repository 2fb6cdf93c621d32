"""kill, pause, resume, stop, start, restart: one node at a time."""

from __future__ import annotations

import click

from devnet.commands.context import Target, pass_target
from devnet.commands.running import report_stop
from devnet.health import arithmetic, voting
from devnet.network import Network
from devnet.processes import RunState

node_argument = click.argument("node", metavar="NODE")


@click.command
@node_argument
@pass_target
def kill(target: Target, node: str) -> None:
    """End a node at once (SIGKILL), as a crash would."""
    network = target.network()
    with network.directory.locked():
        process = network.kill(network.node(node))
        click.echo(f"{node} (pid {process.pid}) killed")
        _explain(network)


@click.command
@node_argument
@pass_target
def pause(target: Target, node: str) -> None:
    """Freeze a node (SIGSTOP): connected, and silent."""
    network = target.network()
    with network.directory.locked():
        process = network.pause(network.node(node))
        click.echo(f"{node} (pid {process.pid}) paused")
        _explain(network)


@click.command
@node_argument
@pass_target
def resume(target: Target, node: str) -> None:
    """Let a paused node go on (SIGCONT)."""
    network = target.network()
    with network.directory.locked():
        process = network.resume(network.node(node))
        click.echo(f"{node} (pid {process.pid}) resumed")
        _explain(network)


@click.command
@node_argument
@pass_target
def stop(target: Target, node: str) -> None:
    """Stop a node as an operator would (SIGTERM)."""
    network = target.network()
    with network.directory.locked():
        report_stop(network, (network.node(node),))
        _explain(network)


@click.command
@node_argument
@pass_target
def start(target: Target, node: str) -> None:
    """Start a node and wait until it is ready."""
    network = target.network()
    with network.directory.locked():
        _start(network, node)


@click.command
@node_argument
@pass_target
def restart(target: Target, node: str) -> None:
    """Stop a node if it runs, start it, and wait until it is ready."""
    network = target.network()
    with network.directory.locked():
        report_stop(network, (network.node(node),))
        _start(network, node)


def _start(network: Network, name: str) -> None:
    node = network.node(name)
    if not network.start([node]):
        paused = network.state(node) is RunState.PAUSED
        click.echo(f"{name} is {'paused: resume it' if paused else 'running already'}")
        return
    # A node that comes back alone is as ready as it can be; nobody is there to be a peer.
    network.wait_ready([node], min_peers=min(1, voting(network) - 1))
    process = network.process(node)
    click.echo(f"{name} (pid {'-' if process is None else process.pid}) ready")
    _explain(network)


def _explain(network: Network) -> None:
    click.echo(arithmetic(network.engine, voting(network), len(network.validators)))

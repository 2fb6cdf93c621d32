"""reset and destroy: what cannot be undone."""

from __future__ import annotations

import sys

import click

from devnet.commands.context import Target, pass_target
from devnet.commands.running import remove_directory, report_stop
from devnet.errors import StateError

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.command
@yes_option
@pass_target
def reset(target: Target, *, yes: bool) -> None:
    """Stop the nodes and forget the chain. Keys, genesis and configuration stay."""
    network = target.network()
    _confirm(f"Forget the chain of {network.directory.path}?", yes)
    with network.directory.locked():
        report_stop(network, network.nodes)
        network.reset()
    click.echo("the chain is at height 0 again; `devnet up` starts it")


@click.command
@yes_option
@pass_target
def destroy(target: Target, *, yes: bool) -> None:
    """Stop the nodes and remove everything of the network."""
    network = target.network()
    _confirm(f"Remove all of {network.directory.path}?", yes)
    with network.directory.locked():
        report_stop(network, network.nodes)
        network.destroy()
        remove_directory(network.directory)
    click.echo("removed")


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise StateError("nobody can be asked here: give -y if you mean it")
    click.confirm(question, abort=True)

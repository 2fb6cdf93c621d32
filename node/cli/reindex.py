"""`medquorum reindex`: builds the indexes of a stopped node again from its blocks."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.options import home_option, json_option
from node.cli.show import echo_json
from node.cli.stopped import stopped_node
from node.home import Home
from node.repair.indexes import rebuild
from storage.chain import ChainStore


@click.command("reindex")
@home_option
@json_option
def reindex(home: Path, as_json: bool) -> None:
    """Build the indexes of a stopped node again: where each block and each transaction stands.

    For when 'verify' finds nothing damaged but the index. Interrupted, call it again.
    """
    with stopped_node(Home(home)) as node:
        entries, mended = rebuild(node.kv, ChainStore(node.kv))
    if as_json:
        echo_json({"entries": entries, "mended": mended})
        return
    click.echo(f"{entries} entries, {mended} of them mended")

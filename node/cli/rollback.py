"""`medquorum rollback`: takes the last heights of a stopped node's database back."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.progress import ProgressLine
from node.cli.show import echo_json
from node.cli.stopped import stopped_node
from node.home import Home
from node.repair.errors import UnrepairableError
from node.repair.rollback import Rollback


@click.command("rollback")
@home_option
@click.argument("heights", type=click.IntRange(1), metavar="N")
@json_option
def rollback(home: Path, heights: int, as_json: bool) -> None:
    """Remove the last N heights from the database of a stopped node.

    The members still have them: after its start the node fetches and executes them again. What it
    has signed is not forgotten, and votes there are not cast again. Never do this on so many
    validators at once that the heights are nowhere left.
    """
    progress = ProgressLine()
    with stopped_node(Home(home)) as node:
        try:
            work = Rollback(node.kv, node.home.chain)
            for done, tip in enumerate(work.run(heights), 1):
                last = tip
                progress.show("heights", done, heights)
        except UnrepairableError as error:
            raise Ended(Exit.NO, error.detail) from None
        finally:
            progress.end()
    if as_json:
        echo_json({"height": last, "heights_removed": heights})
        return
    click.echo(f"The last height is {last} now. Start the node: it fetches what follows.")

"""`medquorum replay`: executes the blocks of a stopped node again, to find where results differ."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import click

from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.show import echo_json
from node.cli.stopped import stopped_node
from node.home import Home
from node.modules import installed_registry
from node.repair.errors import UnrepairableError
from node.repair.reexecution import Divergence, Reexecution
from node.repair.scratch import scratch_directory
from storage.chain import ChainStore
from storage.leveldb import LevelDB

_EPILOG = "Exit code 0: the same comes of every block; 1: not, and the first difference is named."


@click.command("replay", epilog=_EPILOG)
@home_option
@json_option
@click.option("--to", "last", type=click.IntRange(1), help="The last height to execute.")
def replay(home: Path, last: int | None, as_json: bool) -> Exit:
    """Execute the blocks of a stopped node again, and compare what comes of them with what was
    certified.

    Starts from the genesis, or from the oldest state that is kept if the first blocks are not here.
    Works in a scratch directory in the home and changes nothing.
    """
    began_s = time.monotonic()
    with stopped_node(Home(home)) as node, scratch_directory(node.home) as folder:
        leaves = folder / "leaves"
        leaves.mkdir()
        with closing(LevelDB(folder / "kv")) as scratch:
            run = Reexecution(
                node.kv, node.genesis, installed_registry(), scratch=scratch, folder=leaves
            )
            tip = ChainStore(node.kv).tip()
            upto = min(last or tip, tip)
            try:
                found = run.run(upto, _quietly)
            except UnrepairableError as error:
                raise Ended(Exit.NO, error.detail) from None
    if found is None and upto <= run.base:
        detail = f"no block up to {upto} can be executed: the run starts from {run.base}"
        raise Ended(Exit.NO, detail)
    seconds = round(time.monotonic() - began_s, 3)
    if as_json:
        echo_json(_document(run, upto, found) | {"seconds": seconds})
    elif found is None:
        click.echo(f"heights {run.base + 1} to {upto} give the same ({seconds} s)")
    else:
        click.echo(found.line())
    return Exit.OK if found is None else Exit.NO


def _quietly(_what: str, _done: int, _of: int) -> None:
    """Nobody watches."""


def _document(run: Reexecution, last: int, found: Divergence | None) -> dict[str, object]:
    return {
        "from": run.base + 1,
        "to": last,
        "transactions": run.transactions,
        "same": found is None,
        "divergence": None
        if found is None
        else {
            "height": found.height,
            "what": found.what,
            "module": found.module,
            "index": found.index,
            "txid": found.tx_id.hex(),
        },
    }

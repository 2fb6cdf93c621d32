"""`medquorum diff`: where the ledgers of two stopped nodes part."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.exits import Ended, Exit
from node.cli.options import json_option
from node.cli.show import echo_json, fields
from node.cli.stopped import stopped_node
from node.home import Home
from node.repair.difference import Comparison, Difference
from node.repair.errors import UnrepairableError

_HOME = click.Path(exists=True, file_okay=False, path_type=Path)
_EPILOG = "Exit code 0: they are the same as far as both reach; 1: not, and the place is named."


@click.command("diff", epilog=_EPILOG)
@click.argument("home", type=_HOME)
@click.argument("other", type=_HOME)
@click.option("--height", type=click.IntRange(0), help="Compare up to here; else to the end.")
@json_option
def diff(home: Path, other: Path, height: int | None, as_json: bool) -> Exit:
    """Compare the databases of two stopped nodes of one chain, or of copies of them.

    Names the first height that differs, the module of the ledger, the transaction and the key, as
    far as the state of that height is kept in both. Shows no value. Changes nothing.
    """
    if home.resolve() == other.resolve():
        raise click.UsageError("that is one home, not two")
    with stopped_node(Home(home)) as left, stopped_node(Home(other)) as right:
        try:
            last, found = Comparison(left.kv, right.kv).run(height)
        except UnrepairableError as error:
            raise Ended(Exit.NO, error.detail) from None
    shown = {"compared_to": last, "same": found is None} | _document(found)
    if as_json:
        echo_json(shown)
    else:
        fields([(name, value) for name, value in shown.items() if value not in {"", None}])
    return Exit.OK if found is None else Exit.NO


def _document(found: Difference | None) -> dict[str, object]:
    if found is None:
        return {}
    return {
        "height": found.height,
        "what": found.what,
        "fields": ", ".join(found.fields),
        "module": found.module,
        "index": found.index,
        "txid": found.tx_id.hex(),
        "key": found.key.hex(),
    }

"""`medquorum diff`: where the ledgers of two nodes part."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click
from typing_extensions import override

from node.cli.exits import Ended, Exit
from node.cli.options import json_option
from node.cli.show import echo_json, fields
from node.cli.sides import RunningSide, StoppedSide
from node.cli.stopped import stopped_node
from node.home import Home
from node.repair.certified import CertifiedComparison, Side
from node.repair.difference import Comparison, Difference
from node.repair.errors import UnrepairableError

_EPILOG = "Exit code 0: they are the same as far as both reach; 1: not, and the place is named."


class _Place(click.ParamType[str | Path]):
    """The home of a node that does not run, or the address of one that does."""

    name = "home"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | Path:
        """A text for an address, a path for a home."""
        text = str(value)
        if text.startswith(("http://", "https://")):
            return text
        path = Path(text)
        if not path.is_dir():
            self.fail(f"{text} is neither a home nor an http(s) address", param, ctx)
        return path


@click.command("diff", epilog=_EPILOG)
@click.argument("home", type=_Place(), metavar="HOME|URL")
@click.argument("other", type=_Place(), metavar="HOME|URL")
@click.option("--height", type=click.IntRange(0), help="Compare up to here; else to the end.")
@json_option
def diff(home: str | Path, other: str | Path, height: int | None, as_json: bool) -> Exit:
    """Compare the ledgers of two nodes of one chain: of nodes that run, by the addresses of their
    APIs, or of stopped ones or copies, by their homes.

    Names the first height that differs, the module of the ledger, the transaction and, of two
    homes, the key, as far as the state of that height is kept in both. Of a node that runs only
    what it says is compared: no key, no damaged value under a root that stands, and no transaction
    that differs in its events alone. Shows no value. Changes nothing.
    """
    if _named(home) == _named(other):
        raise click.UsageError("that is one node, not two")
    try:
        last, found = _compared(home, other, height)
    except UnrepairableError as error:
        raise Ended(Exit.NO, error.detail) from None
    shown = {"compared_to": last, "same": found is None} | _document(found)
    if as_json:
        echo_json(shown)
    else:
        fields([(name, value) for name, value in shown.items() if value not in {"", None}])
    return Exit.OK if found is None else Exit.NO


def _named(place: str | Path) -> str:
    return place.rstrip("/") if isinstance(place, str) else str(place.resolve())


def _compared(
    home: str | Path, other: str | Path, height: int | None
) -> tuple[int, Difference | None]:
    """Raises UnrepairableError."""
    with ExitStack() as open_homes:
        if isinstance(home, Path) and isinstance(other, Path):
            left = open_homes.enter_context(stopped_node(Home(home)))
            right = open_homes.enter_context(stopped_node(Home(other)))
            return Comparison(left.kv, right.kv).run(height)
        sides = [_side(place, open_homes) for place in (home, other)]
        return CertifiedComparison(*sides).run(height)


def _side(place: str | Path, open_homes: ExitStack) -> Side:
    if isinstance(place, str):
        return RunningSide(place)
    node = open_homes.enter_context(stopped_node(Home(place)))
    return StoppedSide(node.kv, node.genesis.chain_id())


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

"""`medquorum prune`: gives the old blocks of a stopped node up, and the room that they took."""

from __future__ import annotations

import time
from pathlib import Path

import click

from medquorum.errors import VerificationError
from node.chain import Chain
from node.cli.archive import create_proven
from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.show import echo_json, fields
from node.cli.stopped import StoppedNode, stopped_node
from node.home import Home
from node.modules import installed_registry
from node.repair.errors import UnrepairableError
from node.repair.pruning import body_ranges, check_line, prune
from storage.chain import ChainStore
from storage.leveldb import LevelDB

_EPILOG = "Exit code 1: refused, and nothing was changed."


@click.command("prune", epilog=_EPILOG)
@home_option
@click.option(
    "--below",
    type=click.IntRange(1),
    required=True,
    metavar="HEIGHT",
    help="Give up the blocks below this height; it becomes the oldest one.",
)
@click.option(
    "--archive",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="First archive what goes, in a new file in this directory, and prove the file.",
)
@json_option
def prune_command(home: Path, below: int, archive: Path | None, as_json: bool) -> None:
    """Remove the transactions and events of old blocks from the database of a stopped node.

    Headers, results, certificates, validators, outcomes and indexes stay. Receipts of what was
    removed are answered with 'pruned' until 'archive import' puts the blocks back: keep an archive,
    or see that another member has them.
    """
    began_s = time.monotonic()
    with stopped_node(Home(home)) as node:
        shown = _pruned(node, below, archive)
    shown["seconds"] = round(time.monotonic() - began_s, 3)
    if as_json:
        echo_json(shown)
    else:
        fields(list(shown.items()))


def _pruned(node: StoppedNode, below: int, directory: Path | None) -> dict[str, object]:
    kv = node.kv
    blocks = ChainStore(kv)
    keep_versions = node.config.storage.keep_versions
    chain = Chain(kv, node.genesis, installed_registry(), keep_versions=keep_versions)
    file: Path | None = None
    try:
        check_line(chain, below)
        oldest = blocks.oldest_block()
        if directory is not None and oldest < below:
            file = directory / f"{chain.chain_id.hex()[:16]}-{oldest}-{below - 1}.mqarchive"
            create_proven(file, node, oldest, below - 1)
    except UnrepairableError as error:
        raise Ended(Exit.NO, error.detail) from None
    except VerificationError as error:
        detail = f"the archive does not prove what is here, so nothing was pruned: {error}"
        raise Ended(Exit.CORRUPT, detail) from None
    before = _size(node.home.chain)
    for _ in prune(kv, below):
        pass
    if isinstance(kv, LevelDB):
        for start, stop in body_ranges(blocks.oldest_block()):
            kv.compact(start, stop)
    after = _size(node.home.chain)
    return {
        "oldest_block": blocks.oldest_block(),
        "heights_pruned": blocks.oldest_block() - oldest,
        "archive": None if file is None else str(file),
        "bytes_before": before,
        "bytes_after": after,
        "bytes_freed": before - after,
    }


def _size(directory: Path) -> int:
    """What the files of a directory take, in bytes, by their sizes."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())

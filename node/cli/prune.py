"""`medquorum prune`: gives the old blocks of a stopped node up, and the room that they took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

from medquorum.errors import VerificationError
from node.archive.errors import UnarchivableError
from node.archive.keeping import archive_path, keeping
from node.archive.writing import finished
from node.chain import Chain
from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.show import echo_json, fields
from node.cli.stopped import StoppedNode, stopped_node
from node.home import Home
from node.modules import installed_registry
from node.pruning.errors import UnprunableError
from node.pruning.lines import check_line, line_by_age
from node.pruning.removing import body_ranges, first_remains, prune
from node.pruning.room import compact

_EPILOG = "Exit code 1: refused, with a code of the error catalogue, and nothing was changed."


@dataclass(frozen=True, slots=True)
class _Wish:
    """The line that was asked for: a height, or an age in days."""

    below: int | None
    older_than_days: int | None
    archive: Path | None


@click.command("prune", epilog=_EPILOG)
@home_option
@click.option(
    "--below",
    type=click.IntRange(1),
    metavar="HEIGHT",
    help="Give up the blocks below this height; it becomes the oldest one.",
)
@click.option(
    "--older-than",
    type=click.IntRange(1),
    metavar="DAYS",
    help="Give up the blocks that are so much older than the latest one, by block time.",
)
@click.option(
    "--archive",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="First archive what goes, in a file in this directory, and prove the file. One that an"
    " interrupted call has left there is proven and used.",
)
@json_option
def prune_command(
    home: Path, below: int | None, older_than: int | None, archive: Path | None, as_json: bool
) -> None:
    """Remove the transactions and events of old blocks from the database of a stopped node.

    Headers, results, certificates, validators, outcomes and indexes stay. Receipts of what was
    removed are answered with 'pruned' until 'archive import' puts the blocks back: keep an archive,
    or see that another member has them. What the parameters of the chain demand is kept.
    """
    if (below is None) == (older_than is None):
        raise click.UsageError("say how far: --below HEIGHT or --older-than DAYS")
    began_s = time.monotonic()
    with stopped_node(Home(home)) as node:
        shown = _pruned(node, _Wish(below, older_than, archive))
    shown["seconds"] = round(time.monotonic() - began_s, 3)
    if as_json:
        echo_json(shown)
    else:
        fields(list(shown.items()))


def _pruned(node: StoppedNode, wish: _Wish) -> dict[str, object]:
    kv = node.kv
    keep_versions = node.config.storage.keep_versions
    chain = Chain(kv, node.genesis, installed_registry(), keep_versions=keep_versions)
    oldest = chain.blocks.oldest_block()
    try:
        line = _line(chain, wish)
        file = _archived(node, wish.archive, oldest, line - 1)
    except UnprunableError as error:
        raise Ended(Exit.NO, str(error)) from None
    except UnarchivableError as error:
        raise Ended(Exit.NO, error.detail) from None
    except VerificationError as error:
        detail = f"the archive does not prove what is here, so nothing was pruned: {error}"
        raise Ended(Exit.CORRUPT, detail) from None
    before = _size(node.home.chain)
    first = first_remains(kv, line)
    for _ in prune(kv, line):
        pass
    now = chain.blocks.oldest_block()
    for start, stop in body_ranges(first, now):
        compact(kv, start, stop)
    after = _size(node.home.chain)
    return {
        "oldest_block": now,
        "heights_pruned": now - oldest,
        "archive": None if file is None else str(file),
        "bytes_before": before,
        "bytes_after": after,
        "bytes_freed": before - after,
    }


def _line(chain: Chain, wish: _Wish) -> int:
    """Raises UnprunableError."""
    if wish.older_than_days is not None:
        # Up to the oldest block that is young enough, which may be the latest one.
        line = min(line_by_age(chain, wish.older_than_days), chain.tip.height)
    else:
        line = wish.below or 1
    if line > chain.blocks.oldest_block():
        check_line(chain, line)
    return line


def _archived(node: StoppedNode, directory: Path | None, first: int, last: int) -> Path | None:
    """Raises UnarchivableError, VerificationError."""
    if directory is None or last < first:
        return None
    path = archive_path(directory, node.genesis.chain_id(), first, last)
    return finished(keeping(path, node.kv, node.genesis, first, last)).path


def _size(directory: Path) -> int:
    """What the files of a directory take, in bytes, by their sizes."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())

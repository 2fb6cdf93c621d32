"""`medquorum archive`: ranges of the chain in files that prove themselves."""

from __future__ import annotations

import time
from pathlib import Path

import click

from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from node.archive.errors import UnarchivableError
from node.archive.format import ArchiveHead, ArchiveReader
from node.archive.keeping import keeping
from node.archive.proving import Proven, prove_archive
from node.archive.writing import finished
from node.cli.exits import Ended, Exit
from node.cli.files import load_genesis_file
from node.cli.options import EXISTING_FILE, NEW_FILE, home_option, json_option
from node.cli.show import echo_json, fields, proves_nothing
from node.cli.stopped import StoppedNode, stopped_node
from node.home import Home
from node.pruning.restoring import Restoring
from storage.chain import ChainStore


@click.group
def archive() -> None:
    """Put old blocks into files that prove themselves, and back.

    Such a file is proven by the genesis alone. One altered byte in it is found and named.
    """


@archive.command("create")
@home_option
@click.option("--from", "first", type=click.IntRange(1), required=True, help="The first height.")
@click.option("--to", "last", type=click.IntRange(1), required=True, help="The last height.")
@click.argument("file", type=NEW_FILE)
@json_option
def create(home: Path, first: int, last: int, file: Path, as_json: bool) -> None:
    """Write heights of a stopped node into FILE, which must not exist, and prove it."""
    began_s = time.monotonic()
    with stopped_node(Home(home)) as node:
        try:
            shown = _created(file, node, first, last)
        except UnarchivableError as error:
            raise Ended(Exit.NO, error.detail) from None
    _show(shown | {"seconds": round(time.monotonic() - began_s, 3)}, as_json=as_json)


@archive.command("verify", epilog="Exit code 0: proven; 1: not, and what is wrong is named.")
@click.argument("file", type=EXISTING_FILE)
@click.option("--genesis", type=EXISTING_FILE, required=True, help="The genesis of the chain.")
@json_option
def verify(file: Path, genesis: Path, as_json: bool) -> int:
    """Prove FILE from the genesis, without any node: every certificate under the validators of its
    height, every signature, root and link.
    """
    began_s = time.monotonic()
    trusted = load_genesis_file(genesis)
    try:
        shown = _proven(file, trusted)
    except VerificationError as error:
        return proves_nothing(error, as_json=as_json)
    _show(shown | {"seconds": round(time.monotonic() - began_s, 3)}, as_json=as_json)
    return Exit.OK


@archive.command("import")
@home_option
@click.argument("file", type=EXISTING_FILE)
@json_option
def import_(home: Path, file: Path, as_json: bool) -> None:
    """Prove FILE and put the pruned blocks that it holds back into a stopped node.

    It has to reach up to the oldest block that is here. Nothing is changed if it does not hold.
    """
    began_s = time.monotonic()
    with stopped_node(Home(home)) as node, file.open("rb") as stream:
        reader = ArchiveReader(stream)
        proven = prove_archive(reader, node.genesis)
        count = 0
        try:
            for _ in Restoring(node.kv, reader, proven).run():
                count += 1
        except UnarchivableError as error:
            raise Ended(Exit.NO, error.detail) from None
        shown: dict[str, object] = {
            "heights_restored": count,
            "oldest_block": ChainStore(node.kv).oldest_block(),
            "seconds": round(time.monotonic() - began_s, 3),
        }
    _show(shown, as_json=as_json)


def _created(file: Path, node: StoppedNode, first: int, last: int) -> dict[str, object]:
    """Write an archive and read it back with all proofs; what it is.

    Raises UnarchivableError if it cannot be made. If it proves nothing, then what is stored is
    damaged: VerificationError, and the file is gone.
    """
    if file.exists():
        raise UnarchivableError(f"{file} exists already")
    kept = finished(keeping(file, node.kv, node.genesis, first, last))
    return _document(kept.head, kept.proven, kept.size)


def _proven(file: Path, genesis: Genesis) -> dict[str, object]:
    with file.open("rb") as stream:
        reader = ArchiveReader(stream)
        proven = prove_archive(reader, genesis)
        return _document(reader.head, proven, stream.seek(0, 2))


def _document(head: ArchiveHead, proven: Proven, size: int) -> dict[str, object]:
    return {
        "proven": True,
        "chain_id": head.chain_id.hex(),
        "from": head.first,
        "to": head.last,
        "last_hash": proven.block_hash.hex(),
        "root": head.root.hex(),
        "transactions": proven.transactions,
        "bytes": size,
    }


def _show(shown: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        echo_json(shown)
    else:
        fields(list(shown.items()))

"""`medquorum vault`: the copy of a vault's records on another disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import click

from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.progress import ProgressLine
from node.cli.show import echo_json, fields
from node.daemon import load_genesis
from node.home import Home
from node.places import place_outside
from node.vault.copying import Copied, Progress, check_copy, copy_vault, fill_vault
from storage.lock import DataDirLock

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_EPILOG = "Exit code 65: something is damaged, and is named; the rest was done."
_directory = click.argument("directory", metavar="DIR", type=_DIRECTORY)


@click.group("vault")
def vault() -> None:
    """Keep a copy of the vault's records, and fill a vault from it.

    Records are copied as they lie there: sealed, each with the envelope that the gateway's key
    opens. That key is not in the copy, and without it the copy is worth nothing: keep both, apart.
    """


@vault.command("backup", epilog=_EPILOG)
@_directory
@home_option
@click.option(
    "--forget-erased",
    is_flag=True,
    help="Also delete records from the copy that the vault has no longer.",
)
@click.option("--check", is_flag=True, help="Read what is there already, and replace what rotted.")
@json_option
def backup(directory: Path, home: Path, forget_erased: bool, check: bool, as_json: bool) -> None:
    """Bring the copy in DIR up to the vault. The node may run.

    Only what is new is written. Records that were erased stay in the copy, and are counted, until
    you say --forget-erased: look first that the vault is not just empty because its disk is gone.
    """
    place = Home(home)
    chain_id = load_genesis(place).chain_id()
    if not place.vault.exists():
        raise Ended(Exit.NO, "this node has no vault")
    place_outside(place, str(directory.absolute()), key="DIR")
    with DataDirLock(directory):
        done = _with_progress(
            lambda progress: copy_vault(
                place.vault,
                directory,
                chain_id,
                forget=forget_erased,
                thorough=check,
                progress=progress,
            )
        )
    _show(done, as_json=as_json)


@vault.command("restore", epilog=_EPILOG)
@_directory
@home_option
@json_option
def restore(directory: Path, home: Path, as_json: bool) -> None:
    """Put what the vault of a stopped node lacks into it from the copy in DIR.

    Every ciphertext is held against its hash. A record that is whole in the vault stays as it is,
    so this also mends a vault of which 'verify' named damaged blobs. It neither reads nor makes
    keys: the gateway's are in their own backup.
    """
    place = Home(home)
    chain_id = load_genesis(place).chain_id()
    place_outside(place, str(directory.absolute()), key="DIR")
    with DataDirLock(place.data):
        done = _with_progress(
            lambda progress: fill_vault(directory, place.vault, chain_id, progress=progress)
        )
    _show(done, as_json=as_json)


@vault.command("verify", epilog=_EPILOG)
@_directory
@json_option
def verify(directory: Path, as_json: bool) -> None:
    """Read all of the copy in DIR: every ciphertext, every envelope, and whether any is missing."""
    line = ProgressLine()
    try:
        index, wrong = check_copy(directory, progress=line.show)
    finally:
        line.end()
    shown = {
        "records": None if index is None else index.records,
        "bytes": None if index is None else index.bytes,
        "chain_id": None if index is None else index.chain_id.hex(),
        "damaged": wrong,
    }
    if as_json:
        echo_json(shown)
    else:
        _listed(shown)
    if wrong:
        raise Ended(Exit.CORRUPT, f"{len(wrong)} things are wrong in {directory}")


def _with_progress(work: Callable[[Progress], Copied]) -> Copied:
    line = ProgressLine()
    try:
        return work(line.show)
    finally:
        line.end()


def _show(done: Copied, *, as_json: bool) -> None:
    if as_json:
        echo_json(asdict(done))
    else:
        _listed(asdict(done))
    if done.damaged:
        raise Ended(Exit.CORRUPT, f"{len(done.damaged)} records are damaged and were not copied")


def _listed(shown: Mapping[str, object]) -> None:
    """Figures, and then what is damaged, a line each."""
    damaged = shown["damaged"]
    fields([(name, value) for name, value in shown.items() if name != "damaged"])
    for line in damaged if isinstance(damaged, list) else ():
        click.echo(f"- {line}")

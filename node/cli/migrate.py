"""`medquorum migrate`: brings the stores of a stopped node forward, or says what would happen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from node.cli.config import load_home
from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.show import echo_json
from node.formats import StoreFormat, Verdict, survey
from node.home import Home
from node.snapshots.beginning import put_in_place
from node.stores import open_current_database, open_database
from node.vault.store import RecordStore
from storage.kv import KV
from storage.lock import DataDirLock
from storage.migration import Migration, copies_in, pending
from storage.schema import steps_from

_EPILOG = "Exit code 1, with --check: something has to be brought forward. 78: something is newer."


@click.command("migrate", epilog=_EPILOG)
@home_option
@click.option("--check", is_flag=True, help="Change nothing; say what the next start would do.")
@click.option(
    "--remove-copies",
    is_flag=True,
    help="Delete the copies that earlier migrations left, once you no longer need them.",
)
@json_option
def migrate(home: Path, *, check: bool, remove_copies: bool, as_json: bool) -> None:
    """Bring the stores of a stopped node to the formats of this software, as its start would.

    A copy of the database is made first, and stays under data/before-migration until you delete
    it with --remove-copies. Interrupted, call it again. Sign state and vault are never copied.
    """
    place = Home(home)
    if not place.data.exists():
        raise Ended(Exit.NO, "this node has never run")
    with DataDirLock(place.data):
        put_in_place(place)
        with _database(place) as kv:
            found = survey(place, kv)
            task = None
            if kv is not None and found[0].verdict is Verdict.OLDER:
                task = pending(place.chain, kv, place.before_migration)
        newer = any(store.verdict is Verdict.NEWER for store in found)
        older = any(store.verdict is Verdict.OLDER for store in found)
        if not (check or newer):
            if task is not None:
                open_current_database(place, load_home(place, {}).config).close()
            if _has_old_vault(found):
                RecordStore(place.vault)
            if remove_copies:
                _remove(place)
        _show(place, found, task, as_json=as_json)
    if newer:
        raise Ended(Exit.CONFIG, "a newer version of MedQuorum wrote this: run that version")
    if check and older:
        raise Ended(Exit.NO, "something has to be brought forward")


@contextmanager
def _database(home: Home) -> Iterator[KV | None]:
    if not home.chain.exists():
        yield None
        return
    with closing(open_database(home.chain, load_home(home, {}).config)) as kv:
        yield kv


def _remove(home: Home) -> None:
    for copy in copies_in(home.before_migration):
        shutil.rmtree(copy)


def _has_old_vault(found: tuple[StoreFormat, ...]) -> bool:
    return any(store.name == "vault" and store.verdict is Verdict.OLDER for store in found)


def _show(
    home: Home, found: tuple[StoreFormat, ...], task: Migration | None, *, as_json: bool
) -> None:
    steps = [] if task is None else [step.what for step in steps_from(task.found)]
    if _has_old_vault(found):
        steps.append("every envelope of the vault gets a checksum")
    copies = [str(path) for path in copies_in(home.before_migration)]
    if as_json:
        stores = [
            {
                "store": store.name,
                "path": str(store.path),
                "format": store.found,
                "format_here": store.current,
                "verdict": store.verdict.name.lower(),
            }
            for store in found
        ]
        needed = None if task is None else task.bytes
        echo_json({"stores": stores, "steps": steps, "bytes_needed": needed, "copies": copies})
        return
    for store in found:
        said = "-" if store.found is None else str(store.found)
        click.echo(f"{store.name:16} format {said} of {store.current}: {store.verdict.value}")
    if task is not None:
        click.echo(f"the copy is {task.copy}, and up to {task.bytes} bytes have to be free")
    for step in steps:
        click.echo(f"- {step}")
    for copy in copies:
        click.echo(f"copy of an earlier format: {copy}")

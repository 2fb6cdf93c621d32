"""`medquorum debug`: what others need to help."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.config import load_home
from node.cli.exits import Ended
from node.cli.fetch import get
from node.cli.options import NEW_FILE, home_option
from node.home import Home
from node.repair import dump
from node.stores import open_database
from storage.errors import DataDirLockedError, StorageError
from storage.lock import DataDirLock

_TIMEOUT_S = 5.0


@click.group
def debug() -> None:
    """Gather what others need to help with a node."""


@debug.command("dump")
@home_option
@click.argument("file", type=NEW_FILE)
def dump_command(home: Path, file: Path) -> None:
    """Write status, configuration, log, tip of the chain and metrics of a node into FILE (.tar.gz).

    The node may run. No key, no transaction, no record and no value of the ledger goes in; look
    through it all the same before you pass it on: it names this node, its peers and its software.
    """
    place = Home(home)
    loaded = load_home(place, {})
    files = dump.about() | dump.configuration(loaded) | dump.rooms(place)
    files |= dump.votes(place) | dump.logs(place)
    if place.chain.exists():
        try:
            with DataDirLock(place.data):
                kv = open_database(place.chain, loaded.config)
                try:
                    files |= dump.chain(kv)
                finally:
                    kv.close()
        except DataDirLockedError:
            rpc, ops = loaded.config.rpc, loaded.config.ops
            files |= _asked(f"http://{rpc.host}:{rpc.port}", "v1/status", "status.json")
            files |= _asked(f"http://{ops.host}:{ops.port}", "readyz", "readyz.json")
            files |= _asked(f"http://{ops.host}:{ops.port}", "metrics", "metrics.txt")
        except StorageError as error:
            # Whoever has to help is told so: it is when things are wrong that this is asked for.
            files["chain.txt"] = f"the database does not open: {type(error).__name__}\n".encode()
    dump.write(file, files)
    click.echo(f"{file}: {len(files)} files", err=True)


def _asked(base: str, path: str, name: str) -> dict[str, bytes]:
    """The answer of the running node, or why there is none."""
    try:
        return {name: get(base, path, timeout_s=_TIMEOUT_S)}
    except Ended as error:
        return {f"{name}.error": error.message.encode() + b"\n"}

"""`medquorum snapshot`: snapshots of the ledger, from which nodes begin."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from node.chain import Chain
from node.cli.exits import Ended, Exit
from node.cli.options import home_option, json_option
from node.cli.show import echo_json, fields, table
from node.cli.stopped import stopped_node
from node.daemon import load_genesis
from node.home import Home
from node.modules import installed_registry
from node.snapshots.beginning import verify_snapshot
from node.snapshots.errors import FalseSnapshotError, UnmakeableError
from node.snapshots.format import SnapshotHead
from node.snapshots.making import SnapshotWork, load_head, retaining
from storage.errors import BlobNotFoundError, DamagedBlobError
from storage.kv import Snapshot
from storage.leveldb import LevelDB
from storage.lock import DataDirLock
from storage.snapshots import SnapshotFiles, SnapshotName

_NODES_OWN = "A node that runs makes its own: see 'snapshots' in the configuration."


@click.group
def snapshot() -> None:
    """Make, list and verify snapshots of the ledger.

    Members that made one at the same height have the same digest, or one of them is wrong.
    """


@snapshot.command("create", epilog=_NODES_OWN)
@home_option
@json_option
def create(home: Path, as_json: bool) -> None:
    """Make a snapshot of the last height of a stopped node."""
    place = Home(home)
    began_s = time.monotonic()
    with _stopped(place) as (chain, files, keep, view_of):
        if chain.tip.height == 0:
            raise Ended(Exit.NO, "this node has no blocks yet")
        with closing(view_of()) as view:
            work = SnapshotWork(chain, view, files)
            try:
                while work.step():
                    pass
                name = work.finish()
            except UnmakeableError as error:
                raise Ended(Exit.NO, str(error)) from None
        sum(retaining(files, keep, name))
    head = load_head(files, name)
    if head is None:
        raise Ended(Exit.CORRUPT, "the snapshot cannot be read back")
    shown = _document(name, head) | {"seconds": round(time.monotonic() - began_s, 3)}
    if as_json:
        echo_json(shown)
    else:
        fields(list(shown.items()))


@snapshot.command("list")
@home_option
@json_option
def list_(home: Path, as_json: bool) -> None:
    """List the snapshots that are here. The node may run."""
    files = SnapshotFiles(Home(home).snapshots)
    found = [
        _document(name, head)
        for name in files.names()
        if (head := load_head(files, name)) is not None
    ]
    if as_json:
        echo_json(found)
    else:
        columns = ("height", "digest", "chunks", "bytes", "state_root")
        table(columns, [[entry[column] for column in columns] for entry in found])


@snapshot.command("verify")
@home_option
@json_option
@click.option("--height", type=click.IntRange(1), help="Which one; the latest by default.")
def verify(home: Path, height: int | None, as_json: bool) -> Exit:
    """Prove a snapshot from the genesis, down to every value. The node may run.

    The validators of its height certified the state that it holds, or the exit code is 65. Takes
    room for a second copy of the state in the home, for as long as it lasts.
    """
    place = Home(home)
    genesis = load_genesis(place)
    files = SnapshotFiles(place.snapshots)
    name = _chosen(files, height)
    head = load_head(files, name)
    if head is None and name not in files.names():
        raise Ended(Exit.TEMPORARY, f"the snapshot of height {height} was given up meanwhile")
    if head is None:
        raise Ended(Exit.CORRUPT, f"the head of the snapshot of height {name.height} is damaged")
    began_s = time.monotonic()
    try:
        with _scratch(place.snapshots / "verify") as scratch:
            count = verify_snapshot(head, files, genesis, scratch, open_kv=LevelDB)
    except (FalseSnapshotError, DamagedBlobError, BlobNotFoundError) as error:
        if name not in files.names():
            # The node that runs keeps the last ones, and this is not one of them any more.
            detail = f"the snapshot of height {name.height} was given up meanwhile"
            raise Ended(Exit.TEMPORARY, detail) from None
        raise Ended(Exit.CORRUPT, f"height {name.height}: {error}") from None
    shown = _document(name, head) | {
        "values": count,
        "seconds": round(time.monotonic() - began_s, 3),
        "verified": True,
    }
    if as_json:
        echo_json(shown)
    else:
        fields(list(shown.items()))
    return Exit.OK


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """An empty directory, for one process at a time: what one that was killed left can so be told
    from what another needs. Raises DataDirLockedError.
    """
    with DataDirLock(directory):
        try:
            for left in directory.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _chosen(files: SnapshotFiles, height: int | None) -> SnapshotName:
    names = [name for name in files.names() if height in {None, name.height}]
    if not names:
        asked = "no snapshot is here" if height is None else f"none of height {height} is here"
        raise Ended(Exit.NO, asked)
    return names[-1]


@contextmanager
def _stopped(home: Home) -> Iterator[tuple[Chain, SnapshotFiles, int, Callable[[], Snapshot]]]:
    """The chain of a node that does not run, and where its snapshots belong."""
    with stopped_node(home) as node:
        config = node.config
        chain = Chain(
            node.kv,
            node.genesis,
            installed_registry(),
            keep_versions=config.storage.keep_versions,
        )
        yield chain, SnapshotFiles(home.snapshots), config.snapshots.keep, node.kv.snapshot


def _document(name: SnapshotName, head: SnapshotHead) -> dict[str, object]:
    chunks = head.manifest.chunks()
    return {
        "height": name.height,
        "digest": name.digest.hex(),
        "state_root": head.manifest.state_root.hex(),
        "chunks": len(chunks),
        "bytes": sum(chunk.size for chunk in chunks),
    }

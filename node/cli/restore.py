"""`medquorum restore` and `medquorum restore-drill`: chains from backups."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path

import click

from medquorum.genesis import Genesis
from medquorum.keyfile import read_key_info
from node.backup.errors import FalseBackupError
from node.backup.format import BackupManifest
from node.backup.restoring import OpenKV, Rebuilt, choose, rebuild
from node.cli.config import load_home
from node.cli.exits import Ended, Exit
from node.cli.options import genesis_option, home_option, json_option
from node.cli.progress import ProgressLine
from node.cli.remote import needed_genesis
from node.cli.show import echo_json, fields
from node.config.schema import Config
from node.daemon import load_genesis
from node.forgotten_votes import require_all_known
from node.home import Home
from node.modules import installed_registry
from node.snapshots.beginning import mark_ready, put_in_place
from node.stores import open_database
from storage.chain import ChainStore
from storage.leveldb import LevelDB
from storage.lock import DataDirLock
from storage.signstate import SignState
from storage.snapshots import SnapshotFiles

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_EPILOG = "Exit code 65: something in the backup is damaged or false, and is named."

directory_argument = click.argument("directory", metavar="DIR", type=_DIRECTORY)
height_option = click.option(
    "--height", type=click.IntRange(1), help="Which backup; the latest by default."
)


@click.command("restore", epilog=_EPILOG)
@directory_argument
@home_option
@height_option
@json_option
def restore(directory: Path, home: Path, height: int | None, as_json: bool) -> None:
    """Give a stopped node that has no chain the one of a backup in DIR.

    The home has its configuration, the genesis and keys already. All of the backup is proven from
    that genesis before the home is changed: hashes, certificates, blocks, state. Nothing is
    overwritten. A sign state is never part of a backup and is neither made nor touched; an old one,
    which does not know a vote that the chain shows, is refused. Says what the node needs before it
    can start.
    """
    place = Home(home)
    config = load_home(place, {}).config
    genesis = load_genesis(place)
    with DataDirLock(place.data):
        for path in (place.chain, place.chain_ready):
            if path.exists():
                raise Ended(Exit.CONFIG, f"{path} is there, and nothing is ever overwritten")
        needs = _needs(place, config, genesis)
        manifest = _chosen(directory, height)
        shutil.rmtree(place.chain_building, ignore_errors=True)
        try:
            done = _rebuilt(
                place.chain_building,
                directory,
                manifest,
                genesis,
                lambda p: open_database(p, config),
            )
            _check_votes(place, config, genesis)
            mark_ready(place)
        finally:
            shutil.rmtree(place.chain_building, ignore_errors=True)
        put_in_place(place)
    shown = _document(done)
    if as_json:
        echo_json(shown | {"needs": needs})
        return
    fields(list(shown.items()))
    for need in needs:
        click.echo(f"- {need}")


@click.command("restore-drill", epilog=_EPILOG)
@directory_argument
@home_option
@genesis_option
@height_option
@click.option(
    "--scratch",
    type=_DIRECTORY,
    help="Where there is room for a copy of the chain. Default: the directory for temporary files.",
)
@json_option
def restore_drill(
    directory: Path,
    home: Path,
    genesis: Path | None,
    *,
    height: int | None,
    scratch: Path | None,
    as_json: bool,
) -> None:
    """Restore a backup in DIR into a scratch directory as `restore` would, open the chain, throw it
    away, and tell how long each part took.

    Proves that the backup can be restored, and changes nothing: any node may run meanwhile.
    """
    trusted = needed_genesis(genesis, home)
    manifest = _chosen(directory, height)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=scratch, prefix="medquorum-drill-") as name:
        done = _rebuilt(Path(name) / "chain", directory, manifest, trusted, LevelDB)
    shown = _document(done) | {"seconds": round(time.monotonic() - began_s, 3)}
    if as_json:
        echo_json(shown)
    else:
        fields(list(shown.items()))


def _chosen(directory: Path, height: int | None) -> BackupManifest:
    try:
        manifest = choose(directory, height)
    except FalseBackupError as error:
        raise Ended(Exit.CORRUPT, str(error)) from None
    if manifest is None:
        which = "no backup" if height is None else f"no backup of height {height}"
        raise Ended(Exit.NO, f"{which} is in {directory}")
    return manifest


def _rebuilt(
    path: Path, directory: Path, manifest: BackupManifest, genesis: Genesis, open_kv: OpenKV
) -> Rebuilt:
    progress = ProgressLine()
    try:
        return rebuild(
            path,
            directory,
            manifest,
            genesis=genesis,
            registry=installed_registry(),
            open_kv=open_kv,
            progress=progress.show,
        )
    except FalseBackupError as error:
        if manifest.name() not in SnapshotFiles(directory).names():
            # The node whose backups these are keeps the last ones, and made another meanwhile.
            detail = f"the backup of height {manifest.height} was given up meanwhile"
            raise Ended(Exit.TEMPORARY, detail) from None
        raise Ended(Exit.CORRUPT, str(error)) from None
    finally:
        progress.end()


def _document(done: Rebuilt) -> dict[str, object]:
    manifest = done.manifest
    return {
        "height": manifest.height,
        "block_hash": manifest.block_hash.hex(),
        "state_root": manifest.state_root.hex(),
        "software": manifest.software,
        "entries": manifest.entries,
        "bytes": manifest.size(),
        "blocks_checked": done.checked["blocks"],
        "values_checked": done.checked["values"],
        "read_seconds": round(done.read_seconds, 3),
        "verify_seconds": round(done.verify_seconds, 3),
        "open_seconds": round(done.open_seconds, 3),
    }


def _check_votes(home: Home, config: Config, genesis: Genesis) -> None:
    """A missing sign state is among what the node needs; an old one is not put beside this chain.
    Raises IdentityError.
    """
    if home.validator_key.exists() and SignState.exists(home.sign_state):
        validator = read_key_info(home.validator_key).public
        with closing(open_database(home.chain_building, config)) as kv:
            require_all_known(home.sign_state, ChainStore(kv), genesis, validator)


def _needs(home: Home, config: Config, genesis: Genesis) -> list[str]:
    """What the operator still has to do. Raises SignStateMismatchError, DamagedSignStateError."""
    needs: list[str] = []
    if not home.node_key.exists():
        needs.append(f"{home.node_key} is missing: restore it from the copy of the keys")
    if not home.validator_key.exists():
        needs.append("without a validator key this node only observes")
    elif SignState.exists(home.sign_state):
        validator = read_key_info(home.validator_key).public
        SignState.open(home.sign_state).check_owner(genesis.chain_id(), validator)
        needs.append(
            f"{home.sign_state} must be the one that this validator used last: with an older copy"
            " it could vote twice. If you are not sure, rejoin with a new validator key"
        )
    else:
        needs.append(
            f"{home.sign_state} is missing, and no backup has it: if the key has ever voted on"
            " this chain, rejoin with a new validator key, by governance; only if it never has,"
            " 'medquorum keys new-sign-state --never-voted' makes one"
        )
    if config.vault.enabled:
        needs.append(f"{home.vault} is not in the backup: restore it from its own copy")
    needs.append("start the node: it fetches the heights that followed from p2p.peers")
    return needs

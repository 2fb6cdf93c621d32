"""A receipt of today verifies whatever becomes of the node that gave it, and the node that comes
after it gives the very same one. No other bytes do.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from medquorum import genesis as genesis_files
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.receipt import verify_receipt
from node.backup.making import BackupWork
from node.chain import Chain
from node.errors import RefusedError
from node.home import Home
from node.receipts import receipt_file
from node.snapshots.beginning import build_chain
from node.snapshots.making import SnapshotWork, load_head
from storage.chain import ChainStore
from storage.snapshots import SnapshotFiles
from tests.support.archives import TIP, WINDOW, blocks_of, copied, narrow
from tests.support.cli import ok
from tests.support.signed_chain import REGISTRY, open_leveldb
from tests.support.stopped_home import make_stopped_home, opened

HIGHEST = TIP - WINDOW + 1
Receipts = Mapping[bytes, bytes]


@pytest.fixture(scope="module", params=["changed", "recovered"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home of a node on whose chain the validators changed, and on one of them then were lost.
    Not to be changed itself.
    """
    recovered = request.param == "recovered"
    return make_stopped_home(tmp_path_factory.mktemp("sound"), recovered=recovered)


@pytest.fixture(scope="module")
def genesis(sound: Home) -> Genesis:
    """All that a receipt needs."""
    return genesis_files.load(sound.genesis_file.read_bytes())


@pytest.fixture(scope="module")
def before(sound: Home) -> Receipts:
    """The receipts that clients took with them, by transaction."""
    with blocks_of(sound) as blocks:
        taken = given(blocks, list(blocks.recent_tx_ids(1)))
    assert len(taken) == 14
    return taken


def given(blocks: ChainStore, tx_ids: list[bytes]) -> Receipts:
    """What a node gives for them, as far as it has their blocks."""
    found: dict[bytes, bytes] = {}
    for tx_id in tx_ids:
        try:
            receipt = receipt_file(blocks, tx_id)
        except RefusedError as error:
            assert error.code == "pruned"
            continue
        assert receipt is not None
        found[tx_id] = receipt
    return found


def bare(sound: Home, folder: Path) -> Home:
    """A new machine of the same consortium."""
    home = Home(folder)
    shutil.copytree(sound.config_file.parent, home.config_file.parent)
    return home


def gives(home: Home, before: Receipts, genesis: Genesis, *, how_many: int) -> None:
    """The node gives so many of the receipts, as they were, and each verifies."""
    with blocks_of(home) as blocks:
        after = given(blocks, list(before))
    assert len(after) == how_many
    for tx_id, receipt in after.items():
        assert receipt == before[tx_id]
        assert verify_receipt(receipt, genesis).tx_id == tx_id
    assert json.loads(ok("verify", "--home", home.root, "--json"))["sound"] is True


def back_up(home: Home, directory: Path) -> None:
    """A backup of its database."""
    chain_id = genesis_files.load(home.genesis_file.read_bytes()).chain_id()
    with opened(home) as kv, closing(kv.snapshot()) as view:
        work = BackupWork(view, SnapshotFiles(directory), chain_id=chain_id, software="test")
        while work.step():
            pass
        work.finish(0.0)


def begin_with_a_snapshot(sound: Home, home: Home, genesis: Genesis, folder: Path) -> None:
    """Give the home the chain of a node that began with a snapshot of the tip."""
    files = SnapshotFiles(folder)
    with opened(sound) as kv:
        chain = Chain(kv, genesis, REGISTRY, keep_versions=10)
        with closing(kv.snapshot()) as view:
            work = SnapshotWork(chain, view, files)
            while work.step():
                pass
            head = load_head(files, work.finish())
    assert head is not None
    home.data.mkdir(parents=True)
    build_chain(home.chain, head, files, genesis=genesis, registry=REGISTRY, open_kv=open_leveldb)


def test_after_a_backup_and_its_restore(
    sound: Home, before: Receipts, genesis: Genesis, tmp_path: Path
) -> None:
    back_up(sound, tmp_path / "backups")
    home = bare(sound, tmp_path / "home")
    ok("restore", tmp_path / "backups", "--home", home.root)
    gives(home, before, genesis, how_many=14)


def test_after_pruning_a_restore_of_what_was_left_and_the_archive(
    sound: Home,
    before: Receipts,
    genesis: Genesis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow(monkeypatch)
    pruned = copied(sound, tmp_path / "pruned")
    shown = json.loads(
        ok("prune", "--home", pruned.root, "--below", HIGHEST, "--archive", tmp_path, "--json")
    )
    back_up(pruned, tmp_path / "backups")
    home = bare(sound, tmp_path / "home")
    ok("restore", tmp_path / "backups", "--home", home.root)
    gives(home, before, genesis, how_many=6)
    ok("archive", "import", "--home", home.root, shown["archive"])
    gives(home, before, genesis, how_many=14)


def test_after_a_beginning_with_a_snapshot_and_an_archive_of_another_member(
    sound: Home, before: Receipts, genesis: Genesis, tmp_path: Path
) -> None:
    home = bare(sound, tmp_path / "home")
    begin_with_a_snapshot(sound, home, genesis, tmp_path / "snapshots")
    gives(home, before, genesis, how_many=0)
    file = tmp_path / "archive"
    ok("archive", "create", "--home", sound.root, "--from", 1, "--to", TIP, file)
    ok("archive", "import", "--home", home.root, file)
    gives(home, before, genesis, how_many=14)


def test_after_heights_were_taken_back_and_restored_once_more(
    sound: Home, before: Receipts, genesis: Genesis, tmp_path: Path
) -> None:
    home = copied(sound, tmp_path / "home")
    ok("rollback", 3, "--home", home.root)
    with blocks_of(home) as blocks:
        assert [receipt_file(blocks, tx_id) for tx_id in before].count(None) == 6
    shutil.rmtree(home.chain)
    back_up(sound, tmp_path / "backups")
    ok("restore", tmp_path / "backups", "--home", home.root)
    gives(home, before, genesis, how_many=14)


def test_no_byte_of_one_can_be_another(before: Receipts, genesis: Genesis) -> None:
    # That of the last transaction: it has a change of the validators in its history.
    receipt = list(before.values())[-1]
    assert b'"history": [],' not in receipt
    accepted: list[int] = []
    for place in range(len(receipt)):
        changed = bytearray(receipt)
        changed[place] ^= 1 << (place % 7)
        try:
            verify_receipt(bytes(changed), genesis)
        except VerificationError:
            continue
        accepted.append(place)
    assert accepted == []

"""A home in older formats is brought forward by a command or by the node's start, and a newer one
is refused with its numbers (rules S1 to S5 of docs/spec/storage.md).
"""

from __future__ import annotations

import json
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from medquorum.codec import encode
from medquorum.genesis import Genesis
from node.backup.format import load_manifest
from node.backup.making import BackupWork
from node.config.schema import Config
from node.daemon import load_genesis
from node.home import Home
from node.modules import installed_registry
from node.stores import open_stores
from node.vault.store import RecordStore
from storage import layout
from storage.errors import DamagedStoreError, FormatError
from storage.kv import Batch
from storage.migration import Migration
from storage.snapshots import SnapshotFiles
from tests.support.cli import ok, run
from tests.support.cluster import key_of
from tests.support.old_layouts import forget_removed_keys, unseal
from tests.support.stopped_home import make_stopped_home, opened

ALL_HEIGHTS = 100


@pytest.fixture
def old(tmp_path: Path) -> Home:
    """A home as software before layout 2 left it."""
    home = make_stopped_home(tmp_path)
    with opened(home) as kv:
        forget_removed_keys(kv, ALL_HEIGHTS)
    return home


def set_format(home: Home, number: int) -> None:
    with opened(home) as kv:
        batch = Batch()
        batch.put(layout.FORMAT, layout.pack_height(number))
        kv.write(batch, sync=True)


def verdicts(home: Home) -> dict[str, str]:
    document = json.loads(run("migrate", "--check", "--json", "--home", home.root).stdout)
    return {store["store"]: store["verdict"] for store in document["stores"]}


def test_a_check_says_what_would_happen_and_changes_nothing(old: Home) -> None:
    result = run("migrate", "--check", "--home", old.root)
    assert result.exit_code == 1
    assert "format 1 of 2: will be brought forward" in result.stdout
    assert "given up" in result.stdout
    assert not old.before_migration.exists()
    assert verdicts(old) == {
        "database": "older",
        "consensus log": "current",
        "evidence": "current",
        "sign state": "current",
        "vault": "current",
    }


def test_migrated_by_the_command_the_chain_is_sound_and_the_copy_goes_when_told(old: Home) -> None:
    assert run("verify", "--home", old.root).exit_code == 78
    sign_state = old.sign_state.read_bytes()
    ok("migrate", "--home", old.root)
    assert run("verify", "--deep", "--home", old.root).exit_code == 0
    assert json.loads(ok("migrate", "--check", "--json", "--home", old.root))["steps"] == []
    (copy,) = old.before_migration.iterdir()
    held = {path.name for path in copy.iterdir()}
    assert not held & {"sign_state", "consensus.log"}
    ok("migrate", "--home", old.root)
    assert copy.exists()
    ok("migrate", "--remove-copies", "--home", old.root)
    assert not copy.exists()
    assert old.sign_state.read_bytes() == sign_state


def test_the_start_of_the_node_brings_the_database_forward_and_says_so(old: Home) -> None:
    began: list[Migration] = []
    genesis: Genesis = load_genesis(old)
    validator = key_of("vote0").public
    for _ in range(2):
        stores = open_stores(
            old, Config(), genesis, installed_registry(), validator, migrating=began.append
        )
        assert stores.chain.tip.height == 8
        stores.close()
    assert [(task.found, task.wanted, task.height) for task in began] == [(1, 2, 8)]


def test_a_newer_database_is_refused_with_both_numbers_and_what_to_do(old: Home) -> None:
    set_format(old, 7)
    result = run("migrate", "--home", old.root)
    assert result.exit_code == 78
    assert "format 7 of 2: refused" in result.stdout
    with pytest.raises(FormatError, match=r"format 7; this version reads 2: a newer version"):
        open_stores(old, Config(), load_genesis(old), installed_registry(), None)
    assert run("verify", "--home", old.root).exit_code == 78
    assert not old.before_migration.exists()


@pytest.mark.parametrize("part", ["consensus log", "evidence", "sign state"])
def test_newer_files_are_found_before_anything_is_changed(old: Home, part: str) -> None:
    path = {
        "consensus log": old.consensus_log,
        "evidence": old.evidence,
        "sign state": old.sign_state,
    }[part]
    path.write_bytes(path.read_bytes().replace(b"1", b"9", 1))
    assert verdicts(old)[part] == "newer"
    assert run("migrate", "--home", old.root).exit_code == 78
    assert not old.before_migration.exists()


def test_a_vault_says_its_format_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    RecordStore(tmp_path)
    assert (tmp_path / "FORMAT").read_text() == "medquorum vault 2\n"
    RecordStore(tmp_path)
    (tmp_path / "FORMAT").write_text("medquorum vault 3\n")
    with pytest.raises(FormatError, match="format 3; this version reads 2"):
        RecordStore(tmp_path)
    for damaged in ("medquorum snapshots 1\n", "medquorum vault x\n", "", "1"):
        (tmp_path / "FORMAT").write_text(damaged)
        with pytest.raises(DamagedStoreError):
            RecordStore(tmp_path)


def test_the_command_brings_a_vault_forward_and_a_check_says_that_it_would(old: Home) -> None:
    ok("migrate", "--home", old.root)
    unseal(old.vault)
    result = run("migrate", "--check", "--home", old.root)
    assert (result.exit_code, "every envelope" in result.stdout) == (1, True)
    assert verdicts(old)["vault"] == "older"
    ok("migrate", "--home", old.root)
    assert verdicts(old)["vault"] == "current"
    assert run("verify", "--home", old.root).exit_code == 0


def back_up(home: Home, directory: Path) -> None:
    chain_id = load_genesis(home).chain_id()
    with opened(home) as kv, closing(kv.snapshot()) as view:
        work = BackupWork(view, SnapshotFiles(directory), chain_id=chain_id, software="test")
        while work.step():
            pass
        work.finish(0.0)


def name_layout(directory: Path, number: int, *, version: int = 1) -> None:
    """Have the manifest name another layout, or another version of itself."""
    files = SnapshotFiles(directory)
    (name,) = files.names()
    manifest = load_manifest(files, name)
    fields = [getattr(manifest, field) for field in manifest.__struct_fields__]
    fields[0], fields[2] = version, number
    data = encode(fields)
    files.drop(name)
    files.keep(name._replace(digest=sha256(data).digest()), data)


def test_a_backup_of_an_older_layout_is_restored_in_todays(old: Home, tmp_path: Path) -> None:
    directory = tmp_path / "backup"
    back_up(old, directory)
    drill = ("restore-drill", directory, "--home", old.root)
    assert run(*drill).exit_code == 65, "the manifest names layout 2, and the chain is of 1"
    name_layout(directory, 1)
    ok(*drill)
    name_layout(directory, 3)
    assert run(*drill).exit_code == 78


def test_a_backup_of_a_newer_form_is_refused_as_such(old: Home, tmp_path: Path) -> None:
    directory = tmp_path / "backup"
    back_up(old, directory)
    name_layout(directory, 1, version=2)
    result = run("restore-drill", directory, "--home", old.root)
    assert (result.exit_code, "format 2; this version reads 1" in result.stderr) == (78, True)

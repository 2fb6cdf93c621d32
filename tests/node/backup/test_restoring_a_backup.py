"""A node gets its chain back from a backup, all of it proven, and never a sign state."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from medquorum import genesis as genesis_files
from medquorum.codec import decode, encode
from medquorum.keyfile import save_devnet_key
from node.backup.format import BackupChunk, BackupManifest, ChunkRef, load_manifest
from node.backup.making import BackupWork
from node.home import Home
from storage import layout
from storage.errors import BlobNotFoundError
from storage.kv import prefix_end
from storage.limits import VAULT_BLOB_BYTES_MAX
from storage.signstate import SignState
from storage.snapshots import SnapshotFiles
from tests.support.canaries import files_with
from tests.support.cli import Consortium, found_alone, ok, run, started
from tests.support.cluster import key_of, make_genesis
from tests.support.ports import free_ports
from tests.support.stopped_home import flip, make_stopped_home, opened

TIP = 8


def back_up(home: Home, directory: Path) -> None:
    """A backup of the database of a home."""
    chain_id = genesis_files.load(home.genesis_file.read_bytes()).chain_id()
    with opened(home) as kv, closing(kv.snapshot()) as view:
        work = BackupWork(view, SnapshotFiles(directory), chain_id=chain_id, software="test")
        while work.step():
            pass
        work.finish(0.0)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home with a chain, and a backup of it. Not to be changed."""
    folder = tmp_path_factory.mktemp("sound")
    home = make_stopped_home(folder)
    back_up(home, folder / "backup")
    return home, folder / "backup"


@pytest.fixture
def backup(sound: tuple[Home, Path], tmp_path: Path) -> Path:
    """A copy of the backup, to be damaged."""
    return Path(shutil.copytree(sound[1], tmp_path / "backup"))


@pytest.fixture
def bare(sound: tuple[Home, Path], tmp_path: Path) -> Home:
    """A home without a chain, of the same consortium."""
    home = Home(tmp_path / "bare")
    shutil.copytree(sound[0].config_file.parent, home.config_file.parent)
    return home


def test_the_chain_is_the_same_and_sound(
    sound: tuple[Home, Path], backup: Path, bare: Home
) -> None:
    document = json.loads(ok("restore", backup, "--home", bare.root, "--json"))
    assert (document["height"], document["blocks_checked"]) == (TIP, TIP)
    assert document["values_checked"] > 0
    with opened(bare) as restored, opened(sound[0]) as original:
        everything = (b"\x00", b"\xff")
        assert dict(restored.scan(*everything)) == dict(original.scan(*everything))
    assert json.loads(ok("verify", "--deep", "--home", bare.root, "--json"))["sound"] is True


def test_nothing_is_overwritten(backup: Path, bare: Home) -> None:
    ok("restore", backup, "--home", bare.root)
    again = run("restore", backup, "--home", bare.root)
    assert (again.exit_code, str(bare.chain) in again.stderr) == (78, True)


def test_a_sign_state_is_neither_touched_nor_made(backup: Path, tmp_path: Path) -> None:
    made = found_alone(tmp_path / "alone")
    home = Home(made.home)
    genesis = make_genesis(4)
    home.genesis_file.chmod(0o600)
    home.genesis_file.write_bytes(genesis_files.dump(genesis))
    before = home.sign_state.read_bytes()
    # That of another chain belongs to somebody else's mistake, which is told before all else.
    result = run("restore", backup, "--home", home.root)
    assert (result.exit_code, home.sign_state.read_bytes() == before) == (78, True)
    assert not home.chain.exists()
    home.sign_state.unlink()
    needs = json.loads(ok("restore", backup, "--home", home.root, "--json"))["needs"]
    assert not home.sign_state.exists()
    assert any("rejoin with a new validator key" in need for need in needs)
    start = run("start", "--home", home.root)
    assert start.exit_code == 78


def test_what_is_there_is_named_as_what_must_be_the_latest(
    sound: tuple[Home, Path], backup: Path, bare: Home
) -> None:
    bare.data.mkdir()
    shutil.copy(sound[0].sign_state, bare.sign_state)
    before = bare.sign_state.read_bytes()
    needs = json.loads(ok("restore", backup, "--home", bare.root, "--json"))["needs"]
    assert bare.sign_state.read_bytes() == before
    assert any("without a validator key" in need for need in needs)


def test_an_old_sign_state_is_not_put_beside_a_chain_that_shows_later_votes(
    sound: tuple[Home, Path], backup: Path, bare: Home
) -> None:
    for folder in (bare.data, bare.validator_key.parent):
        folder.mkdir()
    save_devnet_key(bare.validator_key, key_of("vote0"), purpose="validator")
    chain_id = SignState.open(sound[0].sign_state).chain_id
    SignState.create(bare.sign_state, chain_id, key_of("vote0").public)
    refused = run("restore", backup, "--home", bare.root)
    assert (refused.exit_code, f"signed height {TIP}" in refused.stderr) == (78, True)
    assert {path.name for path in bare.data.iterdir()} == {"sign_state", "LOCK"}
    shutil.copy(sound[0].sign_state, bare.sign_state)
    ok("restore", backup, "--home", bare.root)


def test_one_flipped_byte_in_any_file_is_refused_and_its_file_named(
    sound: tuple[Home, Path], backup: Path
) -> None:
    drill = ("restore-drill", backup, "--home", sound[0].root)
    ok(*drill)
    for path in (*backup.glob("*.head"), *backup.glob("chunks/??/*")):
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            damaged = bytearray(whole)
            damaged[place] ^= 1
            path.write_bytes(bytes(damaged))
            result = run(*drill)
            assert (result.exit_code, path.stem in result.stderr) == (65, True), result.output
        path.unlink()
        expected = 1 if path.suffix == ".head" else 65
        assert run(*drill).exit_code == expected
        path.write_bytes(whole)
    ok(*drill)


def last(prefix: bytes) -> Callable[[Home], bytes]:
    """The last key under a prefix."""

    def found(home: Home) -> bytes:
        with opened(home) as kv:
            return next(kv.scan(prefix, prefix_end(prefix), reverse=True))[0]

    return found


@pytest.mark.parametrize(
    "prefix",
    [
        layout.HEADER,
        layout.RESULT,
        layout.CERTIFICATE,
        layout.TRANSACTIONS,
        layout.OUTCOMES,
        layout.EVENTS,
        layout.VALIDATORS,
        layout.STATE,
        layout.PAGE,
    ],
)
def test_a_backup_of_something_else_than_was_certified_is_refused(
    sound: tuple[Home, Path], tmp_path: Path, bare: Home, prefix: bytes
) -> None:
    forged = Home(Path(shutil.copytree(sound[0].root, tmp_path / "forged")))
    flip(forged, last(prefix)(forged))
    back_up(forged, tmp_path / "b")
    result = run("restore", tmp_path / "b", "--home", bare.root)
    assert result.exit_code == 65, result.output
    assert not bare.chain.exists()
    assert not bare.chain_building.exists()


def test_chunks_in_another_order_and_missing_ones_are_refused(
    sound: tuple[Home, Path], backup: Path
) -> None:
    files = SnapshotFiles(backup)
    (name,) = files.names()
    manifest = load_manifest(files, name)
    files.drop(name)
    for chunks in (manifest.chunks[::-1], manifest.chunks[:-1], manifest.chunks[1:]):
        forged = BackupManifest(*(_fields(manifest, chunks)))  # type: ignore[arg-type]  # in order
        files.keep(forged.name(), encode(forged))
        result = run("restore-drill", backup, "--home", sound[0].root)
        assert result.exit_code == 65, result.output
        files.drop(forged.name())


def _fields(manifest: BackupManifest, chunks: tuple[ChunkRef, ...]) -> list[object]:
    named = {**{f: getattr(manifest, f) for f in manifest.__struct_fields__}, "chunks": chunks}
    return list(named.values())


def test_another_genesis_and_another_layout_are_refused(
    sound: tuple[Home, Path], backup: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(genesis_files.dump(make_genesis(5)))
    result = run("restore-drill", backup, "--genesis", other)
    assert (result.exit_code, "another genesis" in result.stderr) == (65, True)
    files = SnapshotFiles(backup)
    (name,) = files.names()
    manifest = load_manifest(files, name)
    files.drop(name)
    newer = BackupManifest(
        manifest.version,
        manifest.software,
        layout.FORMAT_VERSION + 1,
        *_fields(manifest, manifest.chunks)[3:],  # type: ignore[arg-type]  # in order
    )
    files.keep(newer.name(), encode(newer))
    assert run("restore-drill", backup, "--home", sound[0].root).exit_code == 78


def test_a_drill_leaves_nothing_behind_and_tells_the_times(
    sound: tuple[Home, Path], backup: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()}
    drill = ("restore-drill", backup, "--home", sound[0].root, "--scratch", scratch, "--json")
    document = json.loads(ok(*drill))
    assert list(scratch.iterdir()) == []
    assert {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()} == before
    parts = [document[f"{part}_seconds"] for part in ("read", "verify", "open")]
    assert all(part >= 0 for part in parts)
    assert document["seconds"] >= sum(parts) > 0
    assert run(*drill, "--height", TIP + 1).exit_code == 1


def test_one_that_is_given_up_meanwhile_is_not_called_damaged(
    sound: tuple[Home, Path], backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given_up(directory: Path, chunk: bytes, **_more: object) -> bytes:
        shutil.rmtree(directory.parent)
        raise BlobNotFoundError(chunk)

    monkeypatch.setattr("node.backup.restoring.read_blob", given_up)
    result = run("restore-drill", backup, "--home", sound[0].root)
    assert (result.exit_code, "given up" in result.stderr) == (75, True), result.output


def test_nothing_but_the_database_is_in_it(sound: tuple[Home, Path], backup: Path) -> None:
    files = SnapshotFiles(backup)
    keys = {
        key
        for name in files.names()
        for ref in load_manifest(files, name).chunks
        for key, _ in decode(
            BackupChunk, files.chunks.get(ref.hash), size_max=VAULT_BLOB_BYTES_MAX
        ).entries
    }
    with opened(sound[0]) as kv:
        assert keys == {key for key, _ in kv.scan(b"\x00", b"\xff")}
    assert {path.name for path in backup.iterdir()} <= {"chunks", *_heads(backup)}


def _heads(backup: Path) -> list[str]:
    return [path.name for path in backup.glob("*.head")]


@pytest.fixture
def alone(tmp_path: Path) -> tuple[Consortium, str]:
    """A hospital that founds a chain alone and backs it up, and its operators' port."""
    (tmp_path / "backups").mkdir()
    (port,) = free_ports(1)
    chosen = (f"backup.directory={tmp_path / 'backups'}", f"ops.port={port}")
    return found_alone(tmp_path / "alone", *chosen), f"http://127.0.0.1:{port}"


def commit_one(alone: Consortium, folder: Path) -> int:
    """Have the running node commit a transaction; its height."""
    built, signed = folder / "built", folder / "signed"
    fields = {"acct": "0a" * 32, "kind": "hospital", "org": alone.org}
    body = json.dumps({**fields, "holder": [], "kyc_hash": [], "daily_limit": 0})
    api = ("--rpc", alone.rpc)
    signer = ("--signer", alone.root_key, "--genesis", alone.genesis)
    ok("tx", "build", "pay.acct.open", body, *signer, *api, "-o", built)
    ok("tx", "sign", built, "--key", alone.root_key, "--yes", "-o", signed)
    height: int = json.loads(ok("tx", "submit", signed, *api, "--json"))["height"]
    return height


def test_a_running_daemon_is_backed_up_and_goes_on_from_what_is_restored(
    alone: tuple[Consortium, str], tmp_path: Path
) -> None:
    made, ops = alone
    home = Home(made.home)
    with started(made.home) as daemon:
        empty = run("backup", "--ops", ops)
        assert (empty.exit_code, "no blocks yet" in empty.stderr) == (75, True)
        height = commit_one(made, tmp_path)
        backed_up = json.loads(ok("backup", "--ops", ops, "--json"))
        assert backed_up["height"] == height
        assert daemon.stop() == 0
    shutil.rmtree(home.chain)
    before = home.sign_state.read_bytes()
    needs = json.loads(ok("restore", tmp_path / "backups", "--home", home.root, "--json"))["needs"]
    assert home.sign_state.read_bytes() == before
    assert any("the one that this validator used last" in need for need in needs)
    with started(made.home) as daemon:
        status = json.loads(ok("status", "--rpc", made.rpc, "--json"))
        assert status["height"] == height
        assert daemon.stop() == 0


def test_a_daemon_makes_backups_by_the_clock_and_the_metrics_say_so(
    alone: tuple[Consortium, str], tmp_path: Path
) -> None:
    made, ops = alone
    with started(made.home) as daemon:
        height = commit_one(made, tmp_path)
        assert daemon.stop() == 0
    began = time.time_ns() // 10**9
    with started(made.home, "--backup.every_hours", 1) as daemon:
        daemon.read_until('"event": "backup_made"')
        page = urlopen(f"{ops}/metrics", timeout=30).read().decode()  # noqa: S310 - our own
        assert daemon.stop() == 0
    lines = [line for line in page.splitlines() if line.startswith("medquorum_backup_last")]
    figures = dict(line.split(" ") for line in lines)
    assert float(figures["medquorum_backup_last_height"]) == height
    assert float(figures["medquorum_backup_last_success_timestamp_seconds"]) >= began
    assert [name.height for name in SnapshotFiles(tmp_path / "backups").names()] == [height]


def seeds(home: Home) -> list[bytes]:
    """Every private key of a home: its files are in the clear, for a development network."""
    files = sorted((home.root / "keys").glob("*.json"))
    return [bytes.fromhex(json.loads(file.read_bytes())["secret"]) for file in files]


def test_a_backup_of_a_running_node_holds_neither_a_private_key_nor_the_sign_state(
    alone: tuple[Consortium, str], tmp_path: Path
) -> None:
    made, ops = alone
    home = Home(made.home)
    with started(made.home) as daemon:
        commit_one(made, tmp_path)
        ok("backup", "--ops", ops)
        assert daemon.stop() == 0
    signed = home.sign_state.read_bytes()
    secrets = [*seeds(home), signed, signed[12:]]
    assert len(secrets) > 3
    for secret in secrets:
        assert files_with(secret, made.home), "this search should find what is there"
        assert files_with(secret, tmp_path / "backups") == []


def test_a_daemon_that_makes_none_says_so(alone: tuple[Consortium, str]) -> None:
    with started(alone[0].home, "--backup.directory", ""):
        off = run("backup", "--ops", alone[1])
    assert (off.exit_code, "backup.directory is empty" in off.stderr) == (1, True)

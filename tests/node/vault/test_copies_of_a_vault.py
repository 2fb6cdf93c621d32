"""A vault's records are copied once each, come back whole or are named, and the copy opens nothing
by itself (rules M1 to M6 of docs/spec/vault.md).
"""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medquorum import genesis as genesis_files
from node.home import Home
from node.vault.copying import VaultFiles
from node.vault.sealed import CustodyEnvelope
from node.vault.store import RecordStore
from storage.errors import DiskFullError
from storage.vault import VaultDirectory
from tests.support.canaries import files_with
from tests.support.cli import ok, run
from tests.support.cluster import make_genesis
from tests.support.old_layouts import unseal

RECORDS = 6


def ciphertext(number: int) -> bytes:
    return b"ciphertext %d " % number + bytes(200 + number)


def custody(number: int, *, wrapped: int = 0) -> CustodyEnvelope:
    return CustodyEnvelope(sha256(b"%d" % number).digest(), 1, b"wrapped %d" % wrapped * 9)


def blob_id(number: int) -> bytes:
    return sha256(ciphertext(number)).digest()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with some records in its vault."""
    place = Home(tmp_path / "home")
    place.config_file.parent.mkdir(parents=True)
    place.config_file.write_text("")
    place.genesis_file.write_bytes(genesis_files.dump(make_genesis(4)))
    store = RecordStore(place.vault)
    for number in range(RECORDS):
        store.put(ciphertext(number), custody(number))
    (tmp_path / "copy").mkdir()
    return place


@pytest.fixture
def copy(home: Home, tmp_path: Path) -> Path:
    """A copy of it."""
    back_up(home, tmp_path / "copy")
    return tmp_path / "copy"


def back_up(home: Home, directory: Path, *options: str) -> dict[str, object]:
    shown: dict[str, object] = json.loads(
        ok("vault", "backup", directory, "--home", home.root, "--json", *options)
    )
    return shown


def verified(directory: Path) -> tuple[int, list[str]]:
    result = run("vault", "verify", directory, "--json")
    return result.exit_code, json.loads(result.stdout)["damaged"]


def content(path: Path) -> dict[str, bytes]:
    """Ciphertexts and envelopes, by the ends of their paths."""
    return {
        f"{part}/{file.name}": file.read_bytes()
        for part in ("blobs", "envelopes")
        for file in sorted((path / part).glob("??/*"))
    }


def test_only_what_is_new_is_written(home: Home, copy: Path) -> None:
    assert verified(copy) == (0, [])
    assert content(copy) == content(home.vault)
    times = {path: path.stat().st_mtime_ns for path in copy.glob("*/??/*")}
    store = RecordStore(home.vault)
    store.put(ciphertext(9), custody(9))
    store.put(ciphertext(0), custody(0, wrapped=1))
    done = back_up(home, copy)
    assert (done["records"], done["new"], done["renewed"]) == (RECORDS + 1, 1, 1)
    assert done["bytes_new"] == len(ciphertext(9))
    changed = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert {path.name for path in changed} == {blob_id(0).hex()}
    assert content(copy) == content(home.vault)
    assert verified(copy) == (0, [])


def test_a_lost_vault_comes_back(home: Home, copy: Path) -> None:
    before = content(home.vault)
    shutil.rmtree(home.vault)
    done = json.loads(ok("vault", "restore", copy, "--home", home.root, "--json"))
    assert (done["records"], done["new"]) == (RECORDS, RECORDS)
    assert content(home.vault) == before


def test_what_is_whole_in_the_vault_is_never_replaced_and_damage_is_mended(
    home: Home, copy: Path
) -> None:
    RecordStore(home.vault).put(ciphertext(1), custody(1, wrapped=5))
    rotten = home.vault / "blobs" / blob_id(2).hex()[:2] / blob_id(2).hex()
    rotten.write_bytes(b"rotten")
    done = json.loads(ok("vault", "restore", copy, "--home", home.root, "--json"))
    assert (done["new"], done["renewed"]) == (0, 1)
    found = RecordStore(home.vault)
    newer, mended = found.get(blob_id(1)), found.get(blob_id(2))
    assert newer is not None
    assert newer.custody == custody(1, wrapped=5)
    assert mended is not None
    assert mended.ciphertext == ciphertext(2)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_byte_that_changed_in_a_copy_is_found(
    home: Home, copy: Path, data: st.DataObject
) -> None:
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.name != "LOCK")
    path = data.draw(st.sampled_from(files))
    sound = path.read_bytes()
    changed = bytearray(sound)
    changed[data.draw(st.integers(0, len(sound) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    result = run("vault", "verify", copy)
    path.write_bytes(sound)
    assert result.exit_code in {65, 78}, (path, result.output)


def test_a_mark_of_a_format_that_never_was_is_found(copy: Path) -> None:
    mark = copy / "FORMAT"
    assert mark.read_bytes().endswith(b" 2\n")
    mark.write_bytes(mark.read_bytes().replace(b" 2", b" 0"))
    assert run("vault", "verify", copy).exit_code == 65


def test_a_record_that_is_missing_is_found(home: Home, copy: Path) -> None:
    for number, parts in ((1, ("blobs",)), (2, ("envelopes",)), (3, ("blobs", "envelopes"))):
        name = blob_id(number).hex()
        for part in parts:
            (copy / part / name[:2] / name).unlink()
        code, wrong = verified(copy)
        assert code == 65
        assert any(name in line for line in wrong) or len(parts) == 2
        assert any("INDEX" in line for line in wrong)
        back_up(home, copy)
        assert verified(copy) == (0, [])


def test_a_backup_that_was_interrupted_says_so_and_is_completed(
    home: Home, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordStore(home.vault)
    for number in range(20, 24):
        store.put(ciphertext(number), custody(number))
    put = VaultDirectory.put
    room = [2]

    def until_full(self: VaultDirectory, data: bytes) -> bytes:
        room[0] -= 1
        if room[0] < 0:
            raise DiskFullError("the copy", "write", "no space is left")
        return put(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(VaultDirectory, "put", until_full)
        assert run("vault", "backup", copy, "--home", home.root).exit_code == 73
    code, wrong = verified(copy)
    assert code == 65
    assert any("did not end" in line for line in wrong)
    genesis = home.genesis_file.read_bytes()
    home.genesis_file.write_bytes(genesis_files.dump(make_genesis(5)))
    for command in ("backup", "restore"):
        assert run("vault", command, copy, "--home", home.root).exit_code == 78
    home.genesis_file.write_bytes(genesis)
    assert back_up(home, copy)["new"] == 2
    assert verified(copy) == (0, [])


def test_what_was_erased_stays_until_it_is_to_be_forgotten(home: Home, copy: Path) -> None:
    RecordStore(home.vault).destroy(blob_id(3))
    done = back_up(home, copy)
    assert (done["only_in_copy"], done["forgotten"], done["records"]) == (1, 0, RECORDS)
    done = back_up(home, copy, "--forget-erased")
    assert (done["only_in_copy"], done["forgotten"], done["records"]) == (0, 1, RECORDS - 1)
    assert files_with(ciphertext(3), copy) == []
    assert blob_id(3) not in VaultFiles(copy).ids()
    assert verified(copy) == (0, [])


def test_damage_in_the_vault_is_named_and_the_good_copy_stays(home: Home, copy: Path) -> None:
    for number in (1, 30):
        if number == 30:
            RecordStore(home.vault).put(ciphertext(30), custody(30))
        name = blob_id(number).hex()
        (home.vault / "blobs" / name[:2] / name).write_bytes(b"rotten")
    result = run("vault", "backup", copy, "--home", home.root)
    assert result.exit_code == 65
    assert blob_id(30).hex() in result.stdout
    assert verified(copy) == (0, [])
    kept = RecordStore(copy).get(blob_id(1))
    assert kept is not None
    assert kept.ciphertext == ciphertext(1)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_an_envelope_that_rotted_in_the_vault_takes_the_place_of_no_good_one(
    home: Home, copy: Path, data: st.DataObject
) -> None:
    name = blob_id(1).hex()
    path = home.vault / "envelopes" / name[:2] / name
    sound = path.read_bytes()
    changed = bytearray(sound)
    changed[data.draw(st.integers(0, len(sound) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    result = run("vault", "backup", copy, "--home", home.root)
    assert result.exit_code == 65
    assert name in result.stdout
    assert verified(copy) == (0, [])
    done = json.loads(ok("vault", "restore", copy, "--home", home.root, "--json"))
    assert (done["new"], done["renewed"]) == (0, 1)
    assert path.read_bytes() == sound


def test_a_copy_from_before_envelopes_were_sealed_is_read_and_brought_forward(
    home: Home, copy: Path
) -> None:
    sealed = content(copy)
    unseal(copy)
    assert verified(copy) == (0, [])
    shutil.rmtree(home.vault)
    ok("vault", "restore", copy, "--home", home.root)
    assert content(home.vault) == sealed
    unseal(home.vault)
    assert back_up(home, copy)["renewed"] == 0
    assert content(copy) == sealed
    assert verified(copy) == (0, [])


def test_a_copy_that_rotted_is_renewed_when_it_is_to_be_read(home: Home, copy: Path) -> None:
    name = blob_id(4).hex()
    (copy / "blobs" / name[:2] / name).write_bytes(bytes(len(ciphertext(4))))
    assert back_up(home, copy)["renewed"] == 0
    assert verified(copy)[0] == 65
    assert back_up(home, copy, "--check")["renewed"] == 1
    assert verified(copy) == (0, [])


def test_a_copy_of_another_chain_and_a_newer_one_are_refused(home: Home, copy: Path) -> None:
    home.genesis_file.write_bytes(genesis_files.dump(make_genesis(5)))
    before = content(copy)
    for command in ("backup", "restore"):
        assert run("vault", command, copy, "--home", home.root).exit_code == 78
    (copy / "FORMAT").write_text("medquorum vault 3\n")
    assert run("vault", "verify", copy).exit_code == 78
    assert run("vault", "restore", copy, "--home", home.root).exit_code == 78
    assert content(copy) == before


@pytest.mark.parametrize("place", ["vault", "data", "vault/copy", "link"])
def test_a_copy_is_made_nowhere_in_the_data_directory(home: Home, place: str) -> None:
    directory = home.data / place if place != "data" else home.data
    if place == "link":
        directory = home.root / "link"
        directory.symlink_to(home.vault)
    else:
        directory.mkdir(exist_ok=True)
    before = sorted(home.data.rglob("*"))
    for command in ("backup", "restore"):
        assert run("vault", command, directory, "--home", home.root).exit_code == 78
    assert sorted(home.data.rglob("*")) == before


def test_no_key_and_no_sign_state_goes_into_a_copy(home: Home, copy: Path) -> None:
    secret = b"the seed of a gateway's key, 32b"
    for path in (home.gateway_kem, home.gateway_key, home.sign_state, home.data / "mempool"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(secret)
    back_up(home, copy, "--check")
    assert files_with(secret, home.root)
    assert files_with(secret, copy) == []
    assert {path.name for path in copy.iterdir()} == {
        "LOCK",
        "FORMAT",
        "INDEX",
        "blobs",
        "envelopes",
    }

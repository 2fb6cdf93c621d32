"""What `verify` finds: every kind of damage by its name and place, and none where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from node.home import Home
from node.ledger.runtime import ModuleContext
from storage import layout, pages
from storage.kv import Batch, prefix_end
from storage.leveldb import LevelDB
from storage.lock import DataDirLock
from tests.support.cli import run
from tests.support.stopped_home import flip, make_stopped_home, opened

TIP = 8


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home without damage. Not to be changed."""
    return make_stopped_home(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def home(sound: Home, tmp_path: Path) -> Home:
    """A copy of it, to be damaged."""
    shutil.copytree(sound.root, tmp_path / "home")
    return Home(tmp_path / "home")


def verify(home: Home, *options: object) -> tuple[int, dict[str, object]]:
    """The exit code and the document."""
    result = run("verify", "--home", home.root, "--json", *options)
    return result.exit_code, json.loads(result.stdout)


def found(home: Home, *options: object) -> list[tuple[str, int]]:
    """Parts and heights of what is damaged."""
    code, document = verify(home, *options)
    assert code == 65
    findings = document["findings"]
    assert isinstance(findings, list)
    return [(finding["part"], finding["height"]) for finding in findings]


def key_in(home: Home, prefix: bytes) -> bytes:
    """The last key under a prefix."""
    with opened(home) as kv:
        return next(kv.scan(prefix, prefix_end(prefix), reverse=True))[0]


def test_a_sound_node_is_sound_and_all_of_it_was_looked_at(home: Home) -> None:
    code, document = verify(home, "--deep")
    assert (code, document["findings"]) == (0, [])
    checked = document["checked"]
    assert isinstance(checked, dict)
    assert checked["blocks"] == TIP
    assert checked["transactions"] == checked["executed transactions"] == 14
    assert checked["values"] > 0
    assert checked["blobs"] == checked["envelopes"] == checked["log records"] == 1
    assert checked["sign state"] == 1
    assert checked["index entries"] == TIP + 14
    assert checked["state roots"] == TIP + 1


def test_several_processes_find_the_same_as_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(home, layout.at_height(layout.OUTCOMES, 2))
    flip(home, layout.at_height(layout.CERTIFICATE, 7))
    alone = found(home)
    monkeypatch.setattr("node.repair.blocks.POOL_HEIGHTS_MIN", 1)
    monkeypatch.setattr("node.repair.blocks.JOB_HEIGHTS_MAX", 2)
    assert found(home) == alone


@pytest.mark.parametrize(
    ("prefix", "part"),
    [
        (layout.HEADER, "header"),
        (layout.RESULT, "result"),
        (layout.CERTIFICATE, "certificate"),
        (layout.TRANSACTIONS, "transactions"),
        (layout.OUTCOMES, "outcomes"),
        (layout.EVENTS, "events"),
    ],
)
def test_a_flipped_bit_in_any_part_of_a_block_is_found_at_its_height(
    home: Home, prefix: bytes, part: str
) -> None:
    key = layout.at_height(prefix, 4)
    with opened(home) as kv:
        size = len(kv.get(key) or b"")
    for place in range(0, size, max(1, size // 6)):
        flip(home, key, place)
        heights = {height for _, height in found(home)}
        assert 4 in heights
        assert heights <= {0, 4, 5}, part
        flip(home, key, place)
    assert verify(home)[0] == 0


@pytest.mark.parametrize("prefix", [layout.HEADER_HASH, layout.TX])
def test_index_entries_that_lead_elsewhere_are_missing_or_stray_are_named(
    home: Home, prefix: bytes
) -> None:
    key = key_in(home, prefix)
    flip(home, key)
    _, document = verify(home)
    findings = document["findings"]
    assert isinstance(findings, list)
    assert {finding["key"] for finding in findings} == {key[1:].hex()}
    with opened(home) as kv:
        batch = Batch()
        batch.delete(key)
        batch.put(prefix + bytes(32), layout.pack_place(3, 0) if prefix == layout.TX else bytes(8))
        kv.write(batch, sync=True)
    _, document = verify(home)
    assert (key[1:].hex()) in str(document)


def test_a_stray_entry_beside_all_the_right_ones_is_named(home: Home) -> None:
    with opened(home) as kv:
        batch = Batch()
        batch.put(layout.TX + bytes(32), layout.pack_place(3, 0))
        kv.write(batch, sync=True)
    assert bytes(32).hex() in run("verify", "--home", home.root).stdout


def test_a_flipped_bit_in_a_value_is_named_by_its_key(home: Home) -> None:
    key = key_in(home, layout.STATE)
    flip(home, key)
    _, document = verify(home, "--deep")
    name = key[2 : 2 + key[1]].decode()
    assert f"{name}/{key[2 + key[1] :].hex()}" in str(document["findings"])


def test_a_value_that_is_gone_is_found_by_its_leaf(home: Home) -> None:
    key = key_in(home, layout.STATE)
    with opened(home) as kv:
        batch = Batch()
        batch.delete(key)
        kv.write(batch, sync=True)
    assert ("value", TIP) in found(home, "--deep")


def test_no_bit_of_a_page_of_the_latest_tree_can_be_another(home: Home) -> None:
    with opened(home) as kv:
        key, page = max(kv.scan(layout.PAGE, prefix_end(layout.PAGE)), key=lambda pair: pair[0][:9])
    unread = range(1040, 1168)  # versions of slots that hold leaves themselves
    for place in {*range(0, len(page), len(page) // 8)}.difference(unread):
        flip(home, key, place)
        parts = {part for part, _ in found(home, "--deep")}
        assert parts & {"page", "value", "state"}, place
        flip(home, key, place)
    assert verify(home, "--deep")[0] == 0


def test_a_page_with_equal_leaves_is_named_and_ends_no_verification(home: Home) -> None:
    with opened(home) as kv:
        key, page = max(kv.scan(layout.PAGE, prefix_end(layout.PAGE)), key=lambda pair: pair[0][:9])
        forged = bytearray(page)
        slot = next(slot for slot in range(pages.SLOTS) if pages.slot_leaves(page, slot))
        leaf = pages.slot_leaves(page, slot)[: pages.LEAF_BYTES]
        pages.set_leaves(forged, slot, 3 * leaf, pages.node_hash(page, pages.SLOTS + slot))
        batch = Batch()
        batch.put(key, bytes(forged))
        kv.write(batch, sync=True)
    parts = {part for part, _ in found(home, "--deep")}
    assert {"database", "page"} <= parts


def test_damage_beside_the_database_is_named(home: Home) -> None:
    home.sign_state.write_bytes(home.sign_state.read_bytes()[:-1])
    (blob,) = (home.vault / "blobs").glob("??/*")
    blob.write_bytes(b"else")
    home.consensus_log.write_bytes(b"else")
    (envelope,) = (home.vault / "envelopes").glob("??/*")
    flipped = envelope.read_bytes()
    envelope.write_bytes(flipped[:-1] + bytes([flipped[-1] ^ 1]))
    assert sorted(part for part, _ in found(home)) == ["blob", "envelope", "log", "sign_state"]


def test_a_range_is_checked_under_the_validators_of_its_first_height(home: Home) -> None:
    flip(home, layout.at_height(layout.OUTCOMES, 2))
    code, document = verify(home, "--from", 7, "--to", 8)
    assert (code, document["from"], document["to"]) == (0, 7, 8)
    assert ("outcomes", 2) in found(home, "--to", 3)


def test_a_byte_that_the_disk_flipped_is_damage_and_no_crash(home: Home) -> None:
    with opened(home) as kv:
        assert isinstance(kv, LevelDB)
        kv.compact(b"\x00", b"\xff")
    file = max(home.chain.glob("*.ldb"), key=lambda path: path.stat().st_size)
    good = file.read_bytes()
    for part in (8, 4, 2):
        place = len(good) // part
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        result = run("verify", "--home", home.root, "--deep")
        assert result.exit_code == 65, result.output
        assert "checksum" in result.output or "missing" in result.output


@pytest.mark.parametrize(
    "prefix", [layout.STATE_HEAD, layout.STALE, layout.DELETED, layout.HISTORY]
)
def test_what_only_history_and_pruning_read_is_looked_at_too(home: Home, prefix: bytes) -> None:
    key = key_in(home, prefix)
    with opened(home) as kv:
        batch = Batch()
        batch.put(key, b"\xff\xff")
        kv.write(batch, sync=True)
    result = run("verify", "--home", home.root, "--deep", "--json")
    assert result.exit_code == 65, result.output
    findings = json.loads(result.stdout)["findings"]
    if prefix != layout.STATE_HEAD:
        assert any(finding["key"] == key.hex() for finding in findings), findings
    # Damage, and no bug of ours.
    dump = run("debug", "dump", home.root / "dump.tar.gz", "--home", home.root)
    assert dump.exit_code == 0, dump.output
    for command in (("replay",), ("rollback", 7)):
        assert run(*command, "--home", home.root).exit_code in {0, 1, 65}


def test_an_entry_of_a_height_that_was_not_reached_is_named(home: Home) -> None:
    key = layout.at_height(layout.VALIDATORS, TIP + 2)
    with opened(home) as kv:
        batch = Batch()
        batch.put(key, b"voters that nobody agreed on")
        kv.write(batch, sync=True)
    _, document = verify(home, "--deep")
    assert key.hex() in str(document["findings"])


def test_heights_that_are_not_here_are_not_called_sound(home: Home) -> None:
    with opened(home) as kv:
        batch = Batch()
        batch.put(layout.BLOCKS_OLDEST, layout.pack_height(4))
        batch.put(layout.STATE_OLDEST, layout.pack_height(3))
        kv.write(batch, sync=True)
    asked = ("verify", "--home", home.root)
    for none_of_them in (("--from", 9), ("--to", 3), ("--from", 1, "--to", 3)):
        result = run(*asked, *none_of_them)
        assert (result.exit_code, "4 to 8" in result.stderr) == (1, True), result.output
    assert run(*asked, "--from", 6, "--to", 5).exit_code == 64
    assert run(*asked, "--from", 4, "--to", 4).exit_code == 0
    assert run("replay", "--home", home.root, "--to", 3).exit_code == 1
    assert run("replay", "--home", home.root, "--to", 4).exit_code == 0


def test_a_running_node_is_left_alone(home: Home) -> None:
    with DataDirLock(home.data):
        assert run("verify", "--home", home.root).exit_code == 75


def test_what_is_executed_differently_is_named_by_height_and_module(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModuleContext, "emit", lambda *_args, **_attributes: None)
    _, document = verify(home, "--deep")
    findings = document["findings"]
    assert isinstance(findings, list)
    (finding,) = findings
    assert (finding["part"], finding["height"]) == ("execution", 4)
    assert "events_root" in finding["detail"]
    assert "transaction 0" in finding["detail"]


def test_a_chain_that_began_later_is_executed_from_the_oldest_state_that_is_kept(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(home) as kv:
        batch = Batch()
        batch.put(layout.BLOCKS_OLDEST, layout.pack_height(4))
        batch.put(layout.STATE_OLDEST, layout.pack_height(3))
        kv.write(batch, sync=True)
    code, document = verify(home, "--deep")
    assert (code, document["findings"]) == (0, [])
    assert document["from"] == 4
    monkeypatch.setattr(ModuleContext, "emit", lambda *_args, **_attributes: None)
    assert ("execution", 4) in found(home, "--deep")
    with opened(home) as kv:
        removed = list(kv.scan(layout.DELETED, prefix_end(layout.DELETED)))
        assert removed, "this chain should remove values, or the test proves little"

"""Snapshots on the command line: of a stopped node, and of one whose files were touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medquorum import genesis as genesis_files
from node.home import Home
from storage.errors import BlobNotFoundError
from storage.snapshots import SnapshotFiles
from tests.support.cli import ok, run
from tests.support.signed_chain import SignedChain


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a stopped node with a few blocks."""
    place = Home(tmp_path / "home")
    place.config_file.parent.mkdir(parents=True)
    place.config_file.write_text("[snapshots]\nkeep = 1\n")
    place.data.mkdir()
    member = SignedChain(place.chain)
    member.grow(3)
    place.genesis_file.write_bytes(genesis_files.dump(member.genesis))
    member.close()
    return place.root


def test_a_snapshot_is_made_listed_and_verified(home: Path) -> None:
    made = json.loads(ok("snapshot", "create", "--home", home, "--json"))
    assert made["height"] == 3
    (listed,) = json.loads(ok("snapshot", "list", "--home", home, "--json"))
    verified = json.loads(ok("snapshot", "verify", "--home", home, "--json"))
    for key in ("digest", "state_root", "chunks", "bytes"):
        assert made[key] == listed[key] == verified[key]
    assert verified["values"] > 0
    assert verified["verified"] is True
    assert made["digest"] in ok("snapshot", "list", "--home", home)


def test_one_that_was_touched_is_named(home: Path) -> None:
    ok("snapshot", "create", "--home", home)
    chunk = next(path for path in (home / "data" / "snapshots" / "chunks").glob("*/*"))
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(bytes(data))
    result = run("snapshot", "verify", "--home", home)
    assert result.exit_code == 65
    assert "height 3" in result.output


def test_only_as_many_are_kept_as_the_configuration_says(home: Path) -> None:
    ok("snapshot", "create", "--home", home)
    member = SignedChain(Home(home).chain)
    member.grow(1)
    member.close()
    ok("snapshot", "create", "--home", home)
    assert [s["height"] for s in json.loads(ok("snapshot", "list", "--home", home, "--json"))] == [
        4
    ]


def test_what_is_not_there_is_said(home: Path, tmp_path: Path) -> None:
    assert run("snapshot", "verify", "--home", home).exit_code == 1
    ok("snapshot", "create", "--home", home)
    result = run("snapshot", "verify", "--home", home, "--height", 2)
    assert (result.exit_code, "of height 2" in result.output) == (1, True)
    assert run("snapshot", "create", "--home", tmp_path / "nowhere").exit_code == 78


def test_verifying_leaves_alone_what_a_running_node_is_writing(home: Path) -> None:
    ok("snapshot", "create", "--home", home)
    chunks = home / "data" / "snapshots" / "chunks"
    being_written = chunks / "incoming" / f"{'0a' * 32}.0.tmp"
    being_written.write_bytes(b"half a chunk")
    ok("snapshot", "verify", "--home", home)
    assert being_written.read_bytes() == b"half a chunk"


def test_a_snapshot_that_is_given_up_while_it_is_verified_is_not_called_damaged(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok("snapshot", "create", "--home", home)

    def given_up(files: SnapshotFiles, chunk: bytes) -> bytes:
        for name in files.names():
            files.drop(name)
        raise BlobNotFoundError(chunk)

    monkeypatch.setattr(SnapshotFiles, "read_chunk", given_up)
    result = run("snapshot", "verify", "--home", home)
    assert (result.exit_code, "given up" in result.output) == (75, True)


def test_a_chain_that_waits_to_be_put_in_place_is_snapshotted(home: Path) -> None:
    place = Home(home)
    place.chain.rename(place.chain_ready)
    assert json.loads(ok("snapshot", "create", "--home", home, "--json"))["height"] == 3

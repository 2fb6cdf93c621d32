"""An archive is proven by the genesis alone, and no byte of it can be another. The rules are those
of docs/spec/archive.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from zlib import compress, decompress

import pytest
from msgspec.structs import replace

from medquorum import genesis as genesis_files
from medquorum import merkle
from node.archive.format import ArchiveReader, framed, payload_of
from node.home import Home
from node.ledger.limits import BLOCK_TXS_MAX
from storage import layout
from storage.chain import ChainStore
from tests.support.archives import (
    CHANGED_AT,
    TIP,
    archived,
    copied,
    created,
    proven,
    reframed,
    refusal,
)
from tests.support.cli import run
from tests.support.cluster import make_genesis
from tests.support.stopped_home import flip, make_stopped_home, opened


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A sound home. Not to be changed."""
    return make_stopped_home(tmp_path_factory.mktemp("sound"))


def test_it_is_proven_with_the_genesis_alone_and_says_what_it_holds(
    home: Home, tmp_path: Path
) -> None:
    # Rules A1, A3.
    file = created(home, tmp_path / "all", 1, TIP)
    result = run("archive", "verify", file, "--genesis", home.genesis_file, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    with opened(home) as kv:
        header = ChainStore(kv).header(TIP)
    assert header is not None
    assert (document["from"], document["to"], document["transactions"]) == (1, TIP, 14)
    assert document["last_hash"] == header.hash().hex()
    assert document["chain_id"] == header.chain_id.hex()
    assert document["bytes"] == file.stat().st_size


def test_each_range_is_proven_before_at_and_after_a_change_of_the_validators(
    home: Home, tmp_path: Path
) -> None:
    # Rule A3.
    for first in range(1, TIP + 1):
        file = tmp_path / str(first)
        head = archived(home, file, first, TIP).head
        assert len(head.changes) == (1 if first > CHANGED_AT else 0)
        assert len(proven(home, file).places) == TIP - first + 1


def test_one_altered_byte_anywhere_is_refused_and_named(home: Home, tmp_path: Path) -> None:
    # Rule A2.
    file = tmp_path / "small"
    archived(home, file, 6, 7)
    good = file.read_bytes()
    with file.open("rb") as stream:
        entries = [(entry.height, entry.offset) for entry in ArchiveReader(stream).entries()]
    for place in range(len(good)):
        file.write_bytes(good[:place] + bytes([good[place] ^ 0x41]) + good[place + 1 :])
        reason, detail = refusal(home, file)
        at = [height for height, offset in entries if offset <= place]
        if not at:
            assert reason in {"archive_format", "archive_head"}, place
        else:
            assert (reason, f"height {at[-1]}" in detail) == ("archive_entry", True), place
    file.write_bytes(good)
    assert len(proven(home, file).places) == 2


def test_no_end_but_the_right_one_is_the_end(home: Home, tmp_path: Path) -> None:
    # Rule A2.
    file = tmp_path / "cut"
    archived(home, file, 6, 7)
    good = file.read_bytes()
    for length in range(0, len(good), 7):
        file.write_bytes(good[:length])
        assert refusal(home, file)[0] in {"archive_format", "archive_head", "archive_entry"}
    file.write_bytes(good + b"\0")
    assert refusal(home, file)[0] == "archive_end"


@pytest.mark.parametrize(
    ("prefix", "part"),
    [
        (layout.CERTIFICATE, "certificate"),
        (layout.TRANSACTIONS, "transactions"),
        (layout.OUTCOMES, "outcomes"),
        (layout.EVENTS, "events"),
    ],
)
def test_what_was_forged_with_all_hashes_right_is_named_by_height_and_part(
    home: Home, tmp_path: Path, prefix: bytes, part: str
) -> None:
    # Rule A3.
    forged = copied(home, tmp_path / "forged")
    flip(forged, layout.at_height(prefix, 4))
    archived(forged, tmp_path / "file", 2, 6)
    reason, detail = refusal(home, tmp_path / "file")
    assert reason == f"archive_{part}"
    assert "height 4" in detail
    result = run("archive", "verify", tmp_path / "file", "--genesis", home.genesis_file)
    assert (result.exit_code, "proves nothing" in result.stdout) == (1, True)


def test_a_head_that_lies_is_found_though_its_hash_is_right(home: Home, tmp_path: Path) -> None:
    # Rules A2, A3.
    file = tmp_path / "file"
    archived(home, file, 6, 7)
    good = file.read_bytes()
    lies: list[tuple[dict[str, object], str]] = [
        ({"root": bytes(32)}, "archive_root"),
        ({"parent": bytes(32)}, "archive_link"),
        ({"changes": ()}, "archive_certificate"),
        ({"chain_id": bytes(32)}, "archive_chain"),
        ({"first": 5, "last": 6}, "history"),
        ({"first": 7, "last": 8}, "archive_link"),
        ({"last": 6}, "archive_root"),
        ({"last": 5}, "archive_head"),
    ]
    for lie, reason in lies:
        file.write_bytes(good)
        reframed(file, **lie)
        assert reason in refusal(home, file)[0], lie


def test_another_genesis_proves_nothing(home: Home, tmp_path: Path) -> None:
    # Rule A3.
    file = created(home, tmp_path / "file", 1, 2)
    other = tmp_path / "genesis.json"
    other.write_bytes(genesis_files.dump(make_genesis(5)))
    result = run("archive", "verify", file, "--genesis", other, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == "archive_chain"


def test_what_grows_beyond_the_limit_is_refused_and_not_kept(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rule A4.
    file = tmp_path / "file"
    archived(home, file, 6, 7)
    with file.open("rb") as stream:
        reader = ArchiveReader(stream)
        entry = next(reader.entries())
        stream.seek(entry.offset + 36)
        packed = stream.read(int.from_bytes(file.read_bytes()[entry.offset :][:4], "big"))
    size = len(decompress(packed))
    assert len(compress(bytes(size))) < len(packed) < size
    monkeypatch.setattr("node.archive.format.ARCHIVE_ENTRY_BYTES_MAX", size - 1)
    assert refusal(home, file)[0] == "archive_entry"
    monkeypatch.setattr("node.archive.format.ARCHIVE_HEAD_BYTES_MAX", 100)
    assert refusal(home, file)[0] == "archive_head"


def test_a_few_bytes_that_promise_millions_of_parts_are_not_taken_apart(
    home: Home, tmp_path: Path
) -> None:
    # Rule A4. Each part would take memory, and be told as a finding of its own.
    file = tmp_path / "file"
    archived(home, file, 6, 6)
    with file.open("rb") as stream:
        reader = ArchiveReader(stream)
        (entry,) = reader.entries()
    count = BLOCK_TXS_MAX + 1
    for part, one in (
        ("transactions", b"\xc4\x00"),
        ("outcomes", b"\x94\xc4\x20" + bytes(32) + b"\x00\x00\x00"),
    ):
        many = b"\xdd" + count.to_bytes(4, "big") + count * one
        bomb = payload_of(replace(entry.content, **{part: many}))
        assert len(bomb.framed) < 10_000
        head = replace(reader.head, root=merkle.root([bomb.digest]))
        file.write_bytes(framed(head) + bomb.framed)
        reason, detail = refusal(home, file)
        assert (reason, f"length <= {BLOCK_TXS_MAX}" in detail) == (f"archive_{part}", True)


def test_no_link_is_followed_and_no_file_of_others_written_to(home: Home, tmp_path: Path) -> None:
    # Rule A1.
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"theirs")
    (tmp_path / "file.tmp").write_bytes(b"also theirs")
    (tmp_path / ".file.tmp").symlink_to(theirs)
    created(home, tmp_path / "file", 1, 2)
    assert theirs.read_bytes() == b"theirs"
    assert (tmp_path / "file.tmp").read_bytes() == b"also theirs"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "file.tmp", "theirs"]


def test_no_file_is_replaced_and_none_is_left_of_what_cannot_be_made(
    home: Home, tmp_path: Path
) -> None:
    # Rule A1.
    (tmp_path / "mine").write_bytes(b"mine")
    create = ("archive", "create", "--home", home.root)
    assert run(*create, "--from", 1, "--to", 2, tmp_path / "mine").exit_code == 1
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert run(*create, "--from", 1, "--to", TIP + 1, tmp_path / "far").exit_code == 1
    assert run(*create, "--from", 3, "--to", 2, tmp_path / "far").exit_code == 1
    damaged = copied(home, tmp_path / "damaged")
    flip(damaged, layout.at_height(layout.EVENTS, 4))
    result = run(
        "archive", "create", "--home", damaged.root, "--from", 2, "--to", 5, tmp_path / "far"
    )
    assert (result.exit_code, "height 4" in result.output) == (65, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "mine"]

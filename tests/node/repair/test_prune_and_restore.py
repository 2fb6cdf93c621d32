"""Old blocks go, their room is free, the node is sound; from an archive they come back as they
were. The rules are those of docs/spec/archive.md.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from medquorum import genesis as genesis_files
from medquorum.errors import VerificationError
from medquorum.receipt import verify_receipt
from node.archive.format import ArchiveReader
from node.archive.proving import prove_archive
from node.errors import RefusedError
from node.home import Home
from node.pruning.removing import BODIES, prune
from node.pruning.restoring import Restoring
from node.receipts import raw_transaction, receipt_file
from storage import layout
from storage.chain import ChainStore
from storage.kv import KV, Batch, prefix_end
from storage.leveldb import LevelDB
from tests.support.archives import TIP, WINDOW, archived, blocks_of, copied, created, narrow
from tests.support.cli import ok, run
from tests.support.signed_chain import SignedChain
from tests.support.stopped_home import flip, make_stopped_home, opened

HIGHEST = TIP - WINDOW + 1


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A sound home. Not to be changed."""
    return make_stopped_home(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def home(sound: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of it, with a narrow transaction window."""
    narrow(monkeypatch)
    return copied(sound, tmp_path / "home")


def contents(kv: KV) -> dict[bytes, bytes]:
    """All that a database holds."""
    return dict(kv.scan(b"\x00", b"\xff"))


def receipts(home: Home) -> dict[bytes, bytes]:
    """The receipts of all transactions."""
    with blocks_of(home) as blocks:
        tx_ids = list(blocks.recent_tx_ids(1))
        found = {tx_id: receipt_file(blocks, tx_id) for tx_id in tx_ids}
    return {tx_id: receipt for tx_id, receipt in found.items() if receipt is not None}


def bodies(kv: KV) -> list[int]:
    """The heights that have transactions or events, once for each of both."""
    return [
        layout.unpack_height(key[1:])
        for prefix in BODIES
        for key, _ in kv.scan(prefix, prefix_end(prefix))
    ]


def size_of(directory: Path) -> int:
    """What its files take."""
    return sum(path.stat().st_size for path in directory.iterdir())


def test_a_receipt_after_the_archive_came_back_is_the_receipt_of_before(
    home: Home, tmp_path: Path
) -> None:
    # Rules A5, A7, A8.
    before = receipts(home)
    assert len(before) == 14
    with opened(home) as kv:
        everything = contents(kv)
    shown = json.loads(
        ok("prune", "--home", home.root, "--below", HIGHEST, "--archive", tmp_path, "--json")
    )
    assert (shown["oldest_block"], shown["heights_pruned"]) == (HIGHEST, HIGHEST - 1)
    with blocks_of(home) as blocks:
        old = [o.tx_id for height in range(1, HIGHEST) for o in blocks.outcomes(height)]
        assert len(old) >= 8
        for tx_id in old:
            for asked in (receipt_file, raw_transaction):
                with pytest.raises(RefusedError) as caught:
                    asked(blocks, tx_id)
                assert caught.value.code == "pruned"
    ok("archive", "import", "--home", home.root, shown["archive"])
    assert receipts(home) == before
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    for tx_id, receipt in before.items():
        assert verify_receipt(receipt, genesis).tx_id == tx_id
    with opened(home) as kv:
        assert contents(kv) == everything | {layout.BLOCKS_OLDEST: layout.pack_height(1)}
    assert run("verify", "--deep", "--home", home.root).exit_code == 0


def test_only_bodies_go_and_the_node_is_sound_and_grows_on(home: Home) -> None:
    # Rules A5, A9.
    with opened(home) as kv:
        before = contents(kv)
    ok("prune", "--home", home.root, "--below", 4)
    with opened(home) as kv:
        after = contents(kv)
    assert after.pop(layout.BLOCKS_OLDEST) == layout.pack_height(4)
    gone = {layout.at_height(prefix, height) for prefix in BODIES for height in (1, 2, 3)}
    assert after == {key: value for key, value in before.items() if key not in gone}
    result = run("verify", "--deep", "--home", home.root, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["from"] == 4
    ok("reindex", "--home", home.root)
    with opened(home) as kv:
        assert contents(kv) == after | {layout.BLOCKS_OLDEST: layout.pack_height(4)}
    with closing(SignedChain(home.chain)) as member:
        member.add()
        assert member.chain.tip.height == TIP + 1
    assert run("verify", "--deep", "--home", home.root).exit_code == 0


def test_damage_in_what_is_left_is_still_found(home: Home) -> None:
    # Rule A9.
    ok("prune", "--home", home.root, "--below", 4)
    flip(home, layout.at_height(layout.EVENTS, 4))
    assert run("verify", "--home", home.root).exit_code == 65


def test_the_directory_really_shrinks_by_what_is_said(home: Home) -> None:
    # Rule A7.
    noise = Random(1)  # so that it cannot be compressed
    with opened(home) as kv:
        assert isinstance(kv, LevelDB)
        batch = Batch()
        batch.put(layout.at_height(layout.TRANSACTIONS, 2), noise.randbytes(3_000_000))
        kv.write(batch, sync=True)
        kv.compact(b"\x00", b"\xff")
    before = size_of(home.chain)
    shown = json.loads(ok("prune", "--home", home.root, "--below", 4, "--json"))
    after = size_of(home.chain)
    assert before - after > 2_500_000
    assert shown["bytes_freed"] == shown["bytes_before"] - shown["bytes_after"] > 2_500_000
    assert abs(shown["bytes_after"] - after) < 100_000


def test_what_is_young_or_above_the_tip_is_kept(home: Home) -> None:
    # Rule A6.
    with opened(home) as kv:
        before = contents(kv)
    for line, words in ((HIGHEST + 1, "window"), (TIP, "window"), (TIP + 1, "above")):
        result = run("prune", "--home", home.root, "--below", line, "--archive", home.root)
        assert (result.exit_code, words in result.stderr) == (1, True), line
    with opened(home) as kv:
        assert contents(kv) == before
    assert not list(home.root.glob("*.mqarchive"))


def test_the_window_is_that_of_the_chain(sound: Home, tmp_path: Path) -> None:
    # Rule A6.
    wide = copied(sound, tmp_path / "home")
    result = run("prune", "--home", wide.root, "--below", 2)
    assert (result.exit_code, "from 1 on" in result.stderr) == (1, True)


def test_an_interrupted_one_leaves_a_sound_node_and_the_next_one_finishes(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rule A7.
    monkeypatch.setattr("node.pruning.removing.BATCH_HEIGHTS_MAX", 2)
    with opened(home) as kv:
        assert next(prune(kv, 5)) == 2
        assert ChainStore(kv).oldest_block() == 5
        assert min(bodies(kv)) == 3
    assert run("verify", "--deep", "--home", home.root).exit_code == 0
    assert run("prune", "--home", home.root, "--below", 2).exit_code == 0
    with opened(home) as kv:
        assert ChainStore(kv).oldest_block() == 5
        assert min(bodies(kv)) == 5


def test_without_a_proven_archive_nothing_goes(home: Home, tmp_path: Path) -> None:
    # Rule A1.
    flip(home, layout.at_height(layout.EVENTS, 2))
    with opened(home) as kv:
        before = contents(kv)
    result = run("prune", "--home", home.root, "--below", 4, "--archive", tmp_path)
    assert (result.exit_code, "nothing was pruned" in result.stderr) == (65, True)
    with opened(home) as kv:
        assert contents(kv) == before


def test_an_interrupted_return_leaves_whole_blocks_from_the_line_on(
    home: Home, tmp_path: Path
) -> None:
    # Rule A8.
    file = created(home, tmp_path / "file", 1, 5)
    before = receipts(home)
    ok("prune", "--home", home.root, "--below", HIGHEST)
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    with opened(home) as kv, file.open("rb") as stream:
        reader = ArchiveReader(stream)
        steps = Restoring(kv, reader, prove_archive(reader, genesis)).run()
        assert [next(steps), next(steps)] == [5, 4]
        del steps
        assert ChainStore(kv).oldest_block() == 4
    assert run("verify", "--deep", "--home", home.root).exit_code == 0
    ok("archive", "import", "--home", home.root, file)
    assert receipts(home) == before


def test_archives_come_back_only_where_they_join(home: Home, tmp_path: Path) -> None:
    # Rule A8.
    early, late = created(home, tmp_path / "early", 1, 2), created(home, tmp_path / "late", 3, 7)
    import_ = ("archive", "import", "--home", home.root)
    assert run(*import_, late).exit_code == 1, "all of it is here"
    ok("prune", "--home", home.root, "--below", HIGHEST)
    result = run(*import_, early)
    assert (result.exit_code, f"holds {HIGHEST - 1}" in result.stderr) == (1, True)
    ok(*import_, late)
    with blocks_of(home) as blocks:
        assert blocks.oldest_block() == 3
    ok(*import_, early)
    with blocks_of(home) as blocks:
        assert blocks.oldest_block() == 1


def test_an_archive_that_does_not_hold_changes_nothing(home: Home, tmp_path: Path) -> None:
    # Rule A8.
    forged = copied(home, tmp_path / "forged")
    flip(forged, layout.at_height(layout.OUTCOMES, 2))
    archived(forged, tmp_path / "file", 1, 5)
    ok("prune", "--home", home.root, "--below", HIGHEST)
    with opened(home) as kv:
        before = contents(kv)
    assert run("archive", "import", "--home", home.root, tmp_path / "file").exit_code == 65
    with opened(home) as kv:
        assert contents(kv) == before


def test_another_history_below_the_line_and_a_file_that_changes_are_refused(
    home: Home, tmp_path: Path
) -> None:
    # Rule A8.
    file = created(home, tmp_path / "file", 1, 5)
    ok("prune", "--home", home.root, "--below", HIGHEST)
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    with opened(home) as kv, file.open("rb") as stream:
        reader = ArchiveReader(stream)
        proof = prove_archive(reader, genesis)
        good = file.read_bytes()
        place = proof.places[4].offset + 40
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        stream.seek(0)
        with pytest.raises(VerificationError):
            next(Restoring(kv, reader, proof).run())
    flip(home, layout.at_height(layout.HEADER, 5))
    file.write_bytes(good)
    result = run("archive", "import", "--home", home.root, file)
    assert (result.exit_code, "another height 5" in result.stderr) == (1, True)

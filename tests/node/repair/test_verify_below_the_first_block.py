"""What a node has of the heights below its oldest block is proven as well: there stand the ids that
must not be committed again, and the certificates of receipts that an archive brings back.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from medquorum import genesis as genesis_files
from node.chain import Chain
from node.home import Home
from node.snapshots.beginning import build_chain
from node.snapshots.making import SnapshotWork, load_head
from storage import layout
from storage.errors import DamagedStoreError
from storage.leveldb import LevelDB
from storage.snapshots import SnapshotFiles
from tests.support.cli import run
from tests.support.databases import write_entry
from tests.support.signed_chain import REGISTRY, open_leveldb
from tests.support.stopped_home import flip, make_stopped_home, opened

TIP = 8
CHANGED_AT = 5
REACH = 2
"""Heights that a snapshot knows of the past here."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home without damage. Not to be changed."""
    return make_stopped_home(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def begun(sound: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home of a node that began with a snapshot of it, of which it knows no block."""
    for module in ("making", "beginning"):
        monkeypatch.setattr(f"node.snapshots.{module}.first_past", lambda _: TIP - REACH + 1)
    genesis = genesis_files.load(sound.genesis_file.read_bytes())
    files = SnapshotFiles(tmp_path / "snapshots")
    with opened(sound) as kv:
        chain = Chain(kv, genesis, REGISTRY, keep_versions=10)
        with closing(kv.snapshot()) as view:
            work = SnapshotWork(chain, view, files)
            while work.step():
                pass
            head = load_head(files, work.finish())
    assert head is not None
    home = Home(tmp_path / "home")
    shutil.copytree(sound.config_file.parent, home.config_file.parent)
    home.data.mkdir()
    build_chain(home.chain, head, files, genesis=genesis, registry=REGISTRY, open_kv=open_leveldb)
    return home


def verify(home: Home) -> tuple[int, list[tuple[str, int]], dict[str, int]]:
    """The exit code, the part and the height of each finding, and what was checked."""
    result = run("verify", "--home", home.root, "--json")
    document = json.loads(result.stdout)
    named = [(finding["part"], finding["height"]) for finding in document["findings"]]
    return result.exit_code, named, document["checked"]


def put(home: Home, key: bytes, value: bytes | None) -> None:
    """Write one entry, or remove it."""
    with opened(home) as kv:
        write_entry(kv, key, value)


def test_a_node_that_began_with_a_snapshot_is_sound(begun: Home) -> None:
    code, named, checked = verify(begun)
    assert (code, named) == (0, [])
    assert checked["earlier heights"] == REACH


@pytest.mark.parametrize(
    ("prefix", "height", "part"),
    [
        (layout.HEADER, TIP - 1, "chain"),
        (layout.RESULT, TIP - 1, "chain"),
        (layout.OUTCOMES, TIP, "outcomes"),
        (layout.CERTIFICATE, TIP, "chain"),
        (layout.CERTIFICATE, CHANGED_AT, "chain"),
    ],
)
def test_a_flipped_bit_in_what_it_knows_of_the_past_is_found(
    begun: Home, prefix: bytes, height: int, part: str
) -> None:
    flip(begun, layout.at_height(prefix, height))
    code, named, _ = verify(begun)
    assert code == 65
    assert part in {found for found, _ in named}


def test_what_nothing_leads_to_is_found(begun: Home, sound: Home) -> None:
    for prefix in (layout.HEADER, layout.OUTCOMES):
        key = layout.at_height(prefix, 3)
        with opened(sound) as kv:
            value = kv.get(key)
        put(begun, key, value)
        code, named, _ = verify(begun)
        assert (code, ("chain", 3) in named) == (65, True)
        put(begun, key, None)
    assert verify(begun)[0] == 0


@pytest.mark.parametrize(
    ("prefix", "part"),
    [
        (layout.HEADER, "chain"),
        (layout.RESULT, "chain"),
        (layout.OUTCOMES, "outcomes"),
        (layout.CERTIFICATE, "certificate"),
    ],
)
@pytest.mark.parametrize("height", [1, 3])
def test_damage_in_what_pruning_left_is_found_at_its_height(
    sound: Home, tmp_path: Path, prefix: bytes, part: str, height: int
) -> None:
    home = Home(Path(shutil.copytree(sound.root, tmp_path / "home")))
    put(home, layout.BLOCKS_OLDEST, layout.pack_height(4))
    code, named, checked = verify(home)
    assert (code, named, checked["earlier heights"]) == (0, [], 3)
    flip(home, layout.at_height(prefix, height))
    code, named, _ = verify(home)
    assert (code, (part, height) in named) == (65, True), named


def test_an_index_entry_that_leads_elsewhere_is_found_there_too(
    sound: Home, tmp_path: Path
) -> None:
    home = Home(Path(shutil.copytree(sound.root, tmp_path / "home")))
    put(home, layout.BLOCKS_OLDEST, layout.pack_height(4))
    with opened(home) as kv:
        first, second = (key for key, _ in list(kv.scan(layout.TX, layout.TX + b"\xff"))[:2])
        places = kv.get(first), kv.get(second)
    put(home, first, places[1])
    put(home, second, places[0])
    code, named, _ = verify(home)
    assert (code, {part for part, _ in named}) == (65, {"index"})


def cannot_scan(patched: pytest.MonkeyPatch, start: bytes) -> None:
    """A block of the database is rotten where a scan from `start` begins."""
    real = LevelDB.scan

    def scan(
        self: LevelDB, first: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        if first == start:
            raise DamagedStoreError("the database", "a rotten block")
        return real(self, first, stop, reverse=reverse)

    patched.setattr(LevelDB, "scan", scan)


def test_the_rest_is_looked_at_if_the_result_of_the_genesis_is_damaged(
    sound: Home, tmp_path: Path
) -> None:
    home = Home(Path(shutil.copytree(sound.root, tmp_path / "home")))
    put(home, layout.BLOCKS_OLDEST, layout.pack_height(4))
    flip(home, layout.at_height(layout.RESULT, 0), 0)
    code, named, checked = verify(home)
    assert (code, ("result", 0) in named) == (65, True)
    assert (checked["earlier heights"], checked["sign state"]) == (3, 1)


def test_the_rest_is_looked_at_if_what_nothing_leads_to_cannot_be_read(
    begun: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verify(begun)[2]
    cannot_scan(monkeypatch, layout.at_height(layout.HEADER, 1))
    assert verify(begun) == (65, [("chain", 0)], whole)

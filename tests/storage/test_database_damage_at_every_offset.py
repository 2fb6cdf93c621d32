"""A byte of a database changes, or a file of it is cut or lost: what is read is right, or the
damage is named (docs/spec/storage.md, C3, C4, D4).

Every file that LevelDB keeps, at every offset in the slow version. The database is a real one:
blocks and state of several sessions, tables, a manifest with several edits, and a log.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from storage.chain import ChainStore
from storage.errors import DamagedError, DamagedStoreError
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.reached import (
    NAME,
    Reached,
    lower_reached,
    read_reached,
    require_reached,
    require_whole,
)
from storage.state import StateStore
from tests.support.chain_builder import next_block, stage_genesis, validator_set
from tests.support.damage import Recorded, changes

Content = dict[bytes, bytes]
SESSIONS = (4, 4, 4)
TIP = sum(SESSIONS) - 1
FIRST, END = b"\x00", b"\xff" * 40
RIGHT, REFUSED = "right", "refused"
SMALL_BUFFER_BYTES = 64 * 1024
KEPT = {"LOCK", "LOG", "LOG.old"}
"""Files that hold nothing."""


def changes_of(height: int) -> dict[str, dict[bytes, bytes | None]]:
    return {"records": {b"key%d" % (height % 5): b"%d" % height, b"only%d" % height: b"here"}}


def commit(kv: LevelDB, reached: Reached) -> None:
    """One more height, in the order of a node: the batch, synced, then what it reached."""
    chain, state = ChainStore(kv), StateStore(kv, keep_versions=100)
    batch = Batch()
    if chain.genesis() is None:
        height, update = 0, state.prepare(0, changes_of(0))
        stage_genesis(chain, batch, validator_set(1, 2), state_root=update.root)
    else:
        height = chain.tip() + 1
        update = state.prepare(height, changes_of(height))
        chain.stage(batch, next_block(chain, 2, state_root=update.root))
    update.stage(batch)
    kv.write(batch, sync=True)
    reached.note(height)


def content(kv: LevelDB) -> Content:
    return dict(kv.scan(FIRST, END))


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Recorded, Content]:
    """A database of a few sessions, and all that is in it."""
    source = tmp_path / "source"
    for count in SESSIONS:
        with closing(LevelDB(source)) as kv, closing(Reached(source)) as reached:
            for _ in range(count):
                commit(kv, reached)
            held = content(kv)
    found = Recorded(source, tmp_path / "damaged")
    return found, held


def looking(held: Content) -> Callable[[Path], str]:
    """Opens a damaged copy as a node does and reads all of it. Fails if it is told something wrong
    and nobody said so.
    """

    def look(path: Path) -> str:
        try:
            with closing(LevelDB(path)) as kv, closing(Reached(path)) as reached:
                chain = ChainStore(kv)
                require_reached(chain.tip(), reached.height)
                require_whole(kv, chain, StateStore(kv, keep_versions=100))
                found = content(kv)
                # One by one, for a lookup goes other ways than a scan.
                assert all(kv.get(key) == value for key, value in held.items())
        except DamagedError as error:
            assert str(error)
            return REFUSED
        assert found == held
        return RIGHT

    return look


def live(recorded: Recorded, look: Callable[[Path], str]) -> list[Path]:
    """The files that count: LevelDB leaves others behind for a while."""
    names = [name for name in recorded.files if name.name not in KEPT]
    return [name for name in names if name.name == NAME or look(recorded.copy(name, None)) != RIGHT]


def test_every_kind_of_file_is_recorded(recorded: tuple[Recorded, Content]) -> None:
    database, held = recorded
    look = looking(held)
    names = {name.name for name in live(database, look)}
    assert {"CURRENT", NAME} <= names
    assert {Path(name).suffix for name in names} >= {".ldb", ".log"}
    assert any(name.startswith("MANIFEST-") for name in names)
    assert look(database.copy(Path("LOG"), None)) == RIGHT


@pytest.mark.timeout(300)
def test_damage_anywhere_in_a_database_is_named_or_harms_nothing(
    recorded: tuple[Recorded, Content], record_property: Callable[[str, object], None]
) -> None:
    try_all(recorded, record_property, step=397)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_damage_at_every_offset_of_a_database_is_named_or_harms_nothing(
    recorded: tuple[Recorded, Content], record_property: Callable[[str, object], None]
) -> None:
    try_all(recorded, record_property, step=1)


def try_all(
    recorded: tuple[Recorded, Content], record: Callable[[str, object], None], *, step: int
) -> None:
    database, held = recorded
    look = looking(held)
    for name in live(database, look):
        # The small ones tell LevelDB what the others are: skip less of them.
        small = len(database.files[name]) < 1_000
        database.damage(name, look, step=max(1, step // 32) if small else step)
    record("damaged databases tried", database.tried)
    for what, count in sorted(database.tally.items()):
        record(what, count)
    assert any(what.endswith(REFUSED) for what in database.tally)
    assert any(what.endswith(RIGHT) for what in database.tally)


@pytest.mark.parametrize("founded", [True, False], ids=["heights", "genesis"])
def test_a_manifest_that_lost_its_end_tears_no_hole_unseen(tmp_path: Path, founded: bool) -> None:
    """LevelDB's log fills while the node runs, its content becomes a table, and the log goes. If
    the edit of the manifest that says so is lost, so are the heights of that log, and those after
    them are there: the tip is right, and what it stands on is not.
    """
    source = tmp_path / "source"
    if founded:
        with closing(LevelDB(source)) as kv, closing(Reached(source)) as reached:
            commit(kv, reached)
    with (
        closing(LevelDB(source, write_buffer_bytes=SMALL_BUFFER_BYTES)) as kv,
        closing(Reached(source)) as reached,
    ):
        # It goes after the edit. The table is there before, and closing in between loses both.
        (log,) = source.glob("*.log")
        while log.exists():
            commit(kv, reached)
        for _ in range(3):
            commit(kv, reached)
        held = content(kv)
        tip = ChainStore(kv).tip()
    database = Recorded(source, tmp_path / "damaged")
    (manifest,) = (name for name in database.files if name.name.startswith("MANIFEST-"))
    look, holes = looking(held), 0
    for data in changes(database.files[manifest], step=3, flips=(0xFF,)):
        assert look(database.copy(manifest, data)) == REFUSED
        try:
            with closing(LevelDB(database.copy(manifest, data))) as kv:
                holes += ChainStore(kv).tip() == tip
        except DamagedStoreError:
            continue
    assert holes > 0


def test_a_log_that_lost_its_end_is_not_taken_for_a_shorter_chain(
    recorded: tuple[Recorded, Content], tmp_path: Path
) -> None:
    database, _ = recorded
    (log,) = (name for name in database.files if name.suffix == ".log")
    for lost in range(1, SESSIONS[-1] + 1):
        # Until LevelDB shows so many heights less.
        data = database.files[log]
        while True:
            data = data[:-1]
            with closing(LevelDB(database.copy(log, data))) as kv:
                tip = ChainStore(kv).tip()
            if tip == TIP - lost or not data:
                break
            data = data[: -len(data) // 16]
        assert tip < TIP
        with pytest.raises(DamagedStoreError, match=f"at height {tip}, although height {TIP} was"):
            require_reached(tip, read_reached(tmp_path / "damaged"))


def test_heights_that_are_taken_back_on_purpose_are_no_damage(tmp_path: Path) -> None:
    with closing(LevelDB(tmp_path)) as kv, closing(Reached(tmp_path)) as reached:
        for _ in range(3):
            commit(kv, reached)
    lower_reached(tmp_path, 1)
    assert read_reached(tmp_path) == 1
    lower_reached(tmp_path, 2)
    assert read_reached(tmp_path) == 1
    require_reached(1, 1)
    with pytest.raises(DamagedStoreError):
        require_reached(0, 1)


def test_a_database_without_current_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    with closing(LevelDB(tmp_path)) as kv, closing(Reached(tmp_path)) as reached:
        commit(kv, reached)
    (tmp_path / "CURRENT").unlink()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DamagedStoreError, match="CURRENT is missing"):
        LevelDB(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before

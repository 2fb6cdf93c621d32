"""Files of whole nodes, recorded in the midst of their work, with a byte changed or an end lost at
any offset: what is read was written, and what is missing is named (storage.md: W2, W3, G4, J2, D4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from devnet.sim.disk import SimFile, SimFiles
from devnet.sim.options import calm
from devnet.sim.run import Run
from storage.errors import DamagedError, DamagedLogError, FormatError
from storage.journal import MempoolJournal
from storage.signstate import SignState
from storage.wal import WriteAheadLog
from tests.support.damage import changes
from tests.support.fake_disk import FakeDisk

Recording = dict[str, list[bytes]]
MOMENTS = 4
"""Recordings of each kind of file, spread over the run."""
BYTES_MAX = 6_000
KINDS = ("consensus.log", "sign_state", "journal")


@pytest.fixture(scope="module")
def recording() -> Recording:
    """What stood in the files of four nodes when they were synced, by kind."""
    seen: Recording = {kind: [] for kind in KINDS}
    sync, rename = SimFile.sync, SimFiles.rename

    def note(path: Path, content: bytes) -> None:
        kind = "journal" if path.suffix == ".journal" else path.name
        if kind in seen and 0 < len(content) <= BYTES_MAX:
            seen[kind].append(content)

    def on_sync(self: SimFile) -> None:
        sync(self)
        note(self._path, self._node.content)

    def on_rename(self: SimFiles, source: Path, target: Path) -> None:
        rename(self, source, target)
        note(target, self._disk._seen[target].content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimFile, "sync", on_sync)
        patch.setattr(SimFiles, "rename", on_rename)
        Run(21, "pbft", options=calm(4)).play()
    return {kind: _spread(sorted(found, key=len)) for kind, found in seen.items()}


def _spread(found: list[bytes]) -> list[bytes]:
    """The largest, and some that are smaller."""
    assert len(found) >= MOMENTS
    step = len(found) // MOMENTS
    return found[step - 1 :: step][-MOMENTS:]


def disk_with(path: Path, data: bytes) -> FakeDisk:
    disk = FakeDisk()
    disk.create(path)
    disk.overwrite(path, data)
    return disk


def log_of(data: bytes) -> tuple[bytes, ...]:
    return WriteAheadLog.open(Path("/data/log"), files=disk_with(Path("/data/log"), data)).records


def look_at_log(data: bytes, whole: bytes) -> str:
    records = log_of(whole)
    try:
        found = log_of(data)
    except DamagedLogError as error:
        assert "/data/log" in str(error)
        assert str(error.offset) in str(error)
        return "named"
    except FormatError:
        return "named"
    assert found == records[: len(found)]
    if len(data) == len(whole):
        # Of a flip, only in the last record, which cannot be told from a torn one.
        assert len(found) >= len(records) - 1
    return "cut"


def look_at_sign_state(data: bytes, whole: bytes) -> str:
    path = Path("/data/sign_state")
    del whole
    with pytest.raises((DamagedError, FormatError), match="sign_state"):
        SignState.open(path, files=disk_with(path, data))
    return "named"


def items_of(data: bytes) -> tuple[list[bytes], int]:
    path = Path("/data/mempool/0000000000000001.journal")
    journal = MempoolJournal(path.parent, files=disk_with(path, data))
    return [item for _, item in journal.replay()], journal.damaged_bytes


def look_at_journal(data: bytes, whole: bytes) -> str:
    items, damaged = items_of(whole)
    assert damaged == 0
    try:
        found, damaged = items_of(data)
    except FormatError:
        return "named"
    rest = iter(items)
    assert all(item in rest for item in found), "an item that nobody wrote, or another order"
    if found == items:
        return "harmless"
    assert damaged > 0 or len(data) < len(whole)
    return "counted"


LOOKS: dict[str, Callable[[bytes, bytes], str]] = {
    "consensus.log": look_at_log,
    "sign_state": look_at_sign_state,
    "journal": look_at_journal,
}


def try_all(
    kind: str, recording: Recording, record: Callable[[str, object], None], step: int
) -> None:
    tally: Counter[str] = Counter()
    for whole in recording[kind]:
        for data in changes(whole, step=step):
            tally[LOOKS[kind](data, whole)] += 1
    for what, count in tally.items():
        record(f"{kind}: {what}", count)
    assert tally["named"] + tally["counted"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_damage_in_files_of_a_working_node_is_named_or_cut(
    kind: str, recording: Recording, record_property: Callable[[str, object], None]
) -> None:
    try_all(kind, recording, record_property, 61)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_at_every_offset_of_files_of_a_working_node_is_named_or_cut(
    kind: str, recording: Recording, record_property: Callable[[str, object], None]
) -> None:
    try_all(kind, recording, record_property, 1)

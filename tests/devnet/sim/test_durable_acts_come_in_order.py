"""The durable acts of a whole node come in the order of docs/spec/storage.md, section 7: log
record, sign state, the vote leaves, and in the end the height's batch; each one synced before the
next.

Read off the disk itself, under the production node: what it was asked to write, sync and rename.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from consensus.messages import SignedMessage, vote_position
from devnet.sim.checks import Checker
from devnet.sim.disk import SimDisk, SimFile, SimFiles, SimKV
from devnet.sim.machine import Machine
from devnet.sim.options import calm
from devnet.sim.run import Run
from medquorum.quorum import EngineName
from storage import layout
from storage.kv import Batch

LOG, SIGN = "consensus.log", "sign_state"
HEIGHTS_MIN = 5
ORDER = re.compile(r"(?:gyrd)?(?:(?:ws)+(?:gyrdv*)?|b)*")
"""w, s: a log record is written, synced. g, y, r, d: the sign state is written aside, synced, given
its name, its directory synced. v: a vote leaves for the first time. b: a height's synced batch.
"""


class Diary:
    """What happened to each disk, one letter an act, and the heights of votes and batches."""

    def __init__(self) -> None:
        self.acts: defaultdict[SimDisk, str] = defaultdict(str)
        self.heights: defaultdict[SimDisk, list[tuple[str, int]]] = defaultdict(list)
        self._voted: set[tuple[SimDisk, object]] = set()

    def note(self, disk: SimDisk, path: Path, act: str) -> None:
        letter = {
            ("write", LOG): "w",
            ("sync", LOG): "s",
            ("write", f"{SIGN}.tmp"): "g",
            ("sync", f"{SIGN}.tmp"): "y",
            ("rename", SIGN): "r",
        }.get((act, path.name), "")
        if act == "sync_directory" and self.acts[disk].endswith("r"):
            letter = "d"
        self.acts[disk] += letter

    def vote(self, disk: SimDisk, message: SignedMessage) -> None:
        position = vote_position(message)
        if position is not None and (disk, position) not in self._voted:
            self._voted.add((disk, position))
            self.acts[disk] += "v"
            self.heights[disk].append(("vote", position.height))

    def batch(self, disk: SimDisk, batch: Batch, *, sync: bool) -> None:
        tips = [value for key, value in batch.operations if key == layout.TIP]
        for tip in tips:
            assert tip is not None
            assert sync, "a height that is not synced"
            self.acts[disk] += "b"
            self.heights[disk].append(("batch", layout.unpack_height(tip)))


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> Diary:
    """Written from now on by every simulated disk."""
    found = Diary()
    write, sync = SimFile.write, SimFile.sync
    rename, sync_directory = SimFiles.rename, SimFiles.sync_directory
    write_batch, voted = SimKV.write, Checker._voted

    def on_write(self: SimFile, data: bytes) -> None:
        write(self, data)
        found.note(self._files._disk, self._path, "write")

    def on_sync(self: SimFile) -> None:
        sync(self)
        found.note(self._files._disk, self._path, "sync")

    def on_rename(self: SimFiles, source: Path, target: Path) -> None:
        rename(self, source, target)
        found.note(self._disk, target, "rename")

    def on_sync_directory(self: SimFiles, path: Path) -> None:
        sync_directory(self, path)
        found.note(self._disk, path, "sync_directory")

    def on_batch(self: SimKV, batch: Batch, *, sync: bool) -> None:
        write_batch(self, batch, sync=sync)
        found.batch(self._disk, batch, sync=sync)

    def on_vote(self: Checker, machine: Machine, key: bytes, vote: SignedMessage) -> None:
        if vote.signer == key:
            found.vote(machine.disk, vote)
        voted(self, machine, key, vote)

    monkeypatch.setattr(SimFile, "write", on_write)
    monkeypatch.setattr(SimFile, "sync", on_sync)
    monkeypatch.setattr(SimFiles, "rename", on_rename)
    monkeypatch.setattr(SimFiles, "sync_directory", on_sync_directory)
    monkeypatch.setattr(SimKV, "write", on_batch)
    monkeypatch.setattr(Checker, "_voted", on_vote)
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("engine", ["pbft", "raft"])
def test_each_act_is_durable_before_the_next(diary: Diary, engine: EngineName) -> None:
    run = Run(11, engine, options=calm(4, engine))
    run.play()
    for machine in run.net.machines:
        acts = diary.acts[machine.disk]
        # What the founding and the opening of the log did comes before the first vote.
        assert ORDER.fullmatch(acts), f"{machine.name}: {acts}"
        assert acts.count("b") > HEIGHTS_MIN
        assert acts.count("v") > HEIGHTS_MIN
        assert acts.count("gyrd") == acts.count("g")


@pytest.mark.timeout(120)
def test_no_vote_of_a_height_leaves_before_the_one_below_is_durable(diary: Diary) -> None:
    run = Run(12, "pbft", options=calm(4, "pbft"))
    run.play()
    for machine in run.net.machines:
        tip = 0
        for act, height in diary.heights[machine.disk]:
            if act == "batch":
                assert height in (0, tip + 1)
                tip = height
            else:
                assert height <= tip + 1, f"{machine.name} votes at {height} on {tip}"


@pytest.mark.parametrize(
    "acts", ["wgyrdv", "wsgyrv", "wsgryd", "wsgyv", "wv", "gws", "wsv", "gyrdv", "wsgyrdwv"]
)
def test_another_order_is_seen(acts: str) -> None:
    assert ORDER.fullmatch(f"wsgyrdvb{acts}") is None

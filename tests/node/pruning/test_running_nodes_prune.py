"""A running node gives old blocks up, a range at a time, never what somebody needs, and goes on
committing. The rules are those of docs/spec/archive.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from medquorum.receipt import verify_receipt
from node.archive.format import ArchiveReader
from node.archive.proving import prove_archive
from node.errors import RefusedError
from node.ledger.retention import Retention
from node.pruning.background import Pruner, PruningStatus
from node.pruning.limits import PEER_HELD_HEIGHTS_MAX
from node.pruning.lines import Holder, Surroundings, held_line, policy_line
from node.pruning.making import NodeNeeds
from node.pruning.removing import BODIES
from node.pruning.restoring import Restoring
from node.pruning.room import PARTS, room_of_parts
from node.receipts import receipt_file
from node.sync import Heard
from storage import layout
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.snapshots import SnapshotFiles, SnapshotName
from tests.support.archives import narrow
from tests.support.cluster import make_genesis
from tests.support.pruning import Pruned, prune_now, pruned_chain

BLOCKS = 14
LINE = 9
"""The highest end of a range of two below the last five of them."""


@pytest.fixture
def pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pruned]:
    """A chain whose transaction window is three heights."""
    narrow(monkeypatch)
    with pruned_chain(tmp_path / "chain", blocks=BLOCKS) as chain:
        yield chain


def whole(pruned: Pruned) -> list[int]:
    """The heights that have all their bodies."""
    kv = pruned.member.kv
    return [
        height
        for height in range(1, pruned.member.chain.tip.height + 1)
        if all(kv.get(layout.at_height(prefix, height)) is not None for prefix in BODIES)
    ]


def held(pruned: Pruned) -> str:
    """What holds a pruner that gives up what it can."""
    pruner = pruned.pruner()
    prune_now(pruner)
    assert pruner.status is not None
    return pruner.status.held_by


def test_whole_ranges_below_the_policy_go_and_are_counted(pruned: Pruned) -> None:
    # Rule A12.
    pruner = pruned.pruner()
    assert prune_now(pruner) == (LINE - 1) // 2
    assert pruned.oldest() == LINE
    assert whole(pruned) == list(range(LINE, BLOCKS + 1))
    assert pruner.status == PruningStatus(LINE - 1, int(pruned.counted("bytes_freed")), "")
    assert pruned.counted("heights_pruned") == LINE - 1
    pruned.member.grow(2)
    assert prune_now(pruner) == 1
    assert pruned.oldest() == LINE + 2


def test_without_a_policy_nothing_goes(pruned: Pruned) -> None:
    # Rule A12.
    pruned.policy = replace(pruned.policy, keep_heights=0)
    pruner = pruned.pruner()
    assert pruner.status is None
    assert prune_now(pruner) == 0
    assert whole(pruned) == list(range(1, BLOCKS + 1))


def test_both_reasons_must_hold_where_both_are_set(
    pruned: Pruned, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rule A12. A day is two seconds here, and blocks are one second apart.
    monkeypatch.setattr("node.pruning.lines.DAY_MS", 2_000)
    chain = pruned.member.chain
    asked = ((5, 0, 10), (0, 3, 9), (5, 3, 9), (8, 3, 7), (0, 0, 1), (99, 1, 1))
    for heights, days, line in asked:
        assert policy_line(chain, heights, days) == line, (heights, days)


def test_what_somebody_needs_is_kept_and_who_is_told(
    pruned: Pruned, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rule A12, one need after the other, each of them lower than the policy.
    pruned.needs.oldest_snapshot = 0
    assert (held(pruned), pruned.oldest()) == (Holder.SNAPSHOTS, 1)
    pruned.needs.oldest_snapshot = 2
    assert (held(pruned), pruned.oldest()) == (Holder.SNAPSHOTS, 3)
    pruned.needs.oldest_snapshot = None
    pruned.needs.lowest_peer = 5
    assert (held(pruned), pruned.oldest()) == (Holder.PEERS, 5)
    pruned.needs.lowest_peer = BLOCKS
    with monkeypatch.context() as demanding:
        demanding.setattr("node.pruning.lines.demanded_retention", lambda _view: Retention(8, 0))
        assert (held(pruned), pruned.oldest()) == (Holder.CHAIN, 7)
    pruned.policy = replace(pruned.policy, keep_heights=1)
    assert (held(pruned), pruned.oldest()) == (Holder.WINDOW, 11)


def test_a_validator_that_says_it_has_nothing_cannot_fill_the_disk(pruned: Pruned) -> None:
    # Rule A12.
    chain = pruned.member.chain
    wished = PEER_HELD_HEIGHTS_MAX + 5
    line = held_line(chain, wished, Surroundings(None, 0))
    assert line.height == 5
    assert line.holder is Holder.PEERS


def test_an_archive_comes_first_and_brings_everything_back(pruned: Pruned, tmp_path: Path) -> None:
    # Rules A8, A10, A13.
    member = pruned.member
    chain = member.chain
    before = dict(member.kv.scan(b"\x00", b"\xff"))
    tx_ids = list(chain.blocks.recent_tx_ids(1))
    receipts = [receipt_file(chain.blocks, tx_id) for tx_id in tx_ids]
    pruned.policy = replace(pruned.policy, archive=tmp_path / "archives")
    assert (held(pruned), pruned.oldest()) == (Holder.ARCHIVE, 1)
    (tmp_path / "archives").mkdir()
    assert prune_now(pruned.pruner()) == (LINE - 1) // 2
    with pytest.raises(RefusedError, match=f"the oldest is {LINE}"):
        receipt_file(chain.blocks, tx_ids[0])
    for file in sorted((tmp_path / "archives").iterdir(), reverse=True):
        with file.open("rb") as stream:
            reader = ArchiveReader(stream)
            list(Restoring(member.kv, reader, prove_archive(reader, member.genesis)).run())
    assert dict(member.kv.scan(b"\x00", b"\xff")) == before | {
        layout.BLOCKS_OLDEST: layout.pack_height(1)
    }
    for tx_id, receipt in zip(tx_ids, receipts, strict=True):
        assert receipt == receipt_file(chain.blocks, tx_id)
        assert receipt is not None
        assert verify_receipt(receipt, member.genesis).tx_id == tx_id


def test_an_archive_that_does_not_hold_what_is_here_keeps_the_blocks(
    pruned: Pruned, tmp_path: Path
) -> None:
    # Rules A10, A13.
    pruned.policy = replace(pruned.policy, archive=tmp_path)
    name = f"{pruned.member.chain.chain_id.hex()[:16]}-3-4.mqarchive"
    (tmp_path / name).write_bytes(b"something else")
    assert (held(pruned), pruned.oldest()) == (Holder.ARCHIVE, 3)
    assert (tmp_path / name).read_bytes() == b"something else"
    (tmp_path / name).unlink()
    assert (held(pruned), pruned.oldest()) == ("", LINE)


def test_the_directory_shrinks_by_what_is_said(pruned: Pruned, tmp_path: Path) -> None:
    # Rule A13.
    noise, kv = Random(1), pruned.member.kv  # noise, so that it cannot be compressed
    assert isinstance(kv, LevelDB)
    batch = Batch()
    for height in range(1, LINE):
        batch.put(layout.at_height(layout.TRANSACTIONS, height), noise.randbytes(400_000))
    kv.write(batch, sync=True)
    kv.compact(b"\x00", b"\xff")
    before = kv.bytes_on_disk()
    pruner = pruned.pruner()
    prune_now(pruner)
    freed = before - kv.bytes_on_disk()
    assert freed > 3_000_000
    assert pruner.status is not None
    assert abs(pruner.status.bytes_freed - freed) < 200_000
    assert pruned.counted("bytes_freed") == pruner.status.bytes_freed


def test_the_parts_of_a_database_are_told_apart(pruned: Pruned) -> None:
    kv = pruned.member.kv
    assert isinstance(kv, LevelDB)
    keys = {key[:1] for key, _ in kv.scan(b"\x00", b"\xff")}
    single = {layout.FORMAT, layout.GENESIS, layout.TIP, layout.STATE_OLDEST, layout.BLOCKS_OLDEST}
    assert keys - single <= {prefix for prefixes in PARTS.values() for prefix in prefixes}
    kv.compact(b"\x00", b"\xff")
    parts = room_of_parts(kv)
    assert parts.keys() == PARTS.keys()
    assert 0.5 * kv.bytes_on_disk() < sum(parts.values()) <= kv.bytes_on_disk()


async def test_commits_go_on_between_the_steps(
    pruned: Pruned, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rule A12: the writer's thread is never held for more than one batch.
    monkeypatch.setattr("node.pruning.background.STEP_HEIGHTS", 1)
    writer, member = pruned.threads.writer, pruned.member
    grown = 0
    async with asyncio.TaskGroup() as group:
        pruning = group.create_task(_three_ranges(pruned.pruner()))
        while not pruning.done():
            await writer.run(member.grow, 1)
            grown += 1
    assert pruned.oldest() == 7
    assert grown > 6, "one at least between the batches of two heights"
    assert member.chain.tip.height == BLOCKS + grown
    assert whole(pruned) == list(range(pruned.oldest(), BLOCKS + grown + 1))


def test_a_node_needs_what_its_snapshots_and_the_validators_that_lag_need(
    tmp_path: Path,
) -> None:
    # Rule A12.
    members = make_genesis(4).validator_set()
    voters = members.validators
    # Announced when the tip here was 60: what it lacked then is no measure of where it is now.
    heard = {voters[0].node_key: Heard(0.1, 4, 56), b"observer": Heard(0.1, 50, 10)}
    connected = [voters[0].node_key, voters[1].node_key, b"observer"]

    class World:
        def connected(self) -> tuple[bytes, ...]:
            return tuple(connected)

        def heard(self, peer: bytes) -> Heard | None:
            return heard.get(peer)

    files = SnapshotFiles(tmp_path)

    def needs_if(makes: bool) -> NodeNeeds:
        return NodeNeeds(lambda: (100, members), World(), World(), files, makes_snapshots=makes)

    needs = needs_if(True)
    assert (needs.snapshot(), needs_if(False).snapshot()) == (0, None)
    assert needs.peer() == 56
    connected.remove(voters[0].node_key)
    assert needs.peer() == 100
    for height in (30, 20):
        files.keep(SnapshotName(height, bytes(32)), b"head")
    assert needs.snapshot() == 20
    # The one that it began with keeps no blocks, where none ever follows it.
    assert needs_if(False).snapshot() is None


async def _three_ranges(pruner: Pruner) -> None:
    for _ in range(3):
        assert await pruner.step()

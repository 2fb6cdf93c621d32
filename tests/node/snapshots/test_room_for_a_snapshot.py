"""A member that begins with a snapshot leaves its disk the room that it needs itself (P12)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.schema import Snapshots
from node.snapshots.making import load_head
from node.wire import FrameKind
from tests.support.cluster import WAIT_S
from tests.support.state_sync import HEIGHT, LATE, reasons, small_chunks, three_with_snapshots


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of many chunks."""
    small_chunks(monkeypatch)


async def test_one_that_would_fill_the_disk_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three_with_snapshots(tmp_path) as cluster:
        files = cluster.node(0).stores.snapshots
        head = load_head(files, files.names()[-1])
        assert head is not None
        size = sum(ref.size for ref in head.manifest.chunks())
        monkeypatch.setattr("node.snapshots.sharing.room_above", lambda *_: 2 * size - 1)
        asked: list[bytes] = []

        async def noted(peer: bytes, _payload: bytes) -> None:
            asked.append(peer)

        for index in (0, 1, 2):
            cluster.node(index).network.handle(FrameKind.GET_CHUNK, noted)
        await cluster.start(LATE)
        late = cluster.node(LATE)
        found = reasons(late, monkeypatch)
        assert await late.tracker.wait_height(HEIGHT, WAIT_S)
        assert (found, asked) == ([], [])
        assert late.chain.blocks.oldest_block() == 1


@pytest.mark.parametrize("during", ["fetching", "building"])
async def test_one_that_takes_more_room_than_its_chunks_told_gives_way_to_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    async with three_with_snapshots(tmp_path) as cluster:
        home = cluster.home(LATE)
        (name,) = cluster.node(0).stores.snapshots.names()
        cluster.snapshots = Snapshots(interval_heights=0)  # so that it makes none of its own
        ended: list[bool] = []

        def room(*_what: object) -> int:
            building = home.chain_building.exists()
            ended.append(building if during == "building" else len(ended) == 3)
            return 0 if ended[-1] else 10**9

        monkeypatch.setattr("node.snapshots.sharing.room_above", room)
        await cluster.start(LATE)
        late = cluster.node(LATE)
        found = reasons(late, monkeypatch)
        assert await late.tracker.wait_height(HEIGHT, WAIT_S)
        assert found == []
        assert any(ended)
        assert late.chain.blocks.oldest_block() == 1
        # Nothing of it stays, nor is it tried again by the next start of the search.
        assert not home.chain_building.exists()
        assert not home.chain_ready.exists()
        assert list(late.stores.snapshots.chunks.ids()) == []
        assert late.snapshots.fetching._refuted == {name.digest}

"""A backup is of one moment, costs little the second time, and is made while the chain goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from aiohttp import ClientResponse, ClientSession

from medquorum.codec import decode
from node.backup.errors import UnmakeableBackupError
from node.backup.format import BackupChunk, load_manifest
from node.backup.limits import CHUNK_BYTES_MIN
from node.backup.making import BackupMade, BackupMaker, BackupWork, retaining
from node.backup.schedule import Backups, Surroundings
from node.ops.app import make_ops
from node.ops.backupmetrics import BackupMetrics
from node.threads import Worker
from storage import layout
from storage.errors import DiskFailedError
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.limits import VAULT_BLOB_BYTES_MAX
from storage.lock import DataDirLock
from storage.snapshots import SnapshotFiles
from tests.support.cluster import make_genesis
from tests.support.daemon import LocalNode, local_node, served
from tests.support.signed_chain import SignedChain

EVERYTHING = (b"\x00", b"\xff")


@pytest.fixture
def member(tmp_path: Path) -> Iterator[SignedChain]:
    """A member whose chain has a few blocks."""
    member = SignedChain(tmp_path / "member")
    member.grow(5)
    yield member
    member.close()


def back_up(member: SignedChain, directory: Path) -> BackupMade:
    """A backup of the tip."""
    with closing(member.kv.snapshot()) as view:
        work = BackupWork(
            view, SnapshotFiles(directory), chain_id=member.chain.chain_id, software="test"
        )
        while work.step():
            pass
        return work.finish(0.0)


def entries(directory: Path) -> dict[bytes, bytes]:
    """What the latest backup holds."""
    files = SnapshotFiles(directory)
    found: dict[bytes, bytes] = {}
    for ref in load_manifest(files, files.names()[-1]).chunks:
        chunk = decode(BackupChunk, files.chunks.get(ref.hash), size_max=VAULT_BLOB_BYTES_MAX)
        found.update(chunk.entries)
    return found


def test_it_is_of_the_moment_when_it_began_however_far_the_chain_goes_on(
    member: SignedChain, tmp_path: Path
) -> None:
    expected = dict(member.kv.scan(*EVERYTHING))
    with closing(member.kv.snapshot()) as view:
        files = SnapshotFiles(tmp_path / "b")
        work = BackupWork(view, files, chain_id=member.chain.chain_id, software="test")
        while work.step():
            member.grow(1)
        made = work.finish(0.0)
    assert member.chain.tip.height > made.height == 5
    assert entries(tmp_path / "b") == expected
    assert made.entries == len(expected)


def test_the_second_one_writes_only_what_is_new(
    member: SignedChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a chain of a few blocks has chunks that a new block does not touch.
    monkeypatch.setattr("node.backup.making.CHUNK_BYTES_MIN", 2_000)
    monkeypatch.setattr("node.backup.making.CHUNK_CUT", 4)
    member.grow(15)
    first = back_up(member, tmp_path / "b")
    assert first.chunks_new == first.chunks
    again = back_up(member, tmp_path / "b")
    assert (again.digest, again.chunks_new, again.bytes_new) == (first.digest, 0, 0)
    member.grow(1)
    third = back_up(member, tmp_path / "b")
    assert 0 < third.bytes_new < third.bytes / 2
    assert entries(tmp_path / "b") == dict(member.kv.scan(*EVERYTHING))


def test_what_only_grows_is_written_anew_at_its_end_however_large_its_entries(
    member: SignedChain, tmp_path: Path
) -> None:
    """As the transactions of blocks do: a few entries of 60 kB each between two backups."""
    size, entry_bytes = 0, 60_000

    def grow(heights: range) -> None:
        batch = Batch()
        for height in heights:
            batch.put(layout.at_height(layout.TRANSACTIONS, height), bytes(entry_bytes))
        member.kv.write(batch, sync=False)

    new: list[int] = []
    for at in range(100, 400, 10):
        grow(range(at, at + 10))
        made = back_up(member, tmp_path / "b")
        new.append(made.bytes_new)
        size = made.bytes
    assert size > 300 * entry_bytes
    # Beside what is new, one chunk a time: of twice the least size, on the average.
    assert sum(new) / len(new) < 10 * entry_bytes + 2.2 * CHUNK_BYTES_MIN


def test_a_chunk_that_rotted_is_written_again(member: SignedChain, tmp_path: Path) -> None:
    back_up(member, tmp_path / "b")
    chunk = max((tmp_path / "b" / "chunks").glob("??/*"), key=lambda path: path.stat().st_size)
    sound = chunk.read_bytes()
    chunk.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    back_up(member, tmp_path / "b")
    assert chunk.read_bytes() == sound


def test_old_ones_go_with_what_only_they_needed(member: SignedChain, tmp_path: Path) -> None:
    files = SnapshotFiles(tmp_path / "b")
    for _ in range(3):
        made = back_up(member, tmp_path / "b")
        member.grow(1)
    assert sum(retaining(files, 2, made.name())) > 0
    assert [name.height for name in files.names()] == [6, 7]
    for name in files.names():
        assert all(files.chunks.has(ref.hash) for ref in load_manifest(files, name).chunks)


async def test_what_goes_goes_in_steps_between_which_others_have_the_thread(
    member: SignedChain, tmp_path: Path
) -> None:
    files = SnapshotFiles(tmp_path / "b")
    back_up(member, tmp_path / "b")
    made = back_up(member, tmp_path / "b")
    useless = [files.chunks.put(b"of an older one %d" % number) for number in range(600)]
    shards = [blob_id[0] for blob_id in files.chunks.ids()]
    kept = [blob_id[0] for blob_id in {c.hash for c in load_manifest(files, made.name()).chunks}]
    # Each step has a shard to itself, and the directory of a shard is synced once.
    steps = list(retaining(files, 1, made.name()))
    assert steps[1:] == [shards.count(shard) - kept.count(shard) for shard in range(256)]
    assert not any(map(files.chunks.has, useless))
    worker = Worker("steps")
    seen: list[str] = []

    def each() -> Iterator[int]:
        for number in (1, 2):
            seen.append(f"step {number}")
            yield number

    async with asyncio.TaskGroup() as group:
        done = group.create_task(worker.run_steps(each(), rest_s=0))
        await asyncio.sleep(0)
        await worker.run(seen.append, "another")
    worker.close()
    assert (seen, done.result()) == (["step 1", "another", "step 2"], 3)


def test_the_one_that_was_just_made_stays_below_others_and_beside_another_of_its_height(
    member: SignedChain, tmp_path: Path
) -> None:
    # A member whose chain was taken back, or whose software is another one since.
    files = SnapshotFiles(tmp_path / "b")
    back_up(member, tmp_path / "b")
    with closing(SignedChain(tmp_path / "lower")) as lower:
        lower.grow(2)
        below = back_up(lower, tmp_path / "b")
    sum(retaining(files, 1, below.name()))
    assert files.names() == (below.name(),)
    for software in ("a", "b", "c", "d"):
        with closing(member.kv.snapshot()) as view:
            work = BackupWork(view, files, chain_id=member.chain.chain_id, software=software)
            while work.step():
                pass
            made = work.finish(0.0)
        sum(retaining(files, 1, made.name()))
        assert files.names() == (made.name(),)
    assert all(files.chunks.has(c.hash) for c in load_manifest(files, made.name()).chunks)


def test_files_of_others_in_the_directory_stay(member: SignedChain, tmp_path: Path) -> None:
    made = back_up(member, tmp_path / "b")
    theirs = tmp_path / "b" / "of-somebody-else.tmp"
    theirs.write_bytes(b"not ours")
    (tmp_path / "b" / "their-directory.tmp").mkdir()
    ours = tmp_path / "b" / f"{7:016d}-{'0a' * 32}.head.tmp"
    ours.write_bytes(b"left by a crash")
    sum(retaining(SnapshotFiles(tmp_path / "b"), 1, made.name()))
    assert theirs.read_bytes() == b"not ours"
    assert not ours.exists()


def test_nothing_is_swept_while_a_manifest_cannot_be_read(
    member: SignedChain, tmp_path: Path
) -> None:
    for _ in range(2):
        back_up(member, tmp_path / "b")
        member.grow(1)
    manifest = min((tmp_path / "b").glob("*.head"))
    manifest.write_bytes(manifest.read_bytes()[:-1])
    files = SnapshotFiles(tmp_path / "b")
    before = set(files.chunks.ids())
    made = back_up(member, tmp_path / "b")
    assert sum(retaining(files, 3, made.name())) == 0
    assert before <= set(files.chunks.ids())


def test_another_chain_and_an_empty_one_are_refused(member: SignedChain, tmp_path: Path) -> None:
    back_up(member, tmp_path / "b")
    for other, code in (
        (
            SignedChain(tmp_path / "other", signers=(0, 1, 2, 3), genesis=make_genesis(5)),
            "policy_denied",
        ),
        (SignedChain(tmp_path / "empty"), "not_ready"),
    ):
        if code == "policy_denied":
            other.grow(1)
        with pytest.raises(UnmakeableBackupError) as refused:
            back_up(other, tmp_path / "b")
        other.close()
        assert refused.value.code == code


@asynccontextmanager
async def backed_up(
    folder: Path, *, keep: int = 2
) -> AsyncIterator[tuple[LocalNode, ClientSession, Path]]:
    """A node over a real database, its operators' port, and where its backups go."""
    directory = folder / "backups"
    directory.mkdir()
    kv = LevelDB(folder / "kv")
    log = structlog.make_filtering_bound_logger(0)
    async with asyncio.TaskGroup() as group, local_node(folder / "node", kv=kv) as node:
        maker = BackupMaker(
            kv,
            directory,
            chain_id=node.chain.chain_id,
            keep=keep,
            software="test",
            worker=node.threads.snapshots,
            spawn=group.create_task,
            log=structlog.wrap_logger(node.log, wrapper_class=log, processors=[]),
        )
        services = node.services()
        backups = Backups(
            maker.make,
            every_hours=0,
            around=Surroundings(services.now_ms, lambda: node.chain.tip.height, nothing_made),
            watcher=BackupMetrics(services.metrics),
        )
        async with served(make_ops(replace(services, backups=backups))) as ops:
            yield node, ops, directory
    kv.close()


async def nothing_made() -> None:
    """When the last backup was made: never."""


async def _post(ops: ClientSession) -> ClientResponse:
    return await ops.post("/backup", json={})


async def test_it_is_asked_for_on_the_operators_port_and_blocks_go_on(tmp_path: Path) -> None:
    async with backed_up(tmp_path) as (node, ops, directory):
        for _ in range(3):
            await node.commit()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(_post(ops))
            while not asked.done():
                await node.commit()
        async with asked.result() as answer:
            made = await answer.json()
            assert answer.status == 200, made
        assert 3 <= made["height"] < node.chain.tip.height
        header = node.chain.blocks.header(made["height"])
        assert header is not None
        assert made["block_hash"] == header.hash().hex()
        assert len(list(directory.glob("*.head"))) == 1
        for _ in range(3):
            await node.commit()
            async with ops.post("/backup", json={}) as answer:
                assert answer.status == 200
        assert len(list(directory.glob("*.head"))) == 2


async def test_one_at_a_time(tmp_path: Path) -> None:
    async with backed_up(tmp_path) as (node, ops, directory):
        await node.commit()
        with DataDirLock(directory):
            async with ops.post("/backup", json={}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "not_ready")
        both = await asyncio.gather(*(ops.post("/backup", json={}) for _ in range(2)))
        assert sorted(answer.status for answer in both) == [200, 503]


async def test_a_database_that_refuses_does_not_keep_the_next_backup_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_kv: LevelDB) -> None:
        raise DiskFailedError(tmp_path, "read", "it hangs")

    async with backed_up(tmp_path) as (node, ops, _):
        await node.commit()
        with monkeypatch.context() as broken:
            broken.setattr(LevelDB, "snapshot", refuse)
            async with ops.post("/backup", json={}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (500, "internal")
        async with ops.post("/backup", json={}) as answer:
            assert answer.status == 200


async def test_a_directory_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    async with backed_up(tmp_path) as (node, ops, directory):
        await node.commit()
        directory.rmdir()
        async with ops.post("/backup", json={}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "not_ready")
        assert not directory.exists()


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"{}", {"Content-Type": "text/plain"}, "unsupported_media_type"),
        (b"{}", {"Host": "evil.test"}, "policy_denied"),
        (b'{"directory": "/etc"}', {}, "malformed"),
    ],
)
async def test_nobody_else_can_have_one_made_or_say_where(
    tmp_path: Path, body: bytes, headers: dict[str, str], code: str
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    async with backed_up(tmp_path) as (node, ops, directory):
        await node.commit()
        async with ops.post("/backup", data=body, headers=sent) as answer:
            assert (await answer.json())["code"] == code
        assert list(directory.iterdir()) == []


async def test_a_node_that_makes_none_says_so(tmp_path: Path) -> None:
    async with (
        local_node(tmp_path) as node,
        node.ops() as ops,
        ops.post("/backup", json={}) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (404, "not_found")

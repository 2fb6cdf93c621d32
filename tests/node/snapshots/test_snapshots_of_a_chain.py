"""What a snapshot holds, what proves it, and that a chain can begin with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import structlog

from medquorum.codec import encode
from medquorum.errors import VerificationError
from node.chain import Chain
from node.home import Home
from node.ledger.proposals import ObserverAdd, ProposalKind, ValidatorReplace
from node.receipts import history_before
from node.snapshots.beginning import build_chain, mark_ready, put_in_place, verify_snapshot
from node.snapshots.errors import FalseSnapshotError, UnmakeableError
from node.snapshots.format import SnapshotHead, verify_head
from node.snapshots.making import SnapshotMaker, SnapshotWork, first_past, load_head, retaining
from node.threads import Worker
from storage import layout
from storage.errors import BlobNotFoundError, DamagedBlobError, DiskFailedError
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.snapshots import SnapshotFiles, SnapshotName
from tests.support.cluster import Cluster, key_of
from tests.support.signed_chain import REGISTRY, SignedChain, open_leveldb


def make(member: SignedChain, files: SnapshotFiles) -> SnapshotName:
    """A snapshot of the tip."""
    with closing(member.kv.snapshot()) as view:
        work = SnapshotWork(member.chain, view, files)
        while work.step():
            pass
        return work.finish()


@pytest.fixture
def member(tmp_path: Path) -> Iterator[SignedChain]:
    """A member whose chain has a few blocks."""
    member = SignedChain(tmp_path / "member")
    member.grow(12, txs=1)
    yield member
    member.close()


@pytest.fixture
def files(tmp_path: Path) -> SnapshotFiles:
    """Where its snapshots are."""
    return SnapshotFiles(tmp_path / "snapshots")


def head_of(files: SnapshotFiles, name: SnapshotName) -> SnapshotHead:
    """A head that is there."""
    head = load_head(files, name)
    assert head is not None
    return head


def begin(path: Path, head: SnapshotHead, files: SnapshotFiles, member: SignedChain) -> None:
    """Build a chain from the snapshot."""
    build_chain(path, head, files, genesis=member.genesis, registry=REGISTRY, open_kv=open_leveldb)


def test_two_members_have_equal_digests_at_equal_heights_whoever_signed(tmp_path: Path) -> None:
    names = []
    for number, signers in enumerate([(0, 1, 2), (1, 2, 3)]):
        member = SignedChain(tmp_path / f"chain{number}", signers=signers)
        member.grow(5)
        names.append(make(member, SnapshotFiles(tmp_path / f"files{number}")))
        member.close()
    assert names[0] == names[1]


def test_a_snapshot_is_of_its_moment_however_far_the_chain_goes_on(
    member: SignedChain, files: SnapshotFiles
) -> None:
    expected = make(member, files)
    with closing(member.kv.snapshot()) as view:
        work = SnapshotWork(member.chain, view, files)
        work.step()
        member.grow(5)
        while work.step():
            pass
        assert work.finish() == expected


def test_a_chain_that_begins_with_a_snapshot_knows_what_the_others_know(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path
) -> None:
    replay = member.transaction()
    member.add(replay)
    name = make(member, files)
    begin(tmp_path / "late", head_of(files, name), files, member)
    with closing(open_leveldb(tmp_path / "late")) as kv:
        late = Chain(kv, member.genesis, REGISTRY, keep_versions=10)
        assert late.tip == member.chain.tip
        assert late.state.root() == member.chain.state.root()
        assert late.recent_proposers() == member.chain.recent_proposers()
        assert late.replayable() == member.chain.replayable()
        late.remember(late.replayable())
        assert late.seen(replay.id)
        known = [*member.chain.blocks.set_changes(100)]
        assert [*late.blocks.set_changes(100)] == known
        assert late.blocks.oldest_block() == member.chain.tip.height + 1
        assert late.blocks.block(late.tip.height) is None


def test_it_grows_on_with_the_same_roots_and_makes_the_same_snapshots(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path
) -> None:
    begin(tmp_path / "late", head_of(files, make(member, files)), files, member)
    late = SignedChain(tmp_path / "late", signers=(1, 2, 3))
    transactions = [member.transaction() for _ in range(4)]
    for tx in transactions:
        member.add(tx)
        late.add(tx)
    assert late.chain.state.root() == member.chain.state.root()
    assert make(late, SnapshotFiles(tmp_path / "later")) == make(member, files)
    late.close()


def test_no_byte_of_a_chunk_can_be_another(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path
) -> None:
    head = head_of(files, make(member, files))
    chunk = min(head.manifest.state, key=lambda ref: ref.size)
    path = tmp_path / "snapshots" / "chunks" / chunk.hash.hex()[:2] / chunk.hash.hex()
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(DamagedBlobError):
            files.chunks.get(chunk.hash)
    path.unlink()
    with pytest.raises(BlobNotFoundError):
        begin(tmp_path / "late", head, files, member)


@pytest.mark.parametrize("part", ["past", "state"])
def test_chunks_that_hash_right_and_hold_something_else_are_found_out(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path, part: str
) -> None:
    head = head_of(files, make(member, files))
    refs = getattr(head.manifest, part)
    good = files.chunks.get(refs[0].hash)
    for place in range(0, len(good), max(1, len(good) // 40)):
        bad = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        ref = msgspec.structs.replace(refs[0], hash=files.chunks.put(bad))
        manifest = msgspec.structs.replace(head.manifest, **{part: (ref, *refs[1:])})
        with pytest.raises(FalseSnapshotError):
            begin(
                tmp_path / "late",
                msgspec.structs.replace(head, manifest=manifest),
                files,
                member,
            )
        assert not (tmp_path / "late.scratch").exists()


def test_a_past_that_does_not_reach_back_far_enough_is_found_out(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as shorter:
        shorter.setattr("node.snapshots.making.first_past", lambda chain: first_past(chain) + 1)
        head = head_of(files, make(member, files))
    with pytest.raises(FalseSnapshotError, match="reach back"):
        begin(tmp_path / "late", head, files, member)


def test_a_head_proves_itself_from_the_genesis_and_no_byte_of_its_proof_can_be_another(
    member: SignedChain, files: SnapshotFiles
) -> None:
    head = head_of(files, make(member, files))
    assert verify_head(head, member.genesis) == member.chain.tip.validators
    lies = [
        msgspec.structs.replace(
            head, certificate=msgspec.structs.replace(head.certificate, round=1)
        ),
        msgspec.structs.replace(head, header=msgspec.structs.replace(head.header, time_ms=1)),
        *(
            msgspec.structs.replace(
                head, manifest=msgspec.structs.replace(head.manifest, **{field: bytes(32)})
            )
            for field in ("chain_id", "block_hash", "result_hash", "state_root")
        ),
        msgspec.structs.replace(
            head, manifest=msgspec.structs.replace(head.manifest, height=head.header.height - 1)
        ),
    ]
    for lie in lies:
        with pytest.raises(VerificationError):
            verify_head(lie, member.genesis)


def test_a_snapshot_is_verified_down_to_its_values_without_any_chain(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path
) -> None:
    head = head_of(files, make(member, files))
    (tmp_path / "scratch").mkdir()
    count = verify_snapshot(head, files, member.genesis, tmp_path / "scratch", open_kv=open_leveldb)
    assert count > 0


def test_old_snapshots_go_and_what_the_kept_ones_share_stays(
    member: SignedChain, files: SnapshotFiles
) -> None:
    names = []
    for _ in range(3):
        member.grow(1)
        names.append(make(member, files))
    assert sum(retaining(files, 2, names[-1])) > 0
    assert files.names() == tuple(names[1:])
    for name in names[1:]:
        assert all(files.chunks.has(c.hash) for c in head_of(files, name).manifest.chunks())
    needed = {c.hash for n in names[1:] for c in head_of(files, n).manifest.chunks()}
    assert set(files.chunks.ids()) == needed


def test_a_head_that_rotted_is_not_there(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path
) -> None:
    name = make(member, files)
    head = head_of(files, name)
    lie = msgspec.structs.replace(
        head, manifest=msgspec.structs.replace(head.manifest, state_root=bytes(32))
    )
    for content in (b"rot", encode(lie)):
        files.keep(name, content)
        assert load_head(files, name) is None
    files.keep(name, encode(head))
    (path,) = (tmp_path / "snapshots").glob("*.head")
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert files.head(name) is None
    (tmp_path / "snapshots" / "unrelated.head").write_bytes(b"")
    assert files.names() == (name,)


def test_a_chain_takes_its_place_when_it_is_whole_and_never_before(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.data.mkdir(parents=True)
    head = head_of(files, make(member, files))
    begin(home.chain_building, head, files, member)
    assert not put_in_place(home)  # a crash before it was marked: it is built again
    assert not home.chain_building.exists()
    begin(home.chain_building, head, files, member)
    SignedChain(home.chain).close()
    mark_ready(home)
    (home.chain / "CURRENT").unlink()  # a crash while the old one was being removed
    assert put_in_place(home)
    late = SignedChain(home.chain)
    assert late.chain.tip == member.chain.tip
    late.close()
    assert not put_in_place(home)


async def test_a_chain_whose_validators_changed_is_proven_on_from_its_founders(
    member: SignedChain, files: SnapshotFiles, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as group:
        council = Cluster(tmp_path / "council", 4, group)
        org = member.genesis.organisations[3].org
        replaced, key, node = (key_of(name).public for name in ("vote3", "vote4", "node4"))
        content = ValidatorReplace(replaced, key, node, council.possession(4, org))
        member.add(council.decision(ProposalKind.OBSERVER_ADD, ObserverAdd(node, org)))
        member.add(council.decision(ProposalKind.VALIDATOR_REPLACE, content))
    changed = member.chain.tip.height
    assert [height for height, _, _ in member.chain.blocks.set_changes(100)] == [changed]
    at_the_change = make(member, files)
    member.grow(2)
    after_it = make(member, files)
    for name in (at_the_change, after_it):
        head = head_of(files, name)
        assert key in {v.key for v in verify_head(head, member.genesis).validators}
        with pytest.raises(VerificationError):
            verify_head(msgspec.structs.replace(head, changes=()), member.genesis)
    begin(tmp_path / "late", head_of(files, after_it), files, member)
    with closing(open_leveldb(tmp_path / "late")) as kv:
        late = Chain(kv, member.genesis, REGISTRY, keep_versions=10)
        for height in (changed, changed + 1):
            assert late.blocks.validators(height) == member.chain.blocks.validators(height)
        upto = late.tip.height + 1
        assert history_before(late.blocks, upto) == history_before(member.chain.blocks, upto)


def test_what_was_given_up_of_the_past_makes_no_false_snapshot(
    member: SignedChain, files: SnapshotFiles
) -> None:
    batch = Batch()
    batch.delete(layout.at_height(layout.OUTCOMES, 3))
    member.kv.write(batch, sync=True)
    with pytest.raises(UnmakeableError, match="height 3"):
        make(member, files)


def test_what_cannot_be_made_says_why(
    member: SignedChain, files: SnapshotFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.snapshots.cutting.CHUNK_BYTES_MAX", 200)
    with pytest.raises(UnmakeableError, match="bytes"):
        make(member, files)


async def test_a_database_that_refuses_does_not_keep_the_next_snapshot_waiting(
    member: SignedChain, files: SnapshotFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise DiskFailedError("the database", "read", "it hangs")

    async with asyncio.TaskGroup() as group:
        threads = Worker("snapshots", 1)
        maker = SnapshotMaker(
            member.chain,
            member.kv,
            files,
            interval=1,
            keep=2,
            worker=threads,
            spawn=group.create_task,
            log=structlog.get_logger(),
        )
        member.chain.on_commit(maker.on_commit)
        with monkeypatch.context() as broken:
            broken.setattr(LevelDB, "snapshot", lambda _: refuse())
            member.grow(1)
        member.grow(1)
    threads.close()
    assert [name.height for name in files.names()] == [member.chain.tip.height]

"""Wherever the power fails while a backup is made and older ones are given up, what is called a
backup afterwards is one, there is always one, and the next call does it all.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from node.backup.format import decode_chunk, load_manifest
from node.backup.making import BackupMade, BackupWork, retaining
from storage.snapshots import SnapshotFiles
from tests.support.fake_disk import FakeDisk, PowerCutError
from tests.support.signed_chain import SignedChain

PLACE = Path("/backups")


def back_up(member: SignedChain, disk: FakeDisk, *, keep: int) -> BackupMade:
    """As the node does it."""
    files = SnapshotFiles(PLACE, files=disk)
    with closing(member.kv.snapshot()) as view:
        work = BackupWork(view, files, chain_id=member.chain.chain_id, software="test")
        while work.step():
            pass
        made = work.finish(0.0)
    sum(retaining(files, keep, made.name()))
    return made


def whole(disk: FakeDisk) -> list[int]:
    """The heights of the backups that are there. Fails if one of them is not whole."""
    files = SnapshotFiles(PLACE, files=disk)
    for name in files.names():
        manifest = load_manifest(files, name)
        chunks = [decode_chunk(files.read_chunk(ref.hash)) for ref in manifest.chunks]
        assert sum(len(entries) for entries in chunks) == manifest.entries
    return [name.height for name in files.names()]


@pytest.mark.parametrize(("keep", "stride"), [(1, 2), (2, 11)])
def test_wherever_it_fails_between_two_operations_of_the_disk(
    tmp_path: Path, keep: int, stride: int
) -> None:
    cuts = 0
    done = False
    with closing(SignedChain(tmp_path / "member")) as member:
        while not done:
            disk = FakeDisk()
            before = []
            for _ in range(keep):
                member.grow(1, txs=1)
                before.append(back_up(member, disk, keep=keep).height)
            member.grow(1, txs=1)
            every = [*before, member.chain.tip.height]
            disk.power_cut_after = cuts
            try:
                back_up(member, disk, keep=keep)
                done = True
            except PowerCutError:
                disk.crash()
                cuts += stride
            disk.power_cut_after = None
            assert whole(disk) in (before, every, every[-keep:])
            back_up(member, disk, keep=keep)
            assert whole(disk) == every[-keep:]
            files = SnapshotFiles(PLACE, files=disk)
            manifests = [load_manifest(files, name) for name in files.names()]
            needed = {ref.hash for manifest in manifests for ref in manifest.chunks}
            assert set(files.chunks.ids()) == needed
    assert cuts > 50

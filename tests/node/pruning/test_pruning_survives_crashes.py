"""Pruning may end anywhere: the node is whole, and the next start does the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from node.archive.format import ArchiveReader
from node.archive.proving import prove_archive
from node.pruning.removing import BODIES
from node.pruning.restoring import Restoring
from node.receipts import receipt_file
from storage import layout
from storage.kv import KV, Batch, Snapshot
from tests.support.prune_child import HURRIED, KEPT
from tests.support.pruning import prune_now, pruned_chain
from tests.support.signed_chain import SignedChain

BLOCKS = 14
LINE = 9
ROUNDS = 4


class KilledError(Exception):
    """The process ends here."""


class Dying:
    """A store whose process is killed at the write with this number, before or after it."""

    def __init__(self, kv: KV, write: int, *, after: bool) -> None:
        self._kv = kv
        self._left = write
        self._after = after

    def write(self, batch: Batch, *, sync: bool) -> None:
        if self._left < 0:
            raise KilledError
        self._left -= 1
        if self._left >= 0 or self._after:
            self._kv.write(batch, sync=sync)
        if self._left < 0:
            raise KilledError

    def get(self, key: bytes) -> bytes | None:
        return self._kv.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._kv.scan(start, stop, reverse=reverse)

    def snapshot(self) -> Snapshot:
        return self._kv.snapshot()

    def close(self) -> None:
        self._kv.close()

    def bytes_on_disk(self) -> int:
        return self._kv.bytes_on_disk()


def contents(kv: KV) -> dict[bytes, bytes]:
    """All that a database holds."""
    return dict(kv.scan(b"\x00", b"\xff"))


def check_whole(member: SignedChain) -> None:
    """All heights from the line on have their bodies; below it none is answered."""
    blocks = member.chain.blocks
    oldest = blocks.oldest_block()
    for height in range(oldest, blocks.tip() + 1):
        keys = (layout.at_height(prefix, height) for prefix in BODIES)
        assert all(member.kv.get(key) is not None for key in keys), height
    assert oldest == 1 or blocks.block(oldest - 1) is None


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_it_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    # Rule A13.
    for name, value in HURRIED.items():
        monkeypatch.setattr(f"node.pruning.{name}", value)
    with pruned_chain(tmp_path / "straight", blocks=BLOCKS) as straight:
        prune_now(straight.pruner())
        expected = contents(straight.member.kv)
    deaths = 0
    for write in range(100):
        with pruned_chain(tmp_path / str(write), blocks=BLOCKS) as pruned:
            pruned.kv = Dying(pruned.member.kv, write, after=after)
            try:
                prune_now(pruned.pruner())
            except KilledError:
                deaths += 1
            check_whole(pruned.member)
            pruned.kv = None
            prune_now(pruned.pruner())
            assert contents(pruned.member.kv) == expected
        if deaths == write:
            break
    assert deaths == 3 * (LINE - 1) // 2, "a line and two batches of each range"


def test_killed_for_real_it_loses_nothing_and_the_archives_bring_all_back(tmp_path: Path) -> None:
    # Rules A8, A10, A13.
    (tmp_path / "archives").mkdir()
    rng = Random(5)
    for _ in range(ROUNDS):
        tip, oldest = _run_and_kill(tmp_path, rng.randrange(10, 40))
        member = SignedChain(tmp_path / "chain")
        assert member.chain.tip.height >= tip
        assert oldest <= member.chain.blocks.oldest_block() <= member.chain.tip.height - KEPT + 1
        check_whole(member)
        member.close()
    member = SignedChain(tmp_path / "chain")
    assert member.chain.blocks.oldest_block() > LINE
    by_height = sorted(
        (tmp_path / "archives").glob("*.mqarchive"), key=lambda f: -int(f.stem.split("-")[1])
    )
    for file in by_height:
        with file.open("rb") as stream:
            reader = ArchiveReader(stream)
            if reader.head.first < member.chain.blocks.oldest_block():
                proven = prove_archive(reader, member.genesis)
                list(Restoring(member.kv, reader, proven).run())
    blocks = member.chain.blocks
    assert blocks.oldest_block() == 1
    check_whole(member)
    assert all(receipt_file(blocks, tx_id) for tx_id in blocks.recent_tx_ids(1))
    member.close()


def _run_and_kill(directory: Path, lines: int) -> tuple[int, int]:
    """Let the child say so much, kill it, and return the tip and the line of which it told."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "tests.support.prune_child", str(directory)]
    said = {b"tip": 0, b"oldest": 0}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        heard = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        heard += child.stdout.read().split(b"\n")[:-1]
    for line in heard:
        what, number = line.split()
        said[what] = int(number)
    return said[b"tip"], said[b"oldest"]

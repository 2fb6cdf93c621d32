"""What snapshots cost: making one, what commits feel of it, and beginning a chain with it.

The state is made up, of as many values as asked for, below blocks that two founders certify. One of
them then serves a real daemon that starts with nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Final

import msgspec

from devnet import api
from devnet.errors import StateError
from devnet.ports import HOST, Ports, free_block
from medquorum import merkle
from medquorum.block import Header, Result, Validator
from medquorum.certificate import VoteTag, make_certificate, vote_bytes
from medquorum.genesis import Genesis, GenesisOrg
from medquorum.keys import SigningKey
from node.chain import Chain
from node.cli.setup import HomeKeys, create_home, install_genesis
from node.home import Home
from node.modules import installed_registry
from node.snapshots.limits import STEP_REST_S
from node.snapshots.making import SnapshotWork
from storage.chain import CommittedBlock
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.snapshots import SnapshotFiles

NAMESPACE: Final = "bench"
BLOCK_KEYS: Final = 50_000
BLOCKS_MIN: Final = 20
COMMITS: Final = 300
COMMIT_KEYS: Final = 250
"""Values changed by one of the commits that are timed: about a hundred transactions."""
COMMIT_EVERY_S: Final = 0.05
VALUE: Final = bytes(120)
JOIN_S: Final = 1_800.0
LOOK_S: Final = 0.05


class Commits(msgspec.Struct, frozen=True):
    """Milliseconds of a commit: the tree and the synced batch."""

    p50_ms: float
    p99_ms: float
    most_ms: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. Bytes are those of the snapshot; times are seconds by the clock."""

    keys: int
    snapshot_bytes: int
    chunks: int
    make_s: float
    make_in_background_s: float
    commits: Commits
    commits_meanwhile: Commits
    join_s: float
    join_mib: float
    serve_mib: float


class _Ledger:
    """A chain whose blocks are empty and change values all the same: as if they had a meaning."""

    def __init__(self, home: Home, keys: Sequence[HomeKeys]) -> None:
        self._signers = [key.validator for key in keys if key.validator is not None]
        self.genesis = _genesis(keys)
        self.kv = LevelDB(home.chain)
        self.chain = self._opened()
        self._next = 0

    def _opened(self) -> Chain:
        return Chain(self.kv, self.genesis, installed_registry(), keep_versions=10)

    def add(self, number: int, first: int | None = None) -> None:
        """Commit a block that writes so many values: new ones, or from `first` on."""
        start = self._next if first is None else first
        self._next = max(self._next, start + number)
        changes = {(i * 2_654_435_761 % 2**32).to_bytes(8, "big"): b"%d" % start + VALUE
                   for i in range(start, start + number)}  # fmt: skip
        chain, tip = self.chain, self.chain.blocks.tip()
        parent, before = chain.blocks.header(tip), chain.blocks.result(tip)
        validators = self.genesis.validator_set()
        header = Header(
            version=1,
            chain_id=chain.chain_id,
            height=tip + 1,
            time_ms=self.genesis.time_ms + 1_000 * (tip + 1),
            proposer=validators.validators[tip % 2].key,
            parent=chain.chain_id if parent is None else parent.hash(),
            parent_result=b"" if before is None else before.hash(),
            validators_hash=validators.hash(),
            txs_root=merkle.EMPTY_ROOT,
            tx_count=0,
        )
        update = chain.state.prepare(tip + 1, {NAMESPACE: changes})
        result = Result(update.root, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, validators.hash())
        payload = (header.hash(), result.hash())
        message = vote_bytes(VoteTag.COMMIT, chain.chain_id, tip + 1, 0, payload)
        certificate = make_certificate(
            engine="pbft",
            height=tip + 1,
            round_=0,
            block_hash=payload[0],
            result_hash=payload[1],
            votes={index: key.sign(message) for index, key in enumerate(self._signers)},
            n=len(self._signers),
        )
        batch = Batch()
        block = CommittedBlock(header, result, certificate, (), (), (), (), validators)
        chain.blocks.stage(batch, block)
        update.stage(batch)
        self.kv.write(batch, sync=True)
        chain.state.committed(update)

    def snapshot(self, files: SnapshotFiles, rest_s: float) -> float:
        """Make a snapshot of the tip; the seconds it took."""
        began = time.perf_counter()
        with closing(self.kv.snapshot()) as view:
            work = SnapshotWork(self._opened(), view, files)
            while work.step():
                time.sleep(rest_s)
            work.finish()
        return time.perf_counter() - began

    def commits(self, more: Callable[[], bool] = lambda: False) -> Commits:
        """Time commits that overwrite values all over the state, at a steady pace: so many of them,
        and on for as long as `more`.
        """
        found: list[float] = []
        due = time.perf_counter()
        for number in count():
            if number >= COMMITS and not more():
                break
            due += COMMIT_EVERY_S
            began = time.perf_counter()
            self.add(COMMIT_KEYS, number * COMMIT_KEYS % max(1, self._next - COMMIT_KEYS))
            found.append(1_000 * (time.perf_counter() - began))
            time.sleep(max(0.0, due - time.perf_counter()))
        cuts = quantiles(found, n=100)
        return Commits(round(cuts[49], 2), round(cuts[98], 2), round(max(found), 2))


def bench(folder: Path, keys: int) -> Figures:
    """Measure in `folder`, which needs room for four copies of the state. Raises StateError."""
    own = [HomeKeys(SigningKey(os.urandom(32)), SigningKey(os.urandom(32))) for _ in range(2)]
    homes = [Home(folder / "serves"), Home(folder / "joins")]
    base = free_block(2)
    ports = [Ports.of(base, index) for index in range(2)]
    genesis = _genesis(own)
    for index, home in enumerate(homes):
        other = 1 - index
        values: dict[str, object] = {
            "p2p.port": ports[index].p2p,
            "rpc.port": ports[index].rpc,
            "ops.port": ports[index].ops,
            "p2p.peers": [f"{own[other].node.public.hex()}@{HOST}:{ports[other].p2p}"],
            "sync.mode": ("blocks", "auto")[index],
        }
        create_home(home, values, own[index], passphrase=None)
        install_genesis(home, genesis)
    ledger = _Ledger(homes[0], own)
    for first in range(0, keys, BLOCK_KEYS):
        ledger.add(min(BLOCK_KEYS, keys - first))
    while ledger.chain.blocks.tip() < BLOCKS_MIN:
        ledger.add(1, 0)
    ledger.commits()  # until the database has digested what was poured into it
    made, background = SnapshotFiles(folder / "alone"), SnapshotFiles(folder / "background")
    make_s = ledger.snapshot(made, 0.0)
    took: list[float] = []
    maker = threading.Thread(target=lambda: took.append(ledger.snapshot(background, STEP_REST_S)))
    maker.start()
    meanwhile = ledger.commits(maker.is_alive)
    maker.join()
    undisturbed = ledger.commits()
    ledger.snapshot(SnapshotFiles(homes[0].snapshots), 0.0)
    height = ledger.chain.blocks.tip()
    ledger.kv.close()
    sizes = [path.stat().st_size for path in (folder / "alone" / "chunks").glob("*/*")]
    join_s, join_mib, serve_mib = _join(homes, ports, height)
    return Figures(
        keys=keys,
        snapshot_bytes=sum(sizes),
        chunks=len(sizes),
        make_s=round(make_s, 2),
        make_in_background_s=round(took[0], 2),
        commits=undisturbed,
        commits_meanwhile=meanwhile,
        join_s=join_s,
        join_mib=join_mib,
        serve_mib=serve_mib,
    )


def _genesis(keys: Sequence[HomeKeys]) -> Genesis:
    org = bytes(32)
    return Genesis(
        1,
        "devnet-bench",
        1_790_000_000_000,
        "pbft",
        (),
        (GenesisOrg(org, "hospital", bytes(32), "xx", SigningKey(bytes(32)).public, ""),),
        tuple(
            Validator(key.validator.public, key.node.public, org)
            for key in keys
            if key.validator is not None
        ),
    )


def _join(homes: Sequence[Home], ports: Sequence[Ports], height: int) -> tuple[float, float, float]:
    """Seconds from the start of a daemon without blocks until it has the chain; peak memory in
    MiB, of it and of the one that served it.
    """
    with closing(_Daemon(homes[0])) as server:
        _wait(ports[0], 0)
        began = time.perf_counter()
        with closing(_Daemon(homes[1])) as joiner:
            _wait(ports[1], height)
            seconds = time.perf_counter() - began
            return round(seconds, 2), _peak_mib(joiner), _peak_mib(server)


class _Daemon:
    """A node as a process of its own."""

    def __init__(self, home: Home) -> None:
        self._log = (home.log / "node.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "node.cli.main", "start", "--home", str(home.root)],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait()
        self._log.close()


def _wait(ports: Ports, height: int) -> None:
    for _ in _ticks():
        status = api.status(ports.rpc)
        if status is not None and status.height >= height:
            return
    raise StateError(f"no node at port {ports.rpc} reached height {height} in {JOIN_S:g} s")


def _ticks() -> Iterator[None]:
    until = time.monotonic() + JOIN_S
    while time.monotonic() < until:
        yield
        time.sleep(LOOK_S)


def _peak_mib(daemon: _Daemon) -> float:
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return round(kib / 1024, 1)

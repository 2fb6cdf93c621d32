"""What a start costs a node that has many blocks: time until it serves, by part, and memory.

The blocks are made up and written through the node's own stores, certified by the only founder.
Then the real daemon is started on them, a few times: an operating system that has the files in
memory already, which is what a restart finds.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from devnet import api
from devnet.errors import StateError
from devnet.ports import Ports, free_block
from devnet.processes import ProcessId
from medquorum import merkle
from medquorum.block import Header, Result, TxOutcome, Validator
from medquorum.certificate import VoteTag, make_certificate, vote_bytes
from medquorum.codec import encode
from medquorum.genesis import Genesis, GenesisOrg
from medquorum.keys import SigningKey
from node.chain import Chain
from node.cli.setup import HomeKeys, create_home, install_genesis
from node.home import Home
from node.modules import installed_registry
from storage.chain import CommittedBlock
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.reached import Reached
from storage.signstate import SignState

NAMESPACE: Final = "bench"
KEYS: Final = 50_000
"""Values of the state. A block writes one of them: how large the state is does not matter to a
start, and what is written here must be written by whoever waits for the figures.
"""
TX_BYTES: Final = 300
READY_S: Final = 300.0
LOOK_S: Final = 0.01
KIB: Final = 1024
KEEP_VERSIONS: Final = 1_000
PRUNE_EVERY: Final = 1_000
PRUNE_ENTRIES: Final = 10**6
DAEMON: Final = (sys.executable, "-m", "node.cli.main", "start", "--home")


class Start(msgspec.Struct, frozen=True):
    """One start: seconds by the clock until it was ready, and of both cores; MiB in memory then."""

    ready_s: float
    cpu_s: float
    memory_mib: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. The first start also turns LevelDB's log into a table."""

    blocks: int
    transactions: int
    database_mib: float
    imports_cpu_s: float
    """Of the processor time of a start: what Python takes to load the daemon's code."""
    first: Start
    ready_s: float
    cpu_s: float
    memory_mib: float
    """Medians of the starts after the first."""


def bench(folder: Path, blocks: int, txs: int, starts: int) -> Figures:
    """Measure in `folder`, with so many transactions in each block, and so many starts after the
    first. Raises StateError.
    """
    home = Home(folder / "home")
    ports = Ports.of(free_block(1), 0)
    own = HomeKeys(SigningKey(os.urandom(32)), SigningKey(os.urandom(32)))
    values: dict[str, object] = {
        "p2p.port": ports.p2p,
        "rpc.port": ports.rpc,
        "ops.port": ports.ops,
    }
    create_home(home, values, own, passphrase=None)
    genesis = _genesis(own)
    install_genesis(home, genesis)
    make_blocks(home, genesis, own, blocks, txs)
    size = sum(file.stat().st_size for file in home.chain.iterdir())
    first, *again = [_start(home, ports, blocks) for _ in range(1 + starts)]
    return Figures(
        blocks=blocks,
        transactions=blocks * txs,
        database_mib=round(size / KIB**2, 1),
        imports_cpu_s=_imports(),
        first=first,
        ready_s=median(one.ready_s for one in again),
        cpu_s=median(one.cpu_s for one in again),
        memory_mib=median(one.memory_mib for one in again),
    )


def make_blocks(home: Home, genesis: Genesis, own: HomeKeys, blocks: int, txs: int) -> None:
    """Write a chain of so many blocks into the empty `home`, as a node would that synced only the
    last of them.
    """
    if own.validator is None:
        raise StateError("nobody could certify the blocks")
    with closing(LevelDB(home.chain)) as kv, closing(Reached(home.chain)) as reached:
        chain = Chain(kv, genesis, installed_registry(), keep_versions=KEEP_VERSIONS)
        parent, before = chain.chain_id, chain.tip.result_hash
        for height in range(1, blocks + 1):
            update = chain.state.prepare(height, {NAMESPACE: {_key(height): _key(height + 1)}})
            block = _block(chain, height, (parent, before, update.root), txs, own.validator)
            batch = Batch()
            chain.blocks.stage(batch, block)
            update.stage(batch)
            kv.write(batch, sync=height == blocks)
            chain.state.committed(update)
            parent, before = block.header.hash(), block.result.hash()
            if height % PRUNE_EVERY == 0:
                chain.state.prune(PRUNE_ENTRIES)
        reached.note(blocks)
    # It has signed the certificates, and a node refuses to start with a sign state that forgot.
    SignState.open(home.sign_state).check_and_save(blocks, 0, 0, bytes(32))


def _block(
    chain: Chain, height: int, follows: tuple[bytes, bytes, bytes], txs: int, signer: SigningKey
) -> CommittedBlock:
    """`follows` are the parent, its result, and the state root after this block."""
    parent, before, root = follows
    validators = chain.genesis.validator_set()
    tx_ids = tuple(height.to_bytes(16, "big") + i.to_bytes(16, "big") for i in range(txs))
    outcomes = tuple(TxOutcome(tx_id, i, "ok", 0) for i, tx_id in enumerate(tx_ids))
    header = Header(
        version=1,
        chain_id=chain.chain_id,
        height=height,
        time_ms=chain.genesis.time_ms + 1_000 * height,
        proposer=signer.public,
        parent=parent,
        parent_result=before,
        validators_hash=validators.hash(),
        txs_root=merkle.root(tx_ids),
        tx_count=txs,
    )
    receipts = merkle.root([encode(outcome) for outcome in outcomes])
    result = Result(root, receipts, merkle.EMPTY_ROOT, validators.hash())
    payload = (header.hash(), result.hash())
    message = vote_bytes(VoteTag.COMMIT, chain.chain_id, height, 0, payload)
    certificate = make_certificate(
        engine="pbft",
        height=height,
        round_=0,
        block_hash=payload[0],
        result_hash=payload[1],
        votes={0: signer.sign(message)},
        n=1,
    )
    raws = tuple(bytes(TX_BYTES) for _ in tx_ids)
    return CommittedBlock(header, result, certificate, raws, tx_ids, outcomes, (), validators)


def _key(number: int) -> bytes:
    # Spread over the key space, as hashes are.
    return (number % KEYS * 2_654_435_761 % 2**32).to_bytes(8, "big")


def _genesis(own: HomeKeys) -> Genesis:
    if own.validator is None:
        raise StateError("a founder needs a validator key")
    founder = Validator(own.validator.public, own.node.public, bytes(32))
    org = GenesisOrg(bytes(32), "hospital", bytes(32), "xx", SigningKey(bytes(32)).public, "")
    return Genesis(1, "devnet-bench", 1_790_000_000_000, "pbft", (), (org,), (founder,))


def _start(home: Home, ports: Ports, blocks: int) -> Start:
    """Start the daemon, wait until it is ready, look at it, and stop it."""
    began = time.perf_counter()
    log = (home.log / "node.log").open("wb")
    with log, subprocess.Popen([*DAEMON, str(home.root)], stdout=log, stderr=log) as process:
        try:
            for _ in _ticks():
                answer = api.ready(ports.ops, 0)
                if answer is not None and answer.ready:
                    break
                if process.poll() is not None:
                    raise StateError((home.log / "node.log").read_text()[-2_000:])
            else:
                raise StateError(f"the node was not ready after {READY_S:g} s")
            ready_s = time.perf_counter() - began
            cpu_s, memory_mib = _used(process.pid)
            status = api.status(ports.rpc)
            if status is None or status.height < blocks:
                raise StateError("the node serves another chain")
        finally:
            process.terminate()
    return Start(round(ready_s, 3), cpu_s, memory_mib)


def _used(pid: int) -> tuple[float, float]:
    """Seconds of processor time, and MiB in memory, of a process until now."""
    process = ProcessId.of(pid)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return 0.0 if process is None else process.cpu_seconds(), round(kib / KIB, 1)


def _imports() -> float:
    """Seconds of processor time to load the daemon's code and nothing else."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import node.daemon"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(used, 3)


def _ticks() -> Iterator[None]:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        yield
        time.sleep(LOOK_S)

"""A node without consensus for tests of its HTTP side: real stores, intake, mempool and tracker,
and a proposer that executes and commits blocks with the signature of the only validator.

    async with local_node(tmp_path) as node:
        raw = node.transaction(op).raw                  # signed by the founder's root key
        async with node.api() as api:                   # a real server on a free port
            answer = await api.post("/v1/txs", data=raw, headers=MSGPACK)
        block = await node.commit()                     # one block of what is in the pool
        async with node.proposing(): ...                # or: a block as soon as there is work
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from aiohttp import ClientSession, web
from typing_extensions import override

from consensus.engine import EngineStatus
from medquorum import merkle
from medquorum.block import Header
from medquorum.certificate import VoteTag, make_certificate, vote_bytes
from medquorum.codec import Wire, encode
from medquorum.genesis import Genesis
from medquorum.keys import SigningKey
from medquorum.transaction import Operation, Transaction, build, sign
from node.chain import Chain
from node.errors import RefusedError
from node.evidence.book import EvidenceBook
from node.intake import Intake
from node.leadership import Handed
from node.ledger.registry import Registry
from node.ledger.types import BUILT_IN
from node.mempool import Mempool, PoolTx
from node.ops.app import make_ops
from node.ops.diskguard import DiskGuard, Line, Lines
from node.ops.metrics import Metrics
from node.pending import PendingLog
from node.preflight import Preflight
from node.rpc.app import make_rpc
from node.services import Services, Vault
from node.sync import Heard, SyncStatus
from node.threads import Readers, Threads
from node.tracker import Tracker
from p2p.model import PeerInfo
from storage.chain import CommittedBlock
from storage.journal import MempoolJournal
from storage.kv import KV
from storage.memory import MemoryKV
from tests.support.ledger import founding, some_key

BLOCK_MS = 1_000
ROOT = some_key("founder 0 root")
VALIDATOR = some_key("founder 0 validator")
NODE = some_key("founder 0 node")
MSGPACK = {"Content-Type": "application/msgpack"}
GIB = 1024**3


@dataclass(slots=True)
class FakeDisk:
    """What statvfs says: ten gibibytes, all free until a test fills them."""

    f_frsize: int = 1024
    f_blocks: int = 10 * 1024**2
    f_bavail: int = 10 * 1024**2
    f_files: int = 1_000_000
    f_favail: int = 1_000_000


@dataclass(slots=True)
class World:
    """What the rest of a node would say. Tests change it."""

    disk: FakeDisk = field(default_factory=FakeDisk)
    sync: SyncStatus | None = None
    engine: EngineStatus | None = None
    peers: tuple[PeerInfo, ...] = ()
    halted: str | None = None
    vault: Vault | None = None
    admit: Callable[[bytes], bool] = lambda _org: True
    read_height: int | RefusedError = 0
    """What a linearizable read must have seen, or why nobody can say."""

    leads: bool = False
    transfers: list[bytes] = field(default_factory=list)
    transferred: Handed | RefusedError = field(default_factory=lambda: Handed(b"\x01", b"\x02"))
    """What comes of a transfer of the leadership."""

    links: tuple[bytes, ...] = ()
    """Node keys of the connected peers."""
    heights: dict[bytes, Heard] = field(default_factory=dict)
    """What they last said of their height."""

    def connected(self) -> tuple[bytes, ...]:
        """See node.preflight.Peers."""
        return self.links

    def heard(self, peer: bytes) -> Heard | None:
        """See node.preflight.Heights."""
        return self.heights.get(peer)

    def status(self) -> SyncStatus | None:
        """See node.preflight.Heights."""
        return self.sync

    async def transfer(self, to: bytes, _timeout_s: float) -> Handed:
        """See Leaders."""
        self.transfers.append(to)
        if isinstance(self.transferred, RefusedError):
            raise self.transferred
        return self.transferred


class WatchedTracker(Tracker):
    """A tracker that says when somebody begins to wait."""

    someone_waits: asyncio.Event

    @override
    def _admit_waiter(self) -> None:
        super()._admit_waiter()
        self.someone_waits.set()


class LocalNode:
    """One validator that certifies by itself. `services` is what the applications are made from."""

    def __init__(self, path: Path, kv: KV, genesis: Genesis, world: World) -> None:
        self.world = world
        self.genesis = genesis
        self.chain = Chain(kv, genesis, Registry(BUILT_IN), keep_versions=100)
        self.threads = Threads(verifiers=1)
        self.readers = Readers()
        self.evidence = EvidenceBook((), self.chain.chain_id, genesis.engine)
        self.pool = Mempool()
        self.journal = MempoolJournal(path / "mempool")
        self.metrics = Metrics(version="test")
        self.tracker = WatchedTracker(
            self.chain, self.pool, self.readers, committed=self.metrics.commit_latency
        )
        self.tracker.someone_waits = asyncio.Event()
        self.chain.on_commit(self.tracker.on_commit)
        self.work = asyncio.Event()
        self.voted: set[bytes] = set()
        self.preflight = Preflight(
            self.chain, world, world, node_key=NODE.public, halted=lambda: world.halted
        )
        self.intake = Intake(
            self.chain,
            self.pool,
            PendingLog(self.journal),
            self.threads,
            admitted=self._admitted,
            quota=self._quota,
            voted=self.voted.__contains__,
            preflight=self.preflight.refusal,
        )
        lines = Lines(Line(2 * GIB, 10), Line(GIB, 5), Line(GIB // 2, 2))
        self.log = structlog.testing.CapturingLogger()
        self.disk = DiskGuard(
            path,
            lines,
            check_seconds=10,
            log=structlog.wrap_logger(
                self.log, wrapper_class=structlog.make_filtering_bound_logger(0), processors=[]
            ),
            statvfs=lambda _path: world.disk,
        )
        self._nonce = 0

    @property
    def now_ms(self) -> int:
        """The clock of this node: a second after the last block."""
        return self.chain.tip.time_ms + BLOCK_MS

    def services(self) -> Services:
        """What app.py would build."""
        world = self.world
        return Services(
            chain=self.chain,
            pool=self.pool,
            intake=self.intake,
            tracker=self.tracker,
            readers=self.readers,
            metrics=self.metrics,
            disk=self.disk,
            vault=world.vault,
            evidence=self.evidence,
            allowed_hosts=("node.hospital.test",),
            node_key=NODE.public,
            validator_key=VALIDATOR.public,
            version="test",
            now_ms=lambda: self.now_ms,
            read_height=self._read_height,
            leadership=world,
            forecast=self.preflight.forecast,
            sync_status=lambda: world.sync,
            engine_status=lambda: world.engine,
            peers=lambda: world.peers,
            halted=lambda: world.halted,
        )

    async def _read_height(self, _timeout_s: float) -> int:
        height = self.world.read_height
        if isinstance(height, RefusedError):
            raise height
        return height

    def operation(self, name: str, body: Wire) -> Operation:
        """An operation of version 1."""
        return Operation(name, 1, encode(body))

    def transaction(
        self, *operations: Operation, by: Sequence[SigningKey] = (ROOT,), valid_for: int = 50
    ) -> Transaction:
        """A signed transaction with a fresh nonce."""
        self._nonce += 1
        body = build(
            chain_id=self.chain.chain_id,
            nonce=self._nonce.to_bytes(16, "big"),
            valid_until=self.chain.tip.height + valid_for,
            operations=operations,
            signers=[key.public for key in by],
        )
        return sign(body, by)

    async def admit(self, *transactions: Transaction) -> None:
        """Submit, and insist that all were admitted."""
        answers = await self.intake.submit([tx.raw for tx in transactions], local=True)
        assert [answer.refusal for answer in answers] == [None] * len(answers)

    async def accept(self, *operations: Operation, by: Sequence[SigningKey] = (ROOT,)) -> None:
        """One transaction, committed at once, which must succeed."""
        tx = self.transaction(*operations, by=by)
        await self.admit(tx)
        block = await self.commit()
        outcome = block.outcomes[block.tx_ids.index(tx.id)]
        assert outcome.code == "ok", f"operation {outcome.operation}: {outcome.code}"

    async def commit(self, *others: Transaction, after_ms: int = BLOCK_MS) -> CommittedBlock:
        """One block of what is in the pool, which may be nothing, and of what others bring in."""
        tip = self.chain.tip
        transactions = [
            *self.pool.candidates(txs_max=1_000, bytes_max=10**7, operations_max=10_000),
            *others,
        ]
        header = Header(
            1,
            self.chain.chain_id,
            tip.height + 1,
            tip.time_ms + after_ms,
            VALIDATOR.public,
            tip.block_hash,
            tip.result_hash,
            tip.validators.hash(),
            merkle.root([tx.id for tx in transactions]),
            len(transactions),
        )
        executed = await self.threads.ledger.run(self.chain.execute, header, transactions)
        payload = (header.hash(), executed.result.hash())
        message = vote_bytes(VoteTag.COMMIT, self.chain.chain_id, header.height, 0, payload)
        certificate = make_certificate(
            engine="pbft",
            height=header.height,
            round_=0,
            block_hash=payload[0],
            result_hash=payload[1],
            votes={0: VALIDATOR.sign(message)},
            n=1,
        )
        committed = await self.threads.writer.run(self.chain.write, executed, certificate)
        self.pool.remove(committed.tx_ids)
        self.pool.expire(header.height)
        self.chain.advance(executed, committed)
        return committed

    @asynccontextmanager
    async def proposing(self) -> AsyncIterator[None]:
        """Commit a block whenever something was admitted."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._propose())
            try:
                yield
            finally:
                task.cancel()

    @asynccontextmanager
    async def api(self) -> AsyncIterator[ClientSession]:
        """A client of the API, served on a free port."""
        log = structlog.wrap_logger(
            self.log, wrapper_class=structlog.make_filtering_bound_logger(0), processors=[]
        )
        async with served(make_rpc(self.services(), log)) as client:
            yield client

    @asynccontextmanager
    async def ops(self) -> AsyncIterator[ClientSession]:
        """A client of the operators' port."""
        async with served(make_ops(self.services())) as client:
            yield client

    def close(self) -> None:
        """Let go of threads and files."""
        self.threads.close()
        self.readers.close()
        self.journal.close()

    def _quota(self, org: bytes) -> bool:
        return self.world.admit(org)

    def _admitted(self, _transactions: Sequence[PoolTx]) -> None:
        self.work.set()

    async def _propose(self) -> None:
        while True:
            await self.work.wait()
            self.work.clear()
            await self.commit()


@asynccontextmanager
async def local_node(
    path: Path, *, kv: KV | None = None, world: World | None = None
) -> AsyncIterator[LocalNode]:
    """A running node in memory, or over `kv`."""
    node = LocalNode(path, kv or MemoryKV(), founding(validators=1), world or World())
    async with AsyncExitStack() as stack:
        stack.callback(node.close)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        intake = group.create_task(node.intake.run())
        stack.callback(intake.cancel)
        yield node


@asynccontextmanager
async def served(
    app: web.Application, *, send_buffer: int | None = None
) -> AsyncIterator[ClientSession]:
    """A client of `app`, which listens on a free port of the loopback interface. With a small
    `send_buffer` the kernel takes little on behalf of a client that does not read.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        listener = socket.create_server(("127.0.0.1", 0))
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        await web.SockSite(runner, listener).start()
        host, port = runner.addresses[0][:2]
        async with ClientSession(f"http://{host}:{port}") as client:
            yield client
    finally:
        await runner.cleanup()

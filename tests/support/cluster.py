"""Whole nodes in one process: real sockets, real LevelDB, real threads, no HTTP.

async with running_cluster(tmp_path, 4) as cluster:
    tx = cluster.transaction()
    await cluster.submit(0, tx)
    await cluster.committed(tx, nodes=[0, 1, 2, 3])
    await cluster.stop(3)
    await cluster.start(3)
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from medquorum.block import Validator
from medquorum.codec import Wire, encode
from medquorum.genesis import Genesis, GenesisOrg
from medquorum.keys import SigningKey, derive_seed, possession_bytes
from medquorum.quorum import EngineName
from medquorum.transaction import Operation, Transaction, build, sign
from node.app import Node, NodeKeys
from node.config.schema import P2P, Config, Consensus, Disk, Snapshots, Sync
from node.consensus_loop import run_consensus
from node.errors import ChainReplaced, StopNode
from node.home import Home
from node.intake import Admission
from node.ledger.decisions import APPROVE, Draft, proposal_id
from node.ledger.proposals import Content, ProposalKind
from node.ledger.registry import Registry
from node.ledger.types import BUILT_IN
from node.ledger.types.governance.bodies import CastVote, Execute, Override, Propose
from node.ledger.types.identity.bodies import KemSet
from node.logs import configure
from node.ops.metrics import Metrics
from node.run import catch_up, follow_recovery, remember_recent, take_back_pending
from node.stores import open_stores
from storage.signstate import SignState
from tests.support.ports import free_ports

WAIT_S = 30.0
"""A deadline, not a delay: what is waited for normally comes within milliseconds."""


def key_of(name: str) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey(derive_seed(b"cluster", name))


def make_genesis(count: int, engine: EngineName = "pbft") -> Genesis:
    """A chain of `count` hospitals, each with one validator."""
    orgs = [derive_seed(b"org", str(i)) for i in range(count)]
    return Genesis(
        1,
        "devnet-cluster",
        1_700_000_000_000,
        engine,
        (),
        tuple(
            GenesisOrg(org, "hospital", bytes(32), "xx", key_of(f"org{i}").public, "")
            for i, org in enumerate(orgs)
        ),
        tuple(
            Validator(key_of(f"vote{i}").public, key_of(f"node{i}").public, org)
            for i, org in enumerate(orgs)
        ),
    )


def make_transaction(
    chain_id: bytes, key: SigningKey, nonce: int, *, valid_until: int
) -> Transaction:
    """A transaction with one small operation, about an actor that does not exist."""
    body = build(
        chain_id=chain_id,
        nonce=nonce.to_bytes(16, "big"),
        valid_until=valid_until,
        operations=[Operation("id.kem.set", 1, encode(KemSet(bytes(32), b"")))],
        signers=[key.public],
    )
    return sign(body, [key])


class Running:
    """One node and the task that runs it."""

    def __init__(self, node: Node, group: asyncio.TaskGroup) -> None:
        self.node = node
        self.bound = asyncio.Event()
        self._stop = asyncio.Event()
        self.stopped = False
        self.replaced = asyncio.Event()
        """A chain that begins with a snapshot is ready: the node has stopped to start with it."""
        self._task = group.create_task(self._run())

    async def _run(self) -> None:
        node = self.node
        try:
            async with asyncio.TaskGroup() as group:
                node.spawn.open(group)
                group.create_task(node.transport.run(self.bound))
                group.create_task(node.intake.run())
                group.create_task(catch_up(node))
                group.create_task(node.sync.announce())
                await remember_recent(node)
                await take_back_pending(node)
                await follow_recovery(node)
                group.create_task(
                    run_consensus(
                        node.driver,
                        node.inbox,
                        node.threads.writer,
                        durable=node.metrics.fsync,
                        stepped=node.leadership.changed,
                    )
                )
                node.work.announce_work()
                await self._stop.wait()
                node.timers.cancel_all()
                raise StopNode
        except* StopNode:
            self.stopped = True
        except* ChainReplaced:
            self.replaced.set()
        finally:
            node.threads.close()
            node.stores.close()

    async def stop(self) -> None:
        """Stop and close everything; raises what the node failed with."""
        self._stop.set()
        await self._task


class Cluster:
    """Nodes 0 to n - 1, some of which run, and `later` more that the genesis does not name. A
    stopped one keeps its home. `peers` says whom each is configured to connect to: the other
    founders, until a test changes it.
    """

    def __init__(
        self,
        root: Path,
        count: int,
        group: asyncio.TaskGroup,
        engine: EngineName = "pbft",
        later: int = 0,
    ) -> None:
        self._group = group
        self.root = root
        self.count = count
        self.genesis = make_genesis(count, engine)
        self.ports = free_ports(count + later)
        self.peers = {
            index: [other for other in range(count) if other != index]
            for index in range(count + later)
        }
        self.snapshots = Snapshots(interval_heights=0)
        self.sync = Sync(mode="blocks")
        self.running: dict[int, Running] = {}
        self._nonce = 0

    def home(self, index: int) -> Home:
        """Where the node keeps its things."""
        return Home(self.root / f"node{index}")

    def node(self, index: int) -> Node:
        """A running node."""
        return self.running[index].node

    async def start(self, *indexes: int) -> None:
        """Start nodes that do not run."""
        for index in indexes:
            running = Running(self._make(index), self._group)
            self.running[index] = running
            await running.bound.wait()

    async def stop(self, *indexes: int) -> None:
        """Stop nodes in order."""
        for index in indexes:
            await self.running.pop(index).stop()

    def transaction(self, org: int = 0, *, valid_until: int = 1_000) -> Transaction:
        """A new transaction of an organisation. Its outcome is E_NOTFOUND, which is one too."""
        self._nonce += 1
        return make_transaction(
            self.genesis.chain_id(), key_of(f"org{org}"), self._nonce, valid_until=valid_until
        )

    def decision(
        self, kind: ProposalKind, content: Content, *, override: str = "", valid_until: int = 1_000
    ) -> Transaction:
        """All founders propose, approve and carry out together. With `override`, the first one
        answers for it with this reason.
        """
        self._nonce += 1
        draft = Draft(str(kind), encode(content), self._nonce.to_bytes(16, "big"))
        orgs = [founder.org for founder in self.genesis.organisations]
        answers = [("gov.override", Override(orgs[0], proposal_id(draft), override))]
        operations: list[tuple[str, Wire]] = [
            ("gov.propose", Propose(orgs[0], draft)),
            *(("gov.vote", CastVote(org, proposal_id(draft), APPROVE)) for org in orgs),
            *(answers if override else ()),
            ("gov.execute", Execute(proposal_id(draft))),
        ]
        keys = [key_of(f"org{index}") for index in range(self.count)]
        body = build(
            chain_id=self.genesis.chain_id(),
            nonce=self._nonce.to_bytes(16, "big"),
            valid_until=valid_until,
            operations=[Operation(name, 1, encode(body)) for name, body in operations],
            signers=[key.public for key in keys],
        )
        return sign(body, keys)

    def possession(self, index: int, org: bytes) -> bytes:
        """The proof that `org` holds the vote key of a node."""
        key = key_of(f"vote{index}")
        return key.sign(possession_bytes(self.genesis.chain_id(), org, key.public))

    async def submit(self, index: int, *transactions: Transaction) -> list[Admission]:
        """Submit through a node, as its client."""
        return await self.node(index).intake.submit([tx.raw for tx in transactions], local=True)

    async def committed(
        self, transactions: Sequence[Transaction], nodes: Iterable[int] | None = None
    ) -> None:
        """Wait until all these nodes (or all that run) have committed all transactions."""
        for index in self.running if nodes is None else nodes:
            for tx in transactions:
                status = await self.node(index).tracker.wait(tx.id, WAIT_S)
                assert status.executed, f"node {index}: {status}"

    def roots(self, height: int) -> set[bytes]:
        """The state roots that the running nodes have certified at a height: one, or a fork."""
        results = [r.node.chain.blocks.result(height) for r in self.running.values()]
        return {result.state_root for result in results if result is not None}

    def _make(self, index: int) -> Node:
        home = self.home(index)
        keys = NodeKeys(key_of(f"node{index}"), key_of(f"vote{index}"), None, None)
        assert keys.validator is not None
        if not SignState.exists(home.sign_state):
            SignState.create(home.sign_state, self.genesis.chain_id(), keys.validator.public)
        peers = tuple(
            f"{key_of(f'node{other}').public.hex()}@127.0.0.1:{self.ports[other]}"
            for other in self.peers[index]
        )
        config = Config(
            p2p=P2P(port=self.ports[index], peers=peers),
            consensus=Consensus(round_ms=2_000),
            snapshots=self.snapshots,
            sync=self.sync,
            disk=Disk(refuse_bytes=0, refuse_percent=0),  # on whatever machine this runs
        )
        stores = open_stores(home, config, self.genesis, Registry(BUILT_IN), keys.validator.public)
        return Node(
            home=home,
            config=config,
            keys=keys,
            stores=stores,
            metrics=Metrics(version="test"),
            log=configure("warning", "plain", f"node{index}", io.StringIO()),
            software="test",
            now_ms=lambda: time.time_ns() // 1_000_000,
        )


@asynccontextmanager
async def running_cluster(
    root: Path,
    count: int,
    *,
    start: Sequence[int] | None = None,
    engine: EngineName = "pbft",
    later: int = 0,
) -> AsyncIterator[Cluster]:
    """A cluster whose founders all run (or those of `start`), and are all stopped at the end."""
    async with asyncio.TaskGroup() as group:
        cluster = Cluster(root, count, group, engine, later)
        try:
            await cluster.start(*(range(count) if start is None else start))
            yield cluster
        finally:
            await cluster.stop(*list(cluster.running))

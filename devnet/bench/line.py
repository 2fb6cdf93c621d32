"""One validator's production code, driven block by block: gossip in, built, checked, executed,
committed. Its votes and those of the others are made up, so that nothing but this work is measured.

The parts are those of a daemon, composed by node/app.py; only the transport does not run. Each kind
of work has a thread of its own there, so the clocks of the threads tell what each kind costs.
"""

from __future__ import annotations

import asyncio
import gc
import io
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from secrets import token_bytes
from typing import Final, ParamSpec, TypeVar

from consensus.engine import (
    BlockBuilt,
    Build,
    Decided,
    Event,
    Execute,
    Executed,
    HeightStarted,
    Validate,
    Validated,
)
from devnet.bench.clocks import Reading, read_clocks
from devnet.economy import BALANCE, Till
from devnet.errors import StateError
from devnet.layout import NetworkDir
from devnet.manifest import Manifest
from devnet.network import Network
from devnet.people import enrolment
from devnet.signing import Kind, Recipe, Signed
from devnet.wards import REGISTRAR, registrations
from medquorum import merkle
from medquorum.block import Header, Result
from medquorum.certificate import CommitCertificate, VoteTag, make_certificate, vote_bytes
from medquorum.codec import Wire, encode
from medquorum.keys import SigningKey
from medquorum.quorum import quorum
from medquorum.transaction import Operation, build, sign
from node.app import Node, NodeKeys
from node.chain import ExecutedBlock
from node.config.load import load
from node.heap import settle_heap
from node.ledger.executor import Execution
from node.ledger.roles import Role
from node.ledger.types.payments.bodies import AccountKind
from node.ledger.types.payments.rows import ACCOUNTS, Account
from node.ledger.types.payments.rows import NAMESPACE as PAYMENTS
from node.logs import configure
from node.modules import installed_registry
from node.network import batches
from node.ops.metrics import Metrics
from node.run import remember_recent
from node.stores import open_stores
from node.version import VERSION
from node.wire import TxBatch
from storage.kv import KV
from storage.state import StateStore, StateUpdate

POUR_KEYS: Final = 50_000
"""Accounts that are poured into the state in one block."""
PRUNE_ENTRIES: Final = 5_000
PATIENCE_S: Final = 120.0
"""For one answer about the largest block on the slowest machine."""

E = TypeVar("E", bound=Event)
P = ParamSpec("P")


def _timed(prepare: Callable[P, StateUpdate]) -> Callable[P, StateUpdate]:
    """`StateStore.prepare`, whatever it takes besides the changes."""

    def timed(*args: P.args, **kwargs: P.kwargs) -> StateUpdate:
        began = time.thread_time_ns()
        update = prepare(*args, **kwargs)
        spent = time.thread_time_ns() - began
        state, changes = args[0], args[2]
        if isinstance(state, TimedState) and isinstance(changes, Mapping):
            state.prepare_ns += spent
            state.changed_keys += sum(map(len, changes.values()))
        return update

    return timed


class TimedState(StateStore):
    """The state store; it also says how long it prepared updates, and of how many keys."""

    __slots__ = ("changed_keys", "prepare_ns")

    def __init__(self, kv: KV, *, keep_versions: int) -> None:
        super().__init__(kv, keep_versions=keep_versions)
        self.prepare_ns = 0
        self.changed_keys = 0

    prepare = _timed(StateStore.prepare)


class Line:
    """A node without links. `open_line` makes one."""

    def __init__(self, network: Network, node: Node, accounts: int) -> None:
        self.network = network
        self.node = node
        self.accounts = accounts
        self.state = TimedState(node.stores.kv, keep_versions=node.config.storage.keep_versions)
        node.chain.state = self.state
        self._voters = [network.keys.validator(node.index) for node in network.validators]

    async def clocks(self) -> Reading:
        """What each kind of work has cost so far."""
        return await read_clocks(self.node.threads, self.state.prepare_ns)

    def recipe(self, kind: Kind, operations: int) -> Recipe:
        """Transactions of one kind for this chain."""
        tills = tills_of(self.network)
        return Recipe(
            self.network.manifest.name,
            self.node.chain.chain_id,
            tuple((till.org, till.clerk) for till in tills),
            max(2, self.accounts // len(tills)),
            ((kind, 1),),
            operations,
        )

    async def arrive(self, transactions: Sequence[Signed]) -> None:
        """They come from a peer, in batches of gossip."""
        peer = self.network.keys.node(len(self._voters)).public
        for batch in batches([tx.raw for tx in transactions]):
            await self.node.on_tx_batch(peer, encode(TxBatch(batch)))
        missing = sum(tx.tx_id not in self.node.pool for tx in transactions)
        if missing:
            raise StateError(f"{missing} of {len(transactions)} transactions were not admitted")

    async def build(self) -> BlockBuilt:
        """A block of what the pool has."""
        tip = self.node.chain.tip
        self.node.work.build(
            Build(
                tip.height + 1,
                0,
                tip.validators.validators[tip.height % len(tip.validators.validators)].key,
                tip.block_hash,
                tip.result_hash,
                tip.validators.hash(),
                tip.time_ms + 1,
            )
        )
        return await self._answer(BlockBuilt)

    async def validate(self, block: BlockBuilt) -> None:
        """Check it as a vote demands."""
        self.node.work.validate(Validate(block.header, block.body, (), certified=False))
        reason = (await self._answer(Validated)).reason
        if reason:
            raise StateError(f"the block is refused: {reason}")

    async def execute(self, block: BlockBuilt) -> Result:
        """Execute it."""
        self.node.work.execute(Execute(block.header, block.body))
        return (await self._answer(Executed)).result

    def certify(self, block: BlockBuilt, result: Result) -> CommitCertificate:
        """As many votes as a quorum has."""
        return self._certificate(block.header, result)

    async def commit(
        self, block: BlockBuilt, result: Result, certificate: CommitCertificate
    ) -> None:
        """Make it durable, and all that follows from it."""
        self.node.work.commit(Decided(block.header, block.body, result, certificate))
        await self._answer(HeightStarted)
        # What follows after the next height was announced belongs to this one.
        async with self.node.work.lock:
            pass

    async def prune(self) -> None:
        """Give up old versions of the state, as a node does now and then."""
        while await self.node.threads.writer.run(self.state.prune, PRUNE_ENTRIES):
            pass

    async def decide(self, operations: Iterable[tuple[str, Wire]], keys: list[SigningKey]) -> None:
        """Commit one transaction. Raises StateError if it is rejected."""
        body = build(
            chain_id=self.node.chain.chain_id,
            nonce=token_bytes(16),
            valid_until=self.node.chain.tip.height + 10,
            operations=[Operation(name, 1, encode(body)) for name, body in operations],
            signers=[key.public for key in keys],
        )
        tx = sign(body, keys)
        await self.arrive([Signed(tx.id, tx.raw, 0)])
        block = await self.build()
        await self.validate(block)
        result = await self.execute(block)
        await self.commit(block, result, self.certify(block, result))
        self.require_committed(block, 1)

    def require_committed(self, block: BlockBuilt, count: int) -> None:
        """Raise StateError unless the block is the last one, has so many transactions, and all of
        them succeeded: what is rejected costs less.
        """
        blocks = self.node.chain.blocks
        if self.node.chain.tip.block_hash != block.header.hash():
            raise StateError("the block was not committed")
        if block.header.tx_count != count:
            raise StateError(f"the block has {block.header.tx_count} of {count} transactions")
        refused = {one.code for one in blocks.outcomes(blocks.tip()) if one.code != "ok"}
        if refused:
            raise StateError(f"transactions were rejected: {', '.join(sorted(refused))}")

    def pour(self, changes: Mapping[bytes, bytes]) -> None:
        """Commit an empty block that changes values all the same, as if it had a meaning."""
        chain = self.node.chain
        tip = chain.tip
        header = Header(
            version=1,
            chain_id=chain.chain_id,
            height=tip.height + 1,
            time_ms=tip.time_ms + 1,
            proposer=tip.validators.validators[0].key,
            parent=tip.block_hash,
            parent_result=tip.result_hash,
            validators_hash=tip.validators.hash(),
            txs_root=merkle.EMPTY_ROOT,
            tx_count=0,
        )
        made: dict[str, dict[bytes, bytes | None]] = {PAYMENTS: dict(changes)} if changes else {}
        update = self.state.prepare(header.height, made)
        execution = Execution(
            changes=made,
            replaced={},
            outcomes=(),
            receipts_root=merkle.EMPTY_ROOT,
            events=(),
            events_root=merkle.EMPTY_ROOT,
            next_validators=tip.validators,
        )
        result = Result(update.root, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, tip.validators.hash())
        block = ExecutedBlock(header, (), execution, update, result, recovery=None)
        chain.advance(block, chain.write(block, self._certificate(header, result)))
        self.node.work.durable = header.height

    def _certificate(self, header: Header, result: Result) -> CommitCertificate:
        payload = (header.hash(), result.hash())
        message = vote_bytes(VoteTag.COMMIT, self.node.chain.chain_id, header.height, 0, payload)
        n = len(self._voters)
        needed = quorum(self.network.engine, n)
        return make_certificate(
            engine=self.network.engine,
            height=header.height,
            round_=0,
            block_hash=payload[0],
            result_hash=payload[1],
            votes={at: key.sign(message) for at, key in enumerate(self._voters[:needed])},
            n=n,
        )

    async def _answer(self, kind: type[E]) -> E:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    for event in await self.node.inbox.drain():
                        if isinstance(event, kind):
                            return event
        except TimeoutError:
            raise StateError(f"the node gave no {kind.__name__}") from None

    async def found(self, keys: int) -> None:
        """Enrol everybody and make so many accounts with money on them."""
        network = self.network
        for org in network.manifest.organisations:
            for actor in org.actors:
                await self.decide(enrolment(network, org, actor), [network.keys.org(org.name)])
        for hospital in network.manifest.hospitals:
            registrar = network.keys.actor(hospital.name, REGISTRAR)
            await self.decide(registrations(network.keys, hospital.name), [registrar])
        tills = tills_of(network)
        numbers = range(-(-keys // len(tills)))
        rows = (
            (ACCOUNTS.key(till.account(number)), _funded(till)) for number in numbers
            for till in tills
        )  # fmt: skip
        self._pour_all(rows)

    def _pour_all(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        chunk: dict[bytes, bytes] = {}
        for key, row in rows:
            chunk[key] = row
            if len(chunk) == POUR_KEYS:
                self.pour(chunk)
                chunk = {}
        self.pour(chunk)


def tills_of(network: Network) -> list[Till]:
    """Those who move money."""
    return [
        Till(network.keys, org.name, next(a.name for a in org.actors if Role.BILLING in a.roles))
        for org in network.manifest.hospitals
    ]


def _funded(till: Till) -> bytes:
    org = till.keys.org_id(till.org)
    return encode(Account(AccountKind.HOSPITAL, org, (), (), BALANCE, 0, 0, 0, 0, 1, 0))


@contextmanager
def _settled() -> Iterator[None]:
    """Look for garbage as a daemon does, for the time of a measurement."""
    thresholds = gc.get_threshold()
    settle_heap()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


@asynccontextmanager
async def open_line(folder: Path, manifest: Manifest, *, keys: int) -> AsyncIterator[Line]:
    """A node in `folder` whose state has `keys` accounts. Its clock is the chain's."""
    network = Network.create(
        NetworkDir(folder / "line"), manifest, now_ms=time.time_ns() // 1_000_000
    )
    home = network.directory.node(0)
    config = load(home.config_file, {}, {"threads.verifiers": "1"}).config
    validator = network.keys.validator(0)
    registry = installed_registry()
    home.data.mkdir(parents=True, exist_ok=True)
    stores = open_stores(home, config, network.genesis, registry, validator.public)
    try:
        node = Node(
            home=home,
            config=config,
            keys=NodeKeys(network.keys.node(0), validator, None, None),
            stores=stores,
            metrics=Metrics(version=VERSION),
            log=configure("warning", "plain", "line", io.StringIO()),
            software=f"medquorum/{VERSION}",
            # Blocks are as large as the measurement says, not as this machine is quick.
            now_ms=lambda: stores.chain.tip.time_ms + 1,
        )
        try:
            async with asyncio.TaskGroup() as group:
                node.spawn.open(group)
                intake = group.create_task(node.intake.run())
                line = Line(network, node, keys)
                await remember_recent(node)
                await asyncio.sleep(0)
                await line.found(keys)
                with _settled():
                    yield line
                intake.cancel()
        finally:
            node.threads.close()
    finally:
        stores.close()

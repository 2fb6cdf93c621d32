"""Does what an engine asks about blocks: build, validate, execute, commit. Answers come back
through the inbox.

One block is executed or committed at a time, whoever asks: the engine, or the catch-up (sync.py),
which shares `lock`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from consensus.engine import (
    BODY_MISMATCH,
    BlockBuilt,
    Build,
    Decided,
    Execute,
    Executed,
    HeightStarted,
    Validate,
    Validated,
    WorkAvailable,
)
from medquorum import merkle
from medquorum.block import Header
from medquorum.certificate import CommitCertificate
from medquorum.codec import encode
from medquorum.transaction import Transaction
from node.bodies import Bodies, read_ids
from node.chain import Chain, ExecutedBlock
from node.inbox import Inbox
from node.ledger.blockcheck import check_block
from node.ledger.due import NAMESPACE as DUE_NAMESPACE
from node.ledger.due import next_due_ms
from node.ledger.limits import BLOCK_BYTES_MAX, BLOCK_OPERATIONS_MAX, BLOCK_TXS_MAX
from node.ledger.params import ROTA_CYCLES, TX_WINDOW, param
from node.limits import BLOCK_TIME_AHEAD_MS, EXECUTIONS_KEPT
from node.mempool import Mempool
from node.pace import Pace
from node.pending import PendingLog
from node.roster import Roster
from node.threads import Threads
from node.wire import BlockBody, decode_body
from storage.chain import CommittedBlock
from storage.errors import JournalFullError
from storage.wal import WriteAheadLog

V = TypeVar("V")


class BlockWork:
    """Lives on the event loop; the heavy parts run on the ledger and writer threads.

    `now_ms` is the wall clock, `step` measures a named step. `spawn` starts a task of the node's
    task group; a failure in it stops the node.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        pool: Mempool,
        bodies: Bodies,
        pending: PendingLog,
        roster: Roster,
        inbox: Inbox,
        threads: Threads,
        log: WriteAheadLog,
        log_bytes_max: int,
        halted: Callable[[], bool],
        block_interval_ms: int,
        now_ms: Callable[[], int],
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        step: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._bodies = bodies
        self._pending = pending
        self._roster = roster
        self._inbox = inbox
        self._threads = threads
        self._log = log
        self._log_bytes_max = log_bytes_max
        self._halted = halted
        self._block_interval_ms = block_interval_ms
        self._now_ms = now_ms
        self._spawn = spawn
        self._step = step
        self._valid: OrderedDict[bytes, tuple[Transaction, ...]] = OrderedDict()
        self._executed: OrderedDict[bytes, ExecutedBlock] = OrderedDict()
        self._validations: dict[bytes, asyncio.Task[None]] = {}
        self._begun: set[asyncio.Task[None]] = set()
        self.promised: set[bytes] = set()
        """What a vote of this height, or its write under way, has promised to be in the journal."""
        self._announced_height = 0
        self._pace = Pace(pool, now_ms)
        # Ids that are committed or have expired, and are still in the journal.
        self._final: list[bytes] = []
        self.durable = chain.tip.height
        """The height up to which blocks are durable: what peers and the engine are told."""
        self.lock = asyncio.Lock()

    def announce_work(self) -> None:
        """Tell the engine, once a height, that there is something to propose."""
        if self._announced_height == self._chain.tip.height + 1 or not self._has_work():
            return
        self._announced_height = self._chain.tip.height + 1
        self._pace.began()
        self._inbox.post(WorkAvailable())

    def build(self, request: Build) -> None:
        """Answer Build with a block of what the mempool offers."""
        self._begin(self._build(request))

    def validate(self, request: Validate) -> None:
        """Answer Validate once every transaction is here and the block is checked."""
        if self.durable < self._chain.tip.height:
            # Its height is over, as the engine will soon hear: a refusal would blame the proposer.
            return
        block_hash = request.header.hash()
        earlier = self._validations.get(block_hash)
        if earlier is not None:
            # The same header with another body, or other holders: the engine knows better now.
            earlier.cancel()
        self._validations[block_hash] = self._begin(self._validate(block_hash, request))

    def execute(self, request: Execute) -> None:
        """Answer Execute."""
        self._begin(self._execute(request))

    def commit(self, decided: Decided) -> None:
        """Make a decision durable and start the next height."""
        self._begin(self._commit(decided))

    def height_started(self) -> HeightStarted:
        """The event that lets the engine begin after the tip."""
        tip = self._chain.tip
        return HeightStarted(
            height=tip.height + 1,
            validators=tip.validators,
            parent_hash=tip.block_hash,
            parent_result_hash=tip.result_hash,
            parent_time_ms=tip.time_ms,
            parent_round=tip.round,
            parent_proposer=tip.proposer,
            recent_proposers=self._chain.recent_proposers(),
            rota_cycles=param(self._chain.view(), ROTA_CYCLES),
        )

    async def apply(
        self, block: ExecutedBlock, certificate: CommitCertificate, *, more: bool = False
    ) -> None:
        """Commit an executed block, then everything that follows from a new tip.

        With `more`, others follow at once: the block need not be durable yet, and until `settle`
        has made it so, or a block without `more` has, the engine begins no height and nothing that
        a restart would need is forgotten (docs/spec/recovery.md, V8). The caller holds `lock`.
        """
        compact = not more and self._may_compact()
        write = self._threads.writer.run
        with self._step("commit"):
            committed = await write(self._write, block, certificate, more, compact)
        self._pace.committed(committed)
        self._pool.remove(committed.tx_ids)
        self._final.extend(self._pool.expire(committed.header.height))
        self._bodies.forget(committed.tx_ids)
        self._chain.advance(block, committed)
        self._valid.clear()
        self._executed.clear()
        self._validations.clear()
        for task in self._begun - {asyncio.current_task()}:
            # They ask about a height that is over, and may wait for what nobody has.
            task.cancel()
        if not more:
            await self._begin_next()

    async def settle(self) -> None:
        """Make durable what `apply` has not, and begin the next height. The caller holds `lock`."""
        if self.durable == self._chain.tip.height:
            return
        await self._threads.writer.run(self._chain.sync)
        await self._threads.writer.run(self._forget, self._may_compact())
        await self._begin_next()

    def _may_compact(self) -> bool:
        return self._log.size_bytes > self._log_bytes_max and not self._halted()

    async def _begin_next(self) -> None:
        """The tip is durable."""
        self.durable = self._chain.tip.height
        self._announced_height = 0  # what was announced meanwhile was of an earlier height
        self._inbox.post(self.height_started())
        self.announce_work()
        await self._forget_promises()

    async def _forget_promises(self) -> None:
        """What was kept for blocks that were not decided need not survive, unless it is pending.

        Nothing may come between the look at the pool and the writer's queue: who admits one of them
        again writes it again, behind this.
        """
        abandoned = [tx_id for tx_id in self.promised if tx_id not in self._pool]
        self.promised.clear()
        if abandoned:
            await self._threads.writer.run(self._pending.release, abandoned)

    def _begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Start a task of the height that is under way; it ends with the height."""
        task = self._spawn(work)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return task

    def _write(
        self, block: ExecutedBlock, certificate: CommitCertificate, more: bool, compact: bool
    ) -> CommittedBlock:
        """On the writer thread: the block, then forget what is durable elsewhere now."""
        committed = self._chain.write(block, certificate, sync=not more)
        self._final.extend(committed.tx_ids)
        if not more:
            self._forget(compact)
        return committed

    def _forget(self, compact: bool) -> None:
        """The engine has not begun the next height, so all that its log holds is about committed
        ones; but for the record that it has halted, which is why a halted node's log is not
        compacted.
        """
        self._pending.release(self._final)
        self._final = []
        if compact:
            self._log.replace(())

    def _has_work(self) -> bool:
        if self._pool.has_written or self._chain.recovery_transaction() is not None:
            return True
        due_ms = next_due_ms(self._chain.view().read(DUE_NAMESPACE))
        return due_ms is not None and due_ms <= self._now_ms()

    async def _build(self, request: Build) -> None:
        if request.height != self._chain.tip.height + 1:
            return
        # By the clock, but no longer than from the parent's time on: a clock that was set back must
        # not put the chain to sleep until it is where it was.
        since_ms = max(self._now_ms(), self._chain.tip.time_ms)
        await asyncio.sleep(max(request.not_before_ms - since_ms, 0) / 1000)
        transactions = self._offered()
        tx_ids = tuple(tx.id for tx in transactions)
        header = Header(
            version=1,
            chain_id=self._chain.chain_id,
            height=request.height,
            time_ms=max(self._now_ms(), request.not_before_ms),
            proposer=request.proposer,
            parent=request.parent_hash,
            parent_result=request.parent_result_hash,
            validators_hash=request.validators_hash,
            txs_root=merkle.root(tx_ids),
            tx_count=len(tx_ids),
        )
        body = encode(BlockBody(tx_ids))
        self._inbox.post(BlockBuilt(request.height, request.round, header, body))

    def _offered(self) -> Sequence[Transaction]:
        """What a new block should hold; after a disaster, who votes on it, and nothing else."""
        recovery = self._chain.recovery_transaction()
        if recovery is not None:
            return (recovery,)
        return self._pool.candidates(
            txs_max=self._pace.block_txs(),
            bytes_max=BLOCK_BYTES_MAX,
            operations_max=BLOCK_OPERATIONS_MAX,
            valid_until_max=self._chain.tip.height + param(self._chain.view(), TX_WINDOW),
        )

    async def _validate(self, block_hash: bytes, request: Validate) -> None:
        with self._step("validate"):
            reason = await self._check(block_hash, request)
        self._inbox.post(Validated(block_hash, reason))

    async def _check(self, block_hash: bytes, request: Validate) -> str:
        tx_ids = await read_ids(self._threads.ledger, request.header, request.body)
        if tx_ids is None:
            return BODY_MISMATCH
        if block_hash in self._valid:
            return ""
        if len(tx_ids) > BLOCK_TXS_MAX:
            return "too_many_transactions"
        if not request.certified and request.header.time_ms > self._time_ms_max():
            return "time_ahead"
        holders = [
            node for key in request.holders if (node := self._roster.node_of(key)) is not None
        ]
        transactions = await self._bodies.gather(tx_ids, holders)
        reason = await self.refusal(request.header, tx_ids, transactions)
        if reason != "":
            return reason
        # A vote for this block promises that its transactions survive a crash of this node.
        self.promised.update(tx_ids)
        try:
            await self._threads.writer.run(self._pending.keep, transactions, sync=True)
        except JournalFullError:
            # A quorum has promised it for a certified block already, and for another one we do not.
            if not request.certified:
                return "journal_full"
        _remember(self._valid, block_hash, tuple(transactions))
        return ""

    def _time_ms_max(self) -> int:
        """The latest time that a proposed block may have.

        The earliest that it could have is never too late, or clocks that were set back would stop
        the chain until they are where they were.
        """
        earliest_ms = self._chain.tip.time_ms + max(1, self._block_interval_ms)
        return max(self._now_ms() + BLOCK_TIME_AHEAD_MS, earliest_ms)

    async def refusal(
        self, header: Header, tx_ids: Sequence[bytes], transactions: Sequence[Transaction]
    ) -> str:
        """Why the block must not follow the tip; empty if it may.

        On the ledger thread: a full block would hold up the event loop for a tenth of a second. If
        another block is committed meanwhile, the answer is about neither; the caller holds `lock`,
        or is cancelled by that commit.
        """
        return await self._threads.ledger.run(self._refusal, header, tx_ids, transactions)

    def _refusal(
        self, header: Header, tx_ids: Sequence[bytes], transactions: Sequence[Transaction]
    ) -> str:
        refused = check_block(
            header,
            self._chain.parent(),
            tx_ids,
            transactions,
            chain_id=self._chain.chain_id,
            view=self._chain.view(),
            registry=self._chain.registry,
            seen=self._chain.seen,
            formed=self._pool.__contains__,
        )
        return refused or ""

    async def follow(
        self, header: Header, tx_ids: Sequence[bytes], transactions: Sequence[Transaction]
    ) -> ExecutedBlock | str:
        """Execute a certified block on the tip, or say why it must not follow. `lock` is held."""

        def run() -> ExecutedBlock | str:
            refused = self._refusal(header, tx_ids, transactions)
            return refused or self._chain.execute(header, transactions)

        with self._step("execute"):
            return await self._threads.ledger.run(run)

    async def _execute(self, request: Execute) -> None:
        executed = await self._executed_block(request.header, request.body)
        if executed is not None:
            self._inbox.post(Executed(request.header.hash(), executed.result))

    async def _commit(self, decided: Decided) -> None:
        # Many rounds may have pushed the result out of the few that are kept: it is the same
        # function of the same block.
        executed = await self._executed_block(decided.header, decided.body)
        async with self.lock:
            if executed is not None and decided.header.height == self._chain.tip.height + 1:
                await self.apply(executed, decided.certificate)

    async def _executed_block(self, header: Header, body: bytes) -> ExecutedBlock | None:
        """The block on top of the tip; None if its height is over.

        The lock is not held while transactions are waited for: catching up needs it, and it may be
        the only way out if nobody has them any more.
        """
        block_hash = header.hash()
        known = self._executed.get(block_hash)
        if known is not None:
            return known
        transactions: Sequence[Transaction] | None = self._valid.get(block_hash)
        if transactions is None:
            transactions = await self._bodies.gather(decode_body(body).tx_ids, ())
        async with self.lock:
            if header.height != self._chain.tip.height + 1:
                return None
            with self._step("execute"):
                executed = await self._threads.ledger.run(self._chain.execute, header, transactions)
            _remember(self._executed, block_hash, executed)
            return executed


def _remember(kept: OrderedDict[bytes, V], key: bytes, value: V) -> None:
    kept[key] = value
    while len(kept) > EXECUTIONS_KEPT:
        kept.popitem(last=False)

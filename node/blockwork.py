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
from medquorum.errors import DecodeError
from medquorum.transaction import Transaction
from node.bodies import Bodies
from node.chain import Chain, ExecutedBlock
from node.inbox import Inbox
from node.ledger.blockcheck import Parent, check_block
from node.ledger.due import NAMESPACE as DUE_NAMESPACE
from node.ledger.due import next_due_ms
from node.ledger.limits import BLOCK_BYTES_MAX, BLOCK_OPERATIONS_MAX, BLOCK_TXS_MAX
from node.ledger.params import TX_WINDOW, param
from node.limits import BLOCK_TIME_AHEAD_MS, EXECUTIONS_KEPT
from node.mempool import Mempool
from node.pending import PendingLog
from node.roster import Roster
from node.threads import Threads
from node.wire import BlockBody, decode_body
from storage.chain import CommittedBlock
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
        self._now_ms = now_ms
        self._spawn = spawn
        self._step = step
        self._valid: OrderedDict[bytes, tuple[Transaction, ...]] = OrderedDict()
        self._executed: OrderedDict[bytes, ExecutedBlock] = OrderedDict()
        self._validations: dict[bytes, asyncio.Task[None]] = {}
        self._announced_height = 0
        self._expired: tuple[bytes, ...] = ()
        self.lock = asyncio.Lock()

    def announce_work(self) -> None:
        """Tell the engine, once a height, that there is something to propose."""
        if self._announced_height == self._chain.tip.height + 1 or not self._has_work():
            return
        self._announced_height = self._chain.tip.height + 1
        self._inbox.post(WorkAvailable())

    def build(self, request: Build) -> None:
        """Answer Build with a block of what the mempool offers."""
        self._spawn(self._build(request))

    def validate(self, request: Validate) -> None:
        """Answer Validate once every transaction is here and the block is checked."""
        block_hash = request.header.hash()
        earlier = self._validations.get(block_hash)
        if earlier is not None:
            # The same header with another body, or other holders: the engine knows better now.
            earlier.cancel()
        self._validations[block_hash] = self._spawn(self._validate(block_hash, request))

    def execute(self, request: Execute) -> None:
        """Answer Execute."""
        self._spawn(self._execute(request))

    def commit(self, decided: Decided) -> None:
        """Make a decision durable and start the next height."""
        self._spawn(self._commit(decided))

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
        )

    async def apply(self, block: ExecutedBlock, certificate: CommitCertificate) -> None:
        """Commit an executed block, then everything that follows from a new tip.

        The caller holds `lock`.
        """
        compact = self._log.size_bytes > self._log_bytes_max and not self._halted()
        with self._step("commit"):
            committed = await self._threads.writer.run(self._write, block, certificate, compact)
        self._pool.remove(committed.tx_ids)
        self._expired = tuple(self._pool.expire(committed.header.height))
        self._bodies.forget(committed.tx_ids)
        self._chain.advance(block, committed)
        self._valid.clear()
        self._executed.clear()
        for task in self._validations.values():
            task.cancel()
        self._validations.clear()
        self._inbox.post(self.height_started())
        self.announce_work()

    def _write(
        self, block: ExecutedBlock, certificate: CommitCertificate, compact: bool
    ) -> CommittedBlock:
        """On the writer thread: the block, then forget what is durable elsewhere now.

        The engine has not begun the next height, so all that its log holds is about committed ones;
        but for the record that it has halted, which is why a halted node's log is not compacted.
        """
        committed = self._chain.write(block, certificate)
        self._pending.release((*committed.tx_ids, *self._expired))
        if compact:
            self._log.replace(())
        return committed

    def _has_work(self) -> bool:
        if len(self._pool) > 0:
            return True
        due_ms = next_due_ms(self._chain.view().read(DUE_NAMESPACE))
        return due_ms is not None and due_ms <= self._now_ms()

    async def _build(self, request: Build) -> None:
        delay_ms = request.not_before_ms - self._now_ms()
        if delay_ms > 0:
            await asyncio.sleep(delay_ms / 1000)
        if request.height != self._chain.tip.height + 1:
            return
        transactions = self._pool.candidates(
            txs_max=BLOCK_TXS_MAX,
            bytes_max=BLOCK_BYTES_MAX,
            operations_max=BLOCK_OPERATIONS_MAX,
            valid_until_max=self._chain.tip.height + param(self._chain.view(), TX_WINDOW),
        )
        tx_ids = tuple(tx.id for tx in transactions)
        header = Header(
            version=1,
            chain_id=self._chain.chain_id,
            height=request.height,
            time_ms=max(self._now_ms(), self._chain.tip.time_ms + 1),
            proposer=request.proposer,
            parent=request.parent_hash,
            parent_result=request.parent_result_hash,
            validators_hash=request.validators_hash,
            txs_root=merkle.root(tx_ids),
            tx_count=len(tx_ids),
        )
        self._inbox.post(
            BlockBuilt(request.height, request.round, header, encode(BlockBody(tx_ids)))
        )

    async def _validate(self, block_hash: bytes, request: Validate) -> None:
        with self._step("validate"):
            reason = await self._check(block_hash, request)
        self._inbox.post(Validated(block_hash, reason))

    async def _check(self, block_hash: bytes, request: Validate) -> str:
        if block_hash in self._valid:
            return ""
        tx_ids = _listed(request.header, request.body)
        if tx_ids is None:
            return BODY_MISMATCH
        if len(tx_ids) > BLOCK_TXS_MAX:
            return "too_many_transactions"
        if not request.certified and request.header.time_ms > self._now_ms() + BLOCK_TIME_AHEAD_MS:
            return "time_ahead"
        holders = [
            node for key in request.holders if (node := self._roster.node_of(key)) is not None
        ]
        transactions = await self._bodies.gather(tx_ids, holders)
        reason = self._refusal(request.header, tx_ids, transactions)
        if reason != "":
            return reason
        # A vote for this block promises that its transactions survive a crash of this node.
        await self._threads.writer.run(self._pending.keep, transactions, sync=True)
        _remember(self._valid, block_hash, tuple(transactions))
        return ""

    def parent(self) -> Parent:
        """What the next block must follow."""
        tip = self._chain.tip
        return Parent(
            height=tip.height,
            block_hash=tip.block_hash,
            result_hash=tip.result_hash,
            time_ms=tip.time_ms,
            validators=tip.validators,
        )

    def _refusal(
        self, header: Header, tx_ids: Sequence[bytes], transactions: Sequence[Transaction]
    ) -> str:
        return (
            check_block(
                header,
                self.parent(),
                tx_ids,
                transactions,
                chain_id=self._chain.chain_id,
                view=self._chain.view(),
                registry=self._chain.registry,
                seen=self._chain.seen,
            )
            or ""
        )

    async def _execute(self, request: Execute) -> None:
        block_hash = request.header.hash()
        async with self.lock:
            if request.header.height != self._chain.tip.height + 1:
                return
            executed = self._executed.get(block_hash)
            if executed is None:
                transactions = self._valid.get(block_hash)
                if transactions is None:
                    transactions = tuple(
                        await self._bodies.gather(decode_body(request.body).tx_ids, ())
                    )
                with self._step("execute"):
                    executed = await self._threads.ledger.run(
                        self._chain.execute, request.header, transactions
                    )
                _remember(self._executed, block_hash, executed)
        self._inbox.post(Executed(block_hash, executed.result))

    async def _commit(self, decided: Decided) -> None:
        async with self.lock:
            if decided.header.height != self._chain.tip.height + 1:
                return
            executed = self._executed.get(decided.certificate.block_hash)
            if executed is None:
                # Many rounds pushed it out of the few results that are kept: it is the same
                # function of the same block.
                transactions = await self._bodies.gather(decode_body(decided.body).tx_ids, ())
                executed = await self._threads.ledger.run(
                    self._chain.execute, decided.header, transactions
                )
            await self.apply(executed, decided.certificate)


def _listed(header: Header, body: bytes) -> tuple[bytes, ...] | None:
    """The ids in a body if it is the one that the header was made with. Nothing is fetched for any
    other: a false body would have us look for transactions that do not exist.
    """
    try:
        tx_ids = decode_body(body).tx_ids
    except DecodeError:
        return None
    if len(tx_ids) != header.tx_count or merkle.root(tx_ids) != header.txs_root:
        return None
    return tx_ids


def _remember(kept: OrderedDict[bytes, V], key: bytes, value: V) -> None:
    kept[key] = value
    while len(kept) > EXECUTIONS_KEPT:
        kept.popitem(last=False)

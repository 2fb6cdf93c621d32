"""The way into the mempool, the same for clients and peers: cheap checks first, signatures in bulk,
then the pool and its journal.

What is admitted is durable before its submitter hears of it: the journal is synced once for all
that were admitted together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from medquorum.errors import DecodeError
from medquorum.transaction import Transaction
from node.chain import Chain
from node.errors import RefusedError
from node.ledger.admission import StateCheck, check_form
from node.ledger.errors import AdmissionError
from node.limits import INTAKE_CHUNK_TXS, INTAKE_TXS_MAX
from node.mempool import Mempool, PoolTx, Refusal
from node.pending import PendingLog
from node.threads import Threads
from node.verifier import signatures_hold
from storage.errors import DiskFullError, JournalFullError

ROOM_CODES: Final = frozenset({"mempool_full", "rate_limited", "disk_low"})


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a submitted transaction.

    `refusal` None: it is pending (or, with `duplicate`, was known before).
    """

    tx_id: bytes
    duplicate: bool = False
    refusal: RefusedError | None = None

    @property
    def pending(self) -> bool:
        """Whether it was just taken into the mempool."""
        return self.refusal is None and not self.duplicate

    @property
    def may_succeed_later(self) -> bool:
        """Whether it was refused for want of room or rate only, which says nothing about it."""
        return self.refusal is not None and self.refusal.code in ROOM_CODES


@dataclass(slots=True)
class _Item:
    raw: bytes
    local: bool
    metered: bool
    answer: asyncio.Future[Admission]


@dataclass(slots=True)
class _Checked:
    item: _Item
    tx: Transaction
    org: bytes


@dataclass(slots=True)
class _Answer:
    """What an item will be told, if the write that it waits for ends well."""

    item: _Item
    tx: Transaction
    admission: Admission


class Intake:
    """`submit` may be called by many; `run` works through what waits, in chunks."""

    def __init__(
        self,
        chain: Chain,
        pool: Mempool,
        pending: PendingLog,
        threads: Threads,
        *,
        admitted: Callable[[Sequence[PoolTx]], None],
        quota: Callable[[bytes], bool],
        preflight: Callable[[Transaction], RefusedError | None] = lambda _tx: None,
    ) -> None:
        """`preflight` may refuse what a client submits, for reasons that are no fact of the chain:
        what peers pass on is never asked about it, nor what was admitted before a restart.
        """
        self._chain = chain
        self._pool = pool
        self._pending = pending
        self._threads = threads
        self._admitted = admitted
        self._quota = quota
        self._preflight = preflight
        self._waiting: deque[_Item] = deque()
        self._work = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    async def submit(
        self, raws: Sequence[bytes], *, local: bool, recovered: bool = False
    ) -> list[Admission]:
        """Check and admit, in order. `local`: from a client of this node, which then offers them to
        its peers. `recovered`: they were admitted before a restart, so neither a quota nor the
        limit of what may wait applies.

        Raises RefusedError (not_ready) if too many wait already: nothing of `raws` was looked at
        then.
        """
        if len(self._waiting) + len(raws) > INTAKE_TXS_MAX and not recovered:
            raise RefusedError(
                "mempool_full", "too many transactions wait to be checked", retry_after_ms=1_000
            )
        loop = asyncio.get_running_loop()
        metered = local and not recovered
        items = [_Item(raw, local, metered, loop.create_future()) for raw in raws]
        self._waiting.extend(items)
        self._work.set()
        return [await item.answer for item in items]

    async def run(self) -> None:
        """Work until cancelled.

        Two of these keep the verifier threads busy while the journal of the last chunk is written.
        """
        while True:
            await self._work.wait()
            chunk = [
                self._waiting.popleft() for _ in range(min(len(self._waiting), INTAKE_CHUNK_TXS))
            ]
            if not self._waiting:
                self._work.clear()
            if not chunk:
                # All of them were woken, and another one was first.
                continue
            try:
                await self._process(chunk)
            finally:
                for item in chunk:
                    if not item.answer.done():
                        item.answer.cancel()

    async def _process(self, chunk: Sequence[_Item]) -> None:
        checked, answers = self._check(chunk)
        holding = await signatures_hold(self._threads.verifiers, [entry.tx for entry in checked])
        admitted: list[PoolTx] = []
        for entry, holds in zip(checked, holding, strict=True):
            pooled, admission = self._admit(entry, holds)
            if pooled is not None:
                admitted.append(pooled)
            answers.append(_Answer(entry.item, entry.tx, admission))
        promised = self._promised(answers)
        lost = await self._keep(promised, sync=any(answer.item.local for answer in answers))
        if lost is not None:
            self._pool.remove(pooled.tx.id for pooled in admitted)
        elif admitted:
            self._pool.mark_written(pooled.tx.id for pooled in admitted)
            # What was committed during the write is nobody's work any more.
            self._admitted([pooled for pooled in admitted if pooled.tx.id in self._pool])
        for answer in answers:
            _answer(answer.item, self._kept(answer, promised, lost))
        await self._forget_final(promised)

    def _promised(self, answers: Sequence[_Answer]) -> dict[bytes, Transaction]:
        """What an answer calls pending, and so must be on the disk before the answer goes out.

        For a client that includes what was in the pool before: it may have come by gossip, which
        nobody waits for, or from another client whose write is still under way.
        """
        promised: dict[bytes, Transaction] = {}
        for answer in answers:
            if answer.admission.pending or (answer.admission.duplicate and answer.item.local):
                # The pool's own copy: nobody has looked at the signatures of a duplicate.
                pooled = self._pool.get(answer.tx.id)
                if pooled is not None:
                    promised[pooled.id] = pooled
        return promised

    def _kept(
        self, answer: _Answer, promised: Mapping[bytes, Transaction], lost: RefusedError | None
    ) -> Admission:
        """The answer, now that the write has ended well or badly."""
        tx_id = answer.tx.id
        if answer.admission.refusal is not None or tx_id not in promised:
            return answer.admission
        if lost is None and not (tx_id in self._pool or self._final(answer.tx)):
            # It was in the pool for another submitter, whose write has failed meanwhile.
            lost = RefusedError("disk_low", "the disk is full")
        return answer.admission if lost is None else Admission(tx_id, refusal=lost)

    async def _forget_final(self, promised: Mapping[bytes, Transaction]) -> None:
        """A commit may overtake the write: its release found nothing then, so release again."""
        final = [tx.id for tx in promised.values() if tx.id not in self._pool and self._final(tx)]
        if final:
            await self._threads.writer.run(self._pending.release, final)

    def _final(self, tx: Transaction) -> bool:
        return tx.body.valid_until <= self._chain.tip.height or self._chain.seen(tx.id)

    async def _keep(
        self, promised: Mapping[bytes, Transaction], *, sync: bool
    ) -> RefusedError | None:
        """Write them down, durably if a client waits. On a full disk: the refusal for all."""
        if not promised:
            return None
        try:
            await self._threads.writer.run(self._pending.keep, [*promised.values()], sync=sync)
        except JournalFullError:
            return RefusedError("mempool_full", "the journal is full", retry_after_ms=1_000)
        except DiskFullError:
            return RefusedError("disk_low", "the disk is full")
        return None

    def _check(self, chunk: Sequence[_Item]) -> tuple[list[_Checked], list[_Answer]]:
        """Everything that costs no signature check: what passed, and clients' duplicates of what
        is pending. Items that end here are answered.
        """
        state = StateCheck(self._chain.view(), self._chain.tip.height + 1, self._chain.registry)
        checked: list[_Checked] = []
        repeated: list[_Answer] = []
        for item in chunk:
            tx_id = b""
            try:
                tx = Transaction.decode(item.raw)
                tx_id = tx.id
                if tx_id in self._pool and item.local:
                    repeated.append(_Answer(item, tx, Admission(tx_id, duplicate=True)))
                    continue
                if tx_id in self._pool or self._chain.known(tx):
                    _answer(item, Admission(tx_id, duplicate=True))
                    continue
                check_form(tx, self._chain.chain_id, self._chain.registry)
                standing = state.check(tx)
                refusal = self._preflight(tx) if item.metered else None
                if refusal is not None:
                    _answer(item, Admission(tx_id, refusal=refusal))
                    continue
                checked.append(_Checked(item, tx, standing.org))
            except (DecodeError, AdmissionError) as error:
                _answer(
                    item,
                    Admission(tx_id, refusal=RefusedError(error.code, str(error), tx_id=tx_id)),
                )
        return checked, repeated

    def _admit(self, entry: _Checked, holds: bool) -> tuple[PoolTx | None, Admission]:
        tx = entry.tx
        if not holds:
            return None, _refused(tx, "bad_signature", "a signature does not hold")
        if entry.item.metered and not self._quota(entry.org):
            return None, _refused(
                tx, "rate_limited", "the organisation's quota is used up", retry_after_ms=1_000
            )
        if tx.id in self._pool or self._chain.seen(tx.id):
            return None, Admission(tx.id, duplicate=True)
        traffic = self._chain.registry.traffic(tx)
        pooled = PoolTx(tx, entry.org, traffic, entry.item.local)
        match self._pool.add(pooled, written=False):
            case None:
                return pooled, Admission(tx.id)
            case Refusal.FULL:
                return None, _refused(
                    tx, Refusal.FULL.value, "the mempool is full", retry_after_ms=1_000
                )
            case Refusal.ORG_SHARE:
                detail = "the organisation holds its share of the mempool"
                return None, _refused(tx, Refusal.ORG_SHARE.value, detail, retry_after_ms=1_000)


def _refused(tx: Transaction, code: str, detail: str, *, retry_after_ms: int = 0) -> Admission:
    return Admission(
        tx.id, refusal=RefusedError(code, detail, retry_after_ms=retry_after_ms, tx_id=tx.id)
    )


def _answer(item: _Item, admission: Admission) -> None:
    if not item.answer.done():
        item.answer.set_result(admission)

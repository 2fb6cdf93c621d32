"""The way into the mempool, the same for clients and peers: cheap checks first, signatures in bulk,
then the pool and its journal.

What is admitted is durable before its submitter hears of it: the journal is synced once for all
that were admitted together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from medquorum.errors import DecodeError
from medquorum.transaction import Transaction
from node.chain import Chain
from node.errors import RefusedError
from node.ledger.admission import AdmissionError, check_form, check_state
from node.limits import INTAKE_CHUNK_TXS, INTAKE_TXS_MAX
from node.mempool import Mempool, PoolTx, Refusal
from node.pending import PendingLog
from node.threads import Threads
from node.verifier import signatures_hold
from storage.errors import DiskFullError, JournalFullError


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


@dataclass(slots=True)
class _Item:
    raw: bytes
    local: bool
    answer: asyncio.Future[Admission]


@dataclass(slots=True)
class _Checked:
    item: _Item
    tx: Transaction
    org: bytes


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
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._pending = pending
        self._threads = threads
        self._admitted = admitted
        self._quota = quota
        self._waiting: deque[_Item] = deque()
        self._work = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    async def submit(self, raws: Sequence[bytes], *, local: bool) -> list[Admission]:
        """Check and admit, in order. `local`: from a client of this node, which then offers them to
        its peers.

        Raises RefusedError (not_ready) if too many wait already: nothing of `raws` was looked at
        then.
        """
        if len(self._waiting) + len(raws) > INTAKE_TXS_MAX:
            raise RefusedError(
                "mempool_full", "too many transactions wait to be checked", retry_after_ms=1_000
            )
        loop = asyncio.get_running_loop()
        items = [_Item(raw, local, loop.create_future()) for raw in raws]
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
            try:
                await self._process(chunk)
            finally:
                for item in chunk:
                    if not item.answer.done():
                        item.answer.cancel()

    async def _process(self, chunk: Sequence[_Item]) -> None:
        checked = self._check(chunk)
        holding = await signatures_hold(self._threads.verifiers, [entry.tx for entry in checked])
        admitted: list[PoolTx] = []
        answers: list[tuple[_Item, Admission]] = []
        for entry, holds in zip(checked, holding, strict=True):
            pooled, admission = self._admit(entry, holds)
            if pooled is not None:
                admitted.append(pooled)
            answers.append((entry.item, admission))
        if admitted:
            lost = await self._keep(admitted)
            if lost is not None:
                self._pool.remove(entry.tx.id for entry in admitted)
                answers = [
                    (item, replace(lost, tx_id=admission.tx_id) if admission.pending else admission)
                    for item, admission in answers
                ]
            else:
                self._admitted(admitted)
        for item, admission in answers:
            _answer(item, admission)

    async def _keep(self, admitted: Sequence[PoolTx]) -> Admission | None:
        """Write them down, durably if a client waits.

        On a full disk: the refusal for all of them.
        """
        local = any(entry.local for entry in admitted)
        transactions = [entry.tx for entry in admitted]
        try:
            await self._threads.writer.run(self._pending.keep, transactions, sync=local)
        except JournalFullError:
            return Admission(b"", refusal=RefusedError("mempool_full", "the journal is full"))
        except DiskFullError:
            return Admission(b"", refusal=RefusedError("disk_low", "the disk is full"))
        return None

    def _check(self, chunk: Sequence[_Item]) -> list[_Checked]:
        """Everything that costs no signature check. Items that end here are answered."""
        view = self._chain.view()
        next_height = self._chain.tip.height + 1
        checked: list[_Checked] = []
        for item in chunk:
            tx_id = b""
            try:
                tx = Transaction.decode(item.raw)
                tx_id = tx.id
                if tx_id in self._pool or self._chain.known(tx):
                    _answer(item, Admission(tx_id, duplicate=True))
                    continue
                check_form(tx, self._chain.chain_id, self._chain.registry)
                standing = check_state(tx, view, next_height)
                checked.append(_Checked(item, tx, standing.org))
            except (DecodeError, AdmissionError) as error:
                _answer(
                    item,
                    Admission(tx_id, refusal=RefusedError(error.code, str(error), tx_id=tx_id)),
                )
        return checked

    def _admit(self, entry: _Checked, holds: bool) -> tuple[PoolTx | None, Admission]:
        tx = entry.tx
        if not holds:
            return None, _refused(tx, "bad_signature", "a signature does not hold")
        if entry.item.local and not self._quota(entry.org):
            return None, _refused(
                tx, "rate_limited", "the organisation's quota is used up", retry_after_ms=1_000
            )
        if tx.id in self._pool or self._chain.seen(tx.id):
            return None, Admission(tx.id, duplicate=True)
        traffic = self._chain.registry.traffic(tx)
        pooled = PoolTx(tx, entry.org, traffic, entry.item.local)
        match self._pool.add(pooled):
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

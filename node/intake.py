"""The way into the mempool, the same for clients and peers: cheap checks first, signatures in bulk,
then the pool and its journal.

What a client is told to be pending is durable before: the journal is synced once for all that were
admitted together. What peers pass on is its first node's promise, not ours: it is durable here
before a block with it is voted for (node/blockwork.py), or once it has waited for long
(node/lingering.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from medquorum.errors import DecodeError
from medquorum.transaction import Transaction
from node.chain import Chain, Tip
from node.errors import RefusedError
from node.ledger.admission import StateCheck, check_form
from node.ledger.errors import AdmissionError
from node.limits import INTAKE_CHUNK_TXS, INTAKE_STANDING_TXS_MAX, INTAKE_TXS_MAX
from node.mempool import Mempool, PoolTx, Refusal
from node.pending import PendingLog
from node.threads import Threads
from node.verifier import signatures_hold
from storage.errors import DiskFullError, JournalFullError

ROOM_CODES: Final = frozenset({"mempool_full", "rate_limited", "disk_low"})


class Admission(msgspec.Struct, frozen=True):
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


class _Request(msgspec.Struct, eq=False):
    """One call of `submit`: its answers, by place, and how many of them are missing."""

    answers: list[Admission | None]
    missing: int
    done: asyncio.Future[None]

    def answer(self, place: int, admission: Admission) -> None:
        self.answers[place] = admission
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)


class _Item(msgspec.Struct, frozen=True, eq=False):
    """A transaction of a request, as it came."""

    raw: bytes
    local: bool
    metered: bool
    request: _Request
    place: int

    def answer(self, admission: Admission) -> None:
        self.request.answer(self.place, admission)


class _Entry(msgspec.Struct, eq=False):
    """An item that may be admitted. `admission` is what it will be told, if the write that it waits
    for ends well.
    """

    item: _Item
    tx: Transaction
    org: bytes
    admission: Admission
    pooled: PoolTx | None = None
    """It, if the pool took it in for this item."""


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
        voted: Callable[[bytes], bool],
        preflight: Callable[[Transaction], RefusedError | None] = lambda _tx: None,
    ) -> None:
        """`voted` tells whether a vote has promised that a transaction is in the journal: whoever
        promised it also takes it out. `preflight` may refuse what a client submits, for reasons
        that are no fact of the chain: what peers pass on is never asked about it, nor what was
        admitted before a restart.
        """
        self._chain = chain
        self._pool = pool
        self._pending = pending
        self._threads = threads
        self._admitted = admitted
        self._quota = quota
        self._voted = voted
        self._preflight = preflight
        self._waiting: deque[_Item] = deque()
        self._work = asyncio.Event()
        self._standing: tuple[Tip, StateCheck] | None = None
        self._standing_txs = 0

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
        if len(raws) == 0:
            return []
        metered = local and not recovered
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        request = _Request([None] * len(raws), len(raws), done)
        self._waiting.extend(
            [_Item(raw, local, metered, request, place) for place, raw in enumerate(raws)]
        )
        self._work.set()
        await done
        return [answer for answer in request.answers if answer is not None]

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
                    if item.request.answers[item.place] is None:
                        item.request.done.cancel()
            # What is known or malformed needs neither a thread nor the disk to be dealt with.
            await asyncio.sleep(0)

    async def _process(self, chunk: Sequence[_Item]) -> None:
        checked, repeated = self._check(chunk)
        holding = await signatures_hold(self._threads.verifiers, [entry.tx for entry in checked])
        for entry, holds in zip(checked, holding, strict=True):
            entry.pooled, entry.admission = self._admit(entry, holds)
        entries = repeated + checked
        passed_on = [entry for entry in entries if not entry.item.local]
        self._announce(passed_on)
        for entry in passed_on:
            entry.item.answer(entry.admission)
        if len(passed_on) < len(entries):
            await self._promise([entry for entry in entries if entry.item.local])

    async def _promise(self, entries: Sequence[_Entry]) -> None:
        """Write down what clients sent, and then answer them."""
        promised = self._promised(entries)
        lost = await self._keep(promised)
        ours = [entry.pooled.tx.id for entry in entries if entry.pooled is not None]
        if lost is None:
            self._pool.mark_written(ours)
        else:
            self._pool.remove(ours)
        self._announce(entries)
        for entry in entries:
            entry.item.answer(self._kept(entry, promised, lost))
        if lost is None:
            await self._forget_gone(promised)
        # Else nothing of it was written. What is in the journal by now is somebody else's promise:
        # a vote for a block with one of these, perhaps, whose write came next.

    def _announce(self, entries: Sequence[_Entry]) -> None:
        """These are in the pool now, but for what was committed, or refused, meanwhile."""
        pooled = [entry.pooled for entry in entries if entry.pooled is not None]
        arrived = [one for one in pooled if one.tx.id in self._pool]
        if arrived:
            self._admitted(arrived)

    def _promised(self, entries: Sequence[_Entry]) -> dict[bytes, Transaction]:
        """What an answer calls pending, and so must be on the disk before the answer goes out.

        That includes what was in the pool before: it may have come by gossip, which nobody waits
        for, or from another client whose write is still under way.
        """
        promised: dict[bytes, Transaction] = {}
        for entry in entries:
            if entry.admission.refusal is None:
                # The pool's own copy: nobody has looked at the signatures of a duplicate.
                pooled = self._pool.get(entry.tx.id)
                if pooled is not None:
                    promised[pooled.id] = pooled
        return promised

    def _kept(
        self, entry: _Entry, promised: Mapping[bytes, Transaction], lost: RefusedError | None
    ) -> Admission:
        """The answer, now that the write has ended well or badly."""
        tx_id = entry.tx.id
        if entry.admission.refusal is not None or tx_id not in promised:
            return entry.admission
        if lost is None and not (tx_id in self._pool or self._final(entry.tx)):
            # It was in the pool for another submitter, whose write has failed meanwhile.
            lost = RefusedError("disk_low", "the disk is full")
        return entry.admission if lost is None else Admission(tx_id, refusal=lost)

    async def _forget_gone(self, promised: Mapping[bytes, Transaction]) -> None:
        """What left the pool during the write stays in the journal no longer. A commit may overtake
        the write: its release found nothing then. Or an earlier write of the same transaction
        failed: its submitters were all told so, and no restart may bring it back (J5). Unless a
        vote has promised it since.
        """
        gone = [id_ for id_ in promised if id_ not in self._pool and not self._voted(id_)]
        if gone:
            await self._threads.writer.run(self._pending.release, gone)

    def _final(self, tx: Transaction) -> bool:
        return tx.body.valid_until <= self._chain.tip.height or self._chain.seen(tx.id)

    async def _keep(self, promised: Mapping[bytes, Transaction]) -> RefusedError | None:
        """Write them down, durably. On a full disk: the refusal for all."""
        if not promised:
            return None
        try:
            await self._threads.writer.run(self._pending.keep, [*promised.values()], sync=True)
        except JournalFullError:
            return RefusedError("mempool_full", "the journal is full", retry_after_ms=1_000)
        except DiskFullError:
            return RefusedError("disk_low", "the disk is full")
        return None

    def _check(self, chunk: Sequence[_Item]) -> tuple[list[_Entry], list[_Entry]]:
        """Everything that costs no signature check: what passed, and clients' duplicates of what
        is pending. Items that end here are answered.
        """
        coming: Counter[bytes] = Counter()
        chain, pool, state = self._chain, self._pool, self._state_check(len(chunk))
        checked: list[_Entry] = []
        repeated: list[_Entry] = []
        for item in chunk:
            tx_id = b""
            try:
                tx = Transaction.decode(item.raw)
                tx_id = tx.id
                if tx_id in pool and item.local:
                    repeated.append(_Entry(item, tx, b"", Admission(tx_id, duplicate=True)))
                    continue
                if tx_id in pool or chain.known(tx):
                    item.answer(Admission(tx_id, duplicate=True))
                    continue
                check_form(tx, chain.chain_id, chain.registry)
                standing = state.check(tx)
                if item.metered:
                    refusal = self._early_refusal(tx, standing.org, coming[standing.org])
                    if refusal is not None:
                        item.answer(Admission(tx_id, refusal=refusal))
                        continue
                    coming[standing.org] += 1
                checked.append(_Entry(item, tx, standing.org, Admission(tx_id)))
            except (DecodeError, AdmissionError) as error:
                refusal = RefusedError(error.code, str(error), tx_id=tx_id)
                item.answer(Admission(tx_id, refusal=refusal))
        return checked, repeated

    def _state_check(self, count: int) -> StateCheck:
        """What the state says is the same for all chunks of a height: look it up once."""
        tip = self._chain.tip
        self._standing_txs += count
        if (
            self._standing is None
            or self._standing[0] is not tip
            or self._standing_txs > INTAKE_STANDING_TXS_MAX
        ):
            check = StateCheck(self._chain.view(), tip.height + 1, self._chain.registry)
            self._standing = tip, check
            self._standing_txs = count
        return self._standing[1]

    def _early_refusal(self, tx: Transaction, org: bytes, coming: int) -> RefusedError | None:
        """Why a client's transaction is not worth the check of its signatures now."""
        if self._pool.crowded(org, coming) is not None:
            return _crowded(tx)
        return self._preflight(tx)

    def _admit(self, entry: _Entry, holds: bool) -> tuple[PoolTx | None, Admission]:
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
        match self._pool.add(pooled, written=not pooled.local):
            case None:
                return pooled, entry.admission
            case Refusal.FULL:
                return None, _refused(
                    tx, Refusal.FULL.value, "the mempool is full", retry_after_ms=1_000
                )
            case Refusal.ORG_SHARE:
                return None, Admission(tx.id, refusal=_crowded(tx))


def _crowded(tx: Transaction) -> RefusedError:
    detail = "the organisation has as many waiting as it may"
    return RefusedError(Refusal.ORG_SHARE.value, detail, retry_after_ms=1_000, tx_id=tx.id)


def _refused(tx: Transaction, code: str, detail: str, *, retry_after_ms: int = 0) -> Admission:
    return Admission(
        tx.id, refusal=RefusedError(code, detail, retry_after_ms=retry_after_ms, tx_id=tx.id)
    )

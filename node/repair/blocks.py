"""Re-checks the stored chain: every height by itself, and that each follows the one before.

What the heights consist of is checked by several processes at once (heights.py); here they are put
one after the other. The validators of the first height are proven from the genesis; those of each
further one are named by the result of the height before, which the validators of that height have
certified.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor as Pool
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import NoReturn

from medquorum.block import Header, Result, ValidatorSet
from medquorum.codec import decode, encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.genesis import Genesis
from medquorum.history import ValidatorHistory
from medquorum.invariants import InvariantBroken, require
from medquorum.limits import RECOVERY_BYTES_MAX
from medquorum.recovery import Recovery, verify_recovery
from node.checking.findings import Finding, Part, Report
from node.checking.heights import CheckedHeight, RawHeight, check_heights
from node.receipts import history_before
from node.repair.indexes import check_entry
from node.repair.limits import (
    JOB_BYTES_MAX,
    JOB_HEIGHTS_MAX,
    JOBS_WAITING_MAX,
    POOL_HEIGHTS_MIN,
)
from storage import layout
from storage.chain import ChainStore
from storage.errors import DamagedStoreError
from storage.kv import Reader, prefix_end

Progress = Callable[[str, int, int], None]
"""Told what is being checked, how much of it is done, and how much there is."""

_PARTS: tuple[tuple[bytes, Part], ...] = (
    (layout.HEADER, "header"),
    (layout.RESULT, "result"),
    (layout.CERTIFICATE, "certificate"),
    (layout.TRANSACTIONS, "transactions"),
    (layout.OUTCOMES, "outcomes"),
    (layout.EVENTS, "events"),
)


@dataclass(slots=True)
class _Before:
    """What the next height must name of the one before, as far as it is known."""

    header: Header | None
    result: Result | None


def _follow_parent() -> None:
    """For a process of the pool: to end when the one that started it does, however it does, for it
    would wait for jobs for ever; and to leave Ctrl-C, which reaches both, to that one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    require(parent is not None, "a process of the pool has a parent")
    Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(process: BaseProcess) -> NoReturn:
    process.join()
    os._exit(1)


class BlockAudit:
    """Checks heights `first` to `last` of a chain, in order."""

    def __init__(
        self,
        reader: Reader,
        blocks: ChainStore,
        genesis: Genesis,
        report: Report,
        *,
        first: int,
        last: int,
    ) -> None:
        """`blocks` reads the same store. What is found goes to `report`."""
        self._reader = reader
        self._blocks = blocks
        self._genesis = genesis
        self._chain_id = genesis.chain_id()
        self._report = report
        self._first = first
        self._last = last
        self._sets: list[tuple[int, bytes]] = []
        self._recoveries: dict[int, Recovery] = {}

    def run(self, processes: int, progress: Progress) -> None:
        """Check all of them. A few are checked here, more by so many processes."""
        if self._last < self._first:
            return
        self._sets = self._load_sets()
        before = self._beginning()
        count = self._last - self._first + 1
        for checked in self._checked(processes if count >= POOL_HEIGHTS_MIN else 1):
            self._report.add(*checked.findings)
            self._follows(checked, before)
            self._indexed(checked)
            before = _Before(checked.header, checked.result)
            self._report.looked_at("blocks")
            self._report.looked_at("transactions", len(checked.tx_ids))
            progress("blocks", checked.height - self._first + 1, count)

    def _checked(self, processes: int) -> Iterator[CheckedHeight]:
        if processes == 1:
            for job in self._jobs():
                yield from check_heights(self._chain_id, self._genesis.engine, job)
            return
        with ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=_follow_parent
        ) as pool:
            yield from self._spread(pool)

    def _spread(self, pool: Pool) -> Iterator[CheckedHeight]:
        """The answers in order, while a bounded number of jobs is under way."""
        waiting: deque[Future[list[CheckedHeight]]] = deque()
        for job in self._jobs():
            waiting.append(pool.submit(check_heights, self._chain_id, self._genesis.engine, job))
            if len(waiting) >= JOBS_WAITING_MAX:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    def _jobs(self) -> Iterator[list[RawHeight]]:
        job: list[RawHeight] = []
        size = 0
        for height in range(self._first, self._last + 1):
            raw = self._load(height)
            job.append(raw)
            size += raw.size
            if len(job) >= JOB_HEIGHTS_MAX or size >= JOB_BYTES_MAX:
                yield job
                job, size = [], 0
        if job:
            yield job

    def _load(self, height: int) -> RawHeight:
        parts: list[bytes | None] = []
        for prefix, part in _PARTS:
            try:
                parts.append(self._reader.get(layout.at_height(prefix, height)))
            except DamagedStoreError as error:
                self._report.add(Finding(part, height, "", error.detail))
                parts.append(None)
        return RawHeight(height, self._voters(height), *parts)

    def _voters(self, height: int) -> bytes:
        return next(data for since, data in reversed(self._sets) if since <= height)

    def _load_sets(self) -> list[tuple[int, bytes]]:
        """Every set that is stored, with the height from which on it votes; the genesis first."""
        founding = self._genesis.validator_set()
        sets = [(0, encode(founding))]
        for load in (self._load_changes, self._load_recoveries):
            try:
                sets.extend(load())
            except DamagedStoreError as error:
                self._report.add(Finding("validators", 0, "", error.detail))
        # The sort is stable: a recovery stays behind a change of the same height.
        sets.sort(key=lambda known: known[0])
        return sets

    def _load_changes(self) -> Iterator[tuple[int, bytes]]:
        for key, data in self._reader.scan(layout.VALIDATORS, prefix_end(layout.VALIDATORS)):
            since = layout.unpack_height(key[1:])
            if self._is_set(since, data):
                yield since, data

    def _load_recoveries(self) -> Iterator[tuple[int, bytes]]:
        """The sets that organisations named."""
        for key, data in self._reader.scan(layout.RECOVERY, prefix_end(layout.RECOVERY)):
            since = layout.unpack_height(key[1:])
            try:
                recovery = decode(Recovery, data, size_max=RECOVERY_BYTES_MAX)
            except DecodeError as error:
                self._report.add(Finding("validators", since, "", f"a recovery: {error}"))
                continue
            self._recoveries[since] = recovery
            yield since, encode(recovery.statement.validator_set())

    def _is_set(self, since: int, data: bytes) -> bool:
        try:
            decode(ValidatorSet, data, size_max=len(data))
        except DecodeError as error:
            self._report.add(Finding("validators", since, "", str(error)))
            return False
        return True

    def _beginning(self) -> _Before:
        """The height before the first, and the proof that the first one's validators vote."""
        history = ValidatorHistory(self._genesis)
        try:
            history.extend(history_before(self._blocks, self._first))
            proven = history.validators_at(self._first)
            stored = self._voters(self._first)
            if proven.hash() != decode(ValidatorSet, stored, size_max=len(stored)).hash():
                self._report.add(
                    Finding("validators", self._first, "", "they are not those that were proven")
                )
            below = self._first - 1
            header, result = self._blocks.header(below), self._blocks.result(below)
            if result is None or (header is None and below > 0):
                self._report.add(Finding("chain", below, "", "it is missing below the first block"))
            return _Before(header, result)
        except (DamagedStoreError, InvariantBroken, VerificationError) as error:
            self._report.add(
                Finding("validators", self._first, "", f"not proven from the genesis: {error}")
            )
        return _Before(None, None)

    def _follows(self, checked: CheckedHeight, before: _Before) -> None:
        header = checked.header
        if header is None:
            return
        for wrong in self._wrong_in(header, checked.height, before):
            self._report.add(Finding("chain", checked.height, "", wrong))
        if checked.result is not None:
            self._names_next(header, checked.result, checked.height + 1)

    def _wrong_in(self, header: Header, height: int, before: _Before) -> Iterator[str]:
        if header.height != height:
            yield f"the header is that of height {header.height}"
        if header.chain_id != self._chain_id:
            yield "the header is of another chain"
        parent = self._chain_id if height == 1 else None
        if before.header is not None:
            parent = before.header.hash()
            if header.time_ms <= before.header.time_ms:
                yield "its time is not after that of the height before"
        if parent is not None and header.parent != parent:
            yield "its parent is not the height before"
        if before.result is not None and header.parent_result != before.result.hash():
            yield "it names another result of the height before"

    def _names_next(self, header: Header, result: Result, after: int) -> None:
        """The result names who votes on the height `after`, or a recovery of the one before does.

        Which height that is, the header does not say: it may be what is damaged.
        """
        recovery = self._recoveries.get(after)
        known = (data for since, data in reversed(self._sets) if since <= after)
        data = next(known)
        if recovery is not None:
            # What it replaces stands before it in the order of the sets.
            data = next(known)
        named = decode(ValidatorSet, data, size_max=len(data))
        if named.hash() != result.next_validators_hash:
            self._report.add(
                Finding("validators", after, "", "the result before names another set")
            )
        if recovery is None:
            return
        counter = sum(1 for since in self._recoveries if since <= after)
        try:
            verify_recovery(
                recovery, header=header, result=result, validators=named, counter=counter
            )
        except VerificationError as error:
            self._report.add(Finding("validators", after, "", f"the recovery: {error}"))

    def _indexed(self, checked: CheckedHeight) -> None:
        """The entries that lead to this height; that there are no others: see indexes.py."""
        if checked.header is None:
            return
        height = checked.height
        self._entry(
            layout.HEADER_HASH + checked.header.hash(), layout.pack_height(height), height, "block"
        )
        for index, tx_id in enumerate(checked.tx_ids):
            place = layout.pack_place(height, index)
            self._entry(layout.TX + tx_id, place, height, "transaction")

    def _entry(self, key: bytes, expected: bytes, height: int, what: str) -> None:
        check_entry(self._reader, self._report, key, expected, height, what=what)

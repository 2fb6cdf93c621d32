"""What a transaction of each registered type costs to execute, and what it leaves behind.

The transactions are the good examples that the tests demand of every type, so a new type is
measured as soon as it has one. Each is executed by the production ledger, over a store on the disk
that holds nothing but what the example needs: a large state costs more for each changed key (`bench
state`). Executing changes nothing, so the same block is executed again and again, in turns with an
empty one, whose cost is taken off.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from medquorum.invariants import InvariantBroken, require
from medquorum.transaction import Transaction
from node.ledger.codes import OK
from node.ledger.executor import Execution
from storage.kv import Batch
from storage.leveldb import LevelDB
from storage.state import StateStore, StateUpdate
from tests.support.examples import Example, examples
from tests.support.ledger import BLOCK_MS, Ledger

ROUNDS: Final = 9
"""Each figure is the median of so many rounds, for other programs disturb single ones."""
CALLS: Final = 20


class Type(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of one operation, alone in its block. Microseconds of processor time.

    What all transactions of a block share, such as who signs and which types are active, is looked
    up for this one alone: in a full block it is less.
    """

    name: str
    version: int
    module: str
    traffic: str
    signers: int
    tx_bytes: int
    body_bytes: int
    """Of its operation."""

    keys: int
    """Entries of the state that it changes."""

    events: int
    state_bytes: int
    """What changing them puts into the store: values, history and pages of the tree."""

    execute_us: float
    merkle_us: float


class Types(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    types: list[Type]


def names() -> list[str]:
    """All types that can be measured."""
    return sorted(examples())


def bench(folder: Path, chosen: Sequence[str] = ()) -> Types:
    """Measure these types, or all, on the disk of `folder`."""
    makers = examples()
    found: list[Type] = []
    for name in sorted(chosen) or sorted(makers):
        ledger = Ledger()
        with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as place:
            kv = LevelDB(Path(place) / "state")
            try:
                found.append(_Bench(kv, ledger, makers[name](ledger)).run())
            finally:
                kv.close()
    return Types(types=found)


class _Bench:
    def __init__(self, kv: LevelDB, ledger: Ledger, example: Example) -> None:
        self._ledger = ledger
        self._store = StateStore(kv, keep_versions=1)
        self._operation = example.operation
        self._tx = ledger.tx(example.operation, by=example.by)
        update, batch = self._store.prepare(ledger.height, ledger.state.spaces), Batch()
        update.stage(batch)
        kv.write(batch, sync=False)
        self._store.committed(update)

    def run(self) -> Type:
        """Raises InvariantBroken if the example is refused, which its own tests exclude."""
        alone, empty = self._execute(self._tx), self._execute()
        [outcome] = alone.outcomes
        require(outcome.code == OK, f"the example of {self._operation.type} got {outcome.code}")
        entry = self._ledger.registry.entry(self._operation.type, self._operation.version)
        if entry is None:
            raise InvariantBroken(f"{self._operation.type} was executed and is not registered")
        return Type(
            name=entry.type.name,
            version=entry.type.version,
            module=entry.module.name,
            traffic=entry.type.traffic.value,
            signers=len(self._tx.body.signers),
            tx_bytes=len(self._tx.raw),
            body_bytes=len(self._operation.body),
            keys=_keys(alone) - _keys(empty),
            events=len(alone.events) - len(empty.events),
            state_bytes=_staged(self._prepare(alone)) - _staged(self._prepare(empty)),
            execute_us=_difference_us(lambda: self._execute(self._tx), self._execute),
            merkle_us=_difference_us(lambda: self._prepare(alone), lambda: self._prepare(empty)),
        )

    def _execute(self, *transactions: Transaction) -> Execution:
        ledger = self._ledger
        header = ledger.header(transactions, ledger.time_ms + BLOCK_MS)
        return ledger.executor.execute(self._store, header, transactions, ledger.validators)

    def _prepare(self, execution: Execution) -> StateUpdate:
        height = self._ledger.height + 1
        return self._store.prepare(height, execution.changes, execution.replaced)


def _keys(execution: Execution) -> int:
    return sum(map(len, execution.changes.values()))


def _staged(update: StateUpdate) -> int:
    batch = Batch()
    update.stage(batch)
    return sum(len(key) + len(value or b"") for key, value in batch.operations)


def _difference_us(call: Callable[[], object], without: Callable[[], object]) -> float:
    """What `call` takes longer than `without`, by the processor time of this thread."""
    rounds = [_spent_us(call) - _spent_us(without) for _ in range(ROUNDS)]
    return round(median(rounds), 1)


def _spent_us(call: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    for _ in range(CALLS):
        call()
    return (time.thread_time_ns() - began) / 1_000 / CALLS

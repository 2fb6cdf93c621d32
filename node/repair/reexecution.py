"""Executes the stored blocks again, and compares what comes of it with what was certified.

It starts from the genesis, or, where the first blocks are not here, from the oldest state that is
kept: that state is put together from the values and their history, and must have the root that was
certified. It goes on in a scratch store and never changes the node's own.

Execution is a function of state, block and code. So a height whose result differs, on a chain whose
blocks are sound, means that this code or this machine computes differently from the quorum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medquorum.block import Result
from medquorum.errors import DecodeError
from medquorum.genesis import Genesis
from medquorum.invariants import InvariantBroken, require
from medquorum.transaction import Transaction
from node.ledger.errors import UnservedCodeError
from node.ledger.executor import Execution, Executor
from node.ledger.genesis import genesis_changes
from node.ledger.registry import Registry
from node.repair.errors import UnrepairableError
from node.repair.limits import PRUNE_EACH_HEIGHTS
from storage.chain import ChainStore, CommittedBlock
from storage.errors import DamagedStoreError
from storage.kv import KV, Batch, Reader
from storage.limits import STALE_CHUNK_KEYS_MAX
from storage.state import StateStore, StateUpdate, head_at, oldest_state
from storage.stateaudit import read_state_at
from storage.statebuild import StateBuilder


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first height at which executing gives something else than what is stored.

    `module` is the first namespace whose sub-root differs, where the stored one is still kept, else
    empty. `index` is the first transaction whose outcome or events differ, or None. `tx_id` is its
    id, empty without one.
    """

    height: int
    what: str
    module: str = ""
    index: int | None = None
    tx_id: bytes = b""

    def line(self) -> str:
        """For a person."""
        module = f", module {self.module}" if self.module else ""
        tx = "" if self.index is None else f", transaction {self.index} ({self.tx_id.hex()})"
        return f"height {self.height}: {self.what}{module}{tx}"


class Reexecution:
    """One run over the blocks of a chain. `scratch` is an empty store, `folder` an empty
    directory for what does not fit in memory.
    """

    def __init__(
        self,
        kv: KV,
        genesis: Genesis,
        registry: Registry,
        *,
        scratch: KV,
        folder: Path,
    ) -> None:
        self._reader: Reader = kv
        self._blocks = ChainStore(kv)
        self._genesis = genesis
        self._registry = registry
        self._scratch = scratch
        self._folder = folder
        self._executor = Executor(registry)
        self.transactions = 0
        """How many were executed."""
        self.base = 0
        """The height whose state the run starts from."""

    def run(self, last: int, progress: Callable[[str, int, int], None]) -> Divergence | None:
        """Execute up to `last`; the first divergence, or None.

        Raises UnrepairableError if no state can be had to start from, DamagedStoreError.
        """
        if self._blocks.genesis() is None:
            raise UnrepairableError("the database is empty: this node has never run")
        state, divergence = self._begin()
        if divergence is not None:
            return divergence
        for height in range(self.base + 1, last + 1):
            divergence = self._height(state, height)
            if divergence is not None:
                return divergence
            if height % PRUNE_EACH_HEIGHTS == 0:
                while state.prune(STALE_CHUNK_KEYS_MAX) > 0:
                    continue
            progress("execution", height - self.base, last - self.base)
        return None

    def _begin(self) -> tuple[StateStore, Divergence | None]:
        if self._blocks.oldest_block() > 1:
            return self._begin_kept()
        state = StateStore(self._scratch, keep_versions=1)
        update = state.prepare(0, genesis_changes(self._genesis, self._registry))
        self._write(state, update)
        stored = self._blocks.result(0)
        if stored is not None and stored.state_root == update.root:
            return state, None
        return state, Divergence(0, "the genesis gives another state", self._module(update))

    def _begin_kept(self) -> tuple[StateStore, Divergence | None]:
        # The oldest state from which on all blocks are here, too.
        self.base = max(oldest_state(self._reader), self._blocks.oldest_block() - 1)
        result = self._blocks.result(self.base)
        if result is None:
            raise UnrepairableError(
                f"execution would start from height {self.base}, and its result is not here"
            )
        builder = StateBuilder(self._scratch, self.base, self._folder)
        for namespace, key, value in read_state_at(self._reader, self.base):
            builder.add(namespace, key, value)
        batch = Batch()
        root = builder.finish(batch)
        self._scratch.write(batch, sync=False)
        state = StateStore(self._scratch, keep_versions=1)
        if root == result.state_root:
            return state, None
        return state, Divergence(
            self.base, "the state that is kept does not have the certified root"
        )

    def _height(self, state: StateStore, height: int) -> Divergence | None:
        block = self._blocks.block(height)
        if block is None:
            raise DamagedStoreError("the database", f"height {height} is not whole")
        try:
            transactions = [Transaction.decode(raw) for raw in block.transactions]
            execution = self._executor.execute(
                state, block.header, transactions, self._blocks.validators(height)
            )
        except DecodeError as error:
            raise DamagedStoreError("the database", f"height {height}: {error}") from None
        except (UnservedCodeError, InvariantBroken) as error:
            return Divergence(height, f"it cannot be executed: {error}")
        update = state.prepare(height, execution.changes, execution.replaced)
        divergence = self._compare(block, execution, update)
        self._write(state, update)
        self.transactions += len(transactions)
        return divergence

    def _compare(
        self, block: CommittedBlock, execution: Execution, update: StateUpdate
    ) -> Divergence | None:
        stored = block.result
        given = Result(
            update.root,
            execution.receipts_root,
            execution.events_root,
            execution.next_validators.hash(),
        )
        if given == stored:
            return None
        fields = [
            name
            for name in Result.__struct_fields__
            if getattr(given, name) != getattr(stored, name)
        ]
        index = _first_different(block, execution)
        return Divergence(
            height=block.header.height,
            what=f"another {', '.join(fields)}",
            module=self._module(update) if given.state_root != stored.state_root else "",
            index=index,
            tx_id=b"" if index is None else block.tx_ids[index],
        )

    def _module(self, update: StateUpdate) -> str:
        """The first namespace whose root is not the one that was stored, if that is still known."""
        try:
            stored = {s.namespace: s.root for s in head_at(self._reader, update.height).sub_roots}
        except DamagedStoreError:
            return ""
        given = {s.namespace: s.root for s in update.sub_roots}
        different = [n for n in stored.keys() | given.keys() if stored.get(n) != given.get(n)]
        return min(different, default="")

    def _write(self, state: StateStore, update: StateUpdate) -> None:
        batch = Batch()
        update.stage(batch)
        self._scratch.write(batch, sync=False)
        state.committed(update)


def _first_different(block: CommittedBlock, execution: Execution) -> int | None:
    """The first transaction that fared otherwise, by its outcome or by its events."""
    require(len(block.outcomes) == len(execution.outcomes), "an outcome for each transaction")
    for index, (stored, given) in enumerate(zip(block.outcomes, execution.outcomes, strict=True)):
        if stored != given or (
            [event for event in block.events if event.tx == index]
            != [event for event in execution.events if event.tx == index]
        ):
            return index
    return None

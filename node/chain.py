"""The committed chain, and the one way to extend it: execute a block, then commit it with its
certificate.

Blocks, receipts, index, validators and state of a height go down in one atomic batch, so a crash
leaves a height whole or absent. The batch is synced, or a later one is (docs/spec/recovery.md, V8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from medquorum import merkle
from medquorum.block import Header, Result, ValidatorSet
from medquorum.certificate import CommitCertificate
from medquorum.codec import encode
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.invariants import InvariantBroken, require
from medquorum.recovery import Recovery, recovery_in, verify_recovery
from medquorum.transaction import Transaction
from node.errors import DivergenceError, IdentityError, RecoveryRefusedError
from node.ledger.blockcheck import Parent
from node.ledger.codes import OK
from node.ledger.errors import TxError
from node.ledger.executor import Execution, Executor
from node.ledger.genesis import genesis_changes
from node.ledger.overlay import StateView
from node.ledger.params import remembered_heights
from node.ledger.recoveries import (
    RecoveryDue,
    recoveries_so_far,
    require_recoverable,
)
from node.ledger.registry import Registry
from node.recent import RecentProposers
from node.replay import ReplayWindow
from storage.chain import ChainStore, CommittedBlock
from storage.kv import KV, Batch
from storage.reached import Reached, require_reached, require_whole
from storage.state import StateStore, StateUpdate


@dataclass(frozen=True, slots=True)
class Tip:
    """The last committed height, and what the next header must name.

    `proposer` made the block; empty at height 0.
    """

    height: int
    block_hash: bytes
    result_hash: bytes
    time_ms: int
    round: int
    proposer: bytes
    validators: ValidatorSet
    recovery: Recovery | None = None
    """How organisations named `validators`, if the result of this height did not."""


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A block executed on top of the tip, not committed.

    Several may exist for one height; one can be committed.
    """

    header: Header
    transactions: tuple[Transaction, ...]
    execution: Execution
    update: StateUpdate
    result: Result
    recovery: Recovery | None


class Chain:
    """`execute` may run on one thread and `commit` on another, but never two of either at once;
    readers may be anywhere.
    """

    def __init__(
        self,
        kv: KV,
        genesis: Genesis,
        registry: Registry,
        *,
        keep_versions: int,
        reached: Reached | None = None,
    ) -> None:
        """Open the chain in `kv`, or found it. `reached` knows how high it was; without it only
        heights that are missing in between are noticed. Raises DamagedStoreError, IdentityError.
        """
        self.genesis = genesis
        self.chain_id = genesis.chain_id()
        self.registry = registry
        self.blocks = ChainStore(kv)
        self.state = StateStore(kv, keep_versions=keep_versions)
        self._kv = kv
        self._reached = reached
        self._executor = Executor(registry)
        self._committed: list[Callable[[CommittedBlock], None]] = []
        self._open()
        self.tip = self._load_tip()
        self._handed_in: Transaction | None = None
        self._expected: Transaction | None = None
        self._recent = RecentProposers(self.blocks, self.tip.height, self.tip.validators)
        self._replay = ReplayWindow(
            self.tip.height,
            remembered_heights(self.view()),
            lambda tx_id: self.blocks.locate(tx_id) is not None,
        )

    def view(self) -> StateView:
        """The committed state as of now, for queries and admission."""
        return StateView(self.state, height=self.tip.height, time_ms=self.tip.time_ms)

    def parent(self) -> Parent:
        """What the next block must follow."""
        tip = self.tip
        return Parent(
            height=tip.height,
            block_hash=tip.block_hash,
            result_hash=tip.result_hash,
            time_ms=tip.time_ms,
            validators=tip.validators,
            recovery=self.recovery_due(),
        )

    def on_commit(self, call: Callable[[CommittedBlock], None]) -> None:
        """Have `call` run after every commit, on the event loop, before the next height starts.

        It must not block.
        """
        self._committed.append(call)

    def recent_proposers(self) -> tuple[bytes, ...]:
        """Who made the last blocks that the validators of the next height voted on, by height."""
        return self._recent.names()

    def seen(self, tx_id: bytes) -> bool:
        """Whether a transaction that is valid at the next height is committed already: a replay."""
        return self._replay.seen(tx_id)

    def replayable(self) -> list[bytes]:
        """Ids of everything below the tip that could be valid again: for `remember`. Reads much."""
        tip = self.tip.height
        return list(self.blocks.recent_tx_ids(max(1, tip - remembered_heights(self.view()) + 1)))

    def remember(self, tx_ids: Sequence[bytes]) -> None:
        """Let `seen` answer from memory, which holds `replayable()` of the height at the start."""
        self._replay.absorb(tx_ids)

    def adopt(self, handed_in: Transaction) -> None:
        """Let the set that organisations named vote on the next height. It becomes durable with
        the block of that height, of which `handed_in` is the first transaction.

        Raises RecoveryRefusedError unless the recovery continues the tip, by every rule.
        """
        tip, blocks = self.tip, self.blocks
        recovery = recovery_in(handed_in.body.operations)
        header, result = blocks.header(tip.height), blocks.result(tip.height)
        if recovery is None:
            raise RecoveryRefusedError("recovery_form", "the transaction hands no recovery in")
        if header is None or result is None or tip.height == 0:
            raise RecoveryRefusedError("recovery_height", "there is no certified block yet")
        if tip.recovery is not None:
            if tip.recovery.statement == recovery.statement:
                self._handed_in = self._handed_in or handed_in
                return
            known = tip.recovery.statement.id().hex()
            detail = f"{known} continues height {tip.height} already"
            raise RecoveryRefusedError("recovery_second", detail)
        view = self.view()
        try:
            validators = verify_recovery(
                recovery,
                header=header,
                result=result,
                validators=tip.validators,
                counter=recoveries_so_far(view) + 1,
            )
            require_recoverable(view, recovery.statement)
        except VerificationError as error:
            raise RecoveryRefusedError(error.reason, error.detail) from None
        except TxError as error:
            raise RecoveryRefusedError("recovery_state", str(error)) from None
        self._handed_in = handed_in
        self.tip = replace(tip, validators=validators, recovery=recovery)
        self._recent = RecentProposers(blocks, tip.height, validators)

    def expect(self, handed_in: Transaction) -> None:
        """Adopt the recovery as soon as the chain is here up to the height that it continues, which
        may be now. Raises what `adopt` raises, also if the chain went on beyond it in another way.
        """
        recovery = recovery_in(handed_in.body.operations)
        if recovery is None or recovery.statement.height == self.tip.height:
            self.adopt(handed_in)
            return
        height = recovery.statement.height
        if height > self.tip.height:
            self._expected = handed_in
            return
        recorded = self.blocks.recovery(height + 1)
        if recorded is None or recorded.statement != recovery.statement:
            above = self.blocks.header(height + 1)
            named = "" if above is None else f" (block {above.hash().hex()})"
            raise RecoveryRefusedError(
                "recovery_late",
                f"height {height + 1} is certified here{named} and does not rest on this recovery",
            )

    def recovery_transaction(self) -> Transaction | None:
        """The first transaction of the next block, if organisations named those who vote on it."""
        return None if self.tip.recovery is None else self._handed_in

    def recovery_due(self) -> RecoveryDue | None:
        """What the next block must record, if organisations named those who vote on it."""
        tip = self.tip
        if tip.recovery is None:
            return None
        header, result = self.blocks.header(tip.height), self.blocks.result(tip.height)
        if header is None or result is None:
            raise InvariantBroken(f"height {tip.height} was recovered and is not stored")
        statement = tip.recovery.statement
        replaced = self.blocks.named_after(tip.height)
        return RecoveryDue(statement.id(), header, result, replaced, statement.counter)

    def known(self, transaction: Transaction) -> bool:
        """Whether the transaction is committed, at whatever height."""
        if transaction.body.valid_until > self.tip.height:
            return self.seen(transaction.id)
        return self.blocks.locate(transaction.id) is not None

    def execute(self, header: Header, transactions: Sequence[Transaction]) -> ExecutedBlock:
        """Execute a valid block on top of the tip. Changes nothing."""
        require(
            header.height == self.tip.height + 1,
            f"executing height {header.height} on {self.tip.height}",
        )
        execution = self._executor.execute(self.state, header, transactions, self.tip.validators)
        update = self.state.prepare(header.height, execution.changes, execution.replaced)
        result = Result(
            update.root,
            execution.receipts_root,
            execution.events_root,
            execution.next_validators.hash(),
        )
        recovery = self.tip.recovery
        if recovery is not None:
            recorded = [outcome.code for outcome in execution.outcomes[:1]] == [OK]
            require(recorded, f"height {header.height} does not record the recovery before it")
        return ExecutedBlock(header, tuple(transactions), execution, update, result, recovery)

    def write(
        self, block: ExecutedBlock, certificate: CommitCertificate, *, sync: bool = True
    ) -> CommittedBlock:
        """Make the block durable; without `sync`, leave that to the next synced write.

        Blocks on the disk: runs on the writer thread; `advance` follows on the event loop.
        """
        require(
            block.header.height == self.tip.height + 1,
            f"committing {block.header.height} on {self.tip.height}",
        )
        if certificate.result_hash != block.result.hash():
            raise DivergenceError(
                block.header.height, "the certified result is not the one computed here"
            )
        committed = CommittedBlock(
            header=block.header,
            result=block.result,
            certificate=certificate,
            transactions=tuple(tx.raw for tx in block.transactions),
            tx_ids=tuple(tx.id for tx in block.transactions),
            outcomes=block.execution.outcomes,
            events=block.execution.events,
            next_validators=block.execution.next_validators,
            recovery=block.recovery,
        )
        batch = Batch()
        self.blocks.stage(batch, committed)
        block.update.stage(batch)
        self._kv.write(batch, sync=sync)
        self.state.committed(block.update)
        if sync:
            self._note()
        return committed

    def sync(self) -> None:
        """Make durable what was written without. On the writer thread."""
        self._kv.write(Batch(), sync=True)
        self._note()

    def advance(self, block: ExecutedBlock, committed: CommittedBlock) -> None:
        """Move the tip to a block that `write` has made durable, and tell everyone who asked."""
        header = committed.header
        self.tip = Tip(
            header.height,
            committed.certificate.block_hash,
            committed.certificate.result_hash,
            header.time_ms,
            committed.certificate.round,
            header.proposer,
            committed.next_validators,
        )
        self._recent.advance(header, committed.next_validators)
        expected, self._expected = self._expected, None
        if expected is not None:
            self.expect(expected)
        self._replay.advance(header.height, block.transactions)
        for call in self._committed:
            call(committed)

    def _note(self) -> None:
        """All that was written is durable: if it is missing one day, it was lost."""
        if self._reached is not None:
            self._reached.note(self.state.height())

    def _open(self) -> None:
        if self._reached is not None:
            require_reached(self.blocks.tip(), self._reached.height)
        require_whole(self._kv, self.blocks, self.state)
        stored = self.blocks.genesis()
        if stored is None:
            update = self.state.prepare(0, genesis_changes(self.genesis, self.registry))
            validators = self.genesis.validator_set()
            result = Result(update.root, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, validators.hash())
            batch = Batch()
            self.blocks.stage_genesis(batch, encode(self.genesis), result, validators)
            update.stage(batch)
            self._kv.write(batch, sync=True)
            self.state.committed(update)
        elif stored != encode(self.genesis):
            raise IdentityError("the data directory belongs to a chain with another genesis")

    def _load_tip(self) -> Tip:
        height = self.blocks.tip()
        result = self.blocks.result(height)
        if result is None:
            raise InvariantBroken(f"height {height} has no result")
        header, certificate = self.blocks.header(height), self.blocks.certificate(height)
        validators = self.blocks.validators(height + 1)
        if header is None or certificate is None:
            return Tip(0, self.chain_id, result.hash(), self.genesis.time_ms, 0, b"", validators)
        return Tip(
            height,
            header.hash(),
            result.hash(),
            header.time_ms,
            certificate.round,
            header.proposer,
            validators,
            # Here already if the chain began with a snapshot of the very height that was kept.
            self.blocks.recovery(height + 1),
        )

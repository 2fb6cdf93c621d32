"""Executes a block on a state: all transactions in order, then the work that is due.

A function of (state, block) and the modules alone. Signatures, form, expiry and duplicates are
checked before (blockcheck.py and the verifier of signatures); here counts who the signers are, and
what the operations do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from medquorum import merkle
from medquorum.block import Event, Header, TxOutcome, ValidatorSet
from medquorum.codec import decode, encode
from medquorum.errors import DecodeError, OversizedError
from medquorum.invariants import InvariantBroken, require
from medquorum.transaction import OPERATION_BYTES_MAX, Operation, Transaction
from node.ledger import due, identities, membership
from node.ledger.codes import OK, Code
from node.ledger.context import Signer
from node.ledger.due import DueItem
from node.ledger.errors import TxError, UnservedCodeError
from node.ledger.limits import DUE_PER_BLOCK_MAX
from node.ledger.overlay import BlockOverlay, StateReader
from node.ledger.params import introduce_params
from node.ledger.readiness import unserved
from node.ledger.registry import Registry
from node.ledger.runtime import ModuleContext, Position
from node.ledger.txtype import TxType


@dataclass(frozen=True, slots=True)
class Execution:
    """What executing a block gives. `changes` is by namespace and key; None removes the key.
    `replaced` is what was committed before under these keys, and under others that were looked up.
    """

    changes: dict[str, dict[bytes, bytes | None]]
    replaced: Mapping[str, Mapping[bytes, bytes | None]]
    outcomes: tuple[TxOutcome, ...]
    receipts_root: bytes
    events: tuple[Event, ...]
    events_root: bytes
    next_validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class _Standing:
    """A key in this block. If its organisation is suspended, it may only do what is unstoppable."""

    signer: Signer
    suspended: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """A transaction type in this block. `refusal` is why only unstoppable types pass, if so."""

    type: TxType[Any]
    context: ModuleContext
    refusal: TxError | None


class Executor:
    """Runs blocks with the types of one registry.

    Holds no state of its own: it may execute any block on any state.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry: Final = registry
        self._events: Final = {
            module.name: {event.name: frozenset(event.attributes) for event in module.events}
            for module in registry.modules
        }

    def execute(
        self,
        view: StateReader,
        header: Header,
        transactions: Sequence[Transaction],
        validators: ValidatorSet,
    ) -> Execution:
        """Execute the block, on which `validators` voted, on the state of its parent.

        Raises UnservedCodeError at a height whose agreed code this node lacks, and InvariantBroken
        if a module breaks the contract of txtype.py; never for what a transaction contains.
        """
        run = _BlockRun(self._registry, self._events, view, header)
        run.enter_height()
        outcomes = tuple(run.transaction(index, tx) for index, tx in enumerate(transactions))
        run.due_work(len(transactions))
        changes = run.overlay.changes()
        events = tuple(run.position.events)
        return Execution(
            changes=changes,
            replaced=run.overlay.looked_up(),
            outcomes=outcomes,
            receipts_root=merkle.root([encode(outcome) for outcome in outcomes]),
            events=events,
            events_root=merkle.counted_root([encode(event) for event in events]),
            next_validators=_next_validators(changes, validators),
        )


class _BlockRun:
    """One block being executed.

    Who signs and what is active cannot change within a block, so both are looked up once.
    """

    __slots__ = (
        "_contexts",
        "_events",
        "_header",
        "_plans",
        "_registry",
        "_standings",
        "overlay",
        "position",
    )

    def __init__(
        self,
        registry: Registry,
        events: dict[str, dict[str, frozenset[str]]],
        reader: StateReader,
        header: Header,
    ) -> None:
        self.overlay: Final = BlockOverlay(reader)
        self.position: Final = Position()
        self._registry: Final = registry
        self._events: Final = events
        self._header: Final = header
        self._contexts: Final[dict[str, ModuleContext]] = {}
        self._plans: Final[dict[tuple[str, int], _Plan | TxError]] = {}
        self._standings: Final[dict[bytes, _Standing | TxError]] = {}

    def enter_height(self) -> None:
        """Check that this node has the code for this height; introduce what is activated here."""
        context = self._context(membership.NAMESPACE)
        height = self._header.height
        for lacking in unserved(context, self._registry):
            if lacking.height <= height:
                raise UnservedCodeError(
                    name=lacking.name, version=lacking.version, height=height, reason=lacking.reason
                )
        for decided in membership.activations(context):
            module = self._registry.module(decided.name)
            if decided.height == height and module is not None:
                introduce_params(self.overlay.namespace(membership.NAMESPACE), module.params)
        self.overlay.commit()

    def transaction(self, index: int, tx: Transaction) -> TxOutcome:
        """Run one transaction: all of its operations, or none."""
        position = self.position
        position.begin(index, tx.id)
        number = 0
        try:
            suspended = self._identify(tx.body.signers)
            for number, operation in enumerate(tx.body.operations):
                position.operation = number
                self._operation(operation, suspended=suspended)
        except TxError as refused:
            self.overlay.rollback()
            position.rollback()
            return TxOutcome(tx.id, index, refused.code.value, number)
        self.overlay.commit()
        return TxOutcome(tx.id, index, OK, 0)

    def due_work(self, tx_count: int) -> None:
        """Run what fell due up to this block's time, each piece on its own, at most
        DUE_PER_BLOCK_MAX.
        """
        state = self.overlay.namespace(due.NAMESPACE)
        items = tuple(islice(due.due_until(state, self._header.time_ms), DUE_PER_BLOCK_MAX))
        for number, item in enumerate(items):
            # An earlier piece of work of this block may have cancelled this one.
            if not due.is_scheduled(state, item):
                continue
            due.cancel(state, item)
            self.position.begin(tx_count, b"")
            self.position.operation = number
            self._due_item(item)
            self.overlay.commit()

    def _due_item(self, item: DueItem) -> None:
        module = self._registry.module(item.module)
        handler = None if module is None else module.due.get(item.kind)
        if handler is None:
            raise InvariantBroken(f"nobody handles due work {item.kind} of module {item.module}")
        try:
            handler(item.reference, self._context(item.module))
        except TxError as error:
            raise InvariantBroken(
                f"due work {item.kind} of {item.module} was refused: {error}"
            ) from error

    def _operation(self, operation: Operation, *, suspended: bool) -> None:
        plan = self._plans.get((operation.type, operation.version))
        if plan is None:
            plan = self._plans[operation.type, operation.version] = self._plan(operation)
        if isinstance(plan, TxError):
            raise TxError(plan.code, plan.detail)
        tx_type = plan.type
        if not tx_type.unstoppable:
            if suspended:
                raise TxError(Code.ORG, "the organisation of a signer is suspended")
            if plan.refusal is not None:
                raise TxError(plan.refusal.code, plan.refusal.detail)
        try:
            body = decode(tx_type.body, operation.body, size_max=OPERATION_BYTES_MAX)
        except OversizedError as error:
            raise TxError(Code.SIZE, str(error)) from None
        except DecodeError as error:
            raise TxError(Code.SCHEMA, str(error)) from None
        try:
            tx_type.apply(body, plan.context)
        except TxError:
            raise
        except Exception as error:
            raise InvariantBroken(
                f"{tx_type.name} raised {type(error).__name__}: {error}"
            ) from error

    def _plan(self, operation: Operation) -> _Plan | TxError:
        entry = self._registry.entry(operation.type, operation.version)
        context = None if entry is None else self._context(entry.module.name)
        if entry is None or context is None or not self._registry.is_active(entry, context):
            return TxError(Code.TYPE, f"{operation.type} {operation.version} is not active here")
        refusal = None
        if membership.paused(context, entry.module.name):
            refusal = TxError(Code.PAUSED, f"module {entry.module.name} is paused")
        return _Plan(entry.type, context, refusal)

    def _identify(self, keys: Sequence[bytes]) -> bool:
        """Set the signers of the transaction.

        Whether one of them belongs to a suspended organisation.
        """
        suspended = False
        signers: list[Signer] = []
        for key in keys:
            standing = self._standings.get(key)
            if standing is None:
                standing = self._standings[key] = self._standing(key)
            if isinstance(standing, TxError):
                raise TxError(standing.code, standing.detail)
            signers.append(standing.signer)
            suspended = suspended or standing.suspended
        self.position.signers = tuple(signers)
        return suspended

    def _standing(self, key: bytes) -> _Standing | TxError:
        context = self._context(identities.NAMESPACE)
        try:
            signer = identities.signer_of_key(context, key, context.height)
        except TxError as refused:
            return refused
        org = identities.org_of(context, signer.org)
        require(org is not None, "a key is bound to an organisation that does not exist")
        return _Standing(signer, org is not None and org.suspended(context.height))

    def _context(self, module: str) -> ModuleContext:
        context = self._contexts.get(module)
        if context is None:
            context = self._contexts[module] = ModuleContext(
                module=module,
                height=self._header.height,
                time_ms=self._header.time_ms,
                voters_hash=self._header.validators_hash,
                overlay=self.overlay,
                position=self.position,
                events=self._events.get(module, {}),
            )
        return context


def _next_validators(
    changes: dict[str, dict[bytes, bytes | None]], validators: ValidatorSet
) -> ValidatorSet:
    data = changes.get(membership.NAMESPACE, {}).get(membership.VALIDATORS.key())
    if data is None:
        return validators
    return decode(ValidatorSet, data, size_max=len(data))

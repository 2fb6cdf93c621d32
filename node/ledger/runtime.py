"""The executor's Context: one object a module and block, all sharing one position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, final

from medquorum.block import Attribute, Event
from medquorum.codec import INT_MAX
from medquorum.invariants import InvariantBroken, require
from node.ledger import due
from node.ledger.codes import Code
from node.ledger.context import Signer
from node.ledger.due import DueItem
from node.ledger.errors import TxError
from node.ledger.limits import EVENTS_PER_TX_MAX
from node.ledger.overlay import BlockOverlay
from node.ledger.tables import ReadableState, WritableState


@final
class Position:
    """Where in the block execution stands, and the events so far."""

    __slots__ = ("_kept", "events", "operation", "signers", "tx", "tx_id")

    def __init__(self) -> None:
        self.tx = 0
        self.tx_id = b""
        self.operation = 0
        self.signers: tuple[Signer, ...] = ()
        self.events: Final[list[Event]] = []
        self._kept = 0

    def begin(self, tx: int, tx_id: bytes) -> None:
        """A new transaction, or a piece of due work, starts."""
        self.tx = tx
        self.tx_id = tx_id
        self.operation = 0
        self.signers = ()
        self._kept = len(self.events)

    def rollback(self) -> None:
        """What runs now failed: its events never happened."""
        del self.events[self._kept :]

    def emitted(self) -> int:
        """How many events what runs now has recorded so far."""
        return len(self.events) - self._kept


@final
class ModuleContext:
    """The Context of one module during one block."""

    __slots__ = (
        "_due",
        "_events",
        "_module",
        "_overlay",
        "_position",
        "height",
        "state",
        "time_ms",
        "voters_hash",
    )

    def __init__(
        self,
        *,
        module: str,
        height: int,
        time_ms: int,
        voters_hash: bytes,
        overlay: BlockOverlay,
        position: Position,
        events: Mapping[str, frozenset[str]],
    ) -> None:
        self.height: Final = height
        self.time_ms: Final = time_ms
        self.voters_hash: Final = voters_hash
        self.state: Final[WritableState] = overlay.namespace(module)
        self._module: Final = module
        self._overlay: Final = overlay
        self._position: Final = position
        self._events: Final = events
        self._due: Final = overlay.namespace(due.NAMESPACE)

    @property
    def tx_id(self) -> bytes:
        """The id of the transaction; empty in due work and at genesis."""
        return self._position.tx_id

    @property
    def signers(self) -> Sequence[Signer]:
        """Who signed; nobody in due work and at genesis."""
        return self._position.signers

    def read(self, namespace: str) -> ReadableState:
        """The key space of a module, read-only."""
        return self._overlay.namespace(namespace)

    def emit(self, type_: str, **attributes: bytes | int | str) -> None:
        """Record an event. E_LIMIT if the transaction records too many."""
        declared = self._events.get(type_)
        if declared is None or not declared.issuperset(attributes):
            require(
                False, f"module {self._module} does not declare event {type_} with {[*attributes]}"
            )
        position = self._position
        if position.emitted() >= EVENTS_PER_TX_MAX:
            raise TxError(Code.LIMIT, f"more than {EVENTS_PER_TX_MAX} events in one transaction")
        try:
            recorded = tuple(
                [
                    # A member of an enumeration is recorded as the text that it stands for.
                    Attribute(name, str(value) if isinstance(value, str) else value)
                    for name, value in attributes.items()
                ]
            )
        except ValueError as error:
            raise InvariantBroken(f"event {type_} of module {self._module}: {error}") from error
        position.events.append(Event(position.tx, position.operation, type_, recorded))

    def schedule(self, due_ms: int, kind: str, reference: bytes) -> None:
        """Have `due[kind]` of the module called with `reference` when block time is `due_ms`."""
        require(0 <= due_ms <= INT_MAX, "a due time is a time")
        due.schedule(self._due, DueItem(due_ms, self._module, kind, reference), self.height)

    def cancel(self, due_ms: int, kind: str, reference: bytes) -> None:
        """Take back what was scheduled."""
        due.cancel(self._due, DueItem(due_ms, self._module, kind, reference))

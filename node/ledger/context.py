"""What an operation sees of the world while it is applied, and nothing else.

No clock, no randomness, no I/O: block time, height and the identities of the signers are all the
outside there is. Writes go to the module's own namespace; other namespaces can be read, through the
functions of access.py, identities.py and params.py that know their tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.ledger.tables import ReadableState, WritableState


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed: the key, and whom the identity module binds to it at this height.

    `actor` is empty for an organisation's root key. A patient with keys of their own is an actor
    whose id is the pseudonym.
    """

    key: bytes
    actor: bytes
    org: bytes


class View(Protocol):
    """Read access to the ledger at one height: what queries and access checks need."""

    @property
    def height(self) -> int:
        """The height being executed; for queries the height whose state is shown."""
        ...

    @property
    def time_ms(self) -> int:
        """The block time of that height, in milliseconds since the Unix epoch."""
        ...

    def read(self, namespace: str) -> ReadableState:
        """The key space of a module, read-only."""
        ...


class Context(View, Protocol):
    """The world of one operation."""

    @property
    def tx_id(self) -> bytes:
        """The id of the transaction that the operation belongs to."""
        ...

    @property
    def signers(self) -> Sequence[Signer]:
        """Everyone who signed the transaction, resolved at this height.

        Signatures are verified, keys are not revoked.
        """
        ...

    @property
    def voters_hash(self) -> bytes:
        """The hash of the validator set that votes on this block, as its header names it."""
        ...

    @property
    def state(self) -> WritableState:
        """The key space of the operation's own module.

        Rolled back with the transaction if any of its operations fails.
        """
        ...

    def emit(self, type_: str, **attributes: bytes | int | str) -> None:
        """Record an event.

        Attributes are ids, numbers and tokens; the type must be declared by the module.
        """
        ...

    def schedule(self, due_ms: int, kind: str, reference: bytes) -> None:
        """Have `due[kind]` called with `reference` at the end of the first block with time >=
        due_ms.

        Due work is bounded per block and runs in the order of its due times: it may come later,
        never earlier.
        """
        ...

    def cancel(self, due_ms: int, kind: str, reference: bytes) -> None:
        """Take back what `schedule` was told with the same arguments.

        Unknown entries are allowed.
        """
        ...

"""The state as a running block sees it: what it wrote over what was committed.

A transaction's writes join the block's when it succeeds and vanish when it fails. What was read
once from the committed state is kept for the block, present or absent, so that a key costs one
look-up however many transactions need it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, Literal, Protocol, final

from medquorum.codec import Wire
from node.ledger.tables import ReadableState, RowName


class StateReader(Protocol):
    """The committed state that execution starts from: a consistent view of one height."""

    def get(self, namespace: str, key: bytes, /) -> bytes | None:
        """The value, or None."""
        ...

    def scan(
        self, namespace: str, start: bytes, stop: bytes, /, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop in key order."""
        ...


class _Missing(Enum):
    """Tells 'not looked up yet' from 'looked up and absent'."""

    MISSING = 0


_MISSING: Final = _Missing.MISSING


@final
class NamespaceState:
    """The key space of one module during one block.

    Modules other than its own see it as a ReadableState.
    """

    __slots__ = (
        "_base",
        "_known",
        "_name",
        "_ordered",
        "_reader",
        "_touched",
        "_undo",
        "_unordered",
        "_written",
        "rows",
    )

    def __init__(self, reader: StateReader, name: str, touched: list[NamespaceState]) -> None:
        """It adds itself to `touched` with the first write of each transaction."""
        self._reader = reader
        self._name = name
        self._touched = touched
        # Everything looked up or written in this block, by the running transaction too.
        self._known: dict[bytes, bytes | None] = {}
        # What stood in `_known` before the running transaction wrote there.
        self._undo: dict[bytes, bytes | Literal[_Missing.MISSING] | None] = {}
        # The keys that earlier transactions of the block wrote, in the order in which they did.
        self._written: dict[bytes, None] = {}
        # What was looked up in the committed state, for `changes`.
        self._base: dict[bytes, bytes | None] = {}
        # The keys of `_written` in order, brought up to date when somebody scans: most blocks
        # never do.
        self._ordered: list[bytes] = []
        self._unordered: list[bytes] = []
        self.rows: Final[dict[RowName, Wire | None]] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        known = self._known.get(key, _MISSING)
        if known is not _MISSING:
            return known
        value = self._known[key] = self._base[key] = self._reader.get(self._name, key)
        return value

    def delete(self, key: bytes) -> None:
        """Remove the key, for this transaction until it succeeds."""
        self.put(key, None)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set the value, None to remove the key, for this transaction until it succeeds."""
        if self.rows:
            self.rows.clear()
        undo = self._undo
        if not undo:
            self._touched.append(self)
        if key not in undo:
            undo[key] = self._known.get(key, _MISSING)
        self._known[key] = value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop in key order. Writes while iterating are not allowed."""
        base = self._reader.scan(self._name, start, stop, reverse=reverse)
        written = self._written_between(start, stop, reverse=reverse)
        if not written:
            return base
        return _merged(base, written, reverse=reverse)

    def commit(self) -> None:
        """The transaction succeeded: its writes are the block's."""
        written = self._written
        for key in self._undo:
            if key not in written:
                written[key] = None
                self._unordered.append(key)
        self._undo.clear()

    def rollback(self) -> None:
        """The transaction failed: its writes never were."""
        for key, before in self._undo.items():
            if before is _MISSING:
                del self._known[key]
            else:
                self._known[key] = before
        self._undo.clear()
        self.rows.clear()

    def changes(self) -> dict[bytes, bytes | None]:
        """What the block changes against the committed state; None removes the key.

        Writes that change nothing are left out.
        """
        known, base, name = self._known, self._base, self._name
        changed: dict[bytes, bytes | None] = {}
        for key in self._written:
            before = base.get(key, _MISSING)
            if before is _MISSING:
                before = base[key] = self._reader.get(name, key)
            after = known[key]
            if after != before:
                changed[key] = after
        return changed

    @property
    def looked_up(self) -> Mapping[bytes, bytes | None]:
        """What was committed before the block, of the keys for which it was asked: after `changes`,
        of all that changed.
        """
        return self._base

    def _written_between(
        self, start: bytes, stop: bytes, *, reverse: bool
    ) -> list[tuple[bytes, bytes | None]]:
        for key in self._unordered:
            insort(self._ordered, key)
        self._unordered.clear()
        low, high = bisect_left(self._ordered, start), bisect_left(self._ordered, stop)
        keys = self._ordered[low:high]
        keys += [k for k in self._undo if start <= k < stop and k not in self._written]
        keys.sort(reverse=reverse)
        return [(key, self._known[key]) for key in keys]


@final
class BlockOverlay:
    """All key spaces during one block."""

    __slots__ = ("_namespaces", "_reader", "_touched")

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._namespaces: dict[str, NamespaceState] = {}
        # Those to which the running transaction wrote.
        self._touched: list[NamespaceState] = []

    def namespace(self, name: str) -> NamespaceState:
        """The key space `name`; the same object all through the block."""
        state = self._namespaces.get(name)
        if state is None:
            state = self._namespaces[name] = NamespaceState(self._reader, name, self._touched)
        return state

    def commit(self) -> None:
        """Keep what the transaction wrote."""
        for state in self._touched:
            state.commit()
        self._touched.clear()

    def rollback(self) -> None:
        """Forget what the transaction wrote."""
        for state in self._touched:
            state.rollback()
        self._touched.clear()

    def changes(self) -> dict[str, dict[bytes, bytes | None]]:
        """What the block changes, by namespace in ascending order."""
        changed = {name: self._namespaces[name].changes() for name in sorted(self._namespaces)}
        return {name: changes for name, changes in changed.items() if changes}

    def looked_up(self) -> dict[str, Mapping[bytes, bytes | None]]:
        """What was committed before the block, of the keys for which it was asked: after `changes`,
        of all that changed.
        """
        return {name: state.looked_up for name, state in self._namespaces.items()}


@final
class StateView:
    """A View of committed state, for queries, admission and readiness."""

    __slots__ = ("_overlay", "height", "time_ms")

    def __init__(self, reader: StateReader, *, height: int, time_ms: int) -> None:
        self._overlay = BlockOverlay(reader)
        self.height: Final = height
        self.time_ms: Final = time_ms

    def read(self, namespace: str) -> ReadableState:
        """The key space of a module."""
        return self._overlay.namespace(namespace)


def _merged(
    base: Iterator[tuple[bytes, bytes]],
    written: list[tuple[bytes, bytes | None]],
    *,
    reverse: bool,
) -> Iterator[tuple[bytes, bytes]]:
    """Both in one order; where both have the key, what was written counts."""
    position = 0
    for key, value in base:
        while position < len(written) and (written[position][0] < key) != reverse:
            if written[position][0] == key:
                break
            newer = written[position]
            position += 1
            if newer[1] is not None:
                yield newer[0], newer[1]
        if position < len(written) and written[position][0] == key:
            newest = written[position][1]
            position += 1
            if newest is not None:
                yield key, newest
        else:
            yield key, value
    for key, maybe in written[position:]:
        if maybe is not None:
            yield key, maybe

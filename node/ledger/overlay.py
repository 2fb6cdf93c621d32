"""The state as a running block sees it: what it wrote over what was committed.

A transaction's writes join the block's when it succeeds and vanish when it fails. What was read
once from the committed state is kept for the block, present or absent, so that a key costs one
look-up however many transactions need it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import Final, Protocol, final

from node.ledger.tables import ReadableState


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


class _Missing:
    """Tells 'not looked up yet' from 'looked up and absent'."""


_MISSING: Final = _Missing()


@final
class NamespaceState:
    """The key space of one module during one block.

    Modules other than its own see it as a ReadableState.
    """

    __slots__ = ("_base", "_block", "_known", "_name", "_ordered", "_reader", "_tx", "_unordered")

    def __init__(self, reader: StateReader, name: str) -> None:
        self._reader = reader
        self._name = name
        self._tx: dict[bytes, bytes | None] = {}
        self._block: dict[bytes, bytes | None] = {}
        # What was looked up in the committed state, for `changes`.
        self._base: dict[bytes, bytes | None] = {}
        # Everything looked up or written in this block, so that `get` needs one dictionary for
        # both.
        self._known: dict[bytes, bytes | None] = {}
        # The keys of `_block` in order, brought up to date when somebody scans: most blocks never
        # do.
        self._ordered: list[bytes] = []
        self._unordered: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        if self._tx:
            written = self._tx.get(key, _MISSING)
            if not isinstance(written, _Missing):
                return written
        known = self._known.get(key, _MISSING)
        if not isinstance(known, _Missing):
            return known
        value = self._known[key] = self._base[key] = self._reader.get(self._name, key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value, for this transaction until it succeeds."""
        self._tx[key] = value

    def delete(self, key: bytes) -> None:
        """Remove the key, for this transaction until it succeeds."""
        self._tx[key] = None

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
        if not self._tx:
            return
        self._unordered.extend([key for key in self._tx if key not in self._block])
        self._block.update(self._tx)
        self._known.update(self._tx)
        self._tx.clear()

    def rollback(self) -> None:
        """The transaction failed: its writes never were."""
        self._tx.clear()

    def changes(self) -> dict[bytes, bytes | None]:
        """What the block changes against the committed state; None removes the key.

        Writes that change nothing are left out.
        """
        return {key: value for key, value in self._block.items() if value != self._committed(key)}

    @property
    def looked_up(self) -> Mapping[bytes, bytes | None]:
        """What was committed before the block, of the keys for which it was asked: after `changes`,
        of all that changed.
        """
        return self._base

    def _committed(self, key: bytes) -> bytes | None:
        base = self._base.get(key, _MISSING)
        if isinstance(base, _Missing):
            base = self._base[key] = self._reader.get(self._name, key)
        return base

    def _written_between(
        self, start: bytes, stop: bytes, *, reverse: bool
    ) -> list[tuple[bytes, bytes | None]]:
        for key in self._unordered:
            insort(self._ordered, key)
        self._unordered.clear()
        low, high = bisect_left(self._ordered, start), bisect_left(self._ordered, stop)
        written = {key: self._block[key] for key in self._ordered[low:high]}
        written.update((k, v) for k, v in self._tx.items() if start <= k < stop)
        return sorted(written.items(), reverse=reverse, key=_key_of)


@final
class BlockOverlay:
    """All key spaces during one block."""

    __slots__ = ("_namespaces", "_reader")

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._namespaces: dict[str, NamespaceState] = {}

    def namespace(self, name: str) -> NamespaceState:
        """The key space `name`; the same object all through the block."""
        state = self._namespaces.get(name)
        if state is None:
            state = self._namespaces[name] = NamespaceState(self._reader, name)
        return state

    def commit(self) -> None:
        """Keep what the transaction wrote."""
        for state in self._namespaces.values():
            state.commit()

    def rollback(self) -> None:
        """Forget what the transaction wrote."""
        for state in self._namespaces.values():
            state.rollback()

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


def _key_of(pair: tuple[bytes, bytes | None]) -> bytes:
    return pair[0]


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

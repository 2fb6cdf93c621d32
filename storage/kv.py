"""The key-value interface that the rest of storage stands on.

Keys are not empty and are ordered as unsigned bytes. A batch is written all or not at all. Three
implementations obey one conformance suite: LevelDB (storage/leveldb.py), LMDB (storage/lmdb.py) and
memory (storage/memory.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from medquorum.invariants import InvariantBroken


class Batch:
    """Puts and deletes that happen together. A later operation on a key wins over an earlier one.

    Not safe for use by several threads at once.
    """

    __slots__ = ("_operations",)

    def __init__(self) -> None:
        self._operations: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        """Give `key`, which is not empty, this `value`."""
        if not key:
            raise InvariantBroken("an empty key")
        self._operations.append((key, value))

    def delete(self, key: bytes) -> None:
        """Remove `key`; harmless if it is not there."""
        self._operations.append((key, None))

    def add(self, operations: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Append many operations, as `operations` tells them; no key may be empty."""
        self._operations.extend(operations)

    def extend(self, other: Batch) -> None:
        """Append all operations of `other`, which stays as it is."""
        self._operations.extend(other._operations)

    @property
    def operations(self) -> Sequence[tuple[bytes, bytes | None]]:
        """(key, value) in the order they were given; the value of a delete is None.

        Not to be changed.
        """
        return self._operations

    def __len__(self) -> int:
        return len(self._operations)


class Reader(Protocol):
    """Reads of one store or of one snapshot. Safe from several threads at once."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The pairs with start <= key < stop, ascending, or descending if `reverse`.

        The pairs are those of the moment of the call; writes that come later are not seen. No pairs
        if stop <= start.
        """
        ...


class Snapshot(Reader, Protocol):
    """The store as it was at one moment. It holds back clean-up in the store, so close it soon."""

    def close(self) -> None:
        """Let go. Reading afterwards raises InvariantBroken; closing again is harmless."""
        ...


class KV(Reader, Protocol):
    """An ordered map of byte strings that survives the process.

    Errors: DiskFullError, DiskFailedError, DamagedStoreError. Once a write has raised, every later
    write raises the same error until the store is opened again: what the failed write left behind
    is known only after recovery has read it.
    """

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply `batch` all or not at all.

        With `sync` it is on disk when this returns, and so is every write before it.

        If it raises, the batch is either wholly there or wholly not there after the next opening.
        """
        ...

    def snapshot(self) -> Snapshot:
        """A consistent view of this moment."""
        ...

    def close(self) -> None:
        """Release the files. Later use raises InvariantBroken; closing again is harmless."""
        ...

    def bytes_on_disk(self) -> int:
        """How much room the store takes at the moment, in bytes."""
        ...


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys that start with `prefix`, for use as the stop of a scan.

    The prefix must hold a byte other than 0xff; all prefixes of the layout do.
    """
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])

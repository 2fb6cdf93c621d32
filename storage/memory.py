"""A KV in memory, for tests and for the simulator, where a crash is a method call."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from threading import Lock

from medquorum.invariants import require
from storage.kv import Batch, Snapshot

_MERGE_MIN = 64
"""From so many new keys on, sorting the whole list (two sorted runs:

linear) is cheaper than inserting one by one.
"""


class _Table:
    """A dict and its keys in order."""

    __slots__ = ("_closed", "keys", "values")

    def __init__(self, keys: list[bytes], values: dict[bytes, bytes]) -> None:
        self.keys = keys
        self.values = values
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        require(not self._closed, "the store is closed")
        return self.values.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        require(not self._closed, "the store is closed")
        keys = self.keys[bisect_left(self.keys, start) : bisect_left(self.keys, stop)]
        pairs = [(key, self.values[key]) for key in keys]
        return reversed(pairs) if reverse else iter(pairs)

    def close(self) -> None:
        self._closed = True


class MemoryKV:
    """A KV in memory. `crash` brings back the last synced state, the worst of a power cut."""

    __slots__ = ("_closed", "_keys", "_lock", "_undo", "_values")

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._values: dict[bytes, bytes] = {}
        self._undo: dict[bytes, bytes | None] = {}
        self._lock = Lock()
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """See Reader.get."""
        require(not self._closed, "the store is closed")
        return self._values.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader.scan. Copies the range, so that later writes are not seen."""
        require(not self._closed, "the store is closed")
        with self._lock:
            return _Table(self._keys, self._values).scan(start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """See KV.write. Without `sync` it is lost in a `crash`, unless a synced write follows."""
        require(not self._closed, "the store is closed")
        final = dict(batch.operations)
        with self._lock:
            for key in final:
                self._undo.setdefault(key, self._values.get(key))
            self._apply(final)
            if sync:
                self._undo.clear()

    def crash(self) -> None:
        """Forget every write since the last synced one. The store stays open."""
        with self._lock:
            self._apply(self._undo)
            self._undo.clear()

    def snapshot(self) -> Snapshot:
        """See KV.snapshot. Copies everything."""
        require(not self._closed, "the store is closed")
        with self._lock:
            return _Table(self._keys.copy(), self._values.copy())

    def close(self) -> None:
        """See KV.close. The content is gone."""
        self._closed = True

    def bytes_on_disk(self) -> int:
        """The bytes of all keys and values: what a disk would have to hold at least."""
        require(not self._closed, "the store is closed")
        with self._lock:
            return sum(len(key) + len(value) for key, value in self._values.items())

    def _apply(self, final: dict[bytes, bytes | None]) -> None:
        added: list[bytes] = []
        for key, value in final.items():
            if value is not None:
                if key not in self._values:
                    added.append(key)
                self._values[key] = value
            elif self._values.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
        if len(added) < _MERGE_MIN:
            for key in added:
                insort(self._keys, key)
        else:
            self._keys.extend(sorted(added))
            self._keys.sort()

"""Builds a state of any size from its values, in bounded memory (docs/spec/snapshot.md, P3).

Values come in the order of their keys, pages are made in the order of their paths, and a path is a
hash: so each namespace is read once, its leaves are sorted into 256 groups by their first byte, and
the groups become pages one after the other. Groups that do not fit in memory wait in files of a
scratch directory, which are worthless after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from medquorum.hashing import Kind
from medquorum.invariants import require
from storage import layout
from storage.files import DiskFiles
from storage.kv import KV, Batch, Reader, prefix_end
from storage.limits import (
    BUILD_BATCH_BYTES,
    BUILD_LEAVES_APPLIED_MIN,
    BUILD_LEAVES_HELD_BYTES,
    STATE_KEY_BYTES_MAX,
)
from storage.pages import LEAF_BYTES, PATH_BYTES, Page
from storage.state import stage_head
from storage.tree import Leaf, TreeRoot, TreeUpdate

_GROUPS: Final = 256
_SHARED_DEPTH_MAX: Final = 1
"""Leaves that differ in their first byte share no page below this depth."""
_KEY_PREFIX: Final = Kind.STATE_KEY.value
_VALUE_PREFIX: Final = Kind.STATE_VALUE.value


def read_state(reader: Reader) -> Iterator[tuple[str, bytes, bytes]]:
    """All latest values with their namespaces and keys, in the order of the key space: shorter
    names of namespaces come first. Raises what the reader raises.
    """
    for full_key, value in reader.scan(layout.STATE, prefix_end(layout.STATE)):
        name_end = 2 + full_key[1]
        yield full_key[2:name_end].decode("ascii"), full_key[name_end:], value


class StateBuilder:
    """Fills an empty store with the state of one height. For one thread.

    Nothing is durable, and the store has no state, until the batch that `finish` filled is written.
    """

    def __init__(
        self,
        kv: KV,
        height: int,
        scratch: Path,
        *,
        held_bytes_max: int = BUILD_LEAVES_HELD_BYTES,
        before_write: Callable[[], None] = lambda: None,
    ) -> None:
        """`scratch` is a directory that exists and is empty. `before_write` is called before the
        disk gets some MiB, and may raise what ends the building.
        """
        self._kv = kv
        self._before_write = before_write
        self._height = height
        self._version = layout.pack_height(height)
        self._groups = _Groups(scratch, held_bytes_max, before_write)
        self._trees: dict[str, TreeRoot] = {}
        self._namespace = ""
        self._last_key = b""
        self._prefix = b""
        self._batch = Batch()
        self._batch_bytes = 0

    def add(self, namespace: str, key: bytes, value: bytes) -> None:
        """The next value, in the order of `read_state`. Raises ValueError if it is not above the
        one before, or a key cannot have this length.
        """
        if namespace != self._namespace:
            prefix = layout.STATE + layout.pack_namespace(namespace)
            if prefix < self._prefix:
                raise ValueError("the namespaces do not ascend")
            self._close_namespace()
            self._namespace = namespace
            self._prefix = prefix
            self._last_key = b""
        if not self._last_key < key or len(key) > STATE_KEY_BYTES_MAX:
            raise ValueError("the keys do not ascend, or one is too long")
        self._last_key = key
        self._put(self._prefix + key, value)
        path = sha256(_KEY_PREFIX + key).digest()
        self._groups.add(path + sha256(_VALUE_PREFIX + value).digest())

    def finish(self, batch: Batch) -> bytes:
        """Write what is left, and put what makes it a state into `batch`. The state root."""
        self._close_namespace()
        self._flush()
        return stage_head(batch, self._height, self._trees)

    def _close_namespace(self) -> None:
        if self._namespace == "":
            return
        packed = layout.pack_namespace(self._namespace)
        root: TreeRoot | None = None
        shared: dict[bytes, Page] = {}
        for leaves in self._groups.drain():
            update = TreeUpdate(
                packed, self._version, lambda keys, _: [shared[key] for key in keys]
            )
            update.apply(root, leaves)
            root = update.root
            for depth, keys, built in update.written:
                if depth <= _SHARED_DEPTH_MAX:
                    shared.update(zip(keys, built, strict=True))
                    continue
                for key, page in zip(keys, built, strict=True):
                    self._put(key, page)
        for key, page in shared.items():
            self._put(key, page)
        require(root is not None, "a namespace without keys was begun")
        if root is not None:
            self._trees[self._namespace] = root

    def _put(self, key: bytes, value: bytes) -> None:
        self._batch.put(key, value)
        self._batch_bytes += len(key) + len(value)
        if self._batch_bytes >= BUILD_BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._before_write()
        self._kv.write(self._batch, sync=False)
        self._batch, self._batch_bytes = Batch(), 0


class _Groups:
    """Leaves by the first byte of their path."""

    def __init__(
        self, scratch: Path, held_bytes_max: int, before_write: Callable[[], None]
    ) -> None:
        self._files = DiskFiles()
        self._before_write = before_write
        self._scratch = scratch
        self._held_bytes_max = held_bytes_max
        self._held = [bytearray() for _ in range(_GROUPS)]
        self._held_bytes = 0
        self._spilled = False

    def add(self, leaf: bytes) -> None:
        self._held[leaf[0]] += leaf
        self._held_bytes += LEAF_BYTES
        if self._held_bytes >= self._held_bytes_max:
            self._spill()

    def drain(self) -> Iterator[list[Leaf]]:
        """All leaves in the order of their paths, many at a time; none are left."""
        waiting: list[Leaf] = []
        for group in range(_GROUPS):
            waiting += self._take(group)
            if len(waiting) >= BUILD_LEAVES_APPLIED_MIN:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _take(self, group: int) -> list[Leaf]:
        data = bytes(self._held[group])
        self._held_bytes -= len(data)
        self._held[group].clear()
        if self._spilled:
            data += self._files.read(self._file(group)) or b""
            self._files.remove(self._file(group))
        leaves = [data[start : start + LEAF_BYTES] for start in range(0, len(data), LEAF_BYTES)]
        return sorted((leaf[:PATH_BYTES], leaf) for leaf in leaves)

    def _spill(self) -> None:
        self._before_write()
        self._spilled = True
        for group, held in enumerate(self._held):
            if held:
                self._append(self._file(group), bytes(held))
                held.clear()
        self._held_bytes = 0

    def _file(self, group: int) -> Path:
        return self._scratch / f"{group:02x}.leaves"

    def _append(self, path: Path, data: bytes) -> None:
        exists = self._files.size(path) is not None
        file = self._files.open_append(path) if exists else self._files.create(path)
        try:
            file.write(data)
        finally:
            file.close()

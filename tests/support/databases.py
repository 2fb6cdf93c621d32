"""Every kind of database that is installed here, for tests that all of them must pass."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from storage.backends import BackendName, open_backend
from storage.kv import KV, Batch
from storage.memory import MemoryKV

DURABLE: Final[list[BackendName]] = (
    ["leveldb"] if find_spec("lmdb") is None else ["leveldb", "lmdb"]
)
"""LMDB is an extra."""
KINDS: Final = ["memory", *DURABLE]
_MIB: Final = 1024 * 1024


def open_kind(kind: str, path: Path) -> KV:
    """A store of this kind; memory forgets where it was."""
    for backend in DURABLE:
        if backend == kind:
            return open_backend(path, backend, write_buffer_bytes=_MIB, cache_bytes=_MIB)
    assert kind == "memory"
    return MemoryKV()


def write_entry(kv: KV, key: bytes, value: bytes | None) -> None:
    """Write one entry, or remove it; on the disk when it returns."""
    batch = Batch()
    if value is None:
        batch.delete(key)
    else:
        batch.put(key, value)
    kv.write(batch, sync=True)

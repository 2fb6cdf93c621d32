"""Which kind of database is where, and how it is opened.

A directory says by its files what it holds: LevelDB has CURRENT or, if that is lost, tables and
logs; LMDB has data.mdb. A database is never opened as another kind than it is, which would begin an
empty one beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from storage.errors import BackendMismatchError, BackendMissingError
from storage.kv import KV
from storage.leveldb import Compression, LevelDB, data_files

BackendName = Literal["leveldb", "lmdb"]
_FILES: Final[dict[str, BackendName]] = {"CURRENT": "leveldb", "data.mdb": "lmdb"}


def backend_of(path: Path) -> BackendName | None:
    """What the database in a directory is; None if there is none."""
    for name, backend in _FILES.items():
        if (path / name).exists():
            return backend
    return "leveldb" if path.is_dir() and data_files(path) else None


def open_backend(
    path: Path,
    backend: BackendName,
    *,
    write_buffer_bytes: int,
    cache_bytes: int,
    compression: Compression = "none",
) -> KV:
    """Open or create a database of this kind; sizes and compression are LevelDB's.

    Raises BackendMismatchError, BackendMissingError; DamagedStoreError, DiskError.
    """
    found = backend_of(path)
    if found not in {None, backend}:
        raise BackendMismatchError(path, str(found), backend)
    match backend:
        case "leveldb":
            return LevelDB(
                path,
                write_buffer_bytes=write_buffer_bytes,
                cache_bytes=cache_bytes,
                compression=compression,
            )
        case "lmdb":
            try:
                from storage.lmdb import LMDB  # noqa: PLC0415 - an extra, which may not be there
            except ModuleNotFoundError as error:
                if error.name != backend:
                    raise
                raise BackendMissingError(backend) from None
            return LMDB(path)

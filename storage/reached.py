"""How high a database is known to have been, and whether it still is (docs/spec/storage.md, C3).

LevelDB takes a damaged end of its own log, or of its manifest, for what a crash left of a write,
and opens without it. That is right for what was not acknowledged and wrong for everything else, and
it cannot tell the two apart. So a file beside it does:

    REACHED    "MQREACHD" | height (8) | CRC-32 of both (4)

It is overwritten in place after a height became durable, and not synced: it is never ahead of the
database, and after a failure of power it may be behind and notice less.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from medquorum.invariants import require
from storage import layout
from storage.chain import ChainStore
from storage.errors import DamagedStoreError, DiskError, DiskFailedError, DiskFullError
from storage.files import FULL
from storage.kv import Reader
from storage.limits import WHOLE_HEIGHTS_MAX
from storage.state import NO_HEIGHT, StateStore

NAME: Final = "REACHED"
_MAGIC: Final = b"MQREACHD"
_BODY: Final = Struct(">8sQ")
_CHECK: Final = Struct(">I")
_BYTES: Final = _BODY.size + _CHECK.size


class Reached:
    """The open file of one database directory. `height` is what it said when it was opened; 0 if it
    says nothing, which is also what a damaged one says: it protects others, and is no loss itself.
    """

    __slots__ = ("_descriptor", "_path", "height")

    def __init__(self, directory: Path) -> None:
        """Open it in `directory`, which exists. Raises DiskFullError, DiskFailedError."""
        self._path = directory / NAME
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            data = os.pread(self._descriptor, _BYTES, 0)
        except OSError as error:
            raise _typed(self._path, "open", error) from None
        self.height = _parse(data)

    def note(self, height: int) -> None:
        """The database is at `height`, durably. Raises DiskFullError, DiskFailedError."""
        require(self._descriptor >= 0, "the file is closed")
        body = _BODY.pack(_MAGIC, height)
        try:
            os.pwrite(self._descriptor, body + _CHECK.pack(crc32(body)), 0)
        except OSError as error:
            raise _typed(self._path, "write", error) from None

    def sync(self) -> None:
        """Return when what was noted is on the disk. Raises DiskFullError, DiskFailedError."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise _typed(self._path, "sync", error) from None

    def close(self) -> None:
        """Release the file; closing again is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_reached(directory: Path) -> int:
    """What the file in `directory` says, 0 if nothing. Changes nothing. Raises DiskFailedError."""
    try:
        return _parse((directory / NAME).read_bytes())
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _typed(directory / NAME, "read", error) from None


def lower_reached(directory: Path, height: int) -> None:
    """Heights above `height` are about to be taken back on purpose; durable on return. Raises
    DiskFullError, DiskFailedError.
    """
    reached = Reached(directory)
    try:
        if reached.height > height:
            reached.note(height)
            reached.sync()
    finally:
        reached.close()


def require_reached(tip: int, reached: int) -> None:
    """Raise DamagedStoreError if a database that is at `tip` was higher (C3)."""
    if tip < reached:
        raise DamagedStoreError(
            "the database",
            f"it ends at height {tip}, although height {reached} was durable: what follows is lost",
        )


def require_whole(kv: Reader, blocks: ChainStore, state: StateStore) -> None:
    """Raise DamagedStoreError if a height is missing below the tip, or its state is not the
    certified one (C4).

    It looks as far back as LevelDB's log can reach, for that is where a manifest that lost its end
    tears a hole: it forgets a file that took a log's place, and the log is gone.
    """
    tip = blocks.tip()
    if blocks.genesis() is None:
        # Nothing has been written yet, or what was written first is lost.
        if tip > 0 or state.height() != NO_HEIGHT:
            raise DamagedStoreError("the database", f"the genesis is missing; {tip} is there")
        return
    first = max(blocks.oldest_block(), tip - WHOLE_HEIGHTS_MAX + 1)
    expected = first
    start = layout.at_height(layout.HEADER, first)
    for key, _ in kv.scan(start, layout.at_height(layout.HEADER, tip + 1)):
        height = layout.unpack_height(key[1:])
        if height != expected:
            break
        expected += 1
    if expected <= tip:
        raise DamagedStoreError("the database", f"height {expected} is missing; {tip} is there")
    result = blocks.result(tip)
    if result is None:
        raise DamagedStoreError("the database", f"height {tip} has no result")
    if (state.height(), state.root()) != (tip, result.state_root):
        raise DamagedStoreError(
            "the database",
            f"the state is that of height {state.height()}, root {state.root().hex()}; height {tip}"
            f" has {result.state_root.hex()}",
        )


def _parse(data: bytes) -> int:
    if len(data) != _BYTES:
        return 0
    body, check = data[: _BODY.size], data[_BODY.size :]
    magic, height = _BODY.unpack(body)
    return int(height) if magic == _MAGIC and check == _CHECK.pack(crc32(body)) else 0


def _typed(path: Path, operation: str, error: OSError) -> DiskError:
    kind = DiskFullError if error.errno in FULL else DiskFailedError
    return kind(path, operation, error.strerror or str(error))

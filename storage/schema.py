"""The formats of everything that a node stores, and the steps from one to the next
(docs/spec/storage.md, section 8).

Rules, numbered as there: S1 Every store says its format in itself. S2 A format that is newer than
this software's is refused, and nothing is changed. S3 An older one is brought forward step by step,
after a copy was made (migration.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medquorum.invariants import require
from storage import journal, layout, signstate, wal
from storage.errors import DamagedStoreError, FormatError
from storage.kv import KV, Batch, Reader
from storage.removals import give_up_unnamed


@dataclass(frozen=True, slots=True)
class Step:
    """Takes a database from the layout `source` to the next one. `run` may be interrupted anywhere
    and is then called again; it leaves the format itself alone.
    """

    source: int
    what: str
    run: Callable[[KV], None]


STEPS: Final = (
    Step(
        1,
        "earlier states that cannot be put together, because software of that time did not write"
        " down which keys a height removed, are given up",
        give_up_unnamed,
    ),
)
"""Of the database, one for each format that this repository has left behind, in their order."""


def database_format(kv: Reader) -> int | None:
    """The format of a database; None if nothing was written to it. Raises FormatError for a newer
    one (S2), DamagedStoreError for what is none.
    """
    data = kv.get(layout.FORMAT)
    if data is None:
        return None
    found = layout.unpack_height(data)
    if not found >= 1 or len(data) != layout.HEIGHT_BYTES:
        raise DamagedStoreError("the database", f"its format is {data.hex()}")
    if found > layout.FORMAT_VERSION:
        raise FormatError("the database", found, layout.FORMAT_VERSION)
    return found


def steps_from(found: int) -> tuple[Step, ...]:
    """What is between a format and that of this software."""
    steps = tuple(step for step in STEPS if step.source >= found)
    require(len(steps) == layout.FORMAT_VERSION - found, f"no way leads from format {found}")
    return steps


def bring_forward(kv: KV) -> int | None:
    """Take every step that `kv` still needs, and say so in it after each, synced. The format that
    it had; None for one that has nothing.

    Raises FormatError (S2), DamagedStoreError, DiskError. Interrupted, call it again.
    """
    found = database_format(kv)
    for step in () if found is None else steps_from(found):
        step.run(kv)
        done = Batch()
        done.put(layout.FORMAT, layout.pack_height(step.source + 1))
        # Synced, and with it all that the step wrote before.
        kv.write(done, sync=True)
    return found


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that begins with the name of its format and its digits."""

    magic: bytes
    digits: int
    current: int


LOG: Final = FileKind(b"MQWAL", 3, wal.VERSION)
SIGN_STATE: Final = FileKind(b"MQSIGN", 2, signstate.VERSION)
SEGMENT: Final = FileKind(b"MQJRN", 3, journal.VERSION)


def file_format(path: Path, kind: FileKind) -> int | None:
    """The format that a file says it has; None if it is not there or says none. Whether it is whole
    its store finds out. Raises OSError.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(kind.magic) + kind.digits)
    except FileNotFoundError:
        return None
    digits = head[len(kind.magic) :]
    if not head.startswith(kind.magic) or len(digits) != kind.digits or not digits.isdigit():
        return None
    return int(digits)

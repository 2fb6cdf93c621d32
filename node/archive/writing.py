"""Writes a range of the chain into a file (docs/spec/archive.md, A1).

The work is a generator that pauses after each height, so that a running node can do a little at a
time; the chain may go on meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeVar

from msgspec.structs import replace

from medquorum import merkle
from medquorum.recovery import pack_recovery
from node.archive.errors import UnarchivableError
from node.archive.format import ArchivedChange, ArchivedHeight, ArchiveHead, framed, payload_of
from node.archive.limits import ARCHIVE_HEIGHTS_MAX
from node.receipts import history_before
from storage import layout
from storage.chain import ChainStore
from storage.files import TEMP_SUFFIX, DiskFiles
from storage.kv import KV, Reader

T = TypeVar("T")
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_ROOT: Final = bytes(32)
_PARTS: Final = (
    layout.HEADER,
    layout.RESULT,
    layout.CERTIFICATE,
    layout.TRANSACTIONS,
    layout.OUTCOMES,
    layout.EVENTS,
)


class Written(NamedTuple):
    """An archive that was made."""

    head: ArchiveHead
    size: int


def finished(work: Generator[None, None, T]) -> T:
    """Do all of it now; what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def writing(
    path: Path, kv: KV, chain_id: bytes, first: int, last: int
) -> Generator[None, None, Written]:
    """Write the heights from `first` to `last` into a new file, which is durable at the end.

    Raises UnarchivableError if one of them is not whole here, or the file exists;
    DamagedStoreError, OSError. Nothing stands under the name before all of it is written.
    """
    head = _head(ChainStore(kv), chain_id, first, last)
    if path.exists():
        raise UnarchivableError(f"{path} exists already")
    temp = path.with_name(f".{path.name}{TEMP_SUFFIX}")
    # What a crash left of it goes. A link that somebody put there is not followed.
    temp.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(temp, _NEW, 0o600), "wb") as stream:
            head = yield from _write(stream, kv, head)
            size = stream.tell()
        _name(temp, path)
    finally:
        temp.unlink(missing_ok=True)
    return Written(head, size)


def _name(temp: Path, path: Path) -> None:
    """Give it its name, durably, and never that of a file which came there meanwhile."""
    files = DiskFiles()
    try:
        path.hardlink_to(temp)
    except FileExistsError:
        raise UnarchivableError(f"{path} exists already") from None
    except OSError:  # of a file system that knows no second name
        files.rename(temp, path)
    files.sync_directory(path.parent)


def _head(blocks: ChainStore, chain_id: bytes, first: int, last: int) -> ArchiveHead:
    """What is known of it before its heights are read: all but the root."""
    oldest, tip = blocks.oldest_block(), blocks.tip()
    if not oldest <= first <= last <= tip:
        raise UnarchivableError(f"blocks from {oldest} to {tip} are here, not {first} to {last}")
    if last - first >= ARCHIVE_HEIGHTS_MAX:
        raise UnarchivableError(f"an archive has at most {ARCHIVE_HEIGHTS_MAX} heights")
    below = blocks.header(first - 1)
    if below is None and first > 1:
        raise UnarchivableError(f"the header of height {first - 1} is not here")
    return ArchiveHead(
        version=1,
        chain_id=chain_id,
        first=first,
        last=last,
        parent=chain_id if below is None else below.hash(),
        root=_NO_ROOT,
        changes=tuple(
            ArchivedChange(
                c.at.header,
                c.at.result,
                c.at.certificate,
                c.validators,
                pack_recovery(c.recovery),
            )
            for c in history_before(blocks, first)
        ),
    )


def _write(
    stream: BinaryIO, reader: Reader, head: ArchiveHead
) -> Generator[None, None, ArchiveHead]:
    """The entries first, behind a head of the same size: the root is known when they are done."""
    stream.write(framed(head))
    hashes: list[bytes] = []
    for height in range(head.first, head.last + 1):
        entry = payload_of(_load(reader, height))
        hashes.append(entry.digest)
        stream.write(entry.framed)
        yield
    end = stream.tell()
    whole = replace(head, root=merkle.root(hashes))
    stream.seek(0)
    stream.write(framed(whole))
    stream.seek(end)
    stream.flush()
    os.fsync(stream.fileno())
    return whole


def _load(reader: Reader, height: int) -> ArchivedHeight:
    parts = [reader.get(layout.at_height(prefix, height)) for prefix in _PARTS]
    whole = [part for part in parts if part is not None]
    if len(whole) < len(_PARTS):
        raise UnarchivableError(f"height {height} is not whole: see 'medquorum verify'")
    header, result, certificate, transactions, outcomes, events = whole
    after = reader.get(layout.at_height(layout.VALIDATORS, height + 1)) or b""
    return ArchivedHeight(
        header, result, certificate, transactions, outcomes, events, validators=after
    )

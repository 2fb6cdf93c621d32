"""Has an archive of a range in a directory, and proves it before anybody gives the range up
(docs/spec/archive.md, A1, A10).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from node.archive.errors import UnarchivableError
from node.archive.format import ArchiveHead, ArchiveReader
from node.archive.proving import Proven, proving
from node.archive.writing import writing
from storage.chain import ChainStore
from storage.kv import KV

SUFFIX: Final = ".mqarchive"
_CHAIN_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is proven. `found` says that it was there already."""

    path: Path
    head: ArchiveHead
    proven: Proven
    size: int
    found: bool


def archive_path(directory: Path, chain_id: bytes, first: int, last: int) -> Path:
    """What the archive of a range is called."""
    return directory / f"{chain_id.hex()[:_CHAIN_CHARS]}-{first}-{last}{SUFFIX}"


def keeping(
    path: Path, kv: KV, genesis: Genesis, first: int, last: int
) -> Generator[None, None, Kept]:
    """Have a proven archive of these heights at `path`: the one that is there, as an attempt that
    was interrupted has left it, or a new one. Pauses after each height.

    Raises UnarchivableError if it cannot be made, or if the file there is of other heights. If it
    proves nothing: VerificationError. Then a new one is gone, for what is stored here is damaged;
    one that was there stays for somebody to look at.
    """
    found = path.exists()
    if not found:
        yield from writing(path, kv, genesis.chain_id(), first, last)
    try:
        kept = yield from _proven(path, genesis, found)
    except VerificationError:
        if not found:
            path.unlink(missing_ok=True)
        raise
    if found:
        _check_same(kept, ChainStore(kv), first, last)
    return kept


def _proven(path: Path, genesis: Genesis, found: bool) -> Generator[None, None, Kept]:
    with path.open("rb") as stream:
        reader = ArchiveReader(stream)
        proven = yield from proving(reader, genesis)
        return Kept(path, reader.head, proven, stream.seek(0, 2), found)


def _check_same(kept: Kept, blocks: ChainStore, first: int, last: int) -> None:
    """Its heights are bound to the last one by their hashes, so that one is compared."""
    if (kept.head.first, kept.head.last) != (first, last):
        raise UnarchivableError(f"{kept.path} is there, and of other heights than {first}-{last}")
    header, result = blocks.header(last), blocks.result(last)
    if header is None or result is None:
        raise UnarchivableError(f"height {last} is not here")
    if (kept.proven.block_hash, kept.proven.result_hash) != (header.hash(), result.hash()):
        raise UnarchivableError(f"{kept.path} holds another height {last} than this node")

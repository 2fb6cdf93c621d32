"""What the stores of a home say about their formats, and what this software would do with them
(docs/spec/storage.md, section 8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from node.home import Home
from node.vault.sealed import FORMAT_VERSION as VAULT_FORMAT
from node.vault.sealed import vault_format
from storage import layout
from storage.errors import FormatError
from storage.files import DiskFiles
from storage.kv import KV
from storage.schema import LOG, SEGMENT, SIGN_STATE, FileKind, database_format, file_format


class Verdict(Enum):
    """What becomes of a store at the next start."""

    CURRENT = "current"
    OLDER = "will be brought forward"
    NEWER = "refused: a newer version of MedQuorum wrote it"
    ABSENT = "not there yet"
    UNKNOWN = "says no format: the store itself will refuse it"


@dataclass(frozen=True, slots=True)
class StoreFormat:
    """A store, the format that it says it has, and the one that this software writes."""

    name: str
    path: Path
    found: int | None
    current: int

    @property
    def verdict(self) -> Verdict:
        """What becomes of it."""
        if self.found is None:
            return Verdict.UNKNOWN if self.path.exists() else Verdict.ABSENT
        if self.found == self.current:
            return Verdict.CURRENT
        return Verdict.NEWER if self.found > self.current else Verdict.OLDER


def survey(home: Home, kv: KV | None) -> tuple[StoreFormat, ...]:
    """All stores of a home that does not run; `kv` is its database, if there is one.

    Raises DamagedStoreError, DiskFailedError, OSError.
    """
    return (_database(home, kv), *_files(home), _vault(home))


def _database(home: Home, kv: KV | None) -> StoreFormat:
    try:
        found = None if kv is None else database_format(kv)
    except FormatError as error:
        found = error.found
    return StoreFormat("database", home.chain, found, layout.FORMAT_VERSION)


def _files(home: Home) -> Iterator[StoreFormat]:
    named: list[tuple[str, Path, FileKind]] = [
        ("consensus log", home.consensus_log, LOG),
        ("evidence", home.evidence, LOG),
        ("sign state", home.sign_state, SIGN_STATE),
    ]
    segments = sorted(home.mempool.glob("*.journal")) if home.mempool.exists() else []
    named += [("mempool journal", path, SEGMENT) for path in segments]
    for name, path, kind in named:
        yield StoreFormat(name, path, file_format(path, kind), kind.current)


def _vault(home: Home) -> StoreFormat:
    try:
        found = vault_format(DiskFiles(), home.vault)
    except FormatError as error:
        found = error.found
    if found is None and home.vault.exists():
        found = VAULT_FORMAT  # there is nothing in it
    return StoreFormat("vault", home.vault, found, VAULT_FORMAT)

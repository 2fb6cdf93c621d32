"""The exceptions of storage.

StorageError
├── DiskError                 the device did not do what was asked
│   ├── DiskFullError         no space, quota or inode left
│   └── DiskFailedError       an I/O error or a failed fsync; never retried
├── DamagedError              what is on the disk is not what was written
│   ├── DamagedStoreError     the database: a bad checksum, a missing file or entry
│   ├── DamagedLogError       a bad record with good ones after it
│   ├── DamagedSignStateError the sign-state file does not hold a whole record
│   └── DamagedBlobError      a vault blob that does not hash to its name, or what goes with it
├── VersionError              a height whose state cannot be read
│   ├── PrunedError           it was dropped by policy
│   └── HeightAheadError      it has not been committed here
├── DoubleSignRefusedError    this vote contradicts one that was signed before
├── SignStateMismatchError    the sign-state file belongs to another key or chain
├── FormatError               written by a version of MedQuorum that this one does not read
├── BackendError              the database is of another kind than it should be
│   ├── BackendMismatchError  it is there, and of another kind
│   └── BackendMissingError   what this kind needs is not installed
├── BlobNotFoundError         the vault does not hold this blob
├── JournalFullError          the mempool journal has reached its limit
└── DataDirLockedError        another process uses the data directory
"""

from __future__ import annotations

from pathlib import Path


class StorageError(Exception):
    """Base of all that storage raises. Never raised itself."""


class DiskError(StorageError):
    """Base: the device did not do what was asked."""

    def __init__(self, path: Path | str, operation: str, detail: str) -> None:
        super().__init__(f"{operation} of {path}: {detail}")
        self.path = Path(path)
        self.operation = operation
        self.detail = detail


class DiskFullError(DiskError):
    """No space is left. What was acknowledged is safe; free space and open again."""


class DiskFailedError(DiskError):
    """An I/O error or a failed fsync.

    The kernel may have dropped the data, so a second attempt would prove nothing.
    """


class DamagedError(StorageError):
    """Base: what is on the disk is not what was written."""


class DamagedStoreError(DamagedError):
    """The database has a bad checksum, lacks a file, or does not hold what belongs together."""

    def __init__(self, path: Path | str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = Path(path)
        self.detail = detail


class DamagedLogError(DamagedError):
    """The record at `offset` is bad although good ones follow, so this is not the torn tail that a
    crash leaves.
    """

    def __init__(self, path: Path | str, offset: int) -> None:
        super().__init__(
            f"{path}: the record at offset {offset} is damaged, and good data follows it"
        )
        self.path = Path(path)
        self.offset = offset


class DamagedSignStateError(DamagedError):
    """The sign-state file does not hold a whole record. Whoever signs anyway may sign twice."""

    def __init__(self, path: Path | str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = Path(path)
        self.detail = detail


class DamagedBlobError(DamagedError):
    """A vault blob does not hash to its name, or what is kept beside it is not what was written."""

    def __init__(self, blob_id: bytes, detail: str = "does not hash to its name") -> None:
        super().__init__(f"blob {blob_id.hex()} {detail}")
        self.blob_id = blob_id


class VersionError(StorageError):
    """Base: the state of this height cannot be read."""


class PrunedError(VersionError):
    """The state of `height` was dropped by policy; `oldest` is the first height that is kept."""

    def __init__(self, height: int, oldest: int) -> None:
        super().__init__(f"the state of height {height} is pruned; the oldest kept is {oldest}")
        self.height = height
        self.oldest = oldest


class HeightAheadError(VersionError):
    """`height` has not been committed here; `tip` is the last one that was."""

    def __init__(self, height: int, tip: int) -> None:
        super().__init__(f"height {height} is ahead of {tip}")
        self.height = height
        self.tip = tip


class DoubleSignRefusedError(StorageError):
    """Signing (height, round, phase) would contradict what was signed at `last`, a triple of the
    same kind.
    """

    def __init__(self, asked: tuple[int, int, int], last: tuple[int, int, int]) -> None:
        relation = "another digest was signed there" if asked == last else f"already at {last}"
        super().__init__(f"refused to sign at height, round, phase {asked}: {relation}")
        self.asked = asked
        self.last = last


class SignStateMismatchError(StorageError):
    """The sign-state file belongs to another validator key or another chain."""

    def __init__(self, path: Path | str, what: str) -> None:
        super().__init__(f"{path} belongs to another {what}")
        self.path = Path(path)
        self.what = what


class FormatError(StorageError):
    """Written in another format than this version of MedQuorum reads and writes. A newer format is
    never read, for nobody knows here what it promises; an older one is brought forward first.
    """

    def __init__(self, path: Path | str, found: int, supported: int) -> None:
        what = (
            "a newer version of MedQuorum wrote it: run that version, or put the copy that it made"
            " before the migration back"
            if found > supported
            else "'medquorum migrate', or the start of the node, brings a home forward"
        )
        super().__init__(f"{path} has format {found}; this version reads {supported}: {what}")
        self.path = Path(path)
        self.found = found
        self.supported = supported


class BackendError(StorageError):
    """Base: the configuration names a kind of database that cannot be opened here."""


class BackendMismatchError(BackendError):
    """The database at `path` is of the kind `found`, and `wanted` was asked for."""

    def __init__(self, path: Path | str, found: str, wanted: str) -> None:
        super().__init__(
            f"{path} is a database of the kind {found}, and storage.backend is {wanted}: set it to"
            f" {found}, or move the database away and let the node fetch or restore the chain"
        )
        self.path = Path(path)
        self.found = found
        self.wanted = wanted


class BackendMissingError(BackendError):
    """What a kind of database needs is not installed."""

    def __init__(self, backend: str) -> None:
        super().__init__(
            f"storage.backend is {backend}, which is not installed: pip install"
            f" 'medquorum-node[{backend}]'"
        )
        self.backend = backend


class BlobNotFoundError(StorageError):
    """The vault does not hold this blob."""

    def __init__(self, blob_id: bytes) -> None:
        super().__init__(f"blob {blob_id.hex()} is not here")
        self.blob_id = blob_id


class JournalFullError(StorageError):
    """The mempool journal has reached its limit; `bytes_max` is that limit."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the journal has reached its {bytes_max} bytes")
        self.bytes_max = bytes_max


class DataDirLockedError(StorageError):
    """Another process uses the data directory. `pid` is 0 if it did not say which."""

    def __init__(self, path: Path | str, pid: int) -> None:
        holder = f"process {pid}" if pid != 0 else "another process"
        super().__init__(f"{path} is in use by {holder}")
        self.path = Path(path)
        self.pid = pid

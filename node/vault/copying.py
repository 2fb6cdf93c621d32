"""Copies of a vault on another disk, and vaults filled from them again (docs/spec/vault.md, rules
M1 to M6).

    LOCK                      one process at a time writes here
    FORMAT                    the mark of a vault (storage/mark.py)
    INDEX                     how many records there are, and a digest over them once all are there
    blobs/<hh>/<hash>         ciphertexts under their hashes, as in the vault
    envelopes/<hh>/<hash>     the custodian's envelope of each, as in the vault, behind its hash

Nothing here can be read without the gateway's key, which is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from medquorum.codec import U53, Hash, Wire, decode, encode
from medquorum.errors import DecodeError
from node.vault.errors import AnotherVaultError
from node.vault.limits import INDEX_BYTES_MAX
from node.vault.sealed import (
    PARTS,
    SHARDS,
    CustodyEnvelope,
    envelope_body,
    read_envelope,
    sealed,
    unsealed,
    vault_format,
)
from node.vault.store import RecordStore
from storage.errors import BlobNotFoundError, DamagedBlobError
from storage.files import DiskFiles, Files, replace_file
from storage.vault import parse_id, read_blob

Progress = Callable[[str, int, int], None]
INDEX_NAME: Final = "INDEX"
UNFINISHED: Final = bytes(32)


class Index(Wire):
    """What a copy holds. `digest` is over the hashes of all ciphertexts, ascending, each with the
    hash of its envelope; UNFINISHED until they are there.
    """

    version: Literal[1]
    chain_id: Hash
    records: U53
    bytes: U53
    digest: Hash


@dataclass(slots=True)
class Copied:
    """What came of it. `damaged` names what could not be copied, and why."""

    records: int = 0
    """That are there in the end."""
    new: int = 0
    renewed: int = 0
    """Records that were there, and whose envelope is another now."""
    bytes_new: int = 0
    incomplete: int = 0
    """Halves: a record that is being put or erased at this moment, or was when a crash came."""
    only_in_copy: int = 0
    """Records of the copy that the vault has no longer: erased there, or lost."""
    forgotten: int = 0
    damaged: list[str] = field(default_factory=list)


class VaultFiles:
    """Reads the files of a vault or of a copy, of this format or an older one, and changes nothing:
    a node may use it meanwhile.
    """

    def __init__(self, path: Path) -> None:
        """Raises FormatError for a newer format, DamagedStoreError, DiskFailedError."""
        self._path = path
        self._files: Files = DiskFiles()
        self._format = vault_format(self._files, path)

    def ids(self) -> list[bytes]:
        """Of all records and halves of records, ascending."""
        found: set[bytes] = set()
        for part in PARTS:
            for shard in SHARDS:
                names = self._files.names(self._path / part / shard)
                parsed = (parse_id(shard, name) for name in names)
                found.update(blob_id for blob_id in parsed if blob_id is not None)
        return sorted(found)

    def envelope(self, blob_id: bytes) -> bytes | None:
        """The encoded envelope of a record, or None. Raises DamagedBlobError."""
        data = self._files.read(self._file("envelopes", blob_id))
        return None if data is None else envelope_body(data, blob_id, self._format)

    def ciphertext(self, blob_id: bytes) -> bytes | None:
        """It, or None. Raises DamagedBlobError."""
        try:
            return read_blob(self._path / "blobs", blob_id, files=self._files)
        except BlobNotFoundError:
            return None

    def size(self, blob_id: bytes) -> int | None:
        """Of the ciphertext, or None if it is not here."""
        return self._files.size(self._file("blobs", blob_id))

    def record(self, blob_id: bytes) -> tuple[bytes, CustodyEnvelope] | None:
        """Ciphertext and envelope, or None if one of them is not here. Raises DamagedBlobError."""
        body = self.envelope(blob_id)
        ciphertext = None if body is None else self.ciphertext(blob_id)
        if body is None or ciphertext is None:
            return None
        return ciphertext, read_envelope(body, blob_id)

    def index(self) -> Index | None:
        """What a copy should hold; None if there is none, or it rotted."""
        data = self._files.read(self._path / INDEX_NAME)
        body = None if data is None else unsealed(data)
        if body is None:
            return None
        try:
            return decode(Index, body, size_max=INDEX_BYTES_MAX)
        except DecodeError:
            return None

    def summed(self, chain_id: bytes) -> Index:
        """The index of what is here, as far as reading all envelopes, and of ciphertexts the sizes,
        can tell.
        """
        digest, records, total = sha256(), 0, 0
        for blob_id in self.ids():
            envelope, size = _envelope_if_whole(self, blob_id), self.size(blob_id)
            if envelope is not None and size is not None:
                digest.update(blob_id + sha256(envelope).digest())
                records, total = records + 1, total + size
        return Index(1, chain_id, records, total, digest.digest())

    def _file(self, part: str, blob_id: bytes) -> Path:
        name = blob_id.hex()
        return self._path / part / name[:2] / name


def copy_vault(
    vault: Path,
    directory: Path,
    chain_id: bytes,
    *,
    forget: bool,
    thorough: bool,
    progress: Progress,
) -> Copied:
    """Bring the copy in `directory` up to the vault, which a node may use meanwhile. What is there
    is not written again; `thorough` reads it, too, and replaces what rotted.

    Records that the vault has no longer stay in the copy unless `forget` (M4). The caller holds the
    lock of `directory`. Raises AnotherVaultError, FormatError, DiskError; interrupted, the copy has
    what it had, and some more, and an index that says so (M3).
    """
    source = VaultFiles(vault)
    _require_chain(VaultFiles(directory), directory, chain_id)
    target, done = RecordStore(directory), Copied()
    held = VaultFiles(directory)
    _write_index(directory, Index(1, chain_id, 0, 0, UNFINISHED))
    ids = source.ids()
    for number, blob_id in enumerate(ids, 1):
        if not _is_same(source, held, blob_id, thorough=thorough):
            _put(source, held, target, blob_id, done)
        progress("records", number, len(ids))
    gone = sorted(set(held.ids()).difference(ids))
    if forget:
        done.forgotten = sum(target.destroy(blob_id) for blob_id in gone)
    else:
        done.only_in_copy = len(gone)
    index = held.summed(chain_id)
    done.records = index.records
    _write_index(directory, index)
    return done


def fill_vault(directory: Path, vault: Path, chain_id: bytes, *, progress: Progress) -> Copied:
    """Put what the vault lacks into it from a copy. A record that is whole there stays as it is
    (M5). No node uses the vault meanwhile. Raises AnotherVaultError, FormatError, DiskError.
    """
    held = VaultFiles(directory)
    _require_chain(held, directory, chain_id)
    target, done = RecordStore(vault), Copied()
    there = VaultFiles(vault)
    ids = held.ids()
    for number, blob_id in enumerate(ids, 1):
        if not _is_whole(there, blob_id):
            _put(held, there, target, blob_id, done)
        progress("records", number, len(ids))
    done.records = there.summed(chain_id).records
    return done


def check_copy(directory: Path, *, progress: Progress) -> tuple[Index | None, list[str]]:
    """Read all of a copy: its index, and what is wrong, by name. Raises FormatError, DiskError."""
    held, wrong = VaultFiles(directory), list[str]()
    ids = held.ids()
    for number, blob_id in enumerate(ids, 1):
        try:
            if held.record(blob_id) is None:
                wrong.append(f"{blob_id.hex()}: its ciphertext or its envelope is missing")
        except DamagedBlobError as error:
            wrong.append(str(error))
        progress("records", number, len(ids))
    index = held.index()
    if index is None:
        wrong.append("INDEX: missing or damaged; another backup makes it anew")
    elif index.digest == UNFINISHED:
        wrong.append("INDEX: the last backup did not end; make another one")
    elif held.summed(index.chain_id) != index:
        wrong.append(f"INDEX: it tells of {index.records} records, and other ones are here")
    return index, wrong


def _is_same(source: VaultFiles, held: VaultFiles, blob_id: bytes, *, thorough: bool) -> bool:
    """Whether the copy has the record with the envelope of today, as far as that can be read."""
    envelope = _envelope_if_whole(source, blob_id)
    if envelope is None or envelope != _envelope_if_whole(held, blob_id):
        return False
    return held.size(blob_id) is not None and (not thorough or _is_whole(held, blob_id))


def _envelope_if_whole(there: VaultFiles, blob_id: bytes) -> bytes | None:
    try:
        return there.envelope(blob_id)
    except DamagedBlobError:
        return None


def _is_whole(there: VaultFiles, blob_id: bytes) -> bool:
    try:
        return there.record(blob_id) is not None
    except DamagedBlobError:
        return False


def _put(
    source: VaultFiles, held: VaultFiles, target: RecordStore, blob_id: bytes, done: Copied
) -> None:
    try:
        record = source.record(blob_id)
    except DamagedBlobError as error:
        done.damaged.append(str(error))
        return
    if record is None:
        done.incomplete += 1
        return
    ciphertext, custody = record
    if held.size(blob_id) is None:
        done.new += 1
        done.bytes_new += len(ciphertext)
    else:
        done.renewed += 1
    target.put(ciphertext, custody)


def _write_index(directory: Path, index: Index) -> None:
    replace_file(DiskFiles(), directory / INDEX_NAME, sealed(encode(index)))


def _require_chain(held: VaultFiles, directory: Path, chain_id: bytes) -> None:
    index = held.index()
    if index is not None and index.chain_id != chain_id:
        raise AnotherVaultError(directory)

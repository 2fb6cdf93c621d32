"""What the gateway keeps on disk: ciphertexts named by their hashes, and beside each the envelope
that only the gateway's key opens.

Nothing here can be read without that key. Destroying an envelope is what makes a record unreadable,
so envelopes are files of their own: removing one really removes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from medquorum.codec import encode
from node.vault.sealed import (
    FORMAT_VERSION,
    MARK,
    SHARDS,
    CustodyEnvelope,
    envelope_body,
    read_envelope,
    sealed,
    vault_format,
)
from storage.errors import BlobNotFoundError, DamagedBlobError
from storage.files import TEMP_SUFFIX, DiskFiles, Files, replace_file
from storage.mark import write_mark
from storage.vault import VaultDirectory, parse_id


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of a record, sealed, with the envelope of its secret."""

    custody: CustodyEnvelope = field(repr=False)
    ciphertext: bytes = field(repr=False)


class RecordStore:
    """Blocks on the disk; used from one thread at a time (the gateway's)."""

    def __init__(self, path: Path, *, files: Files | None = None) -> None:
        """Open or create the store, and bring one of an older format forward.

        Raises FormatError for a newer one, DamagedStoreError, DiskFullError, DiskFailedError.
        """
        self._files: Files = DiskFiles() if files is None else files
        found = vault_format(self._files, path)
        self._blobs = VaultDirectory(path / "blobs", files=files)
        self._envelopes = path / "envelopes"
        self._files.make_directory(self._envelopes)
        if found != FORMAT_VERSION:
            if found is not None:
                self._bring_forward(found)
            write_mark(self._files, path, MARK, FORMAT_VERSION)

    def put(self, ciphertext: bytes, custody: CustodyEnvelope) -> bytes:
        """Keep both durably; the blob's id. An envelope that is there already is replaced.

        The envelope goes first: one without a blob is harmless, a blob without one cannot be
        released. Raises DiskFullError, DiskFailedError.
        """
        blob_id = sha256(ciphertext).digest()
        path = self._path(blob_id)
        self._files.make_directory(path.parent)
        replace_file(self._files, path, sealed(encode(custody)))
        return self._blobs.put(ciphertext)

    def envelope(self, blob_id: bytes) -> CustodyEnvelope | None:
        """The envelope of a blob, or None. Raises DamagedBlobError."""
        data = self._files.read(self._path(blob_id))
        if data is None:
            return None
        return read_envelope(envelope_body(data, blob_id, FORMAT_VERSION), blob_id)

    def get(self, blob_id: bytes) -> Kept | None:
        """Blob and envelope, or None if one of them is not here. Raises DamagedBlobError."""
        custody = self.envelope(blob_id)
        if custody is None:
            return None
        try:
            return Kept(custody, self._blobs.get(blob_id))
        except BlobNotFoundError:
            return None

    def destroy(self, blob_id: bytes) -> bool:
        """Remove the envelope and the blob, for ever; whether anything was there.

        With them goes what a crash in the midst of a `put` may have left of the envelope.
        """
        path = self._path(blob_id)
        remains = path.with_name(path.name + TEMP_SUFFIX)
        removed = [self._files.remove(file) for file in (path, remains)]
        if any(removed):
            self._files.sync_directory(path.parent)
        return self._blobs.delete(blob_id) or any(removed)

    def _bring_forward(self, found: int) -> None:
        """Seal every envelope that can still be read; what cannot be stays as it is, and is damaged
        from now on. No copy is made first: each file is replaced in one step by one that holds the
        same, and a copy would outlive the records that are erased.
        """
        for shard in SHARDS:
            for name in self._files.names(self._envelopes / shard):
                blob_id = parse_id(shard, name)
                data = None if blob_id is None else self._files.read(self._path(blob_id))
                if blob_id is not None and data is not None:
                    self._seal(blob_id, data, found)

    def _seal(self, blob_id: bytes, data: bytes, found: int) -> None:
        body = envelope_body(data, blob_id, found)
        try:
            read_envelope(body, blob_id)
        except DamagedBlobError:
            return
        if sealed(body) != data:
            replace_file(self._files, self._path(blob_id), sealed(body))

    def _path(self, blob_id: bytes) -> Path:
        name = blob_id.hex()
        return self._envelopes / name[:2] / name

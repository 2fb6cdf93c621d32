"""What the gateway keeps on disk: ciphertexts named by their hashes, and beside each the envelope
that only the gateway's key opens.

Nothing here can be read without that key. Destroying an envelope is what makes a record unreadable,
so envelopes are files of their own: removing one really removes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from medquorum.codec import U32, Bytes32, Wire, decode, encode
from medquorum.errors import DecodeError
from medquorum.limits import ENVELOPE_BYTES_MAX
from node.vault.limits import CUSTODY_BYTES_MAX
from storage.errors import BlobNotFoundError, DamagedBlobError
from storage.files import DiskFiles, Files, replace_file
from storage.mark import check_mark
from storage.vault import VaultDirectory

FORMAT_VERSION: Final = 1
"""Of the whole directory: its layout, the blobs and the envelopes."""
MARK: Final = "vault"


class CustodyEnvelope(Wire):
    """The custodian's own envelope of one version of a record."""

    rec_id: Bytes32
    version: U32
    envelope: Annotated[bytes, Meta(max_length=ENVELOPE_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of a record, sealed, with the envelope of its secret."""

    custody: CustodyEnvelope = field(repr=False)
    ciphertext: bytes = field(repr=False)


class RecordStore:
    """Blocks on the disk; used from one thread at a time (the gateway's)."""

    def __init__(self, path: Path, *, files: Files | None = None) -> None:
        """Open or create the store. Raises FormatError, DiskFullError, DiskFailedError."""
        self._files: Files = DiskFiles() if files is None else files
        check_mark(self._files, path, MARK, FORMAT_VERSION)
        self._blobs = VaultDirectory(path / "blobs", files=files)
        self._envelopes = path / "envelopes"
        self._files.make_directory(self._envelopes)

    def put(self, ciphertext: bytes, custody: CustodyEnvelope) -> bytes:
        """Keep both durably; the blob's id. An envelope that is there already is replaced.

        The envelope goes first: one without a blob is harmless, a blob without one cannot be
        released. Raises DiskFullError, DiskFailedError.
        """
        blob_id = sha256(ciphertext).digest()
        path = self._path(blob_id)
        self._files.make_directory(path.parent)
        replace_file(self._files, path, encode(custody))
        return self._blobs.put(ciphertext)

    def envelope(self, blob_id: bytes) -> CustodyEnvelope | None:
        """The envelope of a blob, or None. Raises DamagedBlobError."""
        data = self._files.read(self._path(blob_id))
        if data is None:
            return None
        try:
            return decode(CustodyEnvelope, data, size_max=CUSTODY_BYTES_MAX)
        except DecodeError:
            raise DamagedBlobError(blob_id) from None

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
        """Remove the envelope and the blob, for ever; whether anything was there."""
        path = self._path(blob_id)
        removed = self._files.remove(path)
        if removed:
            self._files.sync_directory(path.parent)
        return self._blobs.delete(blob_id) or removed

    def _path(self, blob_id: bytes) -> Path:
        name = blob_id.hex()
        return self._envelopes / name[:2] / name

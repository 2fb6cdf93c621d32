"""Small files of a vault that say by themselves whether they are what was written, and the formats
that a vault has had (docs/spec/storage.md, section 8).

    sealed    SHA-256 of the rest | the rest

A ciphertext is named by its hash; an envelope is not, so it carries one. In format 1 it did not.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from medquorum.codec import U32, Bytes32, Wire, decode
from medquorum.errors import DecodeError
from medquorum.limits import ENVELOPE_BYTES_MAX
from node.vault.limits import CUSTODY_BYTES_MAX
from storage.errors import DamagedBlobError, FormatError
from storage.files import Files
from storage.mark import UNMARKED, read_mark

FORMAT_VERSION: Final = 2
"""Of the whole directory: its layout, the blobs and the envelopes."""
_SEALED_SINCE: Final = 2
MARK: Final = "vault"
PARTS: Final = ("blobs", "envelopes")
SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
_HASH_BYTES: Final = 32


class CustodyEnvelope(Wire):
    """The custodian's own envelope of one version of a record."""

    rec_id: Bytes32
    version: U32
    envelope: Annotated[bytes, Meta(max_length=ENVELOPE_BYTES_MAX)]


def vault_format(files: Files, path: Path) -> int | None:
    """The format of the vault, or of the copy of one, in `path`; None if nothing is there.

    Raises FormatError for a newer one, DamagedStoreError, DiskFailedError.
    """
    found = read_mark(files, path, MARK)
    if found is None and any(
        files.names(path / part / shard) for part in PARTS for shard in SHARDS
    ):
        return UNMARKED
    if found is not None and found > FORMAT_VERSION:
        raise FormatError(path, found, FORMAT_VERSION)
    return found


def sealed(body: bytes) -> bytes:
    """`body` behind its hash."""
    return sha256(body).digest() + body


def unsealed(data: bytes) -> bytes | None:
    """What is behind the hash; None if it is not what was sealed."""
    body = data[_HASH_BYTES:]
    return body if sha256(body).digest() == data[:_HASH_BYTES] else None


def envelope_body(data: bytes, blob_id: bytes, found: int | None) -> bytes:
    """The encoded envelope in the file of a blob in a vault of the format `found`. Where files were
    not sealed some may be all the same: the way to the next format was interrupted.

    Raises DamagedBlobError.
    """
    body = unsealed(data)
    if body is not None:
        return body
    if found is None or found >= _SEALED_SINCE:
        raise _damaged(blob_id)
    return data


def read_envelope(body: bytes, blob_id: bytes) -> CustodyEnvelope:
    """The envelope of a blob. Raises DamagedBlobError."""
    try:
        return decode(CustodyEnvelope, body, size_max=CUSTODY_BYTES_MAX)
    except DecodeError:
        raise _damaged(blob_id) from None


def _damaged(blob_id: bytes) -> DamagedBlobError:
    return DamagedBlobError(blob_id, "has an envelope that is not what was written")

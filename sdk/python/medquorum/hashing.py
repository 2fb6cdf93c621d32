"""Hashes tagged by kind, so that the hash of one kind of object never equals that of another.

hash = SHA-256("medquorum/" || kind || "/v1" || 0x00 || data)
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_HASH: Final = bytes(HASH_BYTES)
"""Stands for 'nothing here': the parent of no block, the root of an empty state tree."""


class Kind(Enum):
    """What is hashed. The value is the whole prefix."""

    GENESIS = b"medquorum/genesis/v1\0"
    TRANSACTION = b"medquorum/tx/v1\0"
    HEADER = b"medquorum/header/v1\0"
    RESULT = b"medquorum/result/v1\0"
    VALIDATORS = b"medquorum/validators/v1\0"
    VOTE = b"medquorum/vote/v1\0"
    STATE_KEY = b"medquorum/state-key/v1\0"
    STATE_VALUE = b"medquorum/state-value/v1\0"
    NODE_ID = b"medquorum/node-id/v1\0"
    GRANT_INFO = b"medquorum/grant-info/v1\0"
    KEM_KEY = b"medquorum/kem-key/v1\0"
    REQUEST = b"medquorum/request/v1\0"
    KEY_FILE = b"medquorum/key-file/v1\0"
    CODE = b"medquorum/code/v1\0"
    EVIDENCE = b"medquorum/evidence/v1\0"
    SNAPSHOT = b"medquorum/snapshot/v1\0"
    RECOVERY = b"medquorum/recovery/v1\0"


def tagged_hash(kind: Kind, data: bytes) -> bytes:
    """The 32-byte hash of `data` as a `kind`."""
    return sha256(kind.value + data).digest()

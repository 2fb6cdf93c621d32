"""Records off chain: commitment, encryption, and envelopes for readers (docs/spec/vault.md).

    commitment = SHA-256("rec/1" || salt || RFC 8785 form)    on chain
    ciphertext = nonce || AES-256-GCM(key, record, aad)       in the vault; its hash on chain
    aad        = chain id || record id || version as 8 bytes, big-endian
    envelope   = HPKE(recipient, key || salt, info)           off chain, where it can be destroyed

Every version of a record has its own key and its own salt. Destroying both everywhere makes the
ciphertext unreadable and the commitment a random number: that is what erasure means here. What a
reader has already decrypted, nobody can call back.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes
from typing import Annotated, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

from medquorum.codec import U32, Bytes32, Hash, TimeMs, Wire, encode
from medquorum.errors import VaultError
from medquorum.hashing import HASH_BYTES, Kind
from medquorum.invariants import require
from medquorum.kem import KemKey, kem_key_id, seal_to
from medquorum.limits import RESOURCE_BYTES_MAX
from medquorum.resource import canonical

KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
CIPHERTEXT_BYTES_MAX: Final = RESOURCE_BYTES_MAX + NONCE_BYTES + TAG_BYTES
CUSTODY_PURPOSE: Final = "custody"

_COMMITMENT_PREFIX: Final = b"rec/1"


@dataclass(frozen=True, slots=True)
class RecordSecret:
    """What opens one version of a record. Whoever holds it can read that version, and prove what it
    says.
    """

    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        require(len(self.key) == KEY_BYTES, "a record key has 32 bytes")
        require(len(self.salt) == SALT_BYTES, "a salt has 32 bytes")


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A record ready for the vault (`ciphertext`) and the chain (`commitment`, `ct_hash`,
    `size_bucket`).
    """

    commitment: bytes
    ciphertext: bytes = field(repr=False)
    ct_hash: bytes
    size_bucket: int
    secret: RecordSecret

    @property
    def key(self) -> bytes:
        """The record key."""
        return self.secret.key

    @property
    def salt(self) -> bytes:
        """The salt of the commitment."""
        return self.secret.salt


class EnvelopeBinding(Wire):
    """What an envelope is good for. It opens only to someone who names exactly this, so a copy
    under another grant is useless.

    `context` is the id of the access request or grant (for the custodian's own envelope, the record
    id). `recipient` is the id of the KEM key. `expires_ms` is block time in milliseconds, 0 for no
    end; it is bound here, and enforced by the custodian who releases.
    """

    chain_id: Hash
    context: Bytes32
    rec_id: Bytes32
    version: U32
    recipient: Hash
    purpose: Annotated[
        str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+(?![\s\S])")
    ]
    expires_ms: TimeMs

    def info(self) -> bytes:
        """The `info` of HPKE."""
        return Kind.GRANT_INFO.value + encode(self)


def commitment(resource: bytes, salt: bytes) -> bytes:
    """What the chain says about a record. Without the 32-byte salt it says nothing. Raises
    VaultError.
    """
    require(len(salt) == SALT_BYTES, "a salt has 32 bytes")
    return sha256(_COMMITMENT_PREFIX + salt + canonical(resource)).digest()


def size_bucket(ciphertext_bytes: int) -> int:
    """The smallest b with `ciphertext_bytes` <= 2^b: all that the chain learns about a record's
    size.
    """
    return (ciphertext_bytes - 1).bit_length() if ciphertext_bytes > 0 else 0


def seal(
    resource: bytes,
    *,
    chain_id: bytes,
    rec_id: bytes,
    version: int,
    draw: Callable[[int], bytes] = token_bytes,
) -> SealedRecord:
    """Encrypt one version of a record under a fresh key, and commit to it under a fresh salt.
    Raises VaultError.

    `resource` is JSON text; exactly these bytes are sealed. `draw` gives random bytes; anything but
    the default is for test vectors only.
    """
    secret = RecordSecret(key=draw(KEY_BYTES), salt=draw(SALT_BYTES))
    committed = commitment(resource, secret.salt)
    nonce = draw(NONCE_BYTES)
    ciphertext = nonce + AESGCM(secret.key).encrypt(
        nonce, resource, _aad(chain_id, rec_id, version)
    )
    return SealedRecord(
        committed, ciphertext, sha256(ciphertext).digest(), size_bucket(len(ciphertext)), secret
    )


def open_record(
    ciphertext: bytes,
    secret: RecordSecret,
    *,
    chain_id: bytes,
    rec_id: bytes,
    version: int,
    ct_hash: bytes,
    commitment_on_chain: bytes,
) -> bytes:
    """The JSON text of a record, after it matched both hashes of the chain.

    Raises VaultError: `ciphertext_size`, `ciphertext_hash`, `ciphertext_key`, `commitment`, or a
    `resource_` reason.
    """
    if not NONCE_BYTES + TAG_BYTES <= len(ciphertext) <= CIPHERTEXT_BYTES_MAX:
        raise VaultError("ciphertext_size", f"{len(ciphertext)} bytes are not a sealed record")
    if not hmac.compare_digest(sha256(ciphertext).digest(), ct_hash):
        raise VaultError("ciphertext_hash", "these bytes are not the ones that the chain names")
    nonce, body = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
    try:
        resource = AESGCM(secret.key).decrypt(nonce, body, _aad(chain_id, rec_id, version))
    except InvalidTag:
        raise VaultError("ciphertext_key", "another key, chain, record or version") from None
    if not hmac.compare_digest(commitment(resource, secret.salt), commitment_on_chain):
        raise VaultError("commitment", "the record is not the one that the chain commits to")
    return resource


def bind(
    *,
    chain_id: bytes,
    context: bytes,
    rec_id: bytes,
    version: int,
    recipient: bytes,
    purpose: str,
    expires_ms: int,
) -> EnvelopeBinding:
    """The binding of an envelope to the holder of the public KEM key `recipient`, for a grant or
    access request.
    """
    return EnvelopeBinding(
        chain_id, context, rec_id, version, kem_key_id(recipient), purpose, expires_ms
    )


def custody(*, chain_id: bytes, rec_id: bytes, version: int, recipient: bytes) -> EnvelopeBinding:
    """The binding of the envelope that goes to the custodian's vault beside the ciphertext."""
    return bind(
        chain_id=chain_id, context=rec_id, rec_id=rec_id, version=version,
        recipient=recipient, purpose=CUSTODY_PURPOSE, expires_ms=0,
    )  # fmt: skip


def wrap(secret: RecordSecret, recipient: bytes, binding: EnvelopeBinding) -> bytes:
    """An envelope with the record's key and salt for the public KEM key `recipient`. Raises
    KeyFormatError.
    """
    require(binding.recipient == kem_key_id(recipient), "the binding names another recipient")
    return seal_to(recipient, secret.key + secret.salt, binding.info())


def unwrap(envelope: bytes, key: KemKey, binding: EnvelopeBinding) -> RecordSecret:
    """What `wrap` put in. Raises VaultError `envelope_form`, or `envelope_key` if key or binding is
    another.
    """
    opened = key.open(envelope, binding.info())
    if len(opened) != KEY_BYTES + SALT_BYTES:
        raise VaultError("envelope_form", "not a record key and a salt")
    return RecordSecret(key=opened[:KEY_BYTES], salt=opened[KEY_BYTES:])


def _aad(chain_id: bytes, rec_id: bytes, version: int) -> bytes:
    # Fixed lengths, so that no two triples give the same bytes.
    require(len(chain_id) == len(rec_id) == HASH_BYTES, "ids have 32 bytes")
    return chain_id + rec_id + version.to_bytes(8, "big")

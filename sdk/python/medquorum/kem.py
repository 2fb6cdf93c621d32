"""Keys to which record keys are wrapped: HPKE (RFC 9180) with the hybrid of X25519 and ML-KEM-768.

Records must stay secret for decades, so a recording made today must not fall to a quantum computer
later, nor to a flaw found in the newer of the two schemes. The private key is one 32-byte seed,
expanded as X-Wing does (draft-connolly-cfrg-xwing-kem).

On the wire a public key is 0x02 || ML-KEM-768 key (1184 bytes) || X25519 key (32), and a wrapped
text is 0x02 || enc (1120) || AES-256-GCM.
"""

from __future__ import annotations

from hashlib import shake_256
from secrets import token_bytes
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from typing_extensions import override

from medquorum.errors import KeyFormatError, VaultError
from medquorum.hashing import Kind, tagged_hash
from medquorum.limits import ENVELOPE_BYTES_MAX

ALGORITHM_XWING: Final = 2
KEM_SEED_BYTES: Final = 32
KEM_PUBLIC_BYTES: Final = 1 + 1184 + 32

_PREFIX: Final = bytes([ALGORITHM_XWING])
_MLKEM_PUBLIC_END: Final = 1 + 1184
_MLKEM_SEED_BYTES: Final = 64
_OVERHEAD_BYTES: Final = 1 + 1120 + 16


class KemKey:
    """A private key for unwrapping. Its repr shows the id of the public half; it cannot be pickled
    or copied by accident.
    """

    __slots__ = ("_private", "_seed", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEM_SEED_BYTES:
            raise KeyFormatError(f"a seed has {KEM_SEED_BYTES} bytes, not {len(seed)}")
        expanded = shake_256(seed).digest(_MLKEM_SEED_BYTES + 32)
        try:
            mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        except UnsupportedAlgorithm:
            raise KeyFormatError("this build of `cryptography` has no ML-KEM") from None
        x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        self._seed = seed
        self._private = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public: Final = (
            _PREFIX + mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls) -> KemKey:
        """A fresh key from the operating system's randomness."""
        return cls(token_bytes(KEM_SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for writing an encrypted key file."""
        return self._seed

    def open(self, wrapped: bytes, info: bytes) -> bytes:
        """What was wrapped to this key under the same `info`. Raises VaultError `envelope_form` or
        `envelope_key`.
        """
        if not _OVERHEAD_BYTES <= len(wrapped) <= ENVELOPE_BYTES_MAX or wrapped[:1] != _PREFIX:
            raise VaultError("envelope_form", f"{len(wrapped)} bytes are not an envelope")
        try:
            return _suite.decrypt(wrapped[1:], self._private, info)
        except (InvalidTag, ValueError):
            raise VaultError(
                "envelope_key", "wrapped to another key, or for another grant, record or purpose"
            ) from None

    @override
    def __repr__(self) -> str:
        return f"KemKey({kem_key_id(self.public).hex()[:16]})"

    @override
    def __reduce__(self) -> str:
        raise TypeError("a KemKey does not travel")


def kem_key_id(public: bytes) -> bytes:
    """The 32-byte id of a public key."""
    return tagged_hash(Kind.KEM_KEY, public)


def is_kem_public(public: bytes) -> bool:
    """Whether these bytes are a public key that can be wrapped to. Total."""
    try:
        _load(public)
    except KeyFormatError:
        return False
    return True


def seal_to(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Wrap `plaintext` to a public key, bound to `info`. Randomised. Raises KeyFormatError."""
    try:
        return _PREFIX + _suite.encrypt(plaintext, _load(public), info)
    except ValueError:
        raise KeyFormatError("the X25519 half of the key has small order") from None


def _load(public: bytes) -> MLKEM768X25519PublicKey:
    if len(public) != KEM_PUBLIC_BYTES or public[:1] != _PREFIX:
        raise KeyFormatError(f"a KEM public key has {KEM_PUBLIC_BYTES} bytes and begins with 0x02")
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[1:_MLKEM_PUBLIC_END])
    except ValueError:
        raise KeyFormatError("not an ML-KEM-768 public key") from None
    except UnsupportedAlgorithm:
        raise KeyFormatError("this build of `cryptography` has no ML-KEM") from None
    return MLKEM768X25519PublicKey(
        mlkem, X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_END:])
    )


_suite: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

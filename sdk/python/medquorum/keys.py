"""Ed25519 keys and signatures, through libsodium only.

Libraries disagree on the edge cases of Ed25519 (small-order keys, non-canonical encodings), and in
consensus a disagreement is a fork. So every verification goes through libsodium, whose answers
`self_test` compares with known ones when a node starts.

One algorithm byte precedes every key and signature on the wire: 0x01 is Ed25519 (RFC 8032).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Final

import nacl.bindings
import nacl.exceptions
from msgspec import Meta
from typing_extensions import override

from medquorum.errors import KeyFormatError
from medquorum.invariants import require

ALGORITHM_ED25519: Final = 1
PUBLIC_KEY_BYTES: Final = 33
SIGNATURE_BYTES: Final = 65
SEED_BYTES: Final = 32

PublicKey = Annotated[bytes, Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]

_PREFIX: Final = bytes([ALGORITHM_ED25519])


class SigningKey:
    """A private key. Its repr shows the public half only; it cannot be pickled or copied by
    accident.
    """

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise KeyFormatError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        raw_public, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.public: Final = _PREFIX + raw_public

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key from the operating system's randomness."""
        return cls(nacl.bindings.randombytes(SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for writing an encrypted key file."""
        return self._secret[:SEED_BYTES]

    def sign(self, message: bytes) -> bytes:
        """The 65-byte signature of `message`. Deterministic: the same message gives the same
        bytes.
        """
        signed: bytes = nacl.bindings.crypto_sign(message, self._secret)
        return _PREFIX + signed[:64]

    @override
    def __repr__(self) -> str:
        return f"SigningKey({self.public.hex()})"

    @override
    def __reduce__(self) -> str:
        raise TypeError("a SigningKey does not travel")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is `public`'s signature of `message`. Total: malformed input is False.

    The interpreter lock is released while libsodium computes, so threads verify in parallel.
    """
    if len(public) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    if public[0] != ALGORITHM_ED25519 or signature[0] != ALGORITHM_ED25519:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature[1:] + message, public[1:])
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def possession_bytes(chain_id: bytes, owner: bytes, key: bytes) -> bytes:
    """What a new key signs to show that its holder has the private half.

    `owner` is the actor, or the organisation of a root or vote key. The chain and the owner are in
    it, so that the signature cannot be shown again elsewhere, or by somebody who enrols a
    stranger's key as their own.
    """
    return b"medquorum/possession/v1\0" + chain_id + owner + key


def is_public_key(public: bytes) -> bool:
    """Whether `public` is an Ed25519 key of full order, in canonical form: one that can sign
    anything at all.
    """
    if len(public) != PUBLIC_KEY_BYTES or public[0] != ALGORITHM_ED25519:
        return False
    return bool(nacl.bindings.crypto_core_ed25519_is_valid_point(public[1:]))


def self_test() -> None:
    """Raise InvariantBroken unless this libsodium gives the answers that the network was built on.

    Known answers: RFC 8032 section 7.1 test 2; a signature with S + L in place of S; the identity
    as key and as R.
    """
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    expected = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    key = SigningKey(seed)
    signature = key.sign(b"\x72")
    require(signature[1:] == expected, "libsodium signs RFC 8032 test 2 differently")
    require(verify(key.public, b"\x72", signature), "libsodium rejects RFC 8032 test 2")
    require(
        not verify(key.public, b"\x73", signature),
        "libsodium accepts a signature of another message",
    )
    order = 2**252 + 27742317777372353535851937790883648493
    shifted = int.from_bytes(signature[33:], "little") + order
    malleable = signature[:33] + shifted.to_bytes(32, "little")
    require(not verify(key.public, b"\x72", malleable), "libsodium accepts S + L in place of S")
    identity = bytes([1]) + bytes(31)
    require(
        not verify(_PREFIX + identity, b"", _PREFIX + identity + bytes(32)),
        "libsodium accepts a key of small order",
    )


def derive_seed(secret: bytes, purpose: str) -> bytes:
    """A 32-byte seed for `purpose`. For development networks, whose keys are public anyway."""
    return sha256(b"medquorum/derive/v1\0" + purpose.encode() + b"\0" + secret).digest()

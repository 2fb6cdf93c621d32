"""Envelopes open by the written standards alone: X-Wing, RFC 9180 and nothing of ours."""

from __future__ import annotations

import hmac
from hashlib import sha3_256, sha256, shake_256

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from medquorum.kem import KemKey, seal_to

# KEM 0x647a (X-Wing, draft-connolly-cfrg-xwing-kem), KDF 0x0001 (HKDF-SHA256), AEAD 0x0002
# (AES-256-GCM).
XWING_LABEL = bytes.fromhex("5c2e2f2f5e5c")
SUITE = b"HPKE" + bytes.fromhex("647a00010002")


def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + SUITE + label + ikm, "sha256")


def expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + info
    return hmac.digest(prk, labelled + b"\x01", sha256)[:length]


def xwing_decapsulate(seed: bytes, enc: bytes) -> bytes:
    expanded = shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    shared = mlkem.decapsulate(enc[:1088])
    classic = x25519.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    own = x25519.public_key().public_bytes_raw()
    return sha3_256(shared + classic + enc[1088:] + own + XWING_LABEL).digest()


def open_by_the_book(seed: bytes, wrapped: bytes, info: bytes) -> bytes:
    enc, ciphertext = wrapped[1:1121], wrapped[1121:]
    secret = xwing_decapsulate(seed, enc)
    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    schedule = extract(secret, b"secret", b"")
    key = expand(schedule, b"key", context, 32)
    nonce = expand(schedule, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


def test_an_envelope_opens_by_the_standards_alone() -> None:
    key = KemKey(b"\x17" * 32)
    wrapped = seal_to(key.public, b"sixty-four bytes", b"the binding")
    assert open_by_the_book(key.seed, wrapped, b"the binding") == b"sixty-four bytes"

"""Ed25519: exactly the answers of strict libsodium, because two answers would be a fork."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medquorum.errors import KeyFormatError
from medquorum.keys import SigningKey, is_public_key, self_test, verify

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
KEY = SigningKey(b"\x01" * 32)

# The encodings of the eight points of small order, and those of them that are not canonical.
SMALL_ORDER = [
    bytes([1]) + bytes(31),
    bytes(32),
    bytes(31) + b"\x80",
    (P - 1).to_bytes(32, "little"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    P.to_bytes(32, "little"),
    (P + 1).to_bytes(32, "little"),
    bytes([1]) + bytes(30) + b"\x80",
    b"\xff" * 32,
]


def test_libsodium_passes_its_self_test() -> None:
    self_test()


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [  # RFC 8032 section 7.1, tests 1 to 3
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            (
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            (
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            (
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            ),
        ),
    ],
)
def test_the_examples_of_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey(bytes.fromhex(seed))
    assert key.public == b"\x01" + bytes.fromhex(public)
    assert key.sign(bytes.fromhex(message)) == b"\x01" + bytes.fromhex(signature)
    assert verify(key.public, bytes.fromhex(message), b"\x01" + bytes.fromhex(signature))


@pytest.mark.parametrize("point", SMALL_ORDER, ids=bytes.hex)
def test_a_point_of_small_order_is_neither_key_nor_nonce(point: bytes) -> None:
    assert not is_public_key(b"\x01" + point)
    assert not verify(b"\x01" + point, b"m", b"\x01" + point + bytes(32))
    honest = KEY.sign(b"m")
    assert not verify(KEY.public, b"m", honest[:1] + point + honest[33:])


@given(st.binary(max_size=64))
def test_s_plus_the_order_is_another_signature_and_refused(message: bytes) -> None:
    signature = KEY.sign(message)
    shifted = int.from_bytes(signature[33:], "little") + ORDER
    assert verify(KEY.public, message, signature)
    assert not verify(KEY.public, message, signature[:33] + shifted.to_bytes(32, "little"))


def test_a_key_that_is_not_reduced_is_refused() -> None:
    for y in range(P, 2**255):
        assert not is_public_key(b"\x01" + y.to_bytes(32, "little"))


@given(
    public=st.binary(max_size=40), message=st.binary(max_size=9), signature=st.binary(max_size=70)
)
def test_verifying_is_total(public: bytes, message: bytes, signature: bytes) -> None:
    assert not verify(public, message, signature)


@given(position=st.integers(0, 64), bit=st.integers(0, 7))
def test_every_bit_of_a_signature_counts(position: int, bit: int) -> None:
    changed = bytearray(KEY.sign(b"m"))
    changed[position] ^= 1 << bit
    assert not verify(KEY.public, b"m", bytes(changed))


def test_a_signing_key_stays_where_it_is() -> None:
    assert KEY.seed.hex() not in repr(KEY)
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            travel(KEY)
    with pytest.raises(KeyFormatError):
        SigningKey(b"short")

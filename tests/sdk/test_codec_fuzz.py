"""Decoding: one value, one byte string, and nothing but a DecodeError for everything else."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.block import Attribute, Event, Header, Result, TxOutcome, ValidatorSet
from medquorum.certificate import CommitCertificate
from medquorum.codec import DEPTH_MAX, INT_MAX, Wire, decode, decode_plain, encode, encode_plain
from medquorum.encoding import from_base64url, from_hex, to_base64url
from medquorum.errors import DecodeError, MalformedError, NonCanonicalError, OversizedError
from medquorum.genesis import Genesis, dump, load
from medquorum.statetree import StateProof
from medquorum.transaction import Transaction, TxBody
from tests.support.chain import Chain

KINDS: list[type[Wire]] = [
    Header, Result, TxOutcome, Event, Attribute, ValidatorSet, CommitCertificate, StateProof,
    TxBody, Genesis,
]  # fmt: skip
CHAIN = Chain()
BLOCK = CHAIN.add([CHAIN.transaction()])
SAMPLES = [
    BLOCK.transactions[0].raw,
    encode(BLOCK.certified.header),
    encode(BLOCK.certified.certificate),
    encode(CHAIN.genesis),
]

PLAIN = st.recursive(
    st.integers(0, INT_MAX) | st.binary(max_size=8) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)
MUTATED = st.builds(
    lambda raw, at, piece: raw[: at % len(raw)] + piece + raw[at % len(raw) + 1 :],
    st.sampled_from(SAMPLES),
    st.integers(0, 10_000),
    st.binary(max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=120) | MUTATED, kind=st.sampled_from(KINDS))
def test_decoding_raises_nothing_but_decode_errors(data: bytes, kind: type[Wire]) -> None:
    try:
        assert encode(decode(kind, data, size_max=10_000)) == data
    except DecodeError:
        return


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=120) | MUTATED)
def test_transactions_and_plain_values_raise_nothing_but_decode_errors(data: bytes) -> None:
    for read in (Transaction.decode, load, lambda raw: decode_plain(raw, size_max=10_000)):
        try:
            read(data)
        except DecodeError:
            continue


@given(PLAIN)
def test_both_libraries_write_the_same_bytes(value: object) -> None:
    raw = encode_plain(value)
    assert raw == encode(value) == msgpack.packb(value, use_bin_type=True)
    assert decode_plain(raw, size_max=len(raw)) == value


@given(PLAIN)
def test_trailing_bytes_are_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        decode_plain(encode_plain(value) + b"\x00", size_max=10_000)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 1.5, -1, INT_MAX + 1, {}, {"a": 1}, [None], [[False]], object(),
        msgpack.ExtType(1, b"a"), [msgpack.ExtType(1, b"a")],
    ],
)  # fmt: skip
def test_what_is_outside_the_subset_cannot_be_written(value: object) -> None:
    with pytest.raises(MalformedError):
        encode_plain(value)


def test_depth_and_size_are_bounded() -> None:
    deep: object = 0
    for _ in range(DEPTH_MAX + 1):
        deep = [deep]
    with pytest.raises(MalformedError):
        encode_plain(deep)
    with pytest.raises(DecodeError):
        decode_plain(b"\x91" * 100_000 + b"\x00", size_max=10**6)
    with pytest.raises(OversizedError):
        decode_plain(b"\x00\x00", size_max=1)


@pytest.mark.parametrize("value", [b"x" * 65, -1, INT_MAX + 1, "Free text", "a\n", "", "a" * 65])
def test_no_free_text_fits_into_an_event(value: bytes | int | str) -> None:
    with pytest.raises(ValueError, match="attribute"):
        Attribute("n", value)
    raw = msgpack.packb(["n", value], use_bin_type=True)
    with pytest.raises(MalformedError):
        decode(Attribute, raw, size_max=1000)


@pytest.mark.parametrize("value", [b"", b"x" * 64, 0, INT_MAX, "a", "a" * 64])
def test_events_decode_as_what_they_were(value: bytes | int | str) -> None:
    event = Event(1, 0, "x.y", (Attribute("n", value),))
    assert decode(Event, encode(event), size_max=1000) == event


def test_a_longer_form_of_an_integer_is_not_canonical() -> None:
    for raw in (b"\xcc\x01", b"\xcd\x00\x01", b"\xd0\x01", b"\xd9\x01a", b"\xc5\x00\x01a"):
        with pytest.raises(NonCanonicalError):
            decode_plain(raw, size_max=10)


def test_a_genesis_comes_back_from_its_file() -> None:
    assert load(dump(CHAIN.genesis)).chain_id() == CHAIN.chain_id


@given(st.binary(max_size=40))
def test_bytes_in_json_have_one_text(data: bytes) -> None:
    assert from_base64url(to_base64url(data)) == data
    assert from_hex(data.hex(), size=len(data)) == data


@pytest.mark.parametrize("text", ["QR", "QQ==", "Q", "Q+", "Q Q", "QQ\n", "é"])
def test_other_texts_for_base64url_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_base64url(text)


@pytest.mark.parametrize("text", ["AB", "a", "a b", "ab ", "0xab", "é"])
def test_other_texts_for_hexadecimal_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_hex(text)

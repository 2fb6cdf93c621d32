"""Records: only the right key, for the right grant, opens what the chain committed to."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum.errors import KeyFormatError, VaultError
from medquorum.invariants import InvariantBroken
from medquorum.kem import KemKey, is_kem_public, kem_key_id, seal_to
from medquorum.resource import canonical
from medquorum.vault import (
    EnvelopeBinding,
    RecordSecret,
    bind,
    custody,
    open_record,
    seal,
    size_bucket,
    unwrap,
    wrap,
)

CHAIN, REC, REQ = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
RESOURCE = b'{"resourceType":"Observation", "valueQuantity":{"value":6.10,"unit":"mmol/L"}}'
READER = KemKey(b"\x07" * 32)
SEALED = seal(RESOURCE, chain_id=CHAIN, rec_id=REC, version=1)
BINDING = bind(
    chain_id=CHAIN,
    context=REQ,
    rec_id=REC,
    version=1,
    recipient=READER.public,
    purpose="TREAT",
    expires_ms=1_800_000_000_000,
)
ENVELOPE = wrap(SEALED.secret, READER.public, BINDING)


def opened(
    ciphertext: bytes = SEALED.ciphertext,
    secret: RecordSecret = SEALED.secret,
    *,
    chain_id: bytes = CHAIN,
    rec_id: bytes = REC,
    version: int = 1,
    ct_hash: bytes | None = None,
    commitment: bytes = SEALED.commitment,
) -> bytes:
    return open_record(
        ciphertext,
        secret,
        chain_id=chain_id,
        rec_id=rec_id,
        version=version,
        ct_hash=sha256(ciphertext).digest() if ct_hash is None else ct_hash,
        commitment_on_chain=commitment,
    )


def reason_of(error: pytest.ExceptionInfo[VaultError]) -> str:
    return error.value.reason


def test_a_record_comes_back_as_exactly_the_text_that_was_sealed() -> None:
    assert opened(ct_hash=SEALED.ct_hash) == RESOURCE


def test_the_commitment_is_the_documented_hash() -> None:
    expected = sha256(b"rec/1" + SEALED.salt + canonical(RESOURCE)).digest()
    assert SEALED.commitment == expected


def test_no_two_versions_share_key_salt_or_nonce() -> None:
    other = seal(RESOURCE, chain_id=CHAIN, rec_id=REC, version=2)
    assert other.key != SEALED.key
    assert other.salt != SEALED.salt
    assert other.ciphertext[:12] != SEALED.ciphertext[:12]
    assert other.commitment != SEALED.commitment


def test_a_ciphertext_opens_only_as_the_record_version_and_chain_it_was_sealed_for() -> None:
    attempts: tuple[Callable[[], bytes], ...] = (
        lambda: opened(chain_id=REC),
        lambda: opened(rec_id=CHAIN),
        lambda: opened(version=2),
        lambda: opened(secret=RecordSecret(key=bytes(32), salt=SEALED.salt)),
    )
    for attempt in attempts:
        with pytest.raises(VaultError) as error:
            attempt()
        assert reason_of(error) == "ciphertext_key"


def test_a_record_that_does_not_match_the_chain_is_not_shown() -> None:
    with pytest.raises(VaultError) as error:
        opened(ct_hash=bytes(32))
    assert reason_of(error) == "ciphertext_hash"
    with pytest.raises(VaultError) as error:
        opened(commitment=bytes(32))
    assert reason_of(error) == "commitment"
    with pytest.raises(VaultError) as error:
        opened(secret=RecordSecret(key=SEALED.key, salt=bytes(32)))
    assert reason_of(error) == "commitment"


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, len(SEALED.ciphertext) - 1), bit=st.integers(0, 7))
def test_every_bit_of_a_ciphertext_counts(position: int, bit: int) -> None:
    changed = bytearray(SEALED.ciphertext)
    changed[position] ^= 1 << bit
    with pytest.raises(VaultError):
        opened(bytes(changed))


@given(st.binary(max_size=60))
def test_a_ciphertext_from_anywhere_raises_only_vault_errors(data: bytes) -> None:
    with pytest.raises(VaultError):
        opened(data)


def test_the_reader_unwraps_what_the_custodian_wrapped() -> None:
    assert unwrap(ENVELOPE, READER, BINDING) == SEALED.secret


@pytest.mark.parametrize(
    "other",
    [
        {"chain_id": b"\x09" * 32},
        {"context": b"\x09" * 32},
        {"rec_id": b"\x09" * 32},
        {"version": 2},
        {"recipient": b"\x09" * 32},
        {"purpose": "HRESCH"},
        {"expires_ms": 1_800_000_000_001},
    ],
    ids=lambda other: next(iter(other)),
)
def test_an_envelope_copied_to_another_grant_does_not_open(
    other: dict[str, bytes | int | str],
) -> None:
    assert set(other) < set(EnvelopeBinding.__struct_fields__)
    with pytest.raises(VaultError) as error:
        unwrap(ENVELOPE, READER, msgspec.structs.replace(BINDING, **other))
    assert reason_of(error) == "envelope_key"


def test_an_envelope_does_not_open_with_another_key() -> None:
    with pytest.raises(VaultError) as error:
        unwrap(ENVELOPE, KemKey.generate(), BINDING)
    assert reason_of(error) == "envelope_key"


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, len(ENVELOPE) - 1), bit=st.integers(0, 7))
def test_every_bit_of_an_envelope_counts(position: int, bit: int) -> None:
    changed = bytearray(ENVELOPE)
    changed[position] ^= 1 << bit
    with pytest.raises(VaultError):
        unwrap(bytes(changed), READER, BINDING)


@given(st.binary(max_size=2000))
@settings(max_examples=50, deadline=None)
def test_an_envelope_from_anywhere_raises_only_vault_errors(data: bytes) -> None:
    with pytest.raises(VaultError):
        unwrap(data, READER, BINDING)


def test_an_envelope_that_holds_something_else_is_refused() -> None:
    with pytest.raises(VaultError) as error:
        unwrap(seal_to(READER.public, b"short", BINDING.info()), READER, BINDING)
    assert reason_of(error) == "envelope_form"


def test_an_envelope_names_its_own_recipient() -> None:
    with pytest.raises(InvariantBroken):
        wrap(SEALED.secret, KemKey.generate().public, BINDING)


def test_the_custodian_opens_its_own_envelope() -> None:
    binding = custody(chain_id=CHAIN, rec_id=REC, version=1, recipient=READER.public)
    envelope = wrap(SEALED.secret, READER.public, binding)
    assert unwrap(envelope, READER, binding) == SEALED.secret
    with pytest.raises(VaultError):
        unwrap(envelope, READER, BINDING)


def test_a_kem_key_is_its_seed() -> None:
    assert KemKey(READER.seed).public == READER.public
    assert KemKey.generate().public != KemKey.generate().public
    assert is_kem_public(READER.public)


@pytest.mark.parametrize(
    "public",
    [
        b"",
        READER.public[:-1],
        READER.public + b"\0",
        b"\x01" + READER.public[1:],
        b"\x02" + b"\xff" * 1184 + READER.public[-32:],
    ],
)
def test_what_is_not_a_kem_key_is_refused(public: bytes) -> None:
    assert not is_kem_public(public)
    with pytest.raises(KeyFormatError):
        seal_to(public, b"", b"")


def test_a_small_order_x25519_half_is_refused() -> None:
    with pytest.raises(KeyFormatError):
        seal_to(READER.public[:-32] + bytes(32), b"", b"")


def test_no_secret_shows_in_a_repr_and_no_key_travels() -> None:
    shown = repr((SEALED, SEALED.secret, READER))
    for secret in (SEALED.key, SEALED.salt, READER.seed, RESOURCE):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            travel(READER)


def test_a_size_bucket_is_the_next_power_of_two() -> None:
    assert [size_bucket(n) for n in (0, 1, 2, 3, 4, 5, 1024, 1025)] == [0, 0, 1, 2, 2, 3, 10, 11]
    assert 2 ** (SEALED.size_bucket - 1) < len(SEALED.ciphertext) <= 2**SEALED.size_bucket


def test_the_key_id_is_not_a_bare_hash() -> None:
    assert kem_key_id(READER.public) != sha256(READER.public).digest()
    assert replace(SEALED, size_bucket=0).secret == SEALED.secret

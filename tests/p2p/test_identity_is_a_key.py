"""Certificates made from keys: deterministic, everlasting, and naming exactly one key."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from medquorum.keys import SigningKey
from p2p import identity, tls
from p2p.errors import HandshakeError
from p2p.reasons import Reason

CHAIN = bytes(range(32))


def leaf_der(key: SigningKey, chain_id: bytes = CHAIN) -> bytes:
    public = Ed25519PublicKey.from_public_bytes(key.public[1:])
    leaf = identity.leaf_for(identity.authority_of(chain_id), public)
    return leaf.public_bytes(Encoding.DER)


def test_the_leaf_names_the_node_key_and_nothing_else() -> None:
    key = SigningKey(bytes(32))
    assert identity.node_key_of(leaf_der(key)) == key.public


def test_every_node_of_a_chain_makes_the_same_authority() -> None:
    assert identity.authority_of(CHAIN).pem == identity.authority_of(CHAIN).pem
    assert identity.authority_of(CHAIN).pem != identity.authority_of(bytes(32)).pem
    assert leaf_der(SigningKey(bytes(32))) == leaf_der(SigningKey(bytes(32)))


def test_nothing_expires() -> None:
    for der in (
        leaf_der(SigningKey.generate()),
        identity.authority_of(CHAIN).certificate.public_bytes(Encoding.DER),
    ):
        certificate = x509.load_der_x509_certificate(der)
        assert certificate.not_valid_before_utc == datetime(2000, 1, 1, tzinfo=UTC)
        assert certificate.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_a_certificate_with_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p-256")])
    day = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(day)
        .not_valid_after(day + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(HandshakeError) as caught:
        identity.node_key_of(certificate.public_bytes(Encoding.DER))
    assert caught.value.reason is Reason.BAD_IDENTITY


@pytest.mark.parametrize("der", [None, b"", b"\x30\x00", b"no certificate"])
def test_what_is_no_certificate_is_refused_by_name(der: bytes | None) -> None:
    with pytest.raises(HandshakeError) as caught:
        identity.node_key_of(der)
    assert caught.value.reason is Reason.BAD_IDENTITY


def test_a_key_of_small_order_is_refused() -> None:
    # The identity element: everybody can make signatures that verify under it.
    small = Ed25519PublicKey.from_public_bytes(bytes([1]) + bytes(31))
    leaf = identity.leaf_for(identity.authority_of(CHAIN), small)
    with pytest.raises(HandshakeError):
        identity.node_key_of(leaf.public_bytes(Encoding.DER))


def test_the_key_is_never_on_disk_in_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write_bytes = Path.write_bytes

    def spy(path: Path, data: bytes) -> int:
        written.append(data)
        assert path.parent.stat().st_mode & 0o077 == 0
        return write_bytes(path, data)

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", spy)
    key = SigningKey.generate()
    contexts = tls.contexts_for(key, CHAIN)
    assert list(tmp_path.iterdir()) == []
    assert len(written) == 2
    for data in written:
        assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data
        assert b"-----BEGIN PRIVATE KEY-----" not in data
        assert key.seed not in data
    for context in (contexts.server, contexts.client):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED


def test_the_authority_may_not_issue_another_authority() -> None:
    constraints = (
        identity.authority_of(CHAIN)
        .certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        .value
    )
    assert constraints == x509.BasicConstraints(ca=True, path_length=0)
    assert isinstance(identity.authority_of(CHAIN).private_key, Ed25519PrivateKey)

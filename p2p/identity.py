"""Certificates made from a node key, so that TLS proves who a peer is.

A node's identity is its Ed25519 key, and what the key may do stands on the chain. TLS wants
certificates, and the `ssl` module requests one from a client only if it has an authority to check
it against. So each chain has a formality authority: its private key follows from the chain id,
everybody can compute it, and its signature therefore proves nothing but "made for this chain". What
proves an identity is TLS itself: the leaf's key is the node key, and CertificateVerify (RFC 8446
section 4.4.3) shows that the peer holds its private half. See
docs/adr/0007-identity-without-certificates.md.

Nothing here expires: the dates are the widest that X.509 can say (RFC 5280 section 4.1.2.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from medquorum import keys
from medquorum.hashing import HASH_BYTES
from medquorum.invariants import require
from p2p.errors import HandshakeError
from p2p.reasons import Reason

NOT_BEFORE: Final = datetime(2000, 1, 1, tzinfo=UTC)
NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280 section 4.1.2.5: the value that says 'no well-defined expiration date'."""

_AUTHORITY_PURPOSE: Final = b"medquorum/p2p/formality-authority/v1\0"
_SERIAL_BYTES: Final = 16
_ED25519_PREFIX: Final = bytes([keys.ALGORITHM_ED25519])


@dataclass(frozen=True, slots=True)
class Authority:
    """The formality authority of one chain: equal, to the byte, on every node of the chain."""

    certificate: x509.Certificate
    private_key: Ed25519PrivateKey

    @property
    def pem(self) -> str:
        """The certificate, as `ssl` loads it."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")


def authority_of(chain_id: bytes) -> Authority:
    """The formality authority of the chain. Its private key is no secret and protects nothing."""
    require(len(chain_id) == HASH_BYTES, "a chain id is a hash")
    private_key = Ed25519PrivateKey.from_private_bytes(
        sha256(_AUTHORITY_PURPOSE + chain_id).digest()
    )
    name = _name(f"MedQuorum formality authority {chain_id.hex()[:16]}")
    public_key = private_key.public_key()
    builder = _builder(subject=name, issuer=name, subject_key=public_key, issuer_key=public_key)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .sign(private_key, algorithm=None)
    )
    return Authority(certificate, private_key)


def leaf_for(authority: Authority, public_key: Ed25519PublicKey) -> x509.Certificate:
    """A certificate for a node key. Anybody can make it; only the key's holder can use it."""
    raw = public_key.public_bytes_raw()
    builder = _builder(
        # A common name holds 64 characters, the hex of a 33-byte key 66; the key itself is below.
        subject=_name(f"MedQuorum node {raw.hex()[:16]}"),
        issuer=authority.certificate.subject,
        subject_key=public_key,
        issuer_key=authority.private_key.public_key(),
    )
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(authority.private_key, algorithm=None)
    )


def node_key_of(certificate_der: bytes | None) -> bytes:
    """The 33-byte node key in a peer's certificate, or HandshakeError(BAD_IDENTITY).

    The certificate comes out of a completed handshake, so the peer holds the private half. A key of
    small order is refused: signatures under it can be forged.
    """
    if certificate_der is None:
        raise HandshakeError(Reason.BAD_IDENTITY)
    try:
        public_key = x509.load_der_x509_certificate(certificate_der).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise HandshakeError(Reason.BAD_IDENTITY) from None
    if not isinstance(public_key, Ed25519PublicKey):
        raise HandshakeError(Reason.BAD_IDENTITY)
    node_key = _ED25519_PREFIX + public_key.public_bytes_raw()
    if not keys.is_public_key(node_key):
        raise HandshakeError(Reason.BAD_IDENTITY)
    return node_key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    subject_key: Ed25519PublicKey,
    issuer_key: Ed25519PublicKey,
) -> x509.CertificateBuilder:
    """What both certificates have in common. The serial follows from the key: no randomness, so
    that two nodes make the same authority and one node always the same leaf."""
    digest = sha256(issuer_key.public_bytes_raw() + subject_key.public_bytes_raw()).digest()
    # The top bit is cleared and the next set: positive, and always of the same length.
    serial = (int.from_bytes(digest[:_SERIAL_BYTES], "big") >> 2) | (1 << (8 * _SERIAL_BYTES - 2))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(subject_key)
        .serial_number(serial)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )

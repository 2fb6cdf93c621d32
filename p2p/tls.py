"""TLS 1.3, and nothing older, between two nodes that both show a certificate.

The contexts demand a certificate of this chain's formality authority from either side; who the peer
is follows from the key in it (`peer_key`), and whether it may stay is the caller's question.
"""

from __future__ import annotations

import secrets
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from medquorum.keys import SigningKey
from p2p import identity
from p2p.errors import HandshakeError
from p2p.reasons import Reason

_PASSPHRASE_BYTES = 32


@dataclass(frozen=True, slots=True)
class TlsContexts:
    """The two ends of one node's connections."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def contexts_for(node_key: SigningKey, chain_id: bytes) -> TlsContexts:
    """The contexts of a node. Reads and writes a few small files; call it once, at start."""
    authority = identity.authority_of(chain_id)
    private_key = Ed25519PrivateKey.from_private_bytes(node_key.seed)
    leaf = identity.leaf_for(authority, private_key.public_key())
    chain = _KeyAndLeaf(private_key, leaf.public_bytes(Encoding.PEM))
    server = _context(ssl.PROTOCOL_TLS_SERVER, authority, chain)
    # A resumed session would vouch for a key without asking for a fresh proof of it.
    server.num_tickets = 0
    client = _context(ssl.PROTOCOL_TLS_CLIENT, authority, chain)
    return TlsContexts(server, client)


def peer_key(tls: ssl.SSLObject) -> bytes:
    """The node key that the handshake proved, or HandshakeError(BAD_IDENTITY)."""
    return identity.node_key_of(tls.getpeercert(binary_form=True))


def reason_of(error: ssl.SSLError) -> Reason:
    """The name under which a failed handshake is counted."""
    return _REASONS.get(error.reason or "", Reason.TLS_FAILED)


# OpenSSL's names. Those with ALERT are what the other side told us; the rest we found ourselves.
_REASONS = {
    "UNSUPPORTED_PROTOCOL": Reason.TLS_VERSION,
    "NO_PROTOCOLS_AVAILABLE": Reason.TLS_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": Reason.TLS_VERSION,
    "WRONG_SSL_VERSION": Reason.TLS_VERSION,
    "WRONG_VERSION_NUMBER": Reason.TLS_NOT_SPOKEN,
    "HTTP_REQUEST": Reason.TLS_NOT_SPOKEN,
    "HTTPS_PROXY_REQUEST": Reason.TLS_NOT_SPOKEN,
    "RECORD_LAYER_FAILURE": Reason.TLS_NOT_SPOKEN,
    "PACKET_LENGTH_TOO_LONG": Reason.TLS_NOT_SPOKEN,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Reason.TLS_NO_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": Reason.TLS_NO_CERTIFICATE,
    "CERTIFICATE_VERIFY_FAILED": Reason.TLS_UNTRUSTED_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": Reason.TLS_UNTRUSTED_CERTIFICATE,
}


@dataclass(frozen=True, slots=True)
class _KeyAndLeaf:
    private_key: Ed25519PrivateKey
    leaf_pem: bytes

    def load_into(self, context: ssl.SSLContext) -> None:
        """Hand both to OpenSSL, which reads them from a file only.

        What touches the disk is encrypted under a passphrase that never leaves this call, so that a
        crash between writing and deleting leaves nothing behind that anybody could use.
        """
        passphrase = secrets.token_bytes(_PASSPHRASE_BYTES).hex()
        key_pem = self.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode("ascii"))
        )
        # The directory is created with mode 0700 and removed on the way out.
        with tempfile.TemporaryDirectory(prefix="medquorum-") as folder:
            path = Path(folder) / "node.pem"
            path.write_bytes(key_pem + self.leaf_pem)
            context.load_cert_chain(path, password=passphrase)


def _context(side: int, authority: identity.Authority, chain: _KeyAndLeaf) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    # Names mean nothing here: identity is the key, compared by whoever dialled or accepted.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=authority.pem)
    chain.load_into(context)
    return context


def handshake_error(error: Exception) -> HandshakeError:
    """Name what went wrong while TLS was being set up on an open socket."""
    match error:
        case ssl.SSLError():
            return HandshakeError(reason_of(error))
        case TimeoutError():
            return HandshakeError(Reason.HANDSHAKE_TIMEOUT)
        case OSError():
            return HandshakeError(Reason.HANDSHAKE_LOST)
        case _:
            # A certificate that the ssl module cannot describe makes it raise what it likes.
            return HandshakeError(Reason.TLS_FAILED)

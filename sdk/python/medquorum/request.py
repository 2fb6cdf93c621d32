"""Signed HTTP requests, for the few calls that are not transactions: records into and out of a
vault.

    signed bytes = "medquorum/request/v1" 0x00 || [chain id, method, path, time, SHA-256(body)]

The time is in milliseconds since the Unix epoch. `path` is the target as it stands in the request
line, query included. A signature is good for a minute around its time and for this chain; within
that minute a copy of the request can be sent again, so the calls that use it are harmless when
repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from medquorum.codec import INT_MAX, encode
from medquorum.encoding import from_hex
from medquorum.errors import VerificationError
from medquorum.hashing import Kind
from medquorum.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, verify

KEY_HEADER: Final = "MedQuorum-Key"
TIME_HEADER: Final = "MedQuorum-Time"
SIGNATURE_HEADER: Final = "MedQuorum-Signature"
TOLERANCE_MS: Final = 60_000
_TIME_DIGITS_MAX: Final = 16


def request_bytes(*, chain_id: bytes, method: str, path: str, time_ms: int, body: bytes) -> bytes:
    """What the sender signs."""
    fields = (chain_id, method, path, time_ms, sha256(body).digest())
    return Kind.REQUEST.value + encode(fields)


def sign_request(
    key: SigningKey, *, chain_id: bytes, method: str, path: str, time_ms: int, body: bytes
) -> dict[str, str]:
    """The three headers of a signed request. `time_ms` is milliseconds since the Unix epoch,
    UTC.
    """
    message = request_bytes(chain_id=chain_id, method=method, path=path, time_ms=time_ms, body=body)
    return {
        KEY_HEADER: key.public.hex(),
        TIME_HEADER: str(time_ms),
        SIGNATURE_HEADER: key.sign(message).hex(),
    }


def verify_request(
    headers: Mapping[str, str],
    *,
    chain_id: bytes,
    method: str,
    path: str,
    body: bytes,
    now_ms: int,
) -> bytes:
    """The public key that signed this request. Whether that key may do anything is for the caller
    to decide.

    Raises VerificationError: `request_path`, `request_headers`, `request_time` or
    `request_signature`.
    """
    if not path.isascii():
        raise VerificationError("request_path", "a request line is ASCII")
    time_text = headers.get(TIME_HEADER, "")
    try:
        public = from_hex(headers.get(KEY_HEADER, ""), size=PUBLIC_KEY_BYTES)
        signature = from_hex(headers.get(SIGNATURE_HEADER, ""), size=SIGNATURE_BYTES)
    except ValueError:
        raise VerificationError(
            "request_headers", "no key or signature of the right form"
        ) from None
    if not (time_text.isascii() and time_text.isdigit() and len(time_text) <= _TIME_DIGITS_MAX):
        raise VerificationError("request_headers", "no time of the right form")
    time_ms = int(time_text)
    if time_ms > INT_MAX or abs(time_ms - now_ms) > TOLERANCE_MS:
        raise VerificationError("request_time", f"more than {TOLERANCE_MS} ms away from our clock")
    message = request_bytes(chain_id=chain_id, method=method, path=path, time_ms=time_ms, body=body)
    if not verify(public, message, signature):
        raise VerificationError("request_signature", "the key did not sign this request")
    return public

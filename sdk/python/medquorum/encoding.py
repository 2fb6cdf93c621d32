"""Bytes in JSON: unpadded base64url for structures, lower-case hexadecimal for ids, hashes and
keys. One text for each value.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def to_base64url(data: bytes) -> str:
    """The base64url text (RFC 4648 section 5) without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """The bytes of which `text` is the one unpadded base64url text. Raises ValueError."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # The decoder of the standard library skips foreign characters and ignores unused bits.
    if to_base64url(data) != text:
        raise ValueError("not unpadded base64url")
    return data


def from_hex(text: str, *, size: int | None = None) -> bytes:
    """The bytes of which `text` is the lower-case hexadecimal, `size` of them if given. Raises
    ValueError.
    """
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError("not lower-case hexadecimal")
    if size is not None and len(data) != size:
        raise ValueError(f"{len(data)} bytes instead of {size}")
    return data

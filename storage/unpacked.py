"""Decodes what the database holds. What does not decode is damage, and no bug of ours."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from storage.errors import DamagedStoreError

T = TypeVar("T")


def unpacked(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    """Raises DamagedStoreError."""
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise DamagedStoreError("the database", str(error)) from None

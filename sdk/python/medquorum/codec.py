"""Canonical MessagePack: one value, one byte string.

Everything that is signed or hashed goes through `encode` and `decode`. The subset of MessagePack:
fixed-position arrays for structures, integers 0 to 2^53 - 1 in their shortest form, byte strings,
UTF-8 strings, arrays; no maps, no nil, no booleans, no floats, no extension types, no trailing
bytes. `decode` enforces it by the only argument that needs no case analysis: what was decoded is
encoded again, and the bytes must be equal (docs/spec/encoding.md).

An absent value is an empty byte string or an empty array, never nil.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar, dataclass_transform

import msgpack
import msgspec
from msgspec import Meta

from medquorum.errors import MalformedError, NonCanonicalError, OversizedError

INT_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 32

U8 = Annotated[int, Meta(ge=0, le=2**8 - 1)]
U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U53 = Annotated[int, Meta(ge=0, le=INT_MAX)]
"""Every integer that JavaScript can hold exactly: amounts in minor units, heights, milliseconds."""
Height = U53
TimeMs = U53
Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Hash = Bytes32
# `$` alone would also match before a final newline, in Python and not elsewhere; the look-ahead
# means the end everywhere.
NAME_PATTERN: Final = r"^[a-z][a-z0-9_.\-]*(?![\s\S])"
NAME_CHARS_MAX: Final = 64
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, pattern=NAME_PATTERN)]
"""A lower-case ASCII token: type names, roles, topics. It cannot carry a person's name or
number.
"""


# msgspec freezes the subclasses of a frozen structure; type checkers must be told.
@dataclass_transform(frozen_default=True)
class Wire(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of every structure that travels: a fixed-position array, immutable, hashable by value.

    What is immutable and came out of bytes cannot be part of a cycle, so the garbage collector
    need not look at it, however many transactions and rows a node holds.

    Fields have no defaults: a shorter array would then decode, and its re-encoding differ.
    """


WireT = TypeVar("WireT")

_encoder: Final = msgspec.msgpack.Encoder()
_decoders: Final[dict[object, msgspec.msgpack.Decoder[object]]] = {}


def encode(value: object) -> bytes:
    """The canonical bytes of a Wire structure (or of a tuple, int, str or bytes).

    The types promise the value ranges; a Wire built in code is not checked again here.
    """
    return _encoder.encode(value)


def decode(kind: type[WireT], data: bytes, *, size_max: int) -> WireT:
    """Decode `data` as `kind`, or raise OversizedError, MalformedError or NonCanonicalError.

    `size_max` is in bytes and is checked before anything is decoded.
    """
    if len(data) > size_max:
        raise OversizedError(size=len(data), size_max=size_max)
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from None
    if _encoder.encode(value) != data:
        raise NonCanonicalError(kind.__name__)
    return value  # type: ignore[return-value]  # the decoder of `kind` returns a `kind`


def encode_plain(value: object) -> bytes:
    """Encode untyped nested lists, integers, strings and bytes with the `msgpack` package.

    For integrators whose operation bodies come from a published schema instead of a Python class.
    The shared vectors prove that it yields the same bytes as `encode`.
    """
    _check_plain(value, depth=0)
    return bytes(msgpack.packb(value, use_bin_type=True))


def decode_plain(data: bytes, *, size_max: int) -> object:
    """Decode canonical bytes of unknown structure into nested lists, integers, strings and
    bytes.
    """
    if len(data) > size_max:
        raise OversizedError(size=len(data), size_max=size_max)
    try:
        value: object = msgpack.unpackb(data, raw=False, strict_map_key=True)
        _check_plain(value, depth=0)
    except MalformedError:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise MalformedError(str(error) or type(error).__name__) from None
    if msgpack.packb(value, use_bin_type=True) != data:
        raise NonCanonicalError("value")
    return value


def _check_plain(value: object, *, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise MalformedError(f"nested deeper than {DEPTH_MAX}")
    match value:
        case bool() | None | float():
            raise MalformedError(f"{type(value).__name__} is not in the canonical subset")
        case int():
            if not 0 <= value <= INT_MAX:
                raise MalformedError("integer outside 0 to 2^53 - 1")
        case str() | bytes():
            return
        case msgpack.ExtType():
            # A named tuple, but not an array.
            raise MalformedError("extension types are not in the canonical subset")
        case list() | tuple():
            for item in value:
                _check_plain(item, depth=depth + 1)
        case _:
            raise MalformedError(f"{type(value).__name__} is not in the canonical subset")

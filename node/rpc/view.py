"""Structures of the ledger as JSON values: objects with the names of the fields, bytes as
lower-case hexadecimal. What travels as an array is shown as an object, because that is what people
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

import msgspec

from medquorum.block import Attribute
from medquorum.codec import encode
from medquorum.encoding import to_base64url
from medquorum.history import Certified, SetChange

Json: TypeAlias = object
"""A value that JSON has. Its shape is that of the structure that was shown."""


def view(value: object) -> Json:
    """The JSON view of a structure, or of a list of them."""
    match value:
        case msgspec.Struct():
            return {name: view(getattr(value, name)) for name in value.__struct_fields__}
        case bytes():
            return value.hex()
        case Enum():
            return view(value.value)
        case str() | int() | float() | bool() | None:
            return value
        case Mapping():
            return {str(name): view(item) for name, item in value.items()}
        case list() | tuple():
            return [view(item) for item in value]
        case _:
            raise TypeError(f"a {type(value).__name__} has no JSON view")


def attributes(pairs: tuple[Attribute, ...]) -> dict[str, Json]:
    """An event's attributes by name."""
    return {pair.name: view(pair.value) for pair in pairs}


class RawCertified(msgspec.Struct, frozen=True):
    """What a height's validators signed, in the bytes that they signed: base64url."""

    header: str
    result: str
    certificate: str


class RawChange(msgspec.Struct, frozen=True):
    """A height after which another set votes than before, and that set: base64url. `recovery` is
    empty unless organisations named the set.
    """

    header: str
    result: str
    certificate: str
    validators: str
    recovery: str


def raw(certified: Certified) -> RawCertified:
    """For clients that verify."""
    return RawCertified(
        to_base64url(encode(certified.header)),
        to_base64url(encode(certified.result)),
        to_base64url(encode(certified.certificate)),
    )


def raw_change(change: SetChange) -> RawChange:
    """For clients that verify."""
    at = raw(change.at)
    validators = to_base64url(encode(change.validators))
    recovery = "" if change.recovery is None else to_base64url(encode(change.recovery))
    return RawChange(at.header, at.result, at.certificate, validators, recovery)

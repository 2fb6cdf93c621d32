"""The canonical form of a record (RFC 8785), from its JSON text.

A commitment must be computed the same way by everyone for decades, so a text is refused wherever
two JSON parsers may differ:

    not UTF-8, a byte order mark, a lone surrogate    a name twice in one object
    a number whose value a double does not hold       NaN and Infinity
    nesting or size beyond the limits                 anything but an object at the top

A number is accepted if and only if the double nearest to it, written in its shortest form, has the
same decimal value. So 112.416, 112.41600000000001 and 1.50 pass (the last as 1.5),
0.1000000000000000055 and 9007199254740993 do not: no two accepted numbers of different value share
a canonical form. Trailing zeros carry precision in FHIR; they are kept in the sealed text itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Final

import rfc8785

from medquorum.errors import VaultError
from medquorum.limits import NUMBER_CHARS_MAX, RESOURCE_BYTES_MAX, RESOURCE_DEPTH_MAX

_INTEGER_MAX: Final = 2**53 - 1


def canonical(resource: bytes) -> bytes:
    """The RFC 8785 bytes of the JSON object in `resource`. Raises VaultError; its reasons begin
    with `resource_`.
    """
    if len(resource) > RESOURCE_BYTES_MAX:
        raise VaultError("resource_size", f"{len(resource)} bytes, at most {RESOURCE_BYTES_MAX}")
    try:
        value: object = _decoder.decode(resource.decode("utf-8"))
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        # The parser's own message quotes the text, and the text is about a patient.
        raise VaultError("resource_json", "not a JSON text in UTF-8") from None
    if not isinstance(value, dict):
        raise VaultError("resource_json", "a record is a JSON object")
    _check_depth(value)
    try:
        return rfc8785.dumps(value)
    except ValueError:
        raise VaultError(
            "resource_text", "a string is not Unicode: it has a lone surrogate"
        ) from None


def _too_deep() -> VaultError:
    return VaultError("resource_depth", f"nested deeper than {RESOURCE_DEPTH_MAX}")


def _check_depth(value: dict[str, object]) -> None:
    level: list[object] = [value]
    for _ in range(RESOURCE_DEPTH_MAX):
        level = [
            item for outer in level for item in _inside(outer) if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _inside(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise VaultError("resource_duplicate", "a name stands twice in one object")
    return value


def _integer(text: str) -> int:
    if len(text) > NUMBER_CHARS_MAX or abs(value := int(text)) > _INTEGER_MAX:
        raise VaultError("resource_number", "an integer beyond 2^53 - 1")
    return value


def _decimal(text: str) -> float:
    if len(text) > NUMBER_CHARS_MAX:
        raise VaultError("resource_number", f"a number of more than {NUMBER_CHARS_MAX} characters")
    value = float(text)
    if not math.isfinite(value) or not _same_value(text, value):
        raise VaultError("resource_number", "a number that a double does not hold")
    return value


def _same_value(text: str, value: float) -> bool:
    try:
        return Decimal(text) == Decimal(repr(value))
    except InvalidOperation:
        return False


def _constant(_text: str) -> float:
    raise VaultError("resource_number", "NaN and Infinity are not JSON")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_decimal, parse_constant=_constant
)

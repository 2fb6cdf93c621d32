"""Query parameters into structures: numbers as text, bytes as hexadecimal, lists with commas.
Whatever does not fit is refused with a pointer to the parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TypeVar

import msgspec
import msgspec.inspect as shapes

from medquorum.encoding import from_hex
from node.rpc.errors import FieldsError, wrong_field
from node.rpc.limits import PARAMS_MAX

StructT = TypeVar("StructT", bound=msgspec.Struct)
_WHERE = re.compile(r" - at `\$(?:\.([A-Za-z0-9_]+))?")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")


def collect(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The parameters by name. Raises FieldsError if one stands twice or there are too many."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise wrong_field(f"/{name}", "twice", f"the parameter {name} stands twice")
        found[name] = value
        if len(found) > PARAMS_MAX:
            raise FieldsError(f"more than {PARAMS_MAX} parameters", ())
    return found


def decode_params(values: Mapping[str, str], kind: type[StructT]) -> StructT:
    """The parameters as a `kind`. Raises FieldsError."""
    fields = _fields(kind) if values else {}
    plain = {
        name: _value(name, text, fields[name]) if name in fields else text
        for name, text in values.items()
    }
    try:
        return msgspec.convert(plain, kind, strict=False, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None


@cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, shapes.Type]:
    """The types of the parameters by name: of as many kinds as routes and queries declare."""
    shape = shapes.type_info(kind)
    fields = shape.fields if isinstance(shape, shapes.StructType) else ()
    return {field.encode_name: field.type for field in fields}


def _value(name: str, text: str, shape: shapes.Type) -> object:
    match shape:
        case shapes.Metadata():
            return _value(name, text, shape.type)
        case shapes.UnionType():
            inner = [one for one in shape.types if not isinstance(one, shapes.NoneType)]
            return _value(name, text, inner[0]) if len(inner) == 1 else text
        case shapes.BytesType():
            try:
                return from_hex(text)
            except ValueError:
                detail = f"{name} is not lower-case hexadecimal"
                raise wrong_field(f"/{name}", "hex", detail) from None
        case shapes.VarTupleType() | shapes.ListType():
            return [_value(name, part, shape.item_type) for part in text.split(",") if part != ""]
        case _:
            return text


def _refusal(message: str) -> FieldsError:
    for pattern, code in ((_UNKNOWN, "unknown"), (_MISSING, "missing"), (_WHERE, "value")):
        found = pattern.search(message)
        if found is not None:
            name = found.group(1) or ""
            what = message.split(" - at", maxsplit=1)[0] if code == "value" else f"{code} parameter"
            return wrong_field(f"/{name}", code, f"{name}: {what}")
    return FieldsError(message, ())

"""The published form of every transaction type, for clients without our classes.

A body travels as an array. The schema shows it as an object with named properties, which reads
better; `fields` is the order in the array. Byte strings are hexadecimal in JSON, and each says how
many bytes it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec import inspect

from medquorum.codec import Wire
from node.ledger.entry import Entry

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, object]


@dataclass(frozen=True, slots=True)
class TypeSchema:
    """What one transaction type looks like. `fields` is the order of the array on the wire.

    `active_from` is the first height for what is built in, and 0 for what governance must activate.
    """

    name: str
    version: int
    module: str
    summary: str
    traffic: str
    unstoppable: bool
    active_from: int
    fields: tuple[str, ...]
    schema: Schema


def type_schema(entry: Entry) -> TypeSchema:
    """The published form of one type."""
    tx_type = entry.type
    return TypeSchema(
        name=tx_type.name,
        version=tx_type.version,
        module=entry.module.name,
        summary=tx_type.summary,
        traffic=tx_type.traffic.value,
        unstoppable=tx_type.unstoppable,
        active_from=1 if entry.from_genesis else 0,
        fields=tx_type.body.__struct_fields__,
        schema={"$schema": DIALECT, **body_schema(tx_type.body)},
    )


def body_schema(body: type[Wire]) -> Schema:
    """The JSON Schema of a structure, nested structures in place."""
    return _describe(inspect.type_info(body))


def _describe(kind: inspect.Type) -> Schema:
    match kind:
        case inspect.StructType():
            return _object(kind)
        case inspect.BytesType():
            return _hexadecimal(kind.min_length, kind.max_length)
        case inspect.IntType():
            return {"type": "integer"} | _some(minimum=kind.ge, maximum=kind.le)
        case inspect.StrType():
            bounds = _some(minLength=kind.min_length, maxLength=kind.max_length)
            return {"type": "string"} | bounds | _some(pattern=kind.pattern)
        case inspect.EnumType():
            return {"enum": [member.value for member in kind.cls]}
        case inspect.LiteralType():
            return {"enum": list(kind.values)}
        case inspect.VarTupleType():
            bounds = _some(minItems=kind.min_length, maxItems=kind.max_length)
            return {"type": "array", "items": _describe(kind.item_type)} | bounds
        case inspect.TupleType():
            items = [_describe(item) for item in kind.item_types]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
        case inspect.UnionType():
            return {"anyOf": [_describe(member) for member in kind.types]}
        case inspect.Metadata():
            return _describe(kind.type)
        case _:
            raise TypeError(f"{type(kind).__name__} does not travel")


def _object(kind: inspect.StructType) -> Schema:
    summary = " ".join((kind.cls.__doc__ or "").split())
    return {
        "type": "object",
        "title": kind.cls.__name__,
        "description": summary,
        "properties": {field.name: _describe(field.type) for field in kind.fields},
        "required": [field.name for field in kind.fields],
        "additionalProperties": False,
    }


def _hexadecimal(shortest: int | None, longest: int | None) -> Schema:
    if shortest is not None and shortest == longest:
        note = f"{shortest} bytes in hexadecimal"
    else:
        note = f"{shortest or 0} to {longest} bytes in hexadecimal"
    bounds = _some(
        minLength=None if shortest is None else 2 * shortest,
        maxLength=None if longest is None else 2 * longest,
    )
    return {"type": "string", "pattern": "^([0-9a-f]{2})*$", "description": note} | bounds


def _some(**bounds: int | str | None) -> Schema:
    """The bounds that are set."""
    return {name: bound for name, bound in bounds.items() if bound is not None}

"""Published shapes of operation bodies: JSON Schema out of a Wire structure, and canonical bytes
out of JSON fields.

So an integrator without our classes (or without Python) can build every operation from what a node
publishes. In the JSON view a structure is an object with named fields, whose order in `properties`
is the order on the wire; bytes are lower-case hexadecimal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec.inspect as shapes

from medquorum.codec import Wire, encode_plain
from medquorum.encoding import from_hex
from medquorum.errors import MalformedError

Json = Mapping[str, object]

HEX: Final = "hex"
"""The `format` of strings that are bytes."""


def json_schema(kind: type[Wire]) -> dict[str, object]:
    """The JSON Schema (2020-12) of the JSON view of `kind`, with its nested structures under
    `$defs`.
    """
    definitions: dict[str, object] = {}
    top = _describe(shapes.type_info(kind), definitions)
    return {**top, "$defs": definitions}


def field_names(kind: type[Wire]) -> tuple[str, ...]:
    """The names of the fields, in the order in which they stand on the wire."""
    return kind.__struct_fields__


def body_from_json(schema: Json, value: object) -> bytes:
    """The canonical bytes of an operation body, given its published schema and its fields. Raises
    MalformedError.

    This checks names, kinds and the form of byte strings; the node checks everything else.
    """
    return encode_plain(_to_wire(schema, value, schema, "body"))


def _describe(shape: shapes.Type, definitions: dict[str, object]) -> dict[str, object]:
    match shape:
        case shapes.Metadata():
            return _describe(shape.type, definitions)
        case shapes.StructType():
            return _describe_structure(shape, definitions)
        case shapes.BytesType():
            return _bounds(
                {"type": "string", "format": HEX, "pattern": "^([0-9a-f]{2})*$"},
                minLength=None if shape.min_length is None else 2 * shape.min_length,
                maxLength=None if shape.max_length is None else 2 * shape.max_length,
            )
        case shapes.IntType():
            return _bounds({"type": "integer"}, minimum=shape.ge, maximum=shape.le)
        case shapes.StrType():
            bounded = _bounds(
                {"type": "string"}, minLength=shape.min_length, maxLength=shape.max_length
            )
            return bounded if shape.pattern is None else {**bounded, "pattern": shape.pattern}
        case shapes.LiteralType():
            return {"enum": list(shape.values)}
        case shapes.EnumType():
            return {"enum": [member.value for member in shape.cls]}
        case shapes.VarTupleType() | shapes.ListType():
            items = _describe(shape.item_type, definitions)
            return _bounds(
                {"type": "array", "items": items},
                minItems=shape.min_length,
                maxItems=shape.max_length,
            )
        case shapes.TupleType():
            parts = [_describe(part, definitions) for part in shape.item_types]
            return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
        case _:
            raise MalformedError(f"a wire structure cannot have a {type(shape).__name__}")


def _describe_structure(
    shape: shapes.StructType, definitions: dict[str, object]
) -> dict[str, object]:
    name = shape.cls.__name__
    if name not in definitions:
        # Reserved first, so that the order of definitions is that of first mention.
        definitions[name] = {}
        definitions[name] = {
            "type": "object",
            "properties": {f.name: _describe(f.type, definitions) for f in shape.fields},
            "required": [f.name for f in shape.fields],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}


def _bounds(base: dict[str, object], **bounds: int | None) -> dict[str, object]:
    return base | {name: bound for name, bound in bounds.items() if bound is not None}


def _to_wire(schema: Json, value: object, document: Json, where: str) -> object:
    schema = _resolve(schema, document)
    if "enum" in schema or "const" in schema:
        return _scalar(value, where)
    match schema.get("type"):
        case "object":
            return _structure(schema, value, document, where)
        case "array":
            return _array(schema, value, document, where)
        case "string" if schema.get("format") == HEX:
            return _bytes(value, where)
        case _:
            return _scalar(value, where)


def _resolve(schema: Json, document: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    definitions = document.get("$defs")
    name = str(reference).removeprefix("#/$defs/")
    found = definitions.get(name) if isinstance(definitions, Mapping) else None
    if not isinstance(found, Mapping):
        raise MalformedError(f"the schema has no definition {name}")
    return found


def _structure(schema: Json, value: object, document: Json, where: str) -> list[object]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        raise MalformedError(f"{where}: the schema names no properties")
    if not isinstance(value, Mapping):
        raise MalformedError(f"{where}: an object was expected")
    missing = [name for name in properties if name not in value]
    if missing:
        raise MalformedError(f"{where}: {', '.join(missing)} missing")
    unknown = [str(name) for name in value if name not in properties]
    if unknown:
        raise MalformedError(f"{where}: {', '.join(unknown)} unknown")
    return [
        _to_wire(inner, value[name], document, f"{where}.{name}")
        for name, inner in properties.items()
    ]


def _array(schema: Json, value: object, document: Json, where: str) -> list[object]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise MalformedError(f"{where}: an array was expected")
    prefix = schema.get("prefixItems")
    if isinstance(prefix, Sequence):
        if len(prefix) != len(value):
            raise MalformedError(f"{where}: {len(prefix)} items were expected")
        inner = list(prefix)
    else:
        inner = [schema.get("items")] * len(value)
    wire = []
    for i, (item_schema, item) in enumerate(zip(inner, value, strict=True)):
        if not isinstance(item_schema, Mapping):
            raise MalformedError(f"{where}: the schema does not describe its items")
        wire.append(_to_wire(item_schema, item, document, f"{where}[{i}]"))
    return wire


def _bytes(value: object, where: str) -> bytes:
    match value:
        case bytes():
            return value
        case str():
            try:
                return from_hex(value)
            except ValueError:
                raise MalformedError(f"{where}: not lower-case hexadecimal") from None
        case _:
            raise MalformedError(f"{where}: hexadecimal was expected")


def _scalar(value: object, where: str) -> int | str:
    match value:
        case Enum():
            return _scalar(value.value, where)
        case bool():
            raise MalformedError(f"{where}: the wire has no booleans")
        case int() | str():
            return value
        case _:
            raise MalformedError(f"{where}: a number or a string was expected")

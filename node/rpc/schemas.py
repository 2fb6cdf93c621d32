"""The published form of every transaction type, for whoever builds operations without our
classes.
"""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from medquorum.schema import field_names, json_schema
from node.errors import RefusedError
from node.ledger.context import View
from node.ledger.entry import Entry
from node.reading import read_consistently
from node.rpc.routes import Answer, AnyRoute, Call, Params, Route, answer


class SchemaDocument(msgspec.Struct, frozen=True):
    """A transaction type. `fields` is the order of the body's array on the wire; `schema` shows the
    body as an object, its bytes in hexadecimal. `active`: whether it may be used now.
    """

    type: str
    version: int
    module: str
    summary: str
    active: bool
    fields: list[str]
    schema: dict[str, object]


async def list_schemas(call: Call[Params]) -> web.StreamResponse:
    """All transaction types."""
    services = call.services
    registry = services.chain.registry

    def read(state: View) -> list[SchemaDocument]:
        return [
            schema_document(entry, active=registry.is_active(entry, state))
            for entry in registry.entries()
        ]

    _, types = await services.readers.run(read_consistently, services.chain, read)
    return answer(types)


async def get_schema(call: Call[Params]) -> web.StreamResponse:
    """One transaction type."""
    name, version = call.path("type"), call.path_int("version")
    services = call.services
    entry = services.chain.registry.entry(name, version)
    if entry is None:
        raise RefusedError("not_found", "there is no such transaction type")
    active = services.chain.registry.is_active(entry, services.chain.view())
    return answer(schema_document(entry, active=active))


def schema_document(entry: Entry, *, active: bool) -> SchemaDocument:
    """The published form of one type."""
    return SchemaDocument(
        type=entry.type.name,
        version=entry.type.version,
        module=entry.module.name,
        summary=entry.type.summary,
        active=active,
        fields=list(field_names(entry.type.body)),
        schema=json_schema(entry.type.body),
    )


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/schemas",
        name="listSchemas",
        tag="ledger",
        summary="The transaction types that this node knows.",
        params=Params,
        handle=list_schemas,
        answers={200: Answer("The types", list[SchemaDocument])},
    ),
    Route(
        method="GET",
        path="/v1/schemas/{type}/{version}",
        name="getSchema",
        tag="ledger",
        summary="How the body of a transaction type is built.",
        params=Params,
        handle=get_schema,
        answers={200: Answer("The type", SchemaDocument)},
        problems=("not_found",),
        path_help={"type": "The name of the type.", "version": "Its version."},
    ),
)

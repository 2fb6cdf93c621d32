"""Named reads of the ledger, declared by its modules."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from node.errors import RefusedError
from node.ledger.codes import Code
from node.ledger.errors import TxError
from node.ledger.txtype import Query
from node.reading import read_consistently
from node.rpc.params import collect, decode_params
from node.rpc.routes import Answer, AnyRoute, Call, Params, Route, answer
from node.rpc.view import Json, view


class QueryDocument(msgspec.Struct, frozen=True):
    """The result, as of `height`."""

    height: int
    result: Json


class QueryDescription(msgspec.Struct, frozen=True):
    """A query and the JSON Schema of its parameters; bytes are hexadecimal in the query string."""

    name: str
    module: str
    summary: str
    params: dict[str, object]


class QueriesDocument(msgspec.Struct, frozen=True):
    """All queries, by name."""

    queries: list[QueryDescription]


async def run_query(call: Call[Params]) -> web.StreamResponse:
    """Run a query at the newest height."""
    services = call.services
    name = call.path("name")
    query = services.chain.registry.query(name)
    if query is None:
        raise RefusedError("not_found", "there is no such query")
    own = {
        key: value
        for key, value in collect(call.request.query.items()).items()
        if key not in Params.__struct_fields__
    }
    params = decode_params(own, query.params)
    try:
        height, result = await services.readers.brief(
            read_consistently, services.chain, lambda state: view(query.run(params, state))
        )
    except TxError as error:
        raise _refusal(error) from None
    return answer(QueryDocument(height, result))


async def list_queries(call: Call[Params]) -> web.StreamResponse:
    """What can be asked."""
    registry = call.services.chain.registry
    module_of = {query.name: module.name for module in registry.modules for query in module.queries}
    found = [describe_query(query, module_of[query.name]) for query in registry.queries()]
    return answer(QueriesDocument(found))


def describe_query(query: Query[Any], module: str) -> QueryDescription:
    """A query for people and for programs."""
    return QueryDescription(query.name, module, query.summary, params_schema(query.params))


def params_schema(kind: type[msgspec.Struct]) -> dict[str, object]:
    """The JSON Schema of query parameters. Bytes are shown as what they are in a URL."""
    return msgspec.json.schema(kind)


def _refusal(error: TxError) -> RefusedError:
    match error.code:
        case Code.NOT_FOUND:
            return RefusedError("not_found", error.detail)
        case Code.SCHEMA | Code.SIZE:
            return RefusedError("schema_violation", error.detail)
        case _:
            return RefusedError("policy_denied", f"{error.code}: {error.detail}")


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/query",
        name="listQueries",
        tag="ledger",
        summary="The queries that the ledger's modules declare.",
        params=Params,
        handle=list_queries,
        answers={200: Answer("The queries", QueriesDocument)},
    ),
    Route(
        method="GET",
        path="/v1/query/{name}",
        name="runQuery",
        tag="ledger",
        summary="Run a query; its own parameters go into the query string.",
        params=Params,
        handle=run_query,
        answers={200: Answer("The result", QueryDocument)},
        problems=("not_found", "policy_denied"),
        free_params=True,
        path_help={"name": "The name of the query."},
    ),
)

"""Named reads of the ledger, declared by its modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from node.chain import Chain
from node.errors import RefusedError
from node.ledger.codes import Code
from node.ledger.context import View
from node.ledger.errors import TxError
from node.ledger.overlay import StateView
from node.ledger.txtype import Query
from node.rpc.limits import READ_ATTEMPTS
from node.rpc.params import collect, decode_params
from node.rpc.routes import Answer, AnyRoute, Call, Params, Route, answer
from node.rpc.view import Json, view

R = TypeVar("R")


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


def read_consistently(chain: Chain, read: Callable[[View], R]) -> tuple[int, R]:
    """What `read` finds, and the height whose state it saw: one height, from first to last.

    For a reader thread. The tip moves in the batch that changes the state, so if it is the same
    after the read as before, nothing was written in between. Raises RefusedError `not_ready` if
    blocks come too fast for that.
    """
    blocks = chain.blocks
    for _ in range(READ_ATTEMPTS):
        height = blocks.tip()
        header = blocks.header(height)
        time_ms = chain.genesis.time_ms if header is None else header.time_ms
        found = read(StateView(chain.state, height=height, time_ms=time_ms))
        if blocks.tip() == height:
            return height, found
    raise RefusedError("not_ready", "blocks are coming too fast; ask again", retry_after_ms=100)


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
        height, result = await services.readers.run(
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

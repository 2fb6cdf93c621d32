"""The OpenAPI 3.1 document, made from the declarations of the routes. There is no second
description that could disagree with what is served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from medquorum.catalogue import entry
from medquorum.request import KEY_HEADER, SIGNATURE_HEADER, TIME_HEADER
from node.rpc.endpoint import codes
from node.rpc.middleware import CHAIN_HEADER, HEIGHT_HEADER
from node.rpc.problems import PROBLEM_TYPE, ProblemDocument
from node.rpc.routes import JSON, Answer, AnyRoute, Body, Call, Params, Route

Schema = dict[str, Any]
REF: Final = "#/components/schemas/{name}"
ACCEPT_STATUS: Final = "406"


def document(routes: Sequence[AnyRoute], version: str) -> Schema:
    """The whole document."""
    kinds = [kind for route in routes for kind in _kinds(route)]
    schemas, components = msgspec.json.schema_components(
        [ProblemDocument, *kinds], ref_template=REF, schema_hook=_any
    )
    schema_of = dict(zip(map(id, [ProblemDocument, *kinds]), schemas, strict=True))
    paths: dict[str, Schema] = {}
    for route in routes:
        operation = _operation(route, schema_of)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MedQuorum node",
            "version": version,
            "description": "Errors: docs/errors.md. Proofs: docs/spec/receipt.md.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": {
                HEIGHT_HEADER: {
                    "description": "The last height that this node has committed.",
                    "schema": {"type": "integer"},
                },
                CHAIN_HEADER: {
                    "description": "The chain id, hexadecimal.",
                    "schema": {"type": "string"},
                },
            },
            "securitySchemes": {
                "signedRequest": {
                    "type": "apiKey",
                    "in": "header",
                    "name": SIGNATURE_HEADER,
                    "description": f"With {KEY_HEADER} and {TIME_HEADER}; see docs/api.md.",
                }
            },
        },
    }


def route(routes: Sequence[AnyRoute], version: str) -> AnyRoute:
    """The route that serves the document, which describes itself as well."""
    served: list[bytes] = []

    async def handle(_call: Call[Params]) -> web.StreamResponse:
        return web.Response(body=served[0], content_type=JSON)

    own = Route(
        method="GET",
        path="/v1/openapi.json",
        name="getOpenapi",
        tag="node",
        summary="This description of the API (OpenAPI 3.1).",
        params=Params,
        handle=handle,
        answers={200: Answer("The document", dict[str, object])},
    )
    served.append(msgspec.json.encode(document((*routes, own), version)))
    return own


def _any(kind: type) -> Schema:
    if kind is not object:
        raise TypeError(f"{kind.__name__} has no JSON Schema")
    return {"description": "Any JSON value."}


def _kinds(described: AnyRoute) -> Iterator[object]:
    yield described.params
    for one in described.answers.values():
        if one.kind is not None:
            yield one.kind
    if described.body is not None:
        yield from (kind for kind in described.body.media.values() if kind is not None)


def _operation(described: AnyRoute, schema_of: Mapping[int, Schema]) -> Schema:
    operation: Schema = {
        "operationId": described.name,
        "tags": [described.tag],
        "summary": described.summary,
        "parameters": [*_path_parameters(described), *_query_parameters(described)],
        "responses": {**_answers(described, schema_of), **_problems(described, schema_of)},
    }
    if described.body is not None:
        operation["requestBody"] = _body(described.body, schema_of)
    if described.signed:
        operation["security"] = [{"signedRequest": []}]
    return operation


def _path_parameters(described: AnyRoute) -> Iterator[Schema]:
    for part in described.path.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": described.path_help[name],
                "schema": {"type": "string"},
            }


def _query_parameters(described: AnyRoute) -> Iterator[Schema]:
    # A structure of parameters is one object to us and many parameters to HTTP.
    _, found = msgspec.json.schema_components(
        [described.params], ref_template=REF, schema_hook=_any
    )
    shape = found[described.params.__name__]
    required = shape.get("required", [])
    for name, schema in shape["properties"].items():
        parameter: Schema = {
            "name": name, "in": "query", "required": name in required, "schema": schema,
        }  # fmt: skip
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": False}
        yield parameter


def _answers(described: AnyRoute, schema_of: Mapping[int, Schema]) -> Schema:
    return {
        str(status): {
            "description": one.summary,
            "headers": {
                name: {"$ref": f"#/components/headers/{name}"}
                for name in (HEIGHT_HEADER, CHAIN_HEADER)
            },
            "content": {one.media: {} if one.kind is None else {"schema": schema_of[id(one.kind)]}},
        }
        for status, one in described.answers.items()
    }


def _problems(described: AnyRoute, schema_of: Mapping[int, Schema]) -> Schema:
    by_status: dict[str, list[str]] = {}
    for code in codes(described):
        known = entry(code)
        if known is None or known.status is None:
            raise ValueError(f"{described.name} declares {code}, which is not in the catalogue")
        by_status.setdefault(str(known.status), []).append(code)
    by_status[ACCEPT_STATUS] = ["unsupported_media_type"]
    return {
        status: {
            "description": "Problem: " + ", ".join(found),
            "content": {PROBLEM_TYPE: {"schema": schema_of[id(ProblemDocument)]}},
            "x-codes": found,
        }
        for status, found in sorted(by_status.items())
    }


def _body(body: Body, schema_of: Mapping[int, Schema]) -> Schema:
    return {
        "required": True,
        "description": f"At most {body.bytes_max} bytes.",
        "content": {
            media: {} if kind is None else {"schema": schema_of[id(kind)]}
            for media, kind in body.media.items()
        },
    }

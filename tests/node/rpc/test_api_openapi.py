"""The description of the API describes all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import structlog

from medquorum.catalogue import catalogue
from node.rpc.app import make_rpc
from tests.support.daemon import local_node

Json = dict[str, Any]


async def fetch(tmp_path: Path) -> tuple[Json, set[tuple[str, str]]]:
    """The document, and what is really served."""
    async with local_node(tmp_path) as node, node.api() as api:
        async with api.get("/v1/openapi.json") as answer:
            document = json.loads(await answer.read())
        app = make_rpc(node.services(), structlog.wrap_logger(node.log))
        served = {
            (route.resource.canonical, route.method.lower())
            for route in app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
        return document, served


async def test_every_route_is_described_and_nothing_else(tmp_path: Path) -> None:
    document, served = await fetch(tmp_path)
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    assert described == served
    operations = [
        one["operationId"] for item in document["paths"].values() for one in item.values()
    ]
    assert len(set(operations)) == len(operations)


async def test_every_code_is_one_of_the_catalogue_under_its_status(tmp_path: Path) -> None:
    document, _ = await fetch(tmp_path)
    for item in document["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                for code in answer.get("x-codes", []):
                    assert status in ("406", str(catalogue()[code].status))


async def test_every_reference_leads_somewhere(tmp_path: Path) -> None:
    document, _ = await fetch(tmp_path)

    def references(value: object) -> list[str]:
        match value:
            case {"$ref": str(target)}:
                return [target]
            case dict():
                return [found for item in value.values() for found in references(item)]
            case list():
                return [found for item in value for found in references(item)]
            case _:
                return []

    found = references(document)
    assert found
    for target in found:
        here: Any = document
        for part in target.removeprefix("#/").split("/"):
            here = here[part]
        assert isinstance(here, dict)


async def test_path_parameters_are_described(tmp_path: Path) -> None:
    document, _ = await fetch(tmp_path)
    for path, item in document["paths"].items():
        wanted = {part.strip("{}") for part in path.split("/") if part.startswith("{")}
        for operation in item.values():
            given = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert given == wanted

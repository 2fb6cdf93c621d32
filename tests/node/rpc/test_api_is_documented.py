"""docs/api.md names every route, and no route that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import structlog

from node.ops.app import make_ops
from node.rpc.app import make_rpc
from tests.support.daemon import local_node

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


async def test_every_route_is_in_the_documentation(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        api = make_rpc(node.services(), structlog.wrap_logger(node.log))
        served = {
            f"{route.method} {route.resource.canonical}"
            for route in api.router.routes()
            if route.resource is not None and route.method != "HEAD"
        } | {
            route.resource.canonical
            for route in make_ops(node.services()).router.routes()
            if route.resource is not None
        }
    documented = set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))
    assert documented == served

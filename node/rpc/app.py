"""The API as one aiohttp application."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from structlog.typing import FilteringBoundLogger

from node.rpc import blocks, query, schemas, state, status, txs
from node.rpc.endpoint import endpoint
from node.rpc.limits import BODY_BYTES_MAX
from node.rpc.middleware import add_headers, make_middleware
from node.rpc.routes import AnyRoute
from node.services import Services

ROUTES: Final[tuple[AnyRoute, ...]] = (
    *txs.ROUTES,
    *blocks.ROUTES,
    *state.ROUTES,
    *query.ROUTES,
    *schemas.ROUTES,
    *status.ROUTES,
)


def make_rpc(services: Services, log: FilteringBoundLogger) -> web.Application:
    """The API over `services`. Run it with a web.AppRunner (access_log=None: paths hold ids)."""
    app = web.Application(
        middlewares=[make_middleware(services, log)], client_max_size=BODY_BYTES_MAX
    )
    for route in ROUTES:
        app.router.add_route(route.method, route.path, endpoint(route, services))
    app.on_response_prepare.append(add_headers(services))
    return app

"""The API as one aiohttp application."""

from __future__ import annotations

from aiohttp import web
from structlog.typing import FilteringBoundLogger

from node.rpc import (
    blocks,
    events,
    evidence,
    membership,
    openapi,
    query,
    schemas,
    state,
    status,
    txs,
    vault,
)
from node.rpc.endpoint import LargeBodies, endpoint
from node.rpc.limits import BODY_BYTES_MAX, HEADER_BYTES_MAX
from node.rpc.middleware import add_headers, make_middleware
from node.rpc.routes import AnyRoute
from node.services import Services


def declared(streams: events.EventStreams) -> tuple[AnyRoute, ...]:
    """Every route of the API but the document that describes them."""
    return (
        *txs.ROUTES,
        *blocks.ROUTES,
        *membership.ROUTES,
        *evidence.ROUTES,
        *state.ROUTES,
        *query.ROUTES,
        *schemas.ROUTES,
        *events.routes(streams),
        *status.ROUTES,
        *vault.ROUTES,
    )


def make_rpc(
    services: Services, log: FilteringBoundLogger, *, streams: events.EventStreams | None = None
) -> web.Application:
    """The API over `services`. Run it with a web.AppRunner (access_log=None: paths hold ids)."""
    streams, large = streams or events.EventStreams(), LargeBodies()
    app = web.Application(
        middlewares=[make_middleware(services, log)],
        client_max_size=BODY_BYTES_MAX,
        handler_args={"max_field_size": HEADER_BYTES_MAX, "max_line_size": HEADER_BYTES_MAX},
    )
    routes = declared(streams)
    for route in (*routes, openapi.route(routes, services.version)):
        app.router.add_route(route.method, route.path, endpoint(route, services, large))
    app.on_response_prepare.append(add_headers(services))
    app.on_shutdown.append(streams.close)
    return app

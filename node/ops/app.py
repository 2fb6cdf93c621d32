"""Health and metrics as one aiohttp application, for a port that only operators reach."""

from __future__ import annotations

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from node.errors import RefusedError
from node.ops import leader
from node.ops.backup import back_up
from node.ops.gauges import Gauges, read_kept
from node.ops.health import ReadyParams, readiness
from node.ops.metrics import PROTOCOL
from node.rpc.params import collect, decode_params
from node.rpc.problems import response
from node.services import Services


def make_ops(services: Services) -> web.Application:
    """/livez, /readyz, /metrics, /version, /transfer-leadership and /backup over `services`."""
    gauges = Gauges(services.metrics)

    async def livez(_request: web.Request) -> web.Response:
        # That this runs is the answer: the process is there and its event loop turns.
        return _json({"alive": True}, 200)

    async def readyz(request: web.Request) -> web.Response:
        try:
            params = decode_params(collect(request.query.items()), ReadyParams)
        except RefusedError as refused:
            return response(refused, "")
        found = readiness(services, params)
        return _json(found, 200 if found.ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        kept = await services.readers.run(read_kept, services.chain)
        return web.Response(body=gauges.page(services, kept), headers=headers)

    async def transfer_leadership(request: web.Request) -> web.Response:
        try:
            return _json(await leader.transfer(services, request), 200)
        except RefusedError as refused:
            return response(refused, "")

    async def backup(request: web.Request) -> web.Response:
        try:
            return _json(await back_up(services, request), 200)
        except RefusedError as refused:
            return response(refused, "")

    async def version(_request: web.Request) -> web.Response:
        chain_id = services.chain.chain_id.hex()
        shown = {"version": services.version, "protocol": PROTOCOL, "chain_id": chain_id}
        return _json(shown, 200)

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/version", version)
    app.router.add_post("/transfer-leadership", transfer_leadership)
    app.router.add_post("/backup", backup)
    return app


def _json(value: object, status: int) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )

"""What happens around every handler, in this order: Accept, query parameters, the wait for a
height, the body, the handler. All of it within the request's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
from aiohttp import web

from node.errors import RefusedError
from node.rpc.limits import LARGE_BODIES_MAX, LARGE_BODY_BYTES, REQUEST_SECONDS_MAX
from node.rpc.media import check_accept, read_body
from node.rpc.params import collect, decode_params
from node.rpc.routes import AnyRoute, Call, Params
from node.services import Services

COMMON_PROBLEMS: Final = (
    "malformed",
    "schema_violation",
    "unsupported_media_type",
    "policy_denied",
    "rate_limited",
    "not_ready",
    "internal",
)
"""What any route may answer with."""
READ_PROBLEMS: Final = ("no_leader", "not_offered", "halted")
"""What any route may answer with as well if its answer is to be linearizable."""
BODY_PROBLEMS: Final = ("too_large",)
"""What any route with a body may answer with as well."""
SIGNED_PROBLEMS: Final = ("bad_signature", "unknown_key", "key_revoked", "not_found")
"""What any route for signed requests may answer with as well."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def codes(route: AnyRoute) -> tuple[str, ...]:
    """All codes that a route may answer with, each once."""
    more = BODY_PROBLEMS if route.body is not None else ()
    signed = SIGNED_PROBLEMS if route.signed else ()
    reads = READ_PROBLEMS if issubclass(route.params, Params) else ()
    return tuple(dict.fromkeys((*COMMON_PROBLEMS, *reads, *more, *signed, *route.problems)))


class LargeBodies:
    """Counts the large bodies that are in memory at once, over all routes of an application.

    A body is as large as it says it is; one that does not say may be as large as its route takes.
    """

    def __init__(self, bodies_max: int = LARGE_BODIES_MAX) -> None:
        self._bodies_max = bodies_max
        self._count = 0

    @contextmanager
    def one(self, route: AnyRoute, declared_bytes: int | None) -> Iterator[None]:
        """Hold a place while a request of this route is answered, if its body is large. Raises
        RefusedError.
        """
        size = 0 if route.body is None else route.body.bytes_max
        if declared_bytes is not None:
            size = min(size, declared_bytes)
        if size <= LARGE_BODY_BYTES:
            yield
            return
        if self._count >= self._bodies_max:
            raise RefusedError("rate_limited", "too many large bodies", retry_after_ms=1_000)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


def endpoint(route: AnyRoute, services: Services, large: LargeBodies) -> Handler:
    """The handler of a route as aiohttp wants it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        check_accept(request, route)
        values = collect(request.query.items()) if request.rel_url.raw_query_string else {}
        params = decode_params(values if not route.free_params else common(values), route.params)
        waits = getattr(params, "timeout", 0.0)
        limit_s = None if route.stream else REQUEST_SECONDS_MAX + 2 * waits
        try:
            async with asyncio.timeout(limit_s):
                await _reach(params, services)
                with large.one(route, request.content_length):
                    body, media = await read_body(request, route)
                    return await route.handle(Call(request, services, params, body, media))
        except TimeoutError:
            raise RefusedError(
                "not_ready", "the request took too long", retry_after_ms=1_000
            ) from None

    return handle


def common(values: Mapping[str, str]) -> dict[str, str]:
    """The parameters that every GET takes, out of all."""
    return {name: value for name, value in values.items() if name in Params.__struct_fields__}


async def _reach(params: msgspec.Struct, services: Services) -> None:
    """Wait until the node has what the answer must not be older than."""
    if not isinstance(params, Params):
        return
    height = params.min_height
    if params.consistency == "linearizable":
        height = max(height, await services.read_height(params.timeout))
    if height == 0:
        return
    if not await services.tracker.wait_height(height, params.timeout):
        raise RefusedError(
            "not_ready", f"this node has not committed height {height} yet", retry_after_ms=1_000
        )

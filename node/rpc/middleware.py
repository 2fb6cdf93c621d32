"""What happens around every request, whatever it asks for: the Host check, the bound on requests at
once, the headers of every answer, and refusals as problems.

No answer and no log line ever carries what an unexpected exception says: it may quote a request.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from itertools import count
from secrets import token_hex
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.typing import FilteringBoundLogger

from node.errors import RefusedError
from node.rpc import problems
from node.rpc.limits import HOSTS_KEPT, REQUESTS_MAX
from node.services import Services

HEIGHT_HEADER: Final = "MedQuorum-Height"
CHAIN_HEADER: Final = "MedQuorum-Chain-Id"
TRACE_ID: Final = web.RequestKey("trace_id", str)
TRACE_BYTES: Final = 8
TRACE_NUMBERS: Final = 1 << (4 * TRACE_BYTES)
LOOPBACK_NAMES: Final = frozenset({"localhost"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_middleware(services: Services, log: FilteringBoundLogger) -> Middleware:
    """The one middleware of the API."""
    allowed = frozenset(host.lower() for host in services.allowed_hosts)
    metrics = services.metrics
    # Few clients call a node by many names, and to look at one takes as long as a small read.
    is_allowed = lru_cache(HOSTS_KEPT)(lambda header: host_allowed(header, allowed))
    new_trace_id = trace_ids()

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        trace_id = next(new_trace_id)
        request[TRACE_ID] = trace_id
        with metrics.request(_route_of(request)) as measured:
            try:
                if not is_allowed(request.headers.get("Host", "")):
                    raise RefusedError("policy_denied", "this node is not called by that host name")
                if metrics.inflight > REQUESTS_MAX:
                    raise RefusedError(
                        "rate_limited", "too many requests at once", retry_after_ms=1_000
                    )
                answered = await handler(request)
            except RefusedError as refused:
                answered = problems.response(refused, trace_id)
            except web.HTTPException as error:
                answered = _http_problem(error, trace_id)
            except ConnectionResetError:
                # The client went away while it was being answered; there is nobody left to tell.
                raise
            except Exception as error:
                _report(log, request, trace_id, error)
                answered = problems.response(
                    RefusedError("internal", "the node failed; its log has the trace id"), trace_id
                )
            measured.status = answered.status
            return answered

    return around


def add_headers(services: Services) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Put the height and the chain onto every answer, streams included."""
    chain_id = services.chain.chain_id.hex()

    async def prepare(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers[HEIGHT_HEADER] = str(services.chain.tip.height)
        response.headers[CHAIN_HEADER] = chain_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")

    return prepare


def host_allowed(header: str, allowed: frozenset[str]) -> bool:
    """Whether a Host header names this node: an allowed name, or a loopback one. Total.

    A page in a browser can point its own name at our address (DNS rebinding), but it cannot make
    the browser send another Host than that name.
    """
    try:
        host = (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return False
    if host in LOOPBACK_NAMES or host in allowed or f"[{host}]" in allowed:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def trace_ids() -> Iterator[str]:
    """Names for requests: a random one of this start of the node, and a number. They find a line in
    its log and are no secret, so they are not worth the kernel's randomness each time.
    """
    start = token_hex(TRACE_BYTES // 2)
    for number in count(1):
        yield f"{start}{number % TRACE_NUMBERS:08x}"


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    # The pattern, never the path: a label for each transaction would grow without end.
    return "unknown" if resource is None else resource.canonical


def _http_problem(error: web.HTTPException, trace_id: str) -> web.Response:
    match error:
        case web.HTTPMethodNotAllowed():
            detail = f"allowed here: {', '.join(sorted(error.allowed_methods))}"
            answered = problems.response(RefusedError("method_not_allowed", detail), trace_id)
            answered.headers["Allow"] = error.headers["Allow"]
            return answered
        case web.HTTPNotFound():
            return problems.response(RefusedError("not_found", "there is no such path"), trace_id)
        case web.HTTPRequestEntityTooLarge():
            return problems.response(RefusedError("too_large", "the body is too large"), trace_id)
        case _:
            return problems.response(RefusedError("malformed", error.reason), trace_id)


def _report(
    log: FilteringBoundLogger, request: web.Request, trace_id: str, error: Exception
) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    log.error(
        "request_failed",
        trace_id=trace_id,
        method=request.method,
        route=_route_of(request),
        error=type(error).__name__,
        detail=where,
    )

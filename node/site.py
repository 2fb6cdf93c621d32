"""A TCP site that bounds its connections, and says nothing of what strangers send it.

Every connection holds a file descriptor, and the database, the logs and the links to the other
validators need them too: whoever opens thousands of connections to the API must not end the node.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from typing_extensions import override

from node.limits import HTTP_CONNECTIONS_MAX

DESCRIPTORS_SHARE: Final = 4
"""The API and the ops endpoints together take no more than half of the descriptors."""


class BoundedSite(web.BaseSite):
    """Listens on one address. Connections beyond `connections_max` are closed at once."""

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, *, connections_max: int
    ) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._connections_max = connections_max

    @property
    @override
    def name(self) -> str:
        """For aiohttp."""
        return f"http://{self._host}:{self._port}"

    @override
    async def start(self) -> None:
        """Bind and listen. Raises OSError."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol, self._host, self._port, backlog=self._backlog
        )

    def _protocol(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._connections_max:
            return _Closed()
        protocol: asyncio.BaseProtocol = server()
        return protocol


def counting_logger(dropped: Callable[[str], None]) -> logging.Logger:
    """What aiohttp's server logs to. Its messages quote requests, and anybody may cause as many as
    they like: so they are counted and not written.
    """
    logger = logging.Logger("aiohttp.server", logging.ERROR)  # has no parent, so nothing spreads
    logger.addHandler(_Counting(dropped))
    return logger


class _Counting(logging.Handler):
    """Counts by kind: what was no HTTP, and what failed in aiohttp or below it."""

    def __init__(self, dropped: Callable[[str], None]) -> None:
        super().__init__()
        self._dropped = dropped

    @override
    def emit(self, record: logging.LogRecord) -> None:
        error = None if record.exc_info is None else record.exc_info[1]
        malformed = isinstance(error, HttpProcessingError)
        self._dropped("http_malformed" if malformed else "http_failed")


class _Closed(asyncio.Protocol):
    """For a connection that there is no room for."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def connections_max() -> int:
    """How many connections one server may hold in this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return HTTP_CONNECTIONS_MAX
    return min(HTTP_CONNECTIONS_MAX, soft // DESCRIPTORS_SHARE)


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as the system grants this user."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

"""The thin layer over asyncio's streams: how one is built, refused and closed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from medquorum.invariants import require
from p2p.hello import encode_goodbye
from p2p.limits import Limits
from p2p.reasons import Reason


@dataclass(frozen=True, slots=True)
class Stream:
    """An open TLS connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def tls(self) -> ssl.SSLObject:
        """The TLS session; its handshake is complete."""
        tls = self.writer.get_extra_info("ssl_object")
        require(isinstance(tls, ssl.SSLObject), "every stream of the transport is a TLS stream")
        return tls  # type: ignore[no-any-return]  # asyncio's registry of extras is untyped

    def write(self, data: bytes) -> None:
        """Hand `data` to the socket, unless the connection is on its way out."""
        if not self.writer.is_closing():
            self.writer.write(data)

    async def close(self, *, goodbye: Reason | None, close_s_max: float) -> None:
        """Say goodbye, flush and close. Afterwards the socket is gone, whatever the peer does."""
        try:
            if goodbye is not None:
                self.write(encode_goodbye(goodbye))
            self.writer.close()
            # How the connection came to its end no longer matters to anybody.
            with suppress(OSError):
                async with asyncio.timeout(close_s_max):
                    await self.writer.wait_closed()
        finally:
            self.abort()

    def abort(self) -> None:
        """Close without flushing. Harmless if the connection is closed already."""
        self.writer.transport.abort()


class StreamFactory:
    """Makes the protocol that a transport of the event loop talks to, and then the stream."""

    __slots__ = ("_limits", "_loop", "_protocol", "_reader")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        # The reader stops the socket at twice this size: the bound of what one peer can pile up.
        self._reader = asyncio.StreamReader(limit=limits.read_bytes, loop=self._loop)
        self._protocol = asyncio.StreamReaderProtocol(self._reader, loop=self._loop)

    @property
    def protocol(self) -> Callable[[], asyncio.StreamReaderProtocol]:
        """What asyncio calls a protocol factory."""
        return lambda: self._protocol

    def stream(self, transport: asyncio.Transport) -> Stream:
        """The stream over `transport`, which is connected to `protocol`."""
        transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        writer = asyncio.StreamWriter(transport, self._protocol, self._reader, self._loop)
        return Stream(self._reader, writer)

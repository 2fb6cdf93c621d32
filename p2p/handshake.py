"""From a socket to a peer that is known: TLS, then the key, then a hello in both directions.

The dialler speaks first, and the acceptor answers only members. So an acceptor's hello means that
it has taken the connection, and every refusal before it can be told by name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from p2p import tls
from p2p.errors import HandshakeError
from p2p.hello import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Hello,
    check_hello,
    encode_hello,
    read_hello,
)
from p2p.limits import Limits
from p2p.model import Lane, PeerAddress
from p2p.reasons import Reason
from p2p.streams import Stream, StreamFactory


@dataclass(frozen=True, slots=True)
class Introduction:
    """A peer that proved its key and said hello, and the stream to it."""

    peer: bytes
    lane: Lane
    hello: Hello
    dialler: bytes
    """The node key of the side that dialled: ours or the peer's."""
    stream: Stream


@dataclass(frozen=True, slots=True)
class Handshaker:
    """Introduces one node to others.

    `refusal` says whether a proven key is welcome, `duplicate` whether one more connection of a
    lane is.
    """

    node_key: bytes
    chain_id: bytes
    instance: bytes
    software: str
    contexts: tls.TlsContexts
    limits: Limits
    refusal: Callable[[bytes], Reason | None]
    duplicate: Callable[[Introduction], bool]

    async def accept(self, connection: socket.socket) -> Introduction:
        """Be introduced to whoever connected, or close it and raise HandshakeError."""
        return await self._in_time(self._accept(connection))

    async def dial(self, address: PeerAddress, lane: Lane) -> Introduction:
        """Connect, and be introduced to `address.node_key` and nobody else, or HandshakeError."""
        return await self._in_time(self._dial(address, lane))

    async def _in_time(self, attempt: Awaitable[Introduction]) -> Introduction:
        try:
            async with asyncio.timeout(self.limits.handshake_s_max):
                return await attempt
        except TimeoutError:
            raise HandshakeError(Reason.HANDSHAKE_TIMEOUT) from None

    async def _accept(self, connection: socket.socket) -> Introduction:
        factory = StreamFactory(self.limits)
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                factory.protocol,
                connection,
                ssl=self.contexts.server,
                ssl_handshake_timeout=self.limits.handshake_s_max,
                ssl_shutdown_timeout=self.limits.close_s_max,
            )
        except Exception as error:
            raise tls.handshake_error(error) from None
        stream = factory.stream(transport)
        return await self._or_close(stream, self._answer(stream))

    async def _dial(self, address: PeerAddress, lane: Lane) -> Introduction:
        factory = StreamFactory(self.limits)
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                factory.protocol,
                address.host,
                address.port,
                ssl=self.contexts.client,
                # No name travels in clear: identity is the key.
                server_hostname="",
                ssl_handshake_timeout=self.limits.handshake_s_max,
                ssl_shutdown_timeout=self.limits.close_s_max,
            )
        except ssl.SSLError as error:
            raise tls.handshake_error(error) from None
        except OSError:
            raise HandshakeError(Reason.DIAL_FAILED) from None
        except Exception as error:
            raise tls.handshake_error(error) from None
        stream = factory.stream(transport)
        return await self._or_close(stream, self._ask(stream, address, lane))

    async def _answer(self, stream: Stream) -> Introduction:
        """The acceptor's half."""
        peer = tls.peer_key(stream.tls)
        self._check_welcome(peer)
        hello = await read_hello(stream.reader)
        lane = check_hello(hello, chain_id=self.chain_id, lane=None)
        # The hello took its time, in which the peer may have been banned or lost its membership.
        self._check_welcome(peer)
        introduction = Introduction(peer, lane, hello, peer, stream)
        if self.duplicate(introduction):
            raise HandshakeError(Reason.DUPLICATE)
        stream.write(encode_hello(self._hello(lane)))
        return introduction

    async def _ask(self, stream: Stream, address: PeerAddress, lane: Lane) -> Introduction:
        """The dialler's half."""
        peer = tls.peer_key(stream.tls)
        if peer != address.node_key:
            raise HandshakeError(Reason.IMPOSTOR)
        self._check_welcome(peer)
        stream.write(encode_hello(self._hello(lane)))
        hello = await read_hello(stream.reader)
        check_hello(hello, chain_id=self.chain_id, lane=lane)
        self._check_welcome(peer)
        return Introduction(peer, lane, hello, self.node_key, stream)

    async def _or_close(self, stream: Stream, half: Awaitable[Introduction]) -> Introduction:
        try:
            return await half
        except HandshakeError as error:
            goodbye = None if error.told_by_peer else error.reason
            await stream.close(goodbye=goodbye, close_s_max=self.limits.close_s_max)
            raise
        except OSError as error:
            # TLS 1.3 lets a client believe itself connected before the server has judged its
            # certificate, so the server's alert may arrive only here.
            stream.abort()
            raise tls.handshake_error(error) from None
        except BaseException:
            stream.abort()
            raise

    def _check_welcome(self, peer: bytes) -> None:
        reason = self.refusal(peer)
        if reason is not None:
            raise HandshakeError(reason)

    def _hello(self, lane: Lane) -> Hello:
        return Hello(
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            chain_id=self.chain_id,
            lane=lane,
            instance=self.instance,
            software=self.software,
        )

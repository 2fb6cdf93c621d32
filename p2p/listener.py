"""Accepting connections, and what a stranger may cost before it has said who it is."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable

from p2p.errors import ListenError
from p2p.limits import Limits
from p2p.model import Observer
from p2p.ratelimit import AttemptRates, address_group
from p2p.reasons import Reason

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Gate:
    """Counts the connections whose peer is not known yet, in all and by address."""

    __slots__ = ("_attempts", "_limits", "_total", "_waiting")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._attempts = AttemptRates(limits)
        self._waiting: Counter[str] = Counter()
        self._total = 0

    def enter(self, address: str, now: float) -> Reason | None:
        """Let one connection in, or say why not. What was let in must `leave`."""
        if not self._attempts.allow(address, now):
            return Reason.TOO_MANY_ATTEMPTS
        if self._total >= self._limits.unauthenticated_max:
            return Reason.TOO_MANY_UNAUTHENTICATED
        if self._waiting[address] >= self._limits.unauthenticated_per_address_max:
            return Reason.TOO_MANY_UNAUTHENTICATED
        self._waiting[address] += 1
        self._total += 1
        return None

    def leave(self, address: str) -> None:
        """The peer is known now, or gone."""
        self._total -= 1
        self._waiting[address] -= 1
        if self._waiting[address] == 0:
            del self._waiting[address]


async def bind(host: str, port: int, limits: Limits) -> socket.socket:
    """A listening socket. Port 0 lets the system choose. Raises ListenError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        listening = socket.create_server(
            address[:2],
            family=family,
            backlog=limits.listen_backlog,
            # "Every address" means those of both families.
            dualstack_ipv6=address[0] == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        raise ListenError(host, port, error.strerror or str(error)) from None
    listening.setblocking(False)
    return listening


async def accept_forever(
    listening: socket.socket,
    *,
    gate: Gate,
    limits: Limits,
    clock: Callable[[], float],
    observer: Observer,
    welcome: Callable[[socket.socket, str], None],
) -> None:
    """Pass every connection that the gate lets in to `welcome`, until cancelled.

    `welcome` gets the socket and the address under which it must leave the gate.
    """
    while True:
        await _readable(listening)
        try:
            connection, remote = listening.accept()
            connection.setblocking(False)
        except BlockingIOError:
            continue
        except OSError as error:
            observer.dropped(Reason.ACCEPT_FAILED)
            # Out of descriptors or memory: the connection stays in the backlog, and an immediate
            # retry would spin. Anything else concerns that one connection, which is gone.
            await asyncio.sleep(limits.accept_pause_s if error.errno in _EXHAUSTED else 0)
            continue
        address = address_group(remote[0])
        refused = gate.enter(address, clock())
        if refused is None:
            welcome(connection, address)
        else:
            observer.dropped(refused)
            connection.close()


async def _readable(listening: socket.socket) -> None:
    """Wait until a connection can be accepted.

    The loop's own sock_accept loses a connection, and complains, when it is cancelled between the
    two; accepting afterwards, without waiting, leaves nothing to lose.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(listening, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(listening)

"""Ports: who holds one, and where a block of free ones is."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from devnet.errors import PortsBusyError
from devnet.limits import PORTS_PER_NODE

HOST: Final = "127.0.0.1"
_LOWEST: Final = 10_000
_RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES: Final = 200


@dataclass(frozen=True, slots=True)
class Ports:
    """The three ports of a node."""

    p2p: int
    rpc: int
    ops: int

    @classmethod
    def of(cls, base: int, index: int) -> Ports:
        """Those of node `index`."""
        first = base + PORTS_PER_NODE * index
        return cls(first, first + 1, first + 2)

    def all(self) -> tuple[int, int, int]:
        """Members, API, health."""
        return self.p2p, self.rpc, self.ops


def proxied_host(dialler: int, target: int) -> str:
    """Where node `dialler` of a proxied network finds node `target`: at its port, on a loopback
    address that only this pair has. All of 127.0.0.0/8 is this machine, so no port is used up.
    """
    return f"127.77.{dialler + 1}.{target + 1}"


def is_free(port: int) -> bool:
    """Whether one could listen there now, as the node would."""
    with socket.socket() as probe:
        # As servers do: a connection that is about to be forgotten does not keep a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who listens on a port, for people: name and pid if we may know them."""
    try:
        found = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        found = []
    for connection in found:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            if connection.pid is None:
                break
            try:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (pid {connection.pid}: {_command(process)})"
            except psutil.Error:
                break
    return "a process of another user, or one that just ended"


def _command(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    return words if len(words) <= _COMMAND_CHARS else words[: _COMMAND_CHARS - 1] + "…"


_COMMAND_CHARS: Final = 60


def require_free(ports: Iterable[int]) -> None:
    """Raise PortsBusyError that names who holds which port."""
    busy = [port for port in ports if not is_free(port)]
    if busy:
        lines = [f"port {port} is held by {holder(port)}" for port in busy]
        hint = "stop it, or choose other ports with --base-port (0 takes free ones)"
        raise PortsBusyError("\n".join([*lines, hint]))


def fixed_ports() -> range:
    """The ports that a node may keep.

    Below the range from which the kernel takes ports for outgoing connections: there, a port of a
    node that is down for a moment could be gone when it comes back.
    """
    return range(_LOWEST, int(_RANGE_FILE.read_text().split()[0]))


def free_block(nodes: int) -> int:
    """The base of a block of ports that are all free now. Raises PortsBusyError."""
    highest = fixed_ports().stop - PORTS_PER_NODE * nodes
    draw = random.SystemRandom()
    for _ in range(_TRIES):
        base = draw.randrange(_LOWEST, highest)
        wanted = [port for index in range(nodes) for port in Ports.of(base, index).all()]
        if all(is_free(port) for port in wanted):
            return base
    raise PortsBusyError(f"no free block of ports between {_LOWEST} and {highest}")

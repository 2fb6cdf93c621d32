"""What can be known to be wrong before a node starts, with names that help: who holds the port, and
which file has the wrong mode.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

import psutil

from medquorum.errors import KeyFormatError
from medquorum.keyfile import read_key_info
from node.cli.exits import Ended, Exit
from node.config.schema import Config
from node.home import Home

_DEVNET_PREFIX: Final = "devnet-"


def check_ports(config: Config) -> None:
    """End the command with TEMPORARY if a port is taken, naming the process that holds it.

    Whoever takes it between this look and the daemon's own is reported without a name.
    """
    for key, host, port in (
        ("p2p.port", config.p2p.host, config.p2p.port),
        ("rpc.port", config.rpc.host, config.rpc.port),
        ("ops.port", config.ops.host, config.ops.port),
    ):
        if port != 0 and not _is_free(host, port):
            raise Ended(
                Exit.TEMPORARY,
                f"port {port} on {host} ({key}) is in use by {holder_of(port)}; stop it, or choose "
                f"another port with --{key}",
            )


def holder_of(port: int) -> str:
    """The process that listens on `port`, for a person."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        connections = []
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or connection.laddr.port != port:
            continue
        if connection.pid is None:
            break
        try:
            name = psutil.Process(connection.pid).name()
        except psutil.Error:
            name = "a process"
        return f"{name} (pid {connection.pid})"
    return "a process of another user"


def needs_passphrase(home: Home, config: Config) -> bool:
    """Whether a key that the node will open is encrypted.

    Ends the command with CONFIG if a key file is missing, open to others or no key file.
    """
    wanted = [home.node_key]
    wanted += [home.validator_key] if home.validator_key.exists() else []
    wanted += [home.gateway_key, home.gateway_kem] if config.vault.enabled else []
    encrypted = False
    for path in wanted:
        try:
            encrypted |= read_key_info(path).encrypted
        except FileNotFoundError:
            hint = "'medquorum init' makes the keys of a home"
            raise Ended(Exit.CONFIG, f"there is no {path}: {hint}") from None
        except KeyFormatError as error:
            raise Ended(Exit.CONFIG, str(error)) from None
    return encrypted


def _is_free(host: str, port: int) -> bool:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        # A wrong host name is for the daemon to report.
        return True
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            # As the daemon does, or a port that closed a moment ago would look taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
    return True

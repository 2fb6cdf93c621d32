"""What the configuration says in one string and the node needs in parts."""

from __future__ import annotations

from typing import Final

from node.errors import ConfigError
from p2p.errors import AddressError
from p2p.transport import PeerAddress

ACTOR_BYTES: Final = 32


def parse_actor(text: str) -> bytes:
    """An actor id in hexadecimal, as in the configuration. Raises ConfigError."""
    try:
        actor = bytes.fromhex(text)
    except ValueError:
        actor = b""
    if len(actor) != ACTOR_BYTES:
        raise ConfigError("vault.gateway_actor is not an actor id: 64 hexadecimal digits")
    return actor


def parse_peer(text: str) -> PeerAddress:
    """`<node key in hex>@<host>:<port>`, as in the configuration. Raises ConfigError."""
    key, at, address = text.partition("@")
    host, colon, port = address.rpartition(":")
    if at == "" or colon == "" or not port.isdecimal():
        raise ConfigError(f"p2p.peers: {text!r} is not <node key>@<host>:<port>")
    try:
        return PeerAddress(bytes.fromhex(key), host.strip("[]"), int(port))
    except (ValueError, AddressError) as error:
        raise ConfigError(f"p2p.peers: {text!r}: {error}") from None

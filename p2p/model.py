"""The words of the transport: lanes, kinds, frames, addresses, and who watches."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Protocol

from msgspec import Struct

from medquorum import keys
from medquorum.invariants import require
from p2p.errors import AddressError
from p2p.limits import CONTROL_KIND_MIN, HOST_CHARS_MAX, PORT_MAX


@unique
class Lane(IntEnum):
    """Each lane is its own TLS connection, so that bulk traffic never delays a vote."""

    CONSENSUS = 0
    BULK = 1


class Frame(Struct, frozen=True, gc=False):
    """One message of a peer. `peer` was proven by the handshake, never read from the payload."""

    peer: bytes
    lane: Lane
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class KindLimit:
    """What one peer may send of one kind of message, on one lane and no other.

    `bytes_max` bounds the payload and is checked before a byte of it is read; `per_second` and
    `burst` fill the token bucket that is checked before it is handled.
    """

    name: str
    lane: Lane
    bytes_max: int
    per_second: float
    burst: int

    def __post_init__(self) -> None:
        require(0 <= self.bytes_max < 2**32 - 1, "a payload's size fits the length field")
        require(self.per_second > 0, "a kind that may never be sent is no kind")
        require(self.burst >= 1, "a bucket holds at least one token")


def check_kind(kind: int) -> None:
    """Kinds from `CONTROL_KIND_MIN` on belong to the transport."""
    require(0 <= kind < CONTROL_KIND_MIN, f"kind {kind} is not one of the node's")


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer is dialled. Raises AddressError for what no socket could accept."""

    node_key: bytes
    host: str
    port: int

    def __post_init__(self) -> None:
        if not keys.is_public_key(self.node_key):
            raise AddressError("the node key of a peer address is not a public key")
        if not 1 <= self.port <= PORT_MAX:
            raise AddressError(f"port {self.port} is not between 1 and {PORT_MAX}")
        if not is_host(self.host):
            raise AddressError(f"{self.host!r} is neither a host name nor an address")


def is_host(host: str) -> bool:
    """Whether a resolver can be asked for `host` at all: an IP address, or a well-formed name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _is_host_name(host)
    return True


def _is_host_name(host: str) -> bool:
    if not 1 <= len(host) <= HOST_CHARS_MAX:
        return False
    try:
        encoded = host.encode("idna")
    except UnicodeError:
        return False
    return all(byte in _HOST_BYTES for byte in encoded)


_HOST_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


class Observer(Protocol):
    """Who counts. Called from the event loop for every frame, so it must be quick and not raise."""

    def sent(self, kind: int, size: int) -> None:
        """`size` bytes of payload were handed to a connection; control kinds are not reported."""
        ...

    def received(self, kind: int, size: int) -> None:
        """`size` bytes of payload passed every check and go to the node."""
        ...

    def dropped(self, reason: str) -> None:
        """A frame or a connection came to nothing; see `p2p.reasons` for the names."""
        ...

    def peer_changed(self, peer: bytes, connected: bool) -> None:
        """Both lanes of `peer` stand now, or no longer do."""
        ...


@dataclass(frozen=True, slots=True)
class LaneInfo:
    """One lane of one peer, for the status page. `round_trip_ms` is None before the first pong."""

    lane: Lane
    up: bool
    dialled_by_us: bool
    up_s: float
    round_trip_ms: float | None
    queued_messages: int
    queued_bytes: int


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What is known of one peer. `address` is None if it only ever dialled us.

    `last_reason` says why a connection to it last ended or failed, `ban_reason` why it is kept out.
    """

    node_key: bytes
    address: tuple[str, int] | None
    connected: bool
    software: str
    lanes: tuple[LaneInfo, ...]
    last_reason: str
    ban_reason: str
    banned_s: float
    bans: int

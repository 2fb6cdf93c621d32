"""Every bound of the transport, with its unit and its reason.

`Limits` carries them so that a test or an operator can choose other values; nothing in this
package holds a number of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medquorum.invariants import require

FRAME_HEADER_BYTES: Final = 5
"""Four bytes of length and one of kind."""

CONTROL_KIND_MIN: Final = 0xF0
"""Kinds from here to 255 belong to the transport; the node numbers its own from 0 to 239."""

KIND_MAX: Final = 0xFF

HELLO_BYTES_MAX: Final = 256
"""A hello is about 130 bytes; the rest is room for a longer software version."""

PING_BYTES: Final = 8
"""A ping is a 64-bit number that the pong repeats."""

GOODBYE_BYTES_MAX: Final = 32
"""A goodbye names its reason in ASCII; every name in `p2p.reasons` is shorter than this."""

SOFTWARE_CHARS_MAX: Final = 64
HOST_CHARS_MAX: Final = 253
"""The longest host name (RFC 1035 section 2.3.4 less the root label)."""

PORT_MAX: Final = 65_535

DOUBLINGS_MAX: Final = 32
"""Waits and bans double. A peer that fails for weeks shall not overflow the exponent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one transport. Defaults suit tens of hospitals over a wide-area network."""

    # Before a peer is known: a stranger costs one socket and at most one handshake (about 1 ms).
    handshake_s_max: float = 10.0
    """TLS and hello together. A peer that connects and says nothing is dropped after this."""
    unauthenticated_max: int = 128
    unauthenticated_per_address_max: int = 64
    """Half of the total, so that one address alone cannot lock all others out."""
    attempts_per_address_s: float = 20.0
    attempts_per_address_burst: int = 256
    """High enough that a whole network on one host, or behind one NAT, can start at once."""
    addresses_tracked_max: int = 4_096
    accept_pause_s: float = 0.2
    """How long accepting rests when the process has run out of file descriptors."""
    listen_backlog: int = 128

    # A standing connection.
    peers_max: int = 256
    read_bytes: int = 64 * 1024
    write_bytes: int = 128 * 1024
    """Frames are joined up to this size into one write, hence into few TLS records."""
    write_buffer_bytes: int = 256 * 1024
    """Beyond it the socket counts as full and frames stay in the bounded queue."""
    frames_per_turn: int = 256
    """After so many frames of one peer the event loop serves the others."""
    ping_interval_s: float = 3.0
    silence_s_max: float = 10.0
    """A peer from which nothing at all arrives for so long is dead; pings always arrive."""
    stuck_s_max: float = 20.0
    """A peer that takes no bytes for so long is disconnected."""
    close_s_max: float = 1.0
    linger_s_max: float = 2.0
    """How long a superseded connection may still deliver what was under way."""
    lingering_max: int = 4
    """How many such connections one peer may have. Beyond it the oldest is cut."""

    # Queues, per peer and lane.
    consensus_queue_messages_max: int = 4_096
    consensus_queue_bytes_max: int = 32 * 1024 * 1024
    bulk_queue_messages_max: int = 4_096
    bulk_queue_bytes_max: int = 64 * 1024 * 1024

    # Dialling.
    backoff_s_min: float = 0.1
    backoff_s_max: float = 15.0
    stable_s_min: float = 10.0
    """Only a connection that stood so long resets the backoff."""

    # Misbehaviour.
    ban_s_min: float = 30.0
    ban_s_max: float = 600.0
    """Each ban of one peer is twice as long as its last, up to this. It is never for ever: a
    consortium with f members banned has no room left for a fault."""
    excess_frames_burst: int = 2_000
    excess_frames_per_second: float = 100.0
    """Frames over their kind's rate are dropped; a peer that sends more excess than this is cut."""
    control_per_second: float = 10.0
    control_burst: int = 50

    def __post_init__(self) -> None:
        require(self.ping_interval_s < self.silence_s_max, "a ping must fit into the silence")
        require(self.backoff_s_min <= self.backoff_s_max, "the backoff grows")
        require(self.ban_s_min <= self.ban_s_max, "bans grow")
        require(self.read_bytes >= FRAME_HEADER_BYTES, "a read must hold a header")
        require(self.frames_per_turn > 0, "a turn handles at least one frame")

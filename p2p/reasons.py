"""Why something was refused, dropped or closed: the closed list of names.

They are metric labels, log fields and words on the wire (a goodbye carries one), so they are
stable: add names, never change one.
"""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class Reason(StrEnum):
    """One name for each way in which traffic can end. `is_violation` tells who is to blame."""

    # Before TLS is up.
    TOO_MANY_UNAUTHENTICATED = "too_many_unauthenticated"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    ACCEPT_FAILED = "accept_failed"
    DIAL_FAILED = "dial_failed"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    HANDSHAKE_LOST = "handshake_lost"
    """The connection broke before both sides knew each other. A dialler that distrusts our
    certificate does no more than hang up; its own log has the name."""
    TLS_VERSION = "tls_version"
    TLS_NOT_SPOKEN = "tls_not_spoken"
    TLS_NO_CERTIFICATE = "tls_no_certificate"
    TLS_UNTRUSTED_CERTIFICATE = "tls_untrusted_certificate"
    """Not issued by this chain's formality authority: most often a node of another chain."""
    TLS_FAILED = "tls_failed"

    # Who the peer is.
    BAD_IDENTITY = "bad_identity"
    IMPOSTOR = "impostor"
    """The key that answered is not the key that was dialled."""
    SELF = "self"
    NOT_MEMBER = "not_member"
    BANNED = "banned"
    TOO_MANY_PEERS = "too_many_peers"

    # The hello.
    BAD_HELLO = "bad_hello"
    WRONG_CHAIN = "wrong_chain"
    WRONG_VERSION = "wrong_version"
    WRONG_LANE = "wrong_lane"
    DUPLICATE = "duplicate"

    # The peer breaks the framing; each of these bans it for a while.
    EMPTY_FRAME = "empty_frame"
    OVERSIZED_FRAME = "oversized_frame"
    UNKNOWN_KIND = "unknown_kind"
    KIND_ON_WRONG_LANE = "kind_on_wrong_lane"
    BAD_CONTROL = "bad_control"
    RATE_EXCEEDED = "rate_exceeded"

    # Frames that go nowhere while the connection stands.
    RATE_LIMITED = "rate_limited"
    CONSENSUS_QUEUE_FULL = "consensus_queue_full"
    BULK_QUEUE_FULL = "bulk_queue_full"
    NOT_CONNECTED = "not_connected"

    # The end of a connection.
    PEER_CLOSED = "peer_closed"
    CONNECTION_LOST = "connection_lost"
    SILENT = "silent"
    STUCK = "stuck"
    SUPERSEDED = "superseded"
    SHUTTING_DOWN = "shutting_down"
    MISBEHAVED = "misbehaved"
    """The node, not the transport, found fault with the peer; its own reason stands in the
    status."""

    @property
    def is_violation(self) -> bool:
        """Whether only a faulty or hostile peer can cause this. It is banned for a while."""
        return self in _VIOLATIONS


_VIOLATIONS = frozenset(
    {
        Reason.EMPTY_FRAME,
        Reason.OVERSIZED_FRAME,
        Reason.UNKNOWN_KIND,
        Reason.KIND_ON_WRONG_LANE,
        Reason.BAD_CONTROL,
        Reason.RATE_EXCEEDED,
    }
)

"""The exceptions of the transport.

    P2PError
    ├── AddressError      a configured address that no socket could accept (a ValueError too)
    ├── ListenError       the port cannot be bound; `run` raises it and has started nothing else
    ├── HandshakeError    a connection that did not come to stand, with the reason's name
    └── LinkEndedError    a standing connection that ends, with the reason's name

Only the first two leave the package. The others carry a reason from where it is found to the one
place that counts it.
"""

from __future__ import annotations

from p2p.reasons import Reason


class P2PError(Exception):
    """Base of this package's errors. Never raised itself."""


class AddressError(P2PError, ValueError):
    """A peer address that no socket could accept: a fault of the configuration."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class ListenError(P2PError):
    """The listening socket could not be bound to `host` and `port`."""

    def __init__(self, host: str, port: int, cause: str) -> None:
        super().__init__(f"cannot listen on {host} port {port}: {cause}")
        self.host = host
        self.port = port
        self.cause = cause


class HandshakeError(P2PError):
    """A connection did not come to stand. `told_by_peer`: the refusal is the other side's."""

    def __init__(self, reason: Reason, *, told_by_peer: bool = False) -> None:
        super().__init__(f"{'refused by peer: ' if told_by_peer else ''}{reason}")
        self.reason = reason
        self.told_by_peer = told_by_peer


class LinkEndedError(P2PError):
    """A standing connection ends. `told_by_peer`: the other side said goodbye with this reason."""

    def __init__(self, reason: Reason, *, told_by_peer: bool = False) -> None:
        super().__init__(f"{'peer said ' if told_by_peer else ''}{reason}")
        self.reason = reason
        self.told_by_peer = told_by_peer

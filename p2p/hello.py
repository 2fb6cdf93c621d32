"""The first frame on a connection, in both directions: what TLS does not say.

TLS has proven the keys. The hello says which lane the connection serves, which protocol versions
the sender speaks, on which chain, and which run of the process it is. Its layout never changes: a
later protocol raises its version and says more in a frame of its own.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from msgspec import Meta

from medquorum import codec
from medquorum.errors import DecodeError
from p2p.errors import HandshakeError
from p2p.frames import HELLO_SIZES, Control, decode_header, encode_frame
from p2p.limits import FRAME_HEADER_BYTES, HELLO_BYTES_MAX, SOFTWARE_CHARS_MAX
from p2p.model import Lane
from p2p.reasons import Reason

PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1
"""Both ends use the highest version that both speak, so that nodes are upgraded one at a time."""

Software = Annotated[
    str, Meta(min_length=1, max_length=SOFTWARE_CHARS_MAX, pattern=r"^[ -~]+(?![\s\S])")
]
"""Printable ASCII: it goes into logs and onto terminals."""


class Hello(codec.Wire, frozen=True):
    """`instance` is drawn anew by each run of the process, so that a peer which restarted is not
    mistaken for the one that it replaces."""

    protocol_min: codec.U16
    protocol_max: codec.U16
    chain_id: codec.Bytes32
    lane: codec.U8
    instance: codec.Bytes16
    software: Software


def check_hello(theirs: Hello, *, chain_id: bytes, lane: Lane | None) -> Lane:
    """The lane that the connection serves, or HandshakeError with the first rule that is broken.

    `lane` is the lane that we dialled for; None if we were dialled and the peer chooses.
    """
    if theirs.chain_id != chain_id:
        raise HandshakeError(Reason.WRONG_CHAIN)
    if theirs.protocol_min > PROTOCOL_MAX or theirs.protocol_max < PROTOCOL_MIN:
        raise HandshakeError(Reason.WRONG_VERSION)
    if theirs.lane not in _LANES or (lane is not None and theirs.lane != lane):
        raise HandshakeError(Reason.WRONG_LANE)
    return Lane(theirs.lane)


_LANES: Final = frozenset(Lane)


def encode_hello(hello: Hello) -> bytes:
    """The frame that carries `hello`."""
    return encode_frame(Control.HELLO, codec.encode(hello))


def encode_goodbye(reason: Reason) -> bytes:
    """The frame that says why a connection ends. Nothing follows it."""
    return encode_frame(Control.GOODBYE, reason.value.encode("ascii"))


def decode_goodbye(payload: bytes) -> Reason:
    """The peer's reason; one that this version does not know means only that the peer closed."""
    try:
        return Reason(payload.decode("ascii"))
    except ValueError:
        return Reason.PEER_CLOSED


async def read_hello(reader: asyncio.StreamReader) -> Hello:
    """The peer's hello. Raises HandshakeError; a goodbye instead is the peer's refusal.

    The caller bounds the time. Nothing beyond the frame is taken from `reader`.
    """
    try:
        kind, size = decode_header(await reader.readexactly(FRAME_HEADER_BYTES))
        if not 0 <= size <= HELLO_SIZES.get(kind, -1):
            raise HandshakeError(Reason.BAD_HELLO)
        payload = await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        raise HandshakeError(Reason.HANDSHAKE_LOST) from None
    if kind == Control.GOODBYE:
        raise HandshakeError(decode_goodbye(payload), told_by_peer=True)
    try:
        return codec.decode(Hello, payload, size_max=HELLO_BYTES_MAX)
    except DecodeError:
        raise HandshakeError(Reason.BAD_HELLO) from None

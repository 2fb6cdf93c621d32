"""Frames: how messages follow each other on a byte stream.

    frame  = length (4 bytes, big-endian) | kind (1 byte) | payload
    length = 1 + the number of payload bytes

A length of zero would be a frame without a kind; it is refused. The length is compared with the
limit of the kind as soon as the five bytes of the header are there: no payload is waited for, and
no memory set aside, on the word of a peer. What is buffered is never more than one payload within
its limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum, unique
from struct import Struct
from typing import Final

from p2p.errors import LinkEndedError
from p2p.limits import (
    FRAME_HEADER_BYTES,
    GOODBYE_BYTES_MAX,
    HELLO_BYTES_MAX,
    KIND_MAX,
    PING_BYTES,
)
from p2p.model import KindLimit, Lane, check_kind
from p2p.reasons import Reason

_HEADER: Final = Struct(">IB")
_UNKNOWN: Final = -1
_OTHER_LANE: Final = -2


@unique
class Control(IntEnum):
    """The kinds that the transport keeps for itself."""

    PONG = 0xFC
    PING = 0xFD
    GOODBYE = 0xFE
    HELLO = 0xFF


def encode_frame(kind: int, payload: bytes) -> bytes:
    """One frame, ready to be sent to any number of peers."""
    return _HEADER.pack(len(payload) + 1, kind) + payload


def decode_header(header: bytes) -> tuple[int, int]:
    """The kind and the payload's size. A size of -1 is what a length of zero amounts to."""
    length, kind = _HEADER.unpack(header)
    return kind, length - 1


class SizeTable:
    """For one lane: how large a payload of each kind may be, by index instead of by lookup."""

    __slots__ = ("sizes",)

    def __init__(self, lane: Lane, kinds: Mapping[int, KindLimit]) -> None:
        sizes = [_UNKNOWN] * (KIND_MAX + 1)
        for kind, limit in kinds.items():
            check_kind(kind)
            sizes[kind] = limit.bytes_max if limit.lane is lane else _OTHER_LANE
        sizes[Control.PING] = PING_BYTES
        sizes[Control.PONG] = PING_BYTES
        sizes[Control.GOODBYE] = GOODBYE_BYTES_MAX
        # A hello is read before the decoder starts. A second one is not foreseen.
        self.sizes: Final = tuple(sizes)


HELLO_SIZES: Final[dict[int, int]] = {
    Control.HELLO: HELLO_BYTES_MAX,
    Control.GOODBYE: GOODBYE_BYTES_MAX,
}
"""What may come before the connection stands."""


class FrameDecoder:
    """Cuts a stream into frames. However the stream is chopped up, the same frames come out."""

    __slots__ = ("_kind", "_missing", "_payload", "_sizes", "_tail")

    def __init__(self, table: SizeTable) -> None:
        self._sizes = table.sizes
        self._tail = b""
        """The beginning of a header: at most four bytes."""
        self._payload: bytearray | None = None
        """The beginning of a payload whose header was accepted."""
        self._kind = 0
        self._missing = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, payload) of every frame that `chunk` completes.

        Raises LinkEndedError at the first header that breaks a rule, after the frames before it.
        The iterator must be exhausted before the next call.
        """
        start = 0
        if self._payload is not None:
            start = min(self._missing, len(chunk))
            self._payload += chunk[:start]
            self._missing -= start
            if self._missing > 0:
                return
            complete = bytes(self._payload)
            self._payload = None
            yield self._kind, complete
        elif len(self._tail) > 0:
            chunk = self._tail + chunk
            self._tail = b""
        sizes, end = self._sizes, len(chunk)
        while end - start >= FRAME_HEADER_BYTES:
            length, kind = _HEADER.unpack_from(chunk, start)
            if not 0 < length <= sizes[kind] + 1:
                raise _refusal(length, sizes[kind])
            start += FRAME_HEADER_BYTES
            stop = start + length - 1
            if stop > end:
                self._kind = kind
                self._payload = bytearray(chunk[start:])
                self._missing = stop - end
                return
            yield kind, chunk[start:stop]
            start = stop
        self._tail = chunk[start:]

    @property
    def buffered_bytes(self) -> int:
        """How much of an incomplete frame is held."""
        return len(self._tail) + (0 if self._payload is None else len(self._payload))


def _refusal(length: int, size_max: int) -> LinkEndedError:
    if length == 0:
        return LinkEndedError(Reason.EMPTY_FRAME)
    if size_max == _UNKNOWN:
        return LinkEndedError(Reason.UNKNOWN_KIND)
    if size_max == _OTHER_LANE:
        return LinkEndedError(Reason.KIND_ON_WRONG_LANE)
    return LinkEndedError(Reason.OVERSIZED_FRAME)

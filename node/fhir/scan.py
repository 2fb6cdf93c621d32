"""JSON in pieces: the members of an object and the elements of a list, one at a time, from a stream
of any length in bounded memory.

The scanner finds where values end, and nothing more. What it hands out is JSON if and only if the
parser that reads it next says so; what it skips is checked for brackets and strings alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from node.fhir.errors import ScanError
from node.fhir.limits import CHUNK_BYTES, KEY_BYTES_MAX, NESTING_MAX

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
# All up to the next bracket, quotation mark or end of what was read.
_OUTSIDE: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
# All up to the next quotation mark, or a backslash that is the last byte read.
_INSIDE: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SCALAR: Final = re.compile(rb'[^ \t\r\n,:"{}\[\]]*+')
_QUOTE: Final = ord('"')
_OPENING: Final = frozenset(b"{[")


class Source:
    """A text that is read once, forwards. Every method raises ScanError where the text is not
    JSON.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """`read(n)` gives at most n bytes, and none at the end."""
        self._read = read
        self._buffer = b""
        self._position = 0
        self._base = 0

    @classmethod
    def of(cls, text: bytes) -> Source:
        """A text in memory."""
        pieces = iter((text,))
        return cls(lambda _size: next(pieces, b""))

    @property
    def offset(self) -> int:
        """The bytes consumed so far."""
        return self._base + self._position

    def skip_mark(self) -> None:
        """Skip a byte order mark, which some editors put in front."""
        while len(self._buffer) < 3 and self._refill():  # noqa: PLR2004 - its length in UTF-8
            pass
        if self._buffer.startswith(b"\xef\xbb\xbf"):
            self._position = 3

    def peek(self) -> int:
        """The next byte that is not white space, not consumed; -1 at the end."""
        while True:
            self._position = self._run(_SPACE)
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._refill():
                return -1

    def take(self, allowed: bytes) -> int:
        """Consume the next byte, which is one of `allowed`."""
        byte = self.peek()
        if byte < 0 or byte not in allowed:
            raise ScanError(self.offset)
        self._position += 1
        return byte

    def finish(self) -> None:
        """Nothing but white space may follow."""
        if self.peek() != -1:
            raise ScanError(self.offset)

    def value(self, size_max: int) -> bytes | None:
        """Consume one value. None if it has more than `size_max` bytes; then it was skipped."""
        first = self.peek()
        kept = _Kept(size_max)
        if first == _QUOTE:
            self._position += 1
            kept.add(b'"')
            self._string(kept)
        elif first in _OPENING:
            self._container(kept)
        else:
            self._scalar(kept)
        return kept.text()

    def _scalar(self, kept: _Kept) -> None:
        start = self.offset
        while True:
            end = self._run(_SCALAR)
            kept.add(self._buffer[self._position : end])
            self._position = end
            if end < len(self._buffer) or not self._refill():
                break
        if self.offset == start:
            raise ScanError(start)

    def _string(self, kept: _Kept) -> None:
        """From behind the opening quotation mark to behind the closing one."""
        while True:
            end = self._run(_INSIDE)
            closed = end < len(self._buffer) and self._buffer[end] == _QUOTE
            end += closed
            kept.add(self._buffer[self._position : end])
            self._position = end
            if closed:
                return
            if not self._refill():
                raise ScanError(self.offset)

    def _container(self, kept: _Kept) -> None:
        depth = 0
        while True:
            end = self._run(_OUTSIDE)
            at_end = end == len(self._buffer)
            stop = end if at_end else end + 1
            kept.add(self._buffer[self._position : stop])
            self._position = stop
            if at_end:
                if not self._refill():
                    raise ScanError(self.offset)
                continue
            byte = self._buffer[end]
            if byte == _QUOTE:
                self._string(kept)
                continue
            depth += 1 if byte in _OPENING else -1
            if depth == 0:
                return
            if depth > NESTING_MAX:
                raise ScanError(self.offset)

    def _run(self, pattern: re.Pattern[bytes]) -> int:
        """Where a run of `pattern` ends; here, if there is none."""
        match = pattern.match(self._buffer, self._position)
        return self._position if match is None else match.end()

    def _refill(self) -> bool:
        """Read on; what is consumed is let go. False at the end."""
        more = self._read(CHUNK_BYTES)
        if more == b"":
            return False
        self._base += self._position
        self._buffer = self._buffer[self._position :] + more
        self._position = 0
        return True


class _Kept:
    """Bytes up to a limit; beyond it, nothing."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._text: bytearray | None = bytearray()

    def add(self, more: bytes) -> None:
        if self._text is not None:
            if len(self._text) + len(more) > self._size_max:
                self._text = None
            else:
                self._text += more

    def text(self) -> bytes | None:
        return None if self._text is None else bytes(self._text)


def members(source: Source) -> Iterator[str]:
    """The names of the members of an object. After each, the caller consumes its value."""
    source.take(b"{")
    if source.peek() == ord("}"):
        source.take(b"}")
        return
    while True:
        if source.peek() != _QUOTE:
            raise ScanError(source.offset)
        at = source.offset
        name = string_of(source.value(KEY_BYTES_MAX))
        if name is None:
            raise ScanError(at)
        source.take(b":")
        yield name
        if source.take(b",}") == ord("}"):
            return


def elements(source: Source) -> Iterator[int]:
    """The offsets of the elements of a list. After each, the caller consumes the element."""
    source.take(b"[")
    if source.peek() == ord("]"):
        source.take(b"]")
        return
    while True:
        source.peek()
        yield source.offset
        if source.take(b",]") == ord("]"):
            return


def string_of(text: bytes | None) -> str | None:
    """The string that a JSON text is, if it is one."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_json(text: bytes) -> bool:
    """Whether a text is JSON, by the parser."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True

"""Server-sent events: the line format of a text/event-stream (WHATWG HTML, section 9.2), with
limits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from medquorum.errors import AnswerError
from medquorum.limits import EVENT_FIELDS_MAX, EVENT_LINE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `id` is empty if the server gave none."""

    id: str
    type: str
    data: str


async def server_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[ServerEvent]:
    """The events in a stream of bytes, each as soon as it is complete. An unfinished last one is
    dropped. Raises AnswerError.
    """
    fields: list[tuple[str, str]] = []
    async for line in _lines(chunks):
        if line == "":
            if event := _event(fields):
                yield event
            fields = []
            continue
        if line.startswith(":"):
            continue
        if len(fields) == EVENT_FIELDS_MAX:
            raise AnswerError(f"an event of more than {EVENT_FIELDS_MAX} lines")
        name, _, value = line.partition(":")
        fields.append((name, value.removeprefix(" ")))


def _event(fields: list[tuple[str, str]]) -> ServerEvent | None:
    data = [value for name, value in fields if name == "data"]
    if not data:
        return None
    last = dict(fields)
    return ServerEvent(last.get("id", ""), last.get("event", "message"), "\n".join(data))


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    # Our servers end lines with LF or CRLF. The format's third kind, a lone CR, is not used.
    buffered = bytearray()
    async for chunk in chunks:
        buffered += chunk
        while (end := buffered.find(b"\n")) >= 0:
            line = bytes(buffered[:end]).removesuffix(b"\r")
            del buffered[: end + 1]
            yield line.decode("utf-8", "replace")
        if len(buffered) > EVENT_LINE_BYTES_MAX:
            raise AnswerError(f"a line of more than {EVENT_LINE_BYTES_MAX} bytes")

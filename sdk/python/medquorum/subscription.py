"""Following the events of a node, across lost connections and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

import aiohttp
import msgspec

from medquorum.answers import LedgerEvent
from medquorum.connection import Connection
from medquorum.errors import AnswerError, ProblemError, UnreachableError
from medquorum.sse import ServerEvent, server_events

HEARTBEAT: Final = "heartbeat"
SILENCE_S: Final = 45.0
"""A stream that misses three heartbeats is dead."""


async def follow(
    connection: Connection,
    *,
    after: str | None = None,
    types: Sequence[str] = (),
    silence_s: float = SILENCE_S,
) -> AsyncGenerator[LedgerEvent, None]:
    """All events after a cursor, then those that happen, for ever.

    None begins with what happens from now on. Every event comes at least once and in order; keep
    the `cursor` of the last one that you handled, and pass it after a restart. Raises ProblemError
    for a refusal (such as `cursor_pruned`), and UnreachableError after the retry deadline without a
    word.
    """
    loop = asyncio.get_running_loop()
    retry = connection.retry
    cursor, heard, attempt = after, loop.time(), 0
    while True:
        try:
            async with aclosing(_stream(connection, cursor, types, silence_s)) as stream:
                async for event in stream:
                    cursor, heard, attempt = event.id or cursor, loop.time(), 0
                    if event.type != HEARTBEAT:
                        yield _ledger_event(event)
        except (UnreachableError, ProblemError) as error:
            if isinstance(error, ProblemError) and not error.retryable:
                raise
            if loop.time() - heard > retry.deadline_s:
                raise
        await asyncio.sleep(retry.pause_s(attempt))
        attempt += 1


async def _stream(
    connection: Connection, cursor: str | None, types: Sequence[str], silence_s: float
) -> AsyncGenerator[ServerEvent, None]:
    query = {"types": ",".join(types)} if types else {}
    headers = {} if cursor is None else {"Last-Event-ID": cursor}
    async with connection.stream("v1/events/stream", query, headers) as content:
        async for event in server_events(_watched(content, silence_s)):
            yield event


async def _watched(content: aiohttp.StreamReader, silence_s: float) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(silence_s):
            chunk = await content.readany()
        if chunk == b"":
            return
        yield chunk


def _ledger_event(event: ServerEvent) -> LedgerEvent:
    try:
        return msgspec.json.decode(event.data, type=LedgerEvent)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AnswerError(f"an event that cannot be read: {error}") from None

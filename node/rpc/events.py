"""Events, by page and as a stream of server-sent events that resumes where it was cut."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from node.errors import RefusedError
from node.events import Cursor, Page, PlacedEvent, read_page, require_kept
from node.limits import EVENT_STREAMS_MAX, PAGE_DEFAULT, PAGE_MAX
from node.rpc.limits import (
    EVENT_SCAN_BLOCKS,
    HEARTBEAT_SECONDS,
    STREAM_CLOSE_SECONDS,
    STREAM_WRITE_SECONDS,
)
from node.rpc.routes import EVENT_STREAM, Answer, AnyRoute, Call, Hex, Params, Route, answer
from node.rpc.view import Json, attributes
from node.services import Services

LATEST: Final = "latest"
EventTypes = Annotated[tuple[str, ...], Meta(max_length=64)]


class EventsParams(Params, frozen=True):
    """A page of events: after a cursor (from the beginning without one), of some types or of
    all.
    """

    after: str = "0-0-0"
    types: EventTypes = ()
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class StreamParams(Params, frozen=True):
    """A stream of events after a cursor; `latest` begins with what happens from now on. The header
    Last-Event-ID, which browsers send when they connect again, counts before `after`.
    """

    after: str = LATEST
    types: EventTypes = ()


class EventDocument(msgspec.Struct, frozen=True):
    """Something that happened. `tx` is the position of the transaction in its block; work that was
    due at the end of a block has no `txid`.
    """

    cursor: str
    height: int
    tx: int
    txid: Hex
    type: str
    time_ms: int
    attributes: Json


class EventsDocument(msgspec.Struct, frozen=True):
    """A page of events. Pass `next` as `after` to go on, also if the page is empty."""

    events: list[EventDocument]
    next: str


class _Heartbeat(msgspec.Struct, frozen=True):
    """Nothing happened; the stream stands here. `closing` says why it ends now."""

    cursor: str
    height: int
    closing: str = ""


class _SlowError(Exception):
    """The client takes nothing."""


async def get_events(call: Call[EventsParams]) -> web.StreamResponse:
    """A page of events."""
    params = call.params
    after = Cursor.parse(params.after)
    page = await _read(call.services, after, params.types, params.limit)
    return answer(EventsDocument([_document(placed) for placed in page.events], str(page.next)))


async def _read(services: Services, after: Cursor, types: Collection[str], limit: int) -> Page:
    return await services.readers.run(
        read_page,
        services.chain.blocks,
        after,
        types=frozenset(types),
        limit=limit,
        tip=services.chain.tip.height,
        heights_max=EVENT_SCAN_BLOCKS,
    )


def _document(placed: PlacedEvent) -> EventDocument:
    return EventDocument(
        cursor=str(placed.cursor),
        height=placed.cursor.height,
        tx=placed.event.tx,
        txid=placed.tx_id.hex(),
        type=placed.event.type,
        time_ms=placed.time_ms,
        attributes=attributes(placed.event.attributes),
    )


class EventStreams:
    """All open streams of one application: bounded in number, and closed together."""

    def __init__(
        self,
        *,
        streams_max: int = EVENT_STREAMS_MAX,
        heartbeat_s: float = HEARTBEAT_SECONDS,
        write_s: float = STREAM_WRITE_SECONDS,
    ) -> None:
        self._streams_max = streams_max
        self._heartbeat_s = heartbeat_s
        self._write_s = write_s
        self._open = 0
        self._closing = asyncio.Event()

    async def close(self, _app: web.Application) -> None:
        """End all streams; each tells its client the last cursor."""
        self._closing.set()

    async def serve(self, call: Call[StreamParams]) -> web.StreamResponse:
        """Send what happened after the cursor, then what happens, until either side ends it."""
        services = call.services
        after = _start(call)
        await services.readers.run(require_kept, services.chain.blocks, after)
        if self._open >= self._streams_max:
            raise RefusedError("rate_limited", "too many event streams", retry_after_ms=10_000)
        response = web.StreamResponse(
            headers={"Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no"}
        )
        self._open += 1
        services.metrics.streams(self._open)
        reason = "client_gone"
        try:
            await response.prepare(call.request)
            reason = await self._follow(call, response, after)
        except ConnectionResetError:
            pass
        except Exception:
            # The answer has begun, so no problem document can follow: cut it, and report above.
            reason = "failed"
            if call.request.transport is not None:
                call.request.transport.close()
            raise
        finally:
            self._open -= 1
            services.metrics.streams(self._open)
            services.metrics.stream_closed(reason)
        return response

    async def _follow(
        self, call: Call[StreamParams], response: web.StreamResponse, cursor: Cursor
    ) -> str:
        services, loop = call.services, asyncio.get_running_loop()
        sent = cursor
        try:
            await self._write(response, _heartbeat(cursor, services))
            beat_s = loop.time() + self._heartbeat_s
            reason = "shutting_down"
            while not self._closing.is_set():
                page = await _read(services, cursor, call.params.types, PAGE_MAX)
                for placed in page.events:
                    await self._write(response, _frame(_document(placed)))
                    sent, beat_s = placed.cursor, loop.time() + self._heartbeat_s
                moved, cursor = cursor != page.next, page.next
                # By the clock, not by silence of the chain: blocks may keep coming with nothing in
                # them that this client wants.
                if loop.time() >= beat_s:
                    await self._write(response, _heartbeat(cursor, services))
                    sent, beat_s = cursor, loop.time() + self._heartbeat_s
                if not moved:
                    try:
                        await self._next_height(services, cursor, beat_s - loop.time())
                    except RefusedError as refused:
                        # No room to wait. The client comes back with its cursor, later.
                        reason = refused.code
                        break
            await self._write(response, _heartbeat(cursor, services, closing=reason))
            await response.write_eof()
        except _SlowError:
            _cut(call.request, _heartbeat(sent, services, closing="slow_client"))
            return "slow_client"
        return reason

    async def _next_height(self, services: Services, cursor: Cursor, timeout_s: float) -> None:
        """Return when there may be something to read, or to end for, or a heartbeat is due. Raises
        RefusedError if too many wait.
        """

        async def reach() -> RefusedError | None:
            # Returned and not raised: a task group would wrap it in an exception group.
            try:
                await services.tracker.wait_height(cursor.height + 1, timeout_s)
            except RefusedError as refused:
                return refused
            return None

        async with asyncio.TaskGroup() as group:
            reached = group.create_task(reach())
            closing = group.create_task(self._closing.wait())
            await asyncio.wait((reached, closing), return_when=asyncio.FIRST_COMPLETED)
            refusal = reached.result() if reached.done() else None
            reached.cancel()
            closing.cancel()
        if refusal is not None:
            raise refusal

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._write_s):
                await response.write(data)
        except TimeoutError:
            raise _SlowError from None


def _start(call: Call[StreamParams]) -> Cursor:
    text = call.request.headers.get("Last-Event-ID", "") or call.params.after
    if text == LATEST:
        return Cursor.after_height(call.services.chain.tip.height)
    return Cursor.parse(text)


def _frame(document: EventDocument) -> bytes:
    data = msgspec.json.encode(document)
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        document.cursor.encode(), document.type.encode(), data,
    )  # fmt: skip


def _heartbeat(cursor: Cursor, services: Services, *, closing: str = "") -> bytes:
    beat = _Heartbeat(str(cursor), services.chain.tip.height, closing)
    data = msgspec.json.encode(beat)
    return b"id: %s\nevent: heartbeat\ndata: %s\n\n" % (str(cursor).encode(), data)


def _cut(request: web.Request, farewell: bytes) -> None:
    """Close a connection whose client takes nothing: what is buffered gets a last chance."""
    transport = request.transport
    if transport is None:
        return
    # One chunk of the chunked encoding, behind whatever is buffered already.
    transport.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(farewell), farewell))
    transport.close()
    asyncio.get_running_loop().call_later(STREAM_CLOSE_SECONDS, transport.abort)


def routes(streams: EventStreams) -> tuple[AnyRoute, ...]:
    """The routes, over the streams of one application."""
    return (
        Route(
            method="GET",
            path="/v1/events",
            name="getEvents",
            tag="events",
            summary="A page of events.",
            params=EventsParams,
            handle=get_events,
            answers={200: Answer("The page", EventsDocument)},
            problems=("cursor_pruned",),
        ),
        Route(
            method="GET",
            path="/v1/events/stream",
            name="streamEvents",
            tag="events",
            summary="Events as they happen, resumable from any cursor.",
            params=StreamParams,
            handle=streams.serve,
            answers={200: Answer("Server-sent events", media=EVENT_STREAM)},
            problems=("cursor_pruned",),
            stream=True,
        ),
    )

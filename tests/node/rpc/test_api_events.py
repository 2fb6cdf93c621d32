"""Events by page and as a stream, which resumes where it was cut."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import msgspec
import structlog
from aiohttp import ClientResponse, web

from node.errors import RefusedError
from node.events import Cursor
from node.rpc.app import make_rpc
from node.rpc.events import EventStreams
from tests.support.daemon import LocalNode, local_node, served
from tests.support.people import enrolment

Frame = dict[str, str]


async def next_frame(answer: ClientResponse) -> Frame:
    """The next event of a stream."""
    fields: Frame = {}
    async with asyncio.timeout(10):
        while (line := (await answer.content.readline()).decode()) not in ("\n", ""):
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
    return fields


async def three_blocks(node: LocalNode) -> None:
    """Two people, nothing, one person."""
    await node.admit(*(node.transaction(enrolment(node, name)) for name in ("a", "b")))
    await node.commit()
    await node.commit()
    await node.accept(enrolment(node, "c"))


async def test_pages_go_through_all_events_in_order_and_once(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        await three_blocks(node)
        seen, after = [], "0-0-0"
        for _ in range(4):
            async with api.get("/v1/events", params={"after": after, "limit": "1"}) as answer:
                page = await answer.json()
            seen += [event["cursor"] for event in page["events"]]
            after = page["next"]
        assert seen == ["1-0-0", "1-1-1", "3-0-0"]
        assert Cursor.parse(after) == Cursor.after_height(3)


async def test_events_are_filtered_by_type_and_carry_their_transaction(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        await three_blocks(node)
        async with api.get("/v1/events?types=id.kem_set,id.actor_enrolled") as answer:
            (first, *_) = (await answer.json())["events"]
        assert first["type"] == "id.actor_enrolled"
        assert first["txid"] == node.chain.blocks.outcomes(1)[0].tx_id.hex()
        assert set(first["attributes"]) == {"actor", "org", "kind"}
        async with api.get("/v1/events?types=id.kem_set") as answer:
            page = await answer.json()
        assert page == {"events": [], "next": str(Cursor.after_height(3))}


async def test_a_stream_resumes_after_the_last_event_that_arrived(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        async with api.get("/v1/events/stream") as answer:
            assert (await next_frame(answer))["event"] == "heartbeat"
            await node.accept(enrolment(node, "a"))
            first = await next_frame(answer)
            assert (first["event"], first["id"]) == ("id.actor_enrolled", "1-0-0")
        await node.admit(*(node.transaction(enrolment(node, name)) for name in ("b", "c")))
        await node.commit()
        async with api.get("/v1/events/stream", headers={"Last-Event-ID": first["id"]}) as answer:
            beat = await next_frame(answer)
            assert (beat["event"], beat["id"]) == ("heartbeat", "1-0-0")
            assert [(await next_frame(answer))["id"] for _ in range(2)] == ["2-0-0", "2-1-1"]
            await node.accept(enrolment(node, "d"))
            assert (await next_frame(answer))["id"] == "3-0-0"


def app_of(node: LocalNode, streams: EventStreams) -> web.Application:
    """An API with streams of its own."""
    return make_rpc(node.services(), structlog.wrap_logger(node.log), streams=streams)


async def test_a_silent_stream_beats_with_its_cursor(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        await node.commit()
        app = app_of(node, EventStreams(heartbeat_s=0.01))
        async with served(app) as api, api.get("/v1/events/stream") as answer:
            for _ in range(2):
                beat = await next_frame(answer)
                assert (beat["event"], beat["id"]) == ("heartbeat", str(Cursor.after_height(1)))


async def test_a_stream_beats_although_blocks_come_with_nothing_for_it(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        app = app_of(node, EventStreams(heartbeat_s=0.05))
        async with served(app) as api, api.get("/v1/events/stream?types=id.kem_set") as answer:
            await next_frame(answer)
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                beating = group.create_task(next_frame(answer))
                while not beating.done():
                    await node.commit()
            beat = beating.result()
            assert beat["event"] == "heartbeat"
            assert Cursor.parse(beat["id"]).height > 0


async def test_streams_are_bounded_in_number(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        app = app_of(node, EventStreams(streams_max=1))
        async with served(app) as api, api.get("/v1/events/stream") as first:
            await next_frame(first)
            async with api.get("/v1/events/stream") as second:
                assert (second.status, (await second.json())["code"]) == (429, "rate_limited")


async def test_a_stream_that_may_not_wait_ends_with_its_cursor(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        await node.commit()

        async def refuse(height: int, timeout_s: float) -> bool:
            raise RefusedError("rate_limited", "too many wait")

        node.tracker.wait_height = refuse  # type: ignore[method-assign]  # no room
        app = app_of(node, EventStreams())
        async with served(app) as api, api.get("/v1/events/stream") as answer:
            frames = [await next_frame(answer) for _ in range(2)]
            assert msgspec.json.decode(frames[1]["data"])["closing"] == "rate_limited"
            assert frames[1]["id"] == str(Cursor.after_height(1))
            assert await answer.content.read() == b""


async def test_shutting_down_ends_streams_with_their_cursor(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        streams = EventStreams()
        app = app_of(node, streams)
        async with served(app) as api, api.get("/v1/events/stream") as answer:
            await next_frame(answer)
            await streams.close(app)
            last = await next_frame(answer)
            assert msgspec.json.decode(last["data"])["closing"] == "shutting_down"
            assert await answer.content.read() == b""


async def test_a_client_that_takes_nothing_is_closed_and_not_waited_for(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        for block in range(30):
            names = [f"{block} {number}" for number in range(100)]
            await node.admit(*(node.transaction(enrolment(node, name)) for name in names))
            await node.commit()
        closed: asyncio.Queue[str] = asyncio.Queue()

        def watched(reason: str) -> None:
            closed.put_nowait(reason)

        node.metrics.stream_closed = watched  # type: ignore[method-assign]  # to watch it
        app = app_of(node, EventStreams(write_s=0.05))
        async with served(app, send_buffer=4096) as api:
            async with api.get("/v1/status") as answer:
                address = answer.url
            assert address.host is not None
            assert address.port is not None
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((address.host, address.port))
            reader, writer = await asyncio.open_connection(sock=client, limit=1024)
            request = "GET /v1/events/stream?after=0-0-0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            writer.write(request.encode())
            await writer.drain()
            async with asyncio.timeout(20):
                assert await closed.get() == "slow_client"
            text = await reader.read(-1)
            assert b'"closing":"slow_client"' in text
            writer.close()

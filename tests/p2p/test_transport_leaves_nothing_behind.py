"""No task outlives `run`, nothing blocks the event loop, and our own mistakes are refused."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from blockbuster import BlockBuster

from medquorum.invariants import InvariantBroken
from medquorum.keys import SigningKey
from p2p.frames import encode_frame
from p2p.hello import Hello, encode_hello
from p2p.model import KindLimit
from p2p.transport import Frame, Lane, PeerAddress, Transport
from tests.support.p2p import (
    BLOCK,
    CHAIN,
    KINDS,
    LIMITS,
    VOTE,
    Watch,
    dial_by_hand,
    introduced,
    keys_in_order,
    running,
)


async def test_stopping_in_the_middle_of_everything_leaves_no_task_and_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, two, three, four = keys_in_order(4)
    entered = asyncio.Event()

    async def on_frame(frame: Frame) -> None:
        entered.set()
        await asyncio.get_running_loop().create_future()

    with caplog.at_level(logging.WARNING), socket.create_server(("127.0.0.1", 0)) as mute:
        unanswered = PeerAddress(four.public, "127.0.0.1", mute.getsockname()[1])
        async with running(two) as b:
            async with running(one, peers=[b.address, unanswered], on_frame=on_frame) as a:
                await a.until_connected(b.key)
                _, stranger = await asyncio.open_connection("127.0.0.1", a.transport.port)
                async with introduced(a, three, Lane.BULK) as (_, writer):
                    # A handler waits, a frame is half there, and more is queued than goes out.
                    writer.write(encode_frame(BLOCK, b"") + encode_frame(BLOCK, b"half")[:-1])
                    await entered.wait()
                    assert a.transport.send(three.public, Lane.BULK, BLOCK, bytes(1_000_000))
            stranger.close()
            await stranger.wait_closed()
            assert b.transport.connected() == ()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert caplog.records == []


async def test_stopping_at_the_moment_of_a_connection_closes_it() -> None:
    stopping = False

    def clock() -> float:
        # Asked when the socket is accepted, just before the task that is to greet it.
        if stopping:
            task.cancel()
        return 0.0

    transport = make({}, clock=clock)
    started = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(transport.run(started))
        await started.wait()
        stopping = True
        await expect_the_end(*await asyncio.open_connection("127.0.0.1", transport.port))


async def test_stopping_at_the_moment_of_an_introduction_closes_it() -> None:
    two = SigningKey.generate()

    def on_peer(peer: bytes, connected: bool) -> None:
        # Told when the second lane stands, just before the task that is to serve it.
        task.cancel()

    transport = make({}, on_peer=on_peer)
    started = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(transport.run(started))
        await started.wait()
        streams = []
        for lane in Lane:
            reader, writer = await dial_by_hand(transport.port, two)
            writer.write(encode_hello(Hello(1, 1, CHAIN, lane, bytes(16), "by hand")))
            streams.append((reader, writer))
        for reader, writer in streams:
            await expect_the_end(reader, writer)


async def expect_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_connecting_and_exchanging_never_blocks_the_event_loop(
    no_blocking: BlockBuster,
) -> None:
    one, two = keys_in_order(2)
    async with running(one) as a, running(two, peers=[a.address]) as b:
        await b.until_connected(a.key)
        assert b.transport.send(a.key, Lane.BULK, BLOCK, bytes(500_000))
        await a.until_received(1)


async def test_a_transport_that_was_stopped_can_run_again() -> None:
    one, two = keys_in_order(2)
    async with running(one) as a:
        async with running(two, peers=[a.address]) as b:
            await b.until_connected(a.key)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(b.transport.run())
            await b.until_connected(a.key)
            task.cancel()
    assert b.watch.changes == [(a.key, True), (a.key, False)] * 2


@pytest.mark.parametrize(
    ("lane", "kind", "size"),
    [(Lane.BULK, VOTE, 1), (Lane.CONSENSUS, 99, 1), (Lane.CONSENSUS, VOTE, 1001)],
)
async def test_what_a_peer_would_ban_us_for_is_never_sent(lane: Lane, kind: int, size: int) -> None:
    one, two = keys_in_order(2)
    async with running(one) as a:
        with pytest.raises(InvariantBroken):
            a.transport.send(two.public, lane, kind, bytes(size))
        with pytest.raises(InvariantBroken):
            a.transport.broadcast(lane, kind, bytes(size))


@pytest.mark.parametrize("kind", [240, 255, -1])
def test_the_kinds_of_the_transport_are_its_own(kind: int) -> None:
    with pytest.raises(InvariantBroken):
        make({kind: KindLimit("mine", Lane.BULK, bytes_max=1, per_second=1, burst=1)})


def test_a_payload_that_no_queue_could_hold_is_refused_at_the_start() -> None:
    too_large = LIMITS.bulk_queue_bytes_max
    with pytest.raises(InvariantBroken):
        make({1: KindLimit("huge", Lane.BULK, bytes_max=too_large, per_second=1, burst=1)})


async def test_what_is_sent_to_nobody_is_counted() -> None:
    one, two = keys_in_order(2)
    async with running(one) as a:
        assert not a.transport.send(two.public, Lane.CONSENSUS, VOTE, b"")
        assert a.transport.broadcast(Lane.CONSENSUS, VOTE, b"") == 0
        a.transport.disconnect(two.public, "unknown")
        assert a.watch.drops == {"not_connected": 1}


def make(
    kinds: dict[int, KindLimit],
    *,
    on_peer: Callable[[bytes, bool], None] = lambda *_: None,
    clock: Callable[[], float] = time.monotonic,
) -> Transport:
    watch, [key] = Watch(), keys_in_order(1)
    return Transport(
        node_key=key,
        chain_id=CHAIN,
        host="127.0.0.1",
        port=0,
        peers=[],
        is_member=lambda _: True,
        on_frame=watch.on_frame,
        on_peer=on_peer,
        kinds={**KINDS, **kinds},
        observer=watch,
        limits=LIMITS,
        clock=clock,
    )

"""What a standing connection does when its peer misbehaves, hangs or vanishes."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from dataclasses import replace

import pytest

from medquorum.keys import SigningKey
from p2p.frames import Control, encode_frame
from p2p.reasons import Reason
from p2p.transport import Frame, Lane
from tests.support.p2p import (
    BLOCK,
    LIMITS,
    RARE,
    VOTE,
    goodbye,
    introduced,
    keys_in_order,
    running,
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\0\x02", Reason.EMPTY_FRAME),
        (b"\xff\xff\xff\xff\x02", Reason.OVERSIZED_FRAME),
        (encode_frame(RARE, bytes(101)), Reason.OVERSIZED_FRAME),
        (encode_frame(99, b""), Reason.UNKNOWN_KIND),
        (encode_frame(Control.HELLO, b"again"), Reason.UNKNOWN_KIND),
        (encode_frame(VOTE, b"in the wrong place"), Reason.KIND_ON_WRONG_LANE),
        (encode_frame(Control.PING, b"short"), Reason.BAD_CONTROL),
    ],
)
async def test_a_broken_rule_is_named_and_bans_the_peer(data: bytes, reason: Reason) -> None:
    one, two = keys_in_order(2)
    async with running(one) as a:
        async with introduced(a, two, Lane.BULK) as (reader, writer):
            writer.write(encode_frame(BLOCK, b"last good words") + data)
            assert await goodbye(reader, writer) == reason
        await a.until_dropped(reason)
        assert [frame.payload for frame in a.watch.frames] == [b"last good words"]
        [info] = a.transport.peers_info()
        assert (info.ban_reason, info.last_reason, info.bans) == (reason, reason, 1)
        async with running(two, peers=[a.address]) as b:
            await b.until_dropped(Reason.BANNED)
            assert a.transport.connected() == ()


async def test_a_frame_that_never_ends_costs_only_its_connection() -> None:
    one, two = keys_in_order(2)
    async with running(one) as a:
        async with introduced(a, two, Lane.BULK) as (_, writer):
            writer.write(encode_frame(BLOCK, bytes(1000))[:-1])
            await writer.drain()
        await a.watch.until(lambda: a.watch.drops.total() == 1)
        assert a.watch.frames == []
        assert not a.transport.peers_info()[0].bans


async def test_frames_over_their_rate_are_dropped_and_a_habit_of_it_disconnects() -> None:
    one, two = keys_in_order(2)
    limits = replace(LIMITS, excess_frames_burst=5, excess_frames_per_second=1e-9)
    async with running(one, limits=limits) as a:
        async with introduced(a, two, Lane.BULK) as (reader, writer):
            writer.write(encode_frame(RARE, b"") * 8)
            await goodbye(reader, writer)
        await a.until_dropped(Reason.RATE_EXCEEDED)
        assert a.watch.drops[Reason.RATE_LIMITED] == 6
        assert len(a.watch.frames) == 2
        assert a.transport.peers_info()[0].ban_reason == Reason.RATE_EXCEEDED


async def test_a_new_connection_does_not_refill_the_rate() -> None:
    one, two = keys_in_order(2)
    async with running(one) as a:
        for dropped in (0, 2):
            async with introduced(a, two, Lane.BULK) as (_, writer):
                writer.write(encode_frame(RARE, b"") * 2)
                await a.until_received(2)
                await a.until_dropped(Reason.RATE_LIMITED, count=dropped)
        assert len(a.watch.frames) == 2


async def test_consensus_passes_while_the_bulk_lane_is_stuck() -> None:
    one, two = keys_in_order(2)
    release, blocks = asyncio.Event(), asyncio.Semaphore(0)
    votes: asyncio.Queue[Frame] = asyncio.Queue()

    async def on_frame(frame: Frame) -> None:
        if frame.lane is Lane.BULK:
            blocks.release()
            await release.wait()
        else:
            votes.put_nowait(frame)

    limits = replace(LIMITS, bulk_queue_bytes_max=20_000_000)
    async with (
        running(one, limits=limits, on_frame=on_frame) as a,
        running(two, peers=[a.address], limits=limits) as b,
    ):
        await b.until_connected(a.key)
        payload = bytes(900_000)
        assert b.transport.send(a.key, Lane.BULK, BLOCK, payload)
        await blocks.acquire()
        while b.transport.send(a.key, Lane.BULK, BLOCK, payload):
            pass
        assert b.watch.drops == {Reason.BULK_QUEUE_FULL: 1}
        assert b.transport.peers_info()[0].lanes[Lane.BULK].queued_messages == 22
        for number in range(100):
            assert b.transport.send(a.key, Lane.CONSENSUS, VOTE, bytes([number]))
        assert [(await votes.get()).payload[0] for _ in range(100)] == list(range(100))
        # More is waiting than the sockets between the two can hold, and it still waits.
        assert b.transport.peers_info()[0].lanes[Lane.BULK].queued_messages > 0
        assert blocks.locked()
        release.set()


async def test_a_peer_that_takes_no_bytes_is_disconnected() -> None:
    one, two = keys_in_order(2)
    async with running(one, limits=replace(LIMITS, stuck_s_max=0.2)) as a:
        async with introduced(a, two, Lane.BULK) as (_, writer):
            # The peer stops reading, and more is sent than all buffers on the way can hold.
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it
            while a.transport.send(two.public, Lane.BULK, BLOCK, bytes(1_000_000)):
                pass
            await a.until_dropped(Reason.STUCK)
        assert a.watch.drops[Reason.NOT_CONNECTED] > 0
        assert not a.transport.send(two.public, Lane.BULK, BLOCK, b"")


async def test_a_silent_peer_is_dead_and_a_pinged_one_alive() -> None:
    one, two = keys_in_order(2)
    limits = replace(LIMITS, ping_interval_s=0.02, silence_s_max=0.1, control_per_second=1e6)
    async with running(one, limits=limits) as a, running(two, peers=[a.address]) as b:
        async with introduced(a, SigningKey.generate(), Lane.BULK):
            await a.until_dropped(Reason.SILENT)
        # The other peer, which answers, was pinged as often and stands.
        assert b.key in a.transport.connected()
        [info] = [info for info in a.transport.peers_info() if info.node_key == b.key]
        round_trip_ms = info.lanes[Lane.CONSENSUS].round_trip_ms
        assert round_trip_ms is not None
        assert 0 < round_trip_ms < 10_000


async def test_a_peer_is_not_blamed_for_the_slowness_of_our_own_handler() -> None:
    one, two = keys_in_order(2)
    limits = replace(LIMITS, ping_interval_s=0.01, silence_s_max=0.03, control_per_second=1e6)
    entered, release = asyncio.Event(), asyncio.Event()

    async def on_frame(frame: Frame) -> None:
        if frame.lane is Lane.BULK:
            entered.set()
            await release.wait()

    async with (
        running(one, limits=limits, on_frame=on_frame) as a,
        introduced(a, two, Lane.BULK) as (reader, writer),
        introduced(a, two, Lane.CONSENSUS),
    ):
        writer.write(encode_frame(BLOCK, b"slow"))
        await entered.wait()
        # Of this mute peer, the consensus lane dies of silence. The bulk lane waits for us.
        await a.until_dropped(Reason.SILENT)
        for _ in range(20):
            await reader.readexactly(5 + 8)
        assert a.watch.drops == {Reason.SILENT: 1}
        release.set()
        await a.until_dropped(Reason.SILENT, count=2)


async def test_a_reset_connection_is_no_unhandled_error(caplog: pytest.LogCaptureFixture) -> None:
    one, two = keys_in_order(2)
    with caplog.at_level(logging.WARNING):
        async with running(one) as a:
            async with introduced(a, two, Lane.CONSENSUS) as (_, writer):
                connection = writer.get_extra_info("socket")
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await a.until_dropped(Reason.CONNECTION_LOST)
    assert caplog.records == []


async def test_a_fault_of_our_own_handler_ends_the_transport() -> None:
    one, two = keys_in_order(2)

    async def on_frame(frame: Frame) -> None:
        raise ZeroDivisionError(frame.kind)

    with pytest.raises(ExceptionGroup) as caught:
        async with (
            running(one, on_frame=on_frame) as a,
            introduced(a, two, Lane.BULK) as (_, writer),
        ):
            writer.write(encode_frame(BLOCK, b""))
            await asyncio.get_running_loop().create_future()
    assert caught.group_contains(ZeroDivisionError)


async def test_many_small_frames_do_not_hold_the_event_loop() -> None:
    one, two = keys_in_order(2)
    limits = replace(LIMITS, frames_per_turn=10)
    turns: set[int] = set()
    turn = 0

    def count_turn() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(count_turn)

    async def on_frame(frame: Frame) -> None:
        turns.add(turn)
        a.watch.frames.append(frame)
        a.watch.wake()

    async with (
        running(one, limits=limits, on_frame=on_frame) as a,
        introduced(a, two, Lane.CONSENSUS) as (_, writer),
    ):
        count_turn()
        writer.write(encode_frame(VOTE, b"") * 1_000)
        await a.until_received(1_000)
    assert len(turns) >= 100

"""The proxy delays, stalls and cuts, and never loses, doubles or reorders a byte."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from devnet.chaos.limits import RETRANSMIT_MS
from devnet.chaos.proxy import Cut, Proxy, Quality, Weather
from devnet.ports import HOST, proxied_host

WAIT_S = 10.0
SHORT_S = 0.2
"""Long enough for a byte on loopback many times over."""


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Proxy, list[int]]]:
    """A proxy of two nodes that send back what they hear."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    servers = [await asyncio.start_server(echo, HOST, 0) for _ in range(2)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    try:
        async with Proxy(ports, random.Random(1)) as proxy:
            yield proxy, ports
    finally:
        for server in servers:
            server.close()


async def dial(
    ports: list[int], one: int, other: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As node `one` of a proxied network does."""
    return await asyncio.open_connection(proxied_host(one, other), ports[other])


async def hears(reader: asyncio.StreamReader, count: int, seconds: float = WAIT_S) -> bytes:
    async with asyncio.timeout(seconds):
        return await reader.readexactly(count)


async def test_bytes_arrive_whole_and_in_order_through_the_worst_link() -> None:
    sent = random.Random(2).randbytes(1 << 20)
    async with echoing() as (proxy, ports):
        worst = Quality(delay_ms=1, jitter_ms=5, loss=0.02, bytes_per_s=50e6)
        proxy.weather.set_quality(proxy.weather.paths(), worst)
        reader, writer = await dial(ports, 0, 1)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(60):
            assert await reader.read(-1) == sent
        writer.close()


async def test_a_delay_is_paid_once_in_each_direction() -> None:
    async with echoing() as (proxy, ports):
        reader, writer = await dial(ports, 0, 1)
        writer.write(b"1")
        await hears(reader, 1)
        proxy.weather.set_quality([(0, 1)], Quality(delay_ms=150))
        began = asyncio.get_running_loop().time()
        writer.write(b"2")
        await hears(reader, 1)
        one_way = asyncio.get_running_loop().time() - began
        assert 0.15 <= one_way < 0.29
        writer.close()


async def test_a_stalled_direction_delivers_what_it_held_when_it_heals() -> None:
    async with echoing() as (proxy, ports):
        reader, writer = await dial(ports, 0, 1)
        writer.write(b"a")
        assert await hears(reader, 1) == b"a"
        proxy.weather.close([(1, 0)], Cut.STALL)
        writer.write(b"bc")
        with pytest.raises(TimeoutError):
            await hears(reader, 1, SHORT_S)
        proxy.weather.open([(1, 0)])
        assert await hears(reader, 2) == b"bc"
        writer.close()


async def test_a_reset_ends_what_stands_and_refuses_what_comes() -> None:
    async with echoing() as (proxy, ports):
        reader, writer = await dial(ports, 0, 1)
        writer.write(b"a")
        await hears(reader, 1)
        proxy.weather.close([(1, 0)], Cut.RESET)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await hears(reader, 1)
        late, closing = await dial(ports, 0, 1)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await hears(late, 1)
        proxy.weather.clear()
        again, writing = await dial(ports, 0, 1)
        writing.write(b"b")
        assert await hears(again, 1) == b"b"
        for end in (writer, closing, writing):
            end.close()


async def test_a_node_that_is_down_refuses_through_the_proxy_too() -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        port = int(nobody.getsockname()[1])
        async with Proxy([port, port], random.Random(1)):
            reader, writer = await dial([port, port], 0, 1)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await hears(reader, 1)
            writer.close()


async def test_a_separation_cuts_exactly_what_lies_between_groups() -> None:
    weather = Weather(4)
    weather.separate([[0, 1], [2]], Cut.STALL)
    standing = {path for path in weather.paths() if weather.cut(path) is None}
    assert standing == {(0, 1), (1, 0)}
    weather.clear()
    assert all(weather.cut(path) is None for path in weather.paths())


def test_loss_costs_what_a_retransmission_costs() -> None:
    quality = Quality(loss=0.5)
    drawn = [quality.late_s(random.Random(seed)) * 1_000 for seed in range(200)]
    assert {0.0, RETRANSMIT_MS, 3 * RETRANSMIT_MS, 7 * RETRANSMIT_MS} <= set(drawn)
    assert 0.4 < sum(late == 0 for late in drawn) / len(drawn) < 0.6

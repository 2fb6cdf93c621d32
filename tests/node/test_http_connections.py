"""Connections to the API are bounded: idle ones end, and too many do not end the node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.config.schema import Config, Ops, Rpc
from node.run import Servers
from tests.support.daemon import LocalNode, local_node

REQUEST = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def api(path: Path, *, connections_max: int, idle_seconds: float) -> AsyncIterator[int]:
    """The port of an API with these bounds."""
    async with (
        local_node(path) as local,
        asyncio.timeout(20),
        api_of(local, connections_max=connections_max, idle_seconds=idle_seconds) as port,
    ):
        yield port


@asynccontextmanager
async def api_of(
    local: LocalNode, *, connections_max: int = 10, idle_seconds: float = 60
) -> AsyncIterator[int]:
    """The port of the API of this node."""
    servers = Servers(local.services(), connections_max=connections_max, idle_seconds=idle_seconds)
    log: Any = SimpleNamespace(bind=lambda **_values: local.log)
    node: Any = SimpleNamespace(config=Config(rpc=Rpc(port=0), ops=Ops(port=0)), log=log)
    rpc, _ = await servers.start(node)
    try:
        yield rpc
    finally:
        await servers.stop()


async def answered(connection: Connection) -> bool:
    """Whether a request on this connection gets an answer."""
    reader, writer = connection
    try:
        writer.write(REQUEST)
        await writer.drain()
        return (await reader.readline()).startswith(b"HTTP/1.1 ")
    except ConnectionError:
        return False


async def test_connections_beyond_the_limit_are_closed_and_those_within_it_are_served(
    tmp_path: Path,
) -> None:
    async with api(tmp_path, connections_max=3, idle_seconds=60) as port:
        within = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await answered(within[0])
        beyond = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        assert not any([await answered(connection) for connection in beyond])
        assert all([await answered(connection) for connection in within[1:]])
        for _, writer in (*within, *beyond):
            writer.close()


async def test_a_connection_that_says_nothing_or_half_a_request_is_closed(tmp_path: Path) -> None:
    async with api(tmp_path, connections_max=3, idle_seconds=0.05) as port:
        for said in (b"", REQUEST[:20]):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            await reader.read()
            writer.close()


async def test_what_is_no_http_is_counted_and_quoted_nowhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted: list[str] = []
    async with local_node(tmp_path) as local, asyncio.timeout(20):
        monkeypatch.setattr(local.metrics, "dropped", counted.append)
        async with api_of(local) as port:
            for junk in (b"X-Name: Wang Xiaoming\x00: 1", b"Content-Length: -5", b"A" * 9_000):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(REQUEST.removesuffix(b"\r\n") + junk + b"\r\n\r\n")
                assert b"400" in await reader.readline()
                writer.close()
    assert counted == ["http_malformed"] * 3
    said = capsys.readouterr()
    assert "Wang" not in said.out + said.err + caplog.text

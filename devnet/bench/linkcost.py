"""What the loopback costs on this machine, with nothing of ours behind it: a frame through TLS, and
a request and its answer through HTTP. Processor time of both ends together.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import Final

import aiohttp
from aiohttp import web

from devnet.ports import HOST
from medquorum.keys import SigningKey
from p2p import tls

FRAME_BYTES: Final = 16 * 1024
FRAMES: Final = 400
REQUESTS: Final = 400
BODY: Final = bytes(512)
"""About as much as a transaction and its answer."""


async def tls_frame_us() -> float:
    """Microseconds for `FRAME_BYTES` from one end of a node's TLS to the other."""
    key = SigningKey(sha256(b"bench of tls").digest())
    contexts = tls.contexts_for(key, bytes(32))
    arrived: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(FRAME_BYTES)
        began = time.process_time_ns()
        for _ in range(FRAMES):
            writer.write(b"\x00")
            await reader.readexactly(FRAME_BYTES)
        arrived.set_result(time.process_time_ns() - began)
        writer.close()

    server = await asyncio.start_server(receive, HOST, 0, ssl=contexts.server)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            HOST, port, ssl=contexts.client, server_hostname=""
        )
        frame = bytes(FRAME_BYTES)
        writer.write(frame)
        for _ in range(FRAMES):
            await reader.readexactly(1)
            writer.write(frame)
        spent = await arrived
        writer.close()
    return round(spent / 1_000 / FRAMES, 2)


async def http_us() -> float:
    """Microseconds for a POST of half a KiB and an answer as large, one after another on one
    connection.
    """

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_post("/", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        url = f"http://{HOST}:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as session:
            spent = 0
            for number in range(1 + REQUESTS):
                began = time.process_time_ns()
                async with session.post(url, data=BODY) as response:
                    await response.read()
                # The first one makes the connection.
                spent += (time.process_time_ns() - began) if number else 0
    finally:
        await runner.cleanup()
    return round(spent / 1_000 / REQUESTS, 2)

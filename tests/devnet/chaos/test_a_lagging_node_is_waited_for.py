"""At the end of a load, a node that is a block behind is not taken for one that has forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from devnet.load import caught_up
from devnet.loadclient import Sender
from devnet.ports import HOST


@asynccontextmanager
async def showing(heights: Iterator[int]) -> AsyncIterator[tuple[str, list[int]]]:
    """A node that shows these heights, one after the other; and what it has shown."""
    shown: list[int] = []

    async def status(_request: web.Request) -> web.Response:
        shown.append(next(heights))
        return web.json_response({"height": shown[-1]})

    app = web.Application()
    app.router.add_get("/v1/status", status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}", shown
    finally:
        await runner.cleanup()


async def test_it_is_waited_for_until_it_has_the_last_block() -> None:
    async with showing(iter([4, 4, 5, 6])) as (url, shown), aiohttp.ClientSession() as session:
        await caught_up(Sender(session, [url]), 5, 30.0)
        assert shown == [4, 4, 5]


async def test_nobody_waits_for_a_node_that_does_not_answer_or_for_ever() -> None:
    async with showing(iter([4] * 1_000)) as (url, shown), aiohttp.ClientSession() as session:
        await caught_up(Sender(session, ["http://127.0.0.1:1", url]), 5, 0.3)
        assert shown
        assert set(shown) == {4}

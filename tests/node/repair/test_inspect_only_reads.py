"""A stopped node's data answers reads as the node would, refuses writes, and stays as it is."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest

from medquorum.invariants import InvariantBroken
from node.config.schema import Config
from node.daemon import load_genesis
from node.home import Home
from node.logs import configure
from node.repair.inspection import Inspected, ReadOnly, serve
from storage import layout
from storage.kv import Batch, prefix_end
from storage.leveldb import LevelDB
from storage.reached import NAME as REACHED
from storage.reached import Reached
from tests.support.cli import run
from tests.support.signed_chain import REGISTRY
from tests.support.stopped_home import make_stopped_home, opened


@asynccontextmanager
async def inspected(home: Home) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the API over this home."""
    with opened(home) as kv:
        data = Inspected(home, Config(), load_genesis(home), REGISTRY, kv)
        stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
        log = configure("error", "json", "test")
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(data, log, port=0, stop=stop, ready=bound.set_result))
            async with aiohttp.ClientSession(f"http://127.0.0.1:{await bound}") as client:
                yield client
            stop.set()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A stopped node."""
    return make_stopped_home(tmp_path_factory.mktemp("inspected"))


async def test_reads_are_answered(home: Home) -> None:
    with opened(home) as kv:
        tx_id = next(kv.scan(layout.TX, prefix_end(layout.TX)))[0][1:].hex()
    async with inspected(home) as client:
        for path in (
            "/v1/status",
            "/v1/genesis",
            "/v1/blocks/latest",
            "/v1/blocks/4",
            "/v1/headers",
            "/v1/validators",
            "/v1/evidence",
            "/v1/events",
            f"/v1/txs/{tx_id}",
            f"/v1/txs/{tx_id}/receipt",
            "/v1/state/governance/00",
        ):
            async with client.get(path) as answer:
                assert answer.status == 200, (path, await answer.text())
        async with client.get("/v1/status") as answer:
            assert (await answer.json())["height"] == 8


async def test_writes_are_refused_by_a_code_and_nothing_changes(home: Home) -> None:
    with opened(home) as kv:
        before = dict(kv.scan(b"\x00", b"\xff"))
    async with inspected(home) as client:
        for method, path in (("POST", "/v1/txs"), ("POST", "/v1/txs/batch"), ("PUT", "/v1/x")):
            async with client.request(method, path, data=b"\x90") as answer:
                problem = await answer.json(content_type=None)
                assert (answer.status, problem["code"]) == (403, "policy_denied"), path
        async with client.get("/v1/blocks/1", params={"consistency": "linearizable"}) as answer:
            assert (await answer.json(content_type=None))["code"] == "not_ready"
    with opened(home) as kv:
        assert dict(kv.scan(b"\x00", b"\xff")) == before


def test_the_store_itself_refuses_to_be_written(home: Home) -> None:
    with opened(home) as kv, pytest.raises(InvariantBroken, match="inspected"):
        ReadOnly(kv).write(Batch(), sync=True)


def test_an_empty_database_and_a_port_in_use_are_said_and_are_no_bugs(
    home: Home, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        assert run("inspect", "--home", home.root, "--port", port).exit_code == 75
    empty = Home(Path(shutil.copytree(home.root, tmp_path / "empty")))
    shutil.rmtree(empty.chain)
    LevelDB(empty.chain).close()
    for command in ("inspect", "replay", "verify"):
        result = run(command, "--home", empty.root)
        assert (result.exit_code, "never run" in result.stderr) == (1, True), result.output


@pytest.mark.parametrize("command", ["inspect", "replay", "verify", "rollback"])
def test_a_database_that_is_lost_as_a_whole_is_no_node_that_has_never_run(
    home: Home, tmp_path: Path, command: str
) -> None:
    home = Home(Path(shutil.copytree(home.root, tmp_path / "lost")))
    with closing(Reached(home.chain)) as reached:
        reached.note(7)
    for file in home.chain.iterdir():
        if file.name != REACHED:
            file.unlink()
    result = run(command, "--home", home.root, *(["1"] if command == "rollback" else []))
    assert (result.exit_code, "height 7 was durable" in result.stderr) == (65, True), result.output

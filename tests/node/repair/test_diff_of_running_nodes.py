"""Nodes that run are compared through their APIs, with each other and with stopped ones."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from node.config.schema import Config
from node.daemon import load_genesis
from node.home import Home
from node.ledger.membership import NAMESPACE
from node.ledger.overlay import BlockOverlay
from node.logs import configure
from node.pruning.removing import prune
from node.repair.inspection import Inspected, serve
from node.repair.rollback import Rollback
from tests.support.cli import run
from tests.support.signed_chain import REGISTRY, SignedChain
from tests.support.stopped_home import make_stopped_home, opened


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A node. Not to be changed."""
    return make_stopped_home(tmp_path_factory.mktemp("one"))


def copy_of(home: Home, folder: Path) -> Home:
    """The same data in another home."""
    shutil.copytree(home.root, folder)
    return Home(folder)


@asynccontextmanager
async def serving(home: Home) -> AsyncIterator[str]:
    """The address of the API of a node with this data."""
    with opened(home) as kv:
        data = Inspected(home, Config(), load_genesis(home), REGISTRY, kv)
        stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
        log = configure("error", "json", "test")
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(data, log, port=0, stop=stop, ready=bound.set_result))
            yield f"http://127.0.0.1:{await bound}"
            stop.set()


async def compared(*places: object) -> tuple[int, dict[str, object]]:
    """Exit code and document."""
    result = await asyncio.to_thread(run, "diff", *places, "--json")
    return result.exit_code, json.loads(result.stdout)


async def test_equal_nodes_are_the_same_also_if_one_is_behind(home: Home, tmp_path: Path) -> None:
    other = copy_of(home, tmp_path / "copy")
    with opened(other) as kv:
        list(Rollback(kv).run(3))
    async with serving(home) as one, serving(other) as two:
        assert await compared(one, two) == (0, {"compared_to": 5, "same": True})
        assert await compared(one, two, "--height", 0) == (0, {"compared_to": 0, "same": True})
        result = await asyncio.to_thread(run, "diff", one, one + "/")
        assert result.exit_code == 64
    async with serving(home) as one:
        assert await compared(one, other.root) == (0, {"compared_to": 5, "same": True})


async def test_the_first_height_the_module_and_the_transaction_are_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = BlockOverlay.changes
    heights = iter(range(100))

    def other(overlay: BlockOverlay) -> dict[str, dict[bytes, bytes | None]]:
        changes = plain(overlay)
        if NAMESPACE in changes and next(heights) == 1:  # after the genesis, once
            changes[NAMESPACE][b"\x00only here"] = b"y"
        return changes

    with monkeypatch.context() as differing:
        differing.setattr(BlockOverlay, "changes", other)
        parted = await asyncio.to_thread(make_stopped_home, tmp_path / "two")
    async with serving(home) as one, serving(parted) as two:
        code, found = await compared(one, two)
        assert (code, found["height"], found["what"]) == (1, 4, "result")
        assert (found["fields"], found["module"], found["key"]) == ("state_root", NAMESPACE, "")
        assert (await compared(one, two, "--height", 3))[0] == 0
        assert (await compared(two, one))[1] == found
    async with serving(parted) as two:
        assert await compared(home.root, two) == (1, found)


async def test_another_block_is_told_by_its_first_other_transaction(
    home: Home, tmp_path: Path
) -> None:
    other = copy_of(home, tmp_path / "copy")
    with opened(other) as kv:
        list(Rollback(kv).run(2))
    with closing(SignedChain(other.chain)) as member:
        member.skip_nonces(1_000)
        member.grow(2)
    async with serving(home) as one, serving(other) as two:
        code, found = await compared(one, two)
        assert (code, found["height"], found["what"], found["index"]) == (1, 7, "block", 0)
        assert len(str(found["txid"])) == 64


async def test_what_is_pruned_on_one_side_is_not_compared(home: Home, tmp_path: Path) -> None:
    other = copy_of(home, tmp_path / "copy")
    with opened(other) as kv:
        list(prune(kv, 6))
    async with serving(home) as one, serving(other) as two:
        assert await compared(one, two) == (0, {"compared_to": 8, "same": True})
        result = await asyncio.to_thread(run, "diff", one, two, "--height", 2)
        assert (result.exit_code, "begins after height 5" in result.stderr) == (1, True)


async def test_another_chain_and_who_is_no_node_are_said(home: Home, tmp_path: Path) -> None:
    result = await asyncio.to_thread(run, "diff", home.root, tmp_path / "nowhere")
    assert result.exit_code == 64
    result = await asyncio.to_thread(run, "diff", home.root, "http://127.0.0.1:9")
    assert result.exit_code == 75

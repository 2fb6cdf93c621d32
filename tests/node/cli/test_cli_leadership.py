"""`medquorum node transfer-leader` and what `status` says of who leads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import Result

from node.cli.status import NodeStatus, consensus_line
from node.errors import RefusedError
from node.leadership import Handed
from tests.support.cli import run
from tests.support.daemon import World, local_node


async def transfer(tmp_path: Path, world: World, *arguments: str) -> Result:
    """Run the command against a node of this world."""
    async with local_node(tmp_path, world=world) as node, node.ops() as ops:
        async with ops.get("/livez") as answer:
            base = str(answer.url.origin())
        command = ("node", "transfer-leader", "--ops", base, *arguments)
        return await asyncio.to_thread(run, *command)


async def test_the_new_leader_is_named(tmp_path: Path) -> None:
    world = World(transferred=Handed(b"\x01", b"\x02"))
    done = await transfer(tmp_path, world, "--to", "AB01")
    assert (done.exit_code, done.stdout) == (0, "02 leads now\n")
    assert world.transfers == [b"\xab\x01"]


@pytest.mark.parametrize(
    ("code", "ends_with"), [("not_leader", 1), ("not_offered", 1), ("transfer_timed_out", 75)]
)
async def test_a_refusal_is_told_with_its_code(tmp_path: Path, code: str, ends_with: int) -> None:
    done = await transfer(tmp_path, World(transferred=RefusedError(code, "because")))
    assert done.exit_code == ends_with
    assert f"{code}: because" in done.stderr


async def test_a_key_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    assert (await transfer(tmp_path, World(), "--to", "hospital")).exit_code == 64
    assert run("node", "transfer-leader", "--ops", "file:///etc/passwd").exit_code == 64


@pytest.mark.parametrize(
    ("engine", "leader", "line"),
    [
        ("raft", "ab" * 33, "raft term 3, working, leader abababababababab"),
        ("raft", "", "raft term 3, working, leader none yet"),
        ("raft", "cd" * 33, "raft term 3, working, leader this node"),
        ("pbft", "ab" * 33, "pbft round 3, working, proposer abababababababab"),
    ],
)
def test_status_says_who_leads(engine: str, leader: str, line: str) -> None:
    found = NodeStatus(
        node="",
        chain_id="",
        chain_name="",
        height=1,
        time_ms=1,
        round=3,
        phase="working",
        role="validator",
        version="",
        engine=engine,
        leader=leader,
        validator="cd" * 33,
    )
    assert consensus_line(found) == line

"""`medquorum gov check`: whether a quorum would be there after a change."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import Result

from node.sync import Heard
from tests.support.cli import run
from tests.support.daemon import NODE, VALIDATOR, World, local_node
from tests.support.ledger import some_key

NEW = some_key("new node").public


async def check(tmp_path: Path, *arguments: str, level: bool = False) -> Result:
    """Run the command against a chain of one validator, with a daemon that may be level."""
    world = World(links=(NEW,), heights={NEW: Heard(0.1, 0 if level else 812)})
    async with local_node(tmp_path, world=world) as node, node.api() as api:
        async with api.get("/v1/status") as answer:
            base = str(answer.url.origin())
        return await asyncio.to_thread(run, "gov", "check", "--rpc", base, *arguments)


async def test_a_set_that_is_there_is_safe(tmp_path: Path) -> None:
    done = await check(tmp_path)
    assert done.exit_code == 0
    assert f"{VALIDATOR.public.hex()[:16]}\t{NODE.public.hex()[:16]}\tready" in done.stdout
    assert "needed  1 (pbft), so 0 more may fail" in done.stdout
    assert "state   safe" in done.stdout


async def test_a_change_that_strands_the_chain_ends_with_1_and_names_who_is_missing(
    tmp_path: Path,
) -> None:
    done = await check(tmp_path, "--add", NEW.hex())
    assert done.exit_code == 1
    assert f"-\t{NEW.hex()[:16]}\tbehind by 812, new" in done.stdout
    assert "there   1 of 2" in done.stdout
    assert "1 more must be connected and level, or answer with gov.override" in done.stdout
    assert (await check(tmp_path / "level", "--add", NEW.hex(), level=True)).exit_code == 0


async def test_programs_get_what_the_node_answered(tmp_path: Path) -> None:
    asked = ("--replace", VALIDATOR.public.hex(), "--by", NEW.hex(), "--json")
    done = await check(tmp_path, *asked)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["safe"], found["ready"], found["needed"]) == (False, 0, 1)
    assert found["validators"][0]["standing"] == "behind"


async def test_a_question_that_makes_no_sense_is_refused_by_the_node(tmp_path: Path) -> None:
    done = await check(tmp_path, "--remove", "00" * 33)
    assert done.exit_code == 1
    assert "not_found" in done.stderr

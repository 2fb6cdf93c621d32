"""`medquorum gov`: proposals are written and read by names, and changes looked at before."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import Result

from medquorum.builder import Draft
from medquorum.genesis import dump
from medquorum.keyfile import save_devnet_key
from node.ledger.codes import OK
from node.sync import Heard
from tests.support.cli import ok, run
from tests.support.daemon import NODE, ROOT, VALIDATOR, World, local_node
from tests.support.ledger import founding, some_key

NEW = some_key("new node").public


ORG = founding(validators=1).organisations[0].org


def propose(tmp_path: Path, kind: str, content: dict[str, object], *more: object) -> Path:
    """The file of operations."""
    path = tmp_path / f"{kind}.json"
    ok("gov", "propose", kind, json.dumps(content), "--org", ORG.hex(), "-o", path, *more)
    return path


async def test_a_validator_is_proposed_approved_and_answered_for_by_command_line_alone(
    tmp_path: Path,
) -> None:
    """Keys, proof, proposal, draft and signature; the ledger takes it, and others can read it."""
    genesis, vote_key, root_key = (tmp_path / name for name in ("g", "vote", "root"))
    ok("keys", "gen", vote_key, "--purpose", "validator", "--plain-devnet")
    save_devnet_key(root_key, ROOT, purpose="organisation")
    async with local_node(tmp_path) as node, node.api() as api:
        genesis.write_bytes(dump(node.genesis))
        proof = ok("keys", "prove", vote_key, "--owner", ORG.hex(), "--genesis", genesis).strip()
        content: dict[str, object] = {
            "key": ok("keys", "export-public", vote_key).strip(),
            "node_key": NEW.hex(),
            "org": ORG.hex(),
            "possession": proof,
        }
        file = propose(tmp_path, "validator_add", content, "--approve", "--override", "site.lost")
        draft, signed = tmp_path / "draft", tmp_path / "signed"
        built = ("--offline", "--valid-until", 9, "--genesis", genesis, "--signer", root_key)
        ok("tx", "build", "--operations", file, *built, "-o", draft)
        [shown, *_] = json.loads(ok("tx", "show", draft, "--json"))["operations"]
        assert shown["body"]["draft"]["content"] == content
        ok("tx", "sign", draft, "--key", root_key, "-o", signed, "--yes")
        transaction = Draft.load(signed.read_bytes()).complete()
        await node.admit(transaction)
        block = await node.commit()
        assert [outcome.code for outcome in block.outcomes] == [OK]
        async with api.get("/v1/status") as answer:
            base = str(answer.url.origin())
        proposal = shown["body"]["proposal"]
        read = await asyncio.to_thread(ok, "gov", "show", proposal, "--rpc", base)
        found = json.loads(read)
        assert found["content"] == content
        assert [vote["decision"] for vote in found["votes"]] == ["approve"]
        assert [one["reason"] for one in found["overrides"]] == ["site.lost"]
        none = await asyncio.to_thread(run, "gov", "show", "00" * 32, "--rpc", base)
        assert none.exit_code == 1


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("no_such", "{}", "validator_add"),
        ("validator_remove", "{}", "key"),
        ("validator_remove", '{"key": "01"}', "33"),
        ("validator_remove", "[]", "FIELDS"),
    ],
)
def test_what_nobody_could_carry_out_is_not_written(kind: str, content: str, words: str) -> None:
    done = run("gov", "propose", kind, content, "--org", ORG.hex())
    assert done.exit_code == 64
    assert words in done.stderr
    assert done.stdout == ""


def test_names_and_ids_are_checked_before_anything_is_written() -> None:
    content = json.dumps({"name": "tx.window_heights", "value": 500})
    for more in (["--org", "00"], ["--org", ORG.hex(), "--override", "St Anna burnt down"]):
        done = run("gov", "propose", "param_set", content, *more)
        assert (done.exit_code, done.stdout) == (64, "")


async def check(tmp_path: Path, *arguments: str, level: bool = False) -> Result:
    """Run the command against a chain of one validator, with a daemon that may be level."""
    world = World(links=(NEW,), heights={NEW: Heard(0.1, 0 if level else 812, 0)})
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

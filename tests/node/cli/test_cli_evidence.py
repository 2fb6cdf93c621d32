"""`medquorum evidence`: a file convicts without any node, and nobody signs what proves nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import Result

from medquorum.evidence import verify_evidence
from medquorum.evidence_file import EvidenceFile
from medquorum.genesis import dump
from medquorum.keyfile import save_devnet_key
from tests.support.chain import Chain, key_for
from tests.support.cli import ok, run
from tests.support.daemon import ROOT, VALIDATOR, LocalNode, local_node
from tests.support.evidence import evidence_against


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Evidence against the validator b of a small chain, and the genesis."""
    chain = Chain()
    chain.add()
    evidence = evidence_against(key_for("b votes"), chain.chain_id, 2)
    proof, genesis = tmp_path / "evidence.json", tmp_path / "genesis.json"
    proof.write_bytes(EvidenceFile(evidence, chain.blocks[0].certified, ()).dump())
    genesis.write_bytes(dump(chain.genesis))
    return proof, genesis


def test_a_file_says_who_said_what_and_when(files: tuple[Path, Path]) -> None:
    proof, genesis = files
    words = ok("evidence", "verify", proof, "--genesis", genesis)
    assert "Proven: equivocation" in words
    assert key_for("b votes").public.hex() in words
    assert "at height 2" in words
    assert words.count("prepared") == 2
    shown = json.loads(ok("evidence", "verify", proof, "--genesis", genesis, "--json"))
    assert (shown["proven"], shown["kind"], shown["height"]) == (True, "equivocation", 2)
    assert [said["tag"] for said in shown["statements"]] == ["P", "P"]


def test_one_changed_character_and_it_proves_nothing(files: tuple[Path, Path]) -> None:
    proof, genesis = files
    proof.write_text(proof.read_text().replace('"height": 2', '"height": 1'))
    result = run("evidence", "verify", proof, "--genesis", genesis)
    assert (result.exit_code, "proves nothing" in result.stdout) == (1, True)
    told = run("evidence", "verify", proof, "--genesis", genesis, "--json")
    assert json.loads(told.stdout) == {
        "proven": False,
        "reason": "evidence_form",
        "detail": "not the one form that such a file has",
    }


def write_genesis(node: LocalNode, genesis: Path) -> None:
    genesis.write_bytes(dump(node.genesis))


async def asked(node: LocalNode, genesis: Path, *arguments: object) -> Result:
    """Run a command against the node."""
    write_genesis(node, genesis)
    async with node.api() as api, api.get("/v1/status") as answer:
        rpc = str(answer.url.origin())
        command = ("evidence", *arguments, "--rpc", rpc)
        if arguments[0] != "list":
            command = (*command, "--genesis", genesis)
        return await asyncio.to_thread(run, *command)


def accuse(node: LocalNode) -> str:
    """Evidence in the node's book; its id."""
    evidence = evidence_against(VALIDATOR, node.chain.chain_id, 1)
    node.evidence.add(verify_evidence(evidence, node.chain.chain_id, "pbft"), evidence)
    return evidence.id().hex()


async def test_what_a_node_holds_is_listed_shown_and_taken_home(tmp_path: Path) -> None:
    genesis, proof = tmp_path / "genesis.json", tmp_path / "evidence.json"
    async with local_node(tmp_path / "node") as node:
        piece = accuse(node)
        listed = await asked(node, genesis, "list")
        assert piece in listed.stdout
        assert json.loads((await asked(node, genesis, "list", "--json")).stdout)[0]["id"] == piece
        shown = await asked(node, genesis, "show", piece, "-o", proof)
        assert shown.exit_code == 0, shown.output
        assert "Proven: equivocation" in shown.stdout
        assert (await asked(node, genesis, "show", "ab" * 32)).exit_code == 1
        assert (await asked(node, genesis, "show", "xyz")).exit_code == 64
    ok("evidence", "verify", proof, "--genesis", genesis)


async def test_a_proposal_carries_the_evidence_and_is_signed_here(tmp_path: Path) -> None:
    genesis, unsent = tmp_path / "genesis.json", tmp_path / "tx.json"
    key = tmp_path / "org.json"
    save_devnet_key(key, ROOT, purpose="organisation")
    async with local_node(tmp_path / "node") as node:
        piece = accuse(node)
        unasked = await asked(node, genesis, "propose", piece, "--key", key)
        assert unasked.exit_code == 64
        made = await asked(node, genesis, "propose", piece, "--key", key, "--yes", "-o", unsent)
        assert made.exit_code == 0, made.output
        assert "proposal" in made.stdout
        shown = json.loads(ok("tx", "show", unsent, "--json"))
        assert shown["missing"] == []
        (operation,) = shown["operations"]
        assert operation["type"] == "gov.propose"
        async with node.proposing():
            sent = await asked(node, genesis, "propose", piece, "--key", key, "--yes")
        # The only validator cannot be suspended, and the ledger says so.
        assert (sent.exit_code, "E_LIMIT" in sent.stderr) == (1, True)


async def test_nothing_is_signed_that_proves_nothing(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    key, genesis = tmp_path / "org.json", tmp_path / "other.json"
    save_devnet_key(key, ROOT, purpose="organisation")
    async with local_node(tmp_path / "node") as node:
        foreign = await asked(node, genesis, "propose", files[0], "--key", key, "--yes")
        assert (foreign.exit_code, "evidence_signature" in foreign.stderr) == (1, True)
        stranger = tmp_path / "stranger.json"
        save_devnet_key(stranger, key_for("nobody"), purpose="organisation")
        unknown = await asked(node, genesis, "propose", accuse(node), "--key", stranger, "--yes")
        assert (unknown.exit_code, "does not know the key" in unknown.stderr) == (1, True)

"""A receipt is checked without a node, and says in plain words what it proves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medquorum.genesis import dump
from tests.support.chain import Chain, genesis_of
from tests.support.cli import ok, run


@pytest.fixture
def chain() -> Chain:
    """Two blocks: a transaction that took effect, then one that did not."""
    chain = Chain()
    chain.add([chain.transaction("good")])
    chain.add([chain.transaction("bad")], codes=["E_ROLE"])
    return chain


def files(folder: Path, chain: Chain, height: int) -> tuple[Path, Path]:
    """The receipt of the transaction at a height, and the genesis."""
    receipt, genesis = folder / "receipt.json", folder / "genesis.json"
    receipt.write_bytes(chain.receipt(height, 0).dump())
    genesis.write_bytes(dump(chain.genesis))
    return receipt, genesis


def test_it_says_what_took_effect(tmp_path: Path, chain: Chain) -> None:
    receipt, genesis = files(tmp_path, chain, 1)
    words = ok("verify-receipt", receipt, "--genesis", genesis)
    assert chain.transaction("good").id.hex() in words
    assert "at height 1" in words
    assert "took effect" in words
    assert "rec.anchor version 1" in words
    assert "of whom 3 suffice" in words


def test_it_says_what_was_rejected_and_why(tmp_path: Path, chain: Chain) -> None:
    receipt, genesis = files(tmp_path, chain, 2)
    words = ok("verify-receipt", receipt, "--genesis", genesis)
    assert "rejected with E_ROLE" in words
    assert "changed nothing" in words
    shown = json.loads(ok("verify-receipt", receipt, "--genesis", genesis, "--json"))
    assert (shown["proven"], shown["code"], shown["height"]) == (True, "E_ROLE", 2)
    assert shown["failed_operation"] == 0


def test_on_another_chain_it_proves_nothing(tmp_path: Path, chain: Chain) -> None:
    receipt, genesis = files(tmp_path, chain, 1)
    genesis.write_bytes(dump(genesis_of(["x", "y", "z", "w"])))
    result = run("verify-receipt", receipt, "--genesis", genesis)
    assert result.exit_code == 1
    assert "proves nothing" in result.stdout


def test_one_changed_character_and_it_proves_nothing(tmp_path: Path, chain: Chain) -> None:
    receipt, genesis = files(tmp_path, chain, 1)
    text = receipt.read_text()
    start = text.index('"transaction": "') + 60
    changed = "A" if text[start] != "A" else "B"
    receipt.write_text(text[:start] + changed + text[start + 1 :])
    result = run("verify-receipt", receipt, "--genesis", genesis, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["proven"] is False


def test_without_a_genesis_it_is_a_usage_error(tmp_path: Path, chain: Chain) -> None:
    receipt, _ = files(tmp_path, chain, 1)
    assert run("verify-receipt", receipt).exit_code == 64

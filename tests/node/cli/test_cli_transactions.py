"""Transactions are built and signed without a network, and nobody signs what they have not seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medquorum.builder import Draft
from medquorum.codec import decode
from medquorum.genesis import dump
from medquorum.keyfile import read_key_info
from node.ledger.types.payments.bodies import AccountKind, AccountOpen
from tests.support.chain import genesis_of
from tests.support.cli import PASSPHRASE, ok, passphrase_file, run

ACCOUNT = {
    "acct": "0a" * 32,
    "kind": "hospital",
    "org": "0b" * 32,
    "holder": [],
    "kyc_hash": [],
    "daily_limit": 9,
}


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    """A genesis file."""
    path = tmp_path / "genesis.json"
    path.write_bytes(dump(genesis_of(["a", "b", "c", "d"])))
    return path


@pytest.fixture
def keys(tmp_path: Path) -> list[Path]:
    """Two key files."""
    made = [tmp_path / "one.key.json", tmp_path / "two.key.json"]
    for path in made:
        ok("keys", "gen", path, "--plain-devnet")
    return made


def build(genesis: Path, output: Path, *more: object) -> Draft:
    """Build offline."""
    offline = ("--offline", "--valid-until", 77, "--genesis", genesis)
    ok("tx", "build", *more, *offline, "-o", output)
    return Draft.load(output.read_bytes())


def test_fields_become_the_canonical_body(tmp_path: Path, genesis: Path, keys: list[Path]) -> None:
    signer = ("--signer", keys[0])
    draft = build(genesis, tmp_path / "d", "pay.acct.open", json.dumps(ACCOUNT), *signer)
    (operation,) = draft.body.operations
    expected = AccountOpen(
        b"\x0a" * 32, AccountKind.HOSPITAL, b"\x0b" * 32, holder=(), kyc_hash=(), daily_limit=9
    )
    assert decode(AccountOpen, operation.body, size_max=1_000) == expected
    assert draft.body.valid_until == 77
    assert draft.body.chain_id == genesis_of(["a", "b", "c", "d"]).chain_id()
    assert draft.body.signers == (read_key_info(keys[0]).public,)


def test_several_operations_come_from_a_file_and_several_people_sign(
    tmp_path: Path, genesis: Path, keys: list[Path]
) -> None:
    file = tmp_path / "operations.json"
    second = ACCOUNT | {"acct": "0c" * 32}
    file.write_text(
        json.dumps([{"type": "pay.acct.open", "body": body} for body in (ACCOUNT, second)])
    )
    public = read_key_info(keys[1]).public.hex()
    built, half, whole = tmp_path / "built", tmp_path / "half", tmp_path / "whole"
    both = ("--signer", keys[0], "--signer", public)
    assert len(build(genesis, built, "--operations", file, *both).body.operations) == 2
    ok("tx", "sign", built, "--key", keys[0], "--yes", "-o", half)
    refused = run("tx", "submit", half)
    assert refused.exit_code == 1
    assert public in refused.stderr
    ok("tx", "sign", half, "--key", keys[1], "--yes", "-o", whole)
    assert Draft.load(whole.read_bytes()).complete().signatures_hold()


def test_whoever_signs_sees_what_before(tmp_path: Path, genesis: Path, keys: list[Path]) -> None:
    built = tmp_path / "built"
    build(genesis, built, "pay.acct.open", json.dumps(ACCOUNT), "--signer", keys[0])
    # Nobody can be asked here, so nothing is signed.
    result = run("tx", "sign", built, "--key", keys[0], "-o", tmp_path / "signed")
    assert result.exit_code == 64
    assert "daily_limit: 9" in result.stderr
    assert not (tmp_path / "signed").exists()
    assert json.loads(ok("tx", "show", built, "--json"))["operations"][0]["body"] == ACCOUNT


def test_a_file_that_shows_other_than_it_holds_is_not_signed(
    tmp_path: Path, genesis: Path, keys: list[Path]
) -> None:
    built = tmp_path / "built"
    build(genesis, built, "pay.acct.open", json.dumps(ACCOUNT), "--signer", keys[0])
    built.write_text(built.read_text().replace("pay.acct.open/1", "pay.transfer/1"))
    result = run("tx", "sign", built, "--key", keys[0], "--yes")
    assert result.exit_code == 65
    assert "draft_form" in result.stderr


def test_a_key_that_is_not_asked_for_signs_nothing(
    tmp_path: Path, genesis: Path, keys: list[Path]
) -> None:
    built = tmp_path / "built"
    build(genesis, built, "pay.acct.open", json.dumps(ACCOUNT), "--signer", keys[0])
    result = run("tx", "sign", built, "--key", keys[1], "--yes")
    assert result.exit_code == 1
    assert str(keys[1]) in result.stderr


def test_an_encrypted_key_signs_with_its_passphrase(tmp_path: Path, genesis: Path) -> None:
    key, built, signed = tmp_path / "key.json", tmp_path / "built", tmp_path / "signed"
    right, wrong = passphrase_file(tmp_path, PASSPHRASE), passphrase_file(tmp_path, b"wrong")
    ok("keys", "gen", key, "--passphrase-file", right)
    build(genesis, built, "pay.acct.open", json.dumps(ACCOUNT), "--signer", key)
    sign = ("tx", "sign", built, "--key", key, "--yes", "-o", signed)
    assert run(*sign, "--passphrase-file", wrong).exit_code == 78
    assert not signed.exists()
    ok(*sign, "--passphrase-file", right)
    assert Draft.load(signed.read_bytes()).missing == ()


@pytest.mark.parametrize(
    ("arguments", "complaint", "code"),
    [
        (("pay.acct.open", '{"acct": 4}'), "kind, org, holder", 64),
        (("pay.acct.open", json.dumps(ACCOUNT | {"acct": "xyz"})), "body.acct", 64),
        (("pay.acct.open", json.dumps(ACCOUNT | {"extra": 1})), "extra unknown", 64),
        (("pay.acct.open", "not json"), "FIELDS", 64),
        (("pay.acct.opne", "{}"), "has no type pay.acct.opne", 1),
        ((), "either TYPE and FIELDS, or --operations", 64),
    ],
)
def test_what_does_not_fit_is_named(
    genesis: Path, keys: list[Path], arguments: tuple[str, ...], complaint: str, code: int
) -> None:
    offline = ("--offline", "--valid-until", 77, "--genesis", genesis, "--signer", keys[0])
    result = run("tx", "build", *arguments, *offline)
    assert result.exit_code == code
    assert complaint in result.stderr


def test_offline_needs_the_height_and_a_genesis(
    tmp_path: Path, genesis: Path, keys: list[Path]
) -> None:
    built = ("tx", "build", "pay.acct.open", json.dumps(ACCOUNT), "--signer", keys[0], "--offline")
    no_height = run(*built, "--genesis", genesis)
    assert (no_height.exit_code, "--valid-until" in no_height.stderr) == (64, True)
    no_chain = run(*built, "--valid-until", 5, "--home", tmp_path / "none")
    assert (no_chain.exit_code, "--genesis" in no_chain.stderr) == (78, True)


def test_no_output_is_overwritten(tmp_path: Path, genesis: Path, keys: list[Path]) -> None:
    built = tmp_path / "built"
    built.write_text("mine")
    offline = ("--offline", "--valid-until", 77, "--genesis", genesis, "--signer", keys[0])
    result = run("tx", "build", "pay.acct.open", json.dumps(ACCOUNT), *offline, "-o", built)
    assert result.exit_code == 78
    assert built.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "AB" * 32])
def test_what_is_no_transaction_id_is_a_usage_error(text: str) -> None:
    assert run("tx", "wait", text).exit_code == 64

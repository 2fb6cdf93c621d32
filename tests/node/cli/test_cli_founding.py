"""Four hospitals found a chain by hand, and none of them can be fooled about what they founded."""

from __future__ import annotations

import json
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from medquorum.genesis import load
from medquorum.keyfile import read_key_info
from node.config.load import load as load_config
from node.home import Home
from tests.support.cli import describe, ok, run


@pytest.fixture
def members(tmp_path: Path) -> list[Path]:
    """What four hospitals published."""
    published = []
    for name in "abcd":
        home, root = tmp_path / name, tmp_path / f"{name}.root"
        ok("init", "--home", home, "--plain-devnet")
        ok("keys", "gen", root, "--purpose", "organisation", "--plain-devnet")
        file = tmp_path / f"{name}.json"
        describe(home, root, file, address=f"{name}.example:29650")
        published.append(file)
    return published


def test_all_compose_the_same_chain_whatever_the_order(tmp_path: Path, members: list[Path]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    founding = ("--chain-name", "quartet", "--time", "2026-11-01T08:00:00+08:00")
    ok("genesis", "new", *members, *founding, "-o", one)
    ok("genesis", "new", *reversed(members), *founding, "-o", two)
    assert one.read_bytes() == two.read_bytes()
    genesis = load(one.read_bytes())
    assert ok("genesis", "hash", one) == genesis.chain_id().hex() + "\n"
    assert len(genesis.validators) == 4
    facts = json.loads(
        ok("genesis", "validate", one, *(p for m in members for p in ("--member", m)), "--json")
    )
    assert (facts["quorum"], facts["may_fail"], facts["founded"]) == (
        3,
        1,
        "2026-11-01T00:00:00+00:00",
    )


def test_every_hospital_installs_it_and_knows_its_peers(
    tmp_path: Path, members: list[Path]
) -> None:
    genesis = tmp_path / "genesis"
    ok("genesis", "new", *members, "--chain-name", "quartet", "-o", genesis)
    for name in "abcd":
        home = Home(tmp_path / name)
        ok("genesis", "install", genesis, "--home", home.root)
        line = ok("member", "peers", *members, "--home", home.root)
        config = tmp_path / f"{name}.toml"
        config.write_text(f"[p2p]\n{line}")
        peers = load_config(config, {}, {}).config.p2p.peers
        others = [other for other in "abcd" if other != name]
        assert [peer.partition("@")[2] for peer in peers] == [f"{o}.example:29650" for o in others]
        assert home.genesis_file.exists() and home.sign_state.exists()


def test_a_member_that_was_left_out_or_changed_is_noticed(
    tmp_path: Path, members: list[Path]
) -> None:
    genesis = tmp_path / "genesis"
    ok("genesis", "new", *members[:3], "--chain-name", "trio", "-o", genesis)
    assert run("genesis", "validate", genesis, "--member", members[0]).exit_code == 0
    result = run("genesis", "validate", genesis, "--member", members[3])
    assert result.exit_code == 65
    assert "does not stand unchanged" in result.stderr


def test_a_description_has_a_fingerprint_that_any_change_changes(members: list[Path]) -> None:
    first = ok("member", "fingerprint", members[0])
    members[0].write_text(members[0].read_text().replace("\n", ""))
    assert ok("member", "fingerprint", members[0]) == first
    members[0].write_text(members[0].read_text().replace("a.example", "e.example"))
    assert ok("member", "fingerprint", members[0]) != first


def test_the_legal_name_stays_here_and_can_be_shown_later(members: list[Path]) -> None:
    published = members[0].read_text()
    kept = json.loads(members[0].with_suffix(".opening").read_bytes())
    assert kept["legal_name"] not in published
    assert kept["legal_hash"] in published
    assert stat.S_IMODE(members[0].with_suffix(".opening").stat().st_mode) == 0o600
    salted = bytes.fromhex(kept["salt"]) + kept["legal_name"].encode()
    assert sha256(salted).hexdigest() == kept["legal_hash"]


@pytest.mark.parametrize(
    ("option", "complaint", "code"),
    [
        (("--param", "no.such=1"), "no.such", 65),
        (("--param", "pay.freeze_days_max=100000"), "pay.freeze_days_max", 65),
        (("--chain-name", "NOT A NAME"), "--chain-name", 64),
    ],
)
def test_a_genesis_that_no_node_would_start_is_not_composed(
    tmp_path: Path, members: list[Path], option: tuple[str, str], complaint: str, code: int
) -> None:
    genesis = tmp_path / "genesis"
    result = run("genesis", "new", *members, "--chain-name", "x", *option, "-o", genesis)
    assert result.exit_code == code
    assert complaint in result.stderr
    assert not genesis.exists()


def test_the_engine_is_the_byzantine_one_unless_another_is_chosen(
    tmp_path: Path, members: list[Path]
) -> None:
    for name, chosen, may_lie in (("pbft", (), 1), ("raft", ("--engine", "raft"), 0)):
        genesis = tmp_path / name
        ok("genesis", "new", *members, "--chain-name", "x", *chosen, "-o", genesis)
        assert load(genesis.read_bytes()).engine == name
        facts = json.loads(ok("genesis", "validate", genesis, "--json"))
        assert (facts["engine"], facts["may_fail"], facts["may_lie"]) == (name, 1, may_lie)


def test_a_parameter_of_the_chain_can_be_chosen(tmp_path: Path, members: list[Path]) -> None:
    genesis = tmp_path / "genesis"
    chosen = ("--param", "pay.freeze_days_max=7")
    ok("genesis", "new", *members, "--chain-name", "x", *chosen, "-o", genesis)
    assert [(p.name, p.value) for p in load(genesis.read_bytes()).params] == [
        ("pay.freeze_days_max", 7)
    ]


def test_two_members_with_one_key_found_nothing(tmp_path: Path, members: list[Path]) -> None:
    result = run("genesis", "new", members[0], members[0], "--chain-name", "x")
    assert result.exit_code == 65
    assert "stands twice" in result.stderr


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "medquorum/member/v2"}', "\udc80"])
def test_what_is_no_description_is_named_and_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "member.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    result = run("member", "fingerprint", file)
    assert result.exit_code == 65
    assert str(file) in result.stderr


def test_the_root_key_of_a_description_is_that_of_the_file(
    tmp_path: Path, members: list[Path]
) -> None:
    described = json.loads(members[0].read_bytes())
    public = read_key_info(tmp_path / "a.root").public
    assert described["organisation"]["root_key"] == public.hex()

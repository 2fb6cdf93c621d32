"""A home is made once, for its owner alone, and a sign state is never made behind a back."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from medquorum.errors import KeyFormatError
from medquorum.genesis import Genesis
from medquorum.genesis import load as load_genesis
from medquorum.kem import KemKey
from medquorum.keyfile import load_signing_key, read_key_info
from node.cli.setup import HomeKeys, create_home, install_genesis, refuse_existing
from node.config.load import load
from node.errors import IdentityError
from node.home import Home
from storage.errors import SignStateMismatchError
from storage.signstate import SignState
from tests.support.chain import genesis_of
from tests.support.cli import PASSPHRASE, found_alone, ok, passphrase_file, run


def mode_of(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_init_makes_encrypted_keys_that_only_the_owner_can_read(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    secret = passphrase_file(tmp_path)
    out = ok("init", "--home", home.root, "--low-memory", "--passphrase-file", secret, "--json")
    shown = json.loads(out)
    for path, name in ((home.node_key, "node_key"), (home.validator_key, "validator_key")):
        assert mode_of(path) == 0o600
        info = read_key_info(path)
        assert (info.encrypted, info.public.hex()) == (True, shown[name])
    assert mode_of(home.node_key.parent) == 0o700
    key = load_signing_key(home.node_key, purpose="node", passphrase=PASSPHRASE)
    assert key.public.hex() == shown["node_key"]
    assert not home.sign_state.exists()


def test_init_writes_a_configuration_with_the_chosen_values_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    peers = "p2p.peers=01aa@one:1,01bb@two:2"
    ok("init", "--home", tmp_path, "--plain-devnet", "--moniker", "n0", "--set", peers)
    loaded = load(home.config_file, {}, {})
    assert loaded.config.base.moniker == "n0"
    assert loaded.config.p2p.peers == ("01aa@one:1", "01bb@two:2")
    chosen = {path for path, source in loaded.sources.items() if source == "file"}
    assert chosen == {"base.moniker", "p2p.peers"}


@pytest.mark.parametrize(
    ("setting", "complaint", "code"),
    [
        ("p2p.prt=1", "did you mean p2p.port?", 78),
        ("p2p.port=many", "p2p.port", 78),
        ("p2p.port", "is not KEY=VALUE", 64),
    ],
)
def test_init_writes_nothing_if_a_value_is_wrong(
    tmp_path: Path, setting: str, complaint: str, code: int
) -> None:
    result = run("init", "--home", tmp_path / "home", "--plain-devnet", "--set", setting)
    assert result.exit_code == code
    assert complaint in result.stderr
    assert not (tmp_path / "home").exists()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    ok("init", "--home", tmp_path, "--plain-devnet")
    home = Home(tmp_path)
    before = home.node_key.read_bytes()
    home.config_file.unlink()
    result = run("init", "--home", tmp_path, "--plain-devnet")
    assert result.exit_code == 78
    assert f"{home.node_key} exists already" in result.stderr
    assert home.node_key.read_bytes() == before
    assert not home.config_file.exists()


def test_an_observer_has_no_validator_key_and_a_vault_has_two_more(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ok("init", "--home", tmp_path, "--plain-devnet", "--role", "observer", "--vault")
    assert not home.validator_key.exists()
    assert read_key_info(home.gateway_key).kind == "signing"
    assert read_key_info(home.gateway_kem).kind == "kem"


def test_without_a_passphrase_and_nobody_to_ask_nothing_is_made(tmp_path: Path) -> None:
    result = run("init", "--home", tmp_path / "home")
    assert result.exit_code == 78
    assert "--passphrase-file" in result.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_passphrase_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    secret = passphrase_file(tmp_path)
    secret.chmod(mode)
    result = run("init", "--home", tmp_path / "home", "--passphrase-file", secret)
    assert result.exit_code == 78
    assert f"mode {mode:04o}" in result.stderr


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    result = run(
        "init", "--home", tmp_path / "home", "--passphrase-file", passphrase_file(tmp_path, b"")
    )
    assert result.exit_code == 78


def test_a_genesis_brings_the_sign_state_of_its_validator(tmp_path: Path) -> None:
    home = Home(found_alone(tmp_path).home)
    genesis = load_genesis(home.genesis_file.read_bytes())
    state = SignState.open(home.sign_state)
    state.check_owner(genesis.chain_id(), read_key_info(home.validator_key).public)
    assert state.last is None


def plain_home(path: Path) -> tuple[Home, Genesis]:
    """A home without a genesis, and some genesis."""
    home = Home(path)
    create_home(home, {}, HomeKeys.generate(validator=True, vault=False), passphrase=None)
    return home, genesis_of(["a", "b", "c", "d"])


def test_installing_twice_finishes_what_was_interrupted(tmp_path: Path) -> None:
    home, genesis = plain_home(tmp_path)
    install_genesis(home, genesis)
    # As after a crash between the two files.
    home.genesis_file.unlink()
    install_genesis(home, genesis)
    assert home.genesis_file.exists()
    install_genesis(home, genesis)


def test_a_lost_sign_state_is_not_replaced_silently(tmp_path: Path) -> None:
    home, genesis = plain_home(tmp_path)
    install_genesis(home, genesis)
    home.sign_state.unlink()
    with pytest.raises(IdentityError, match="new-sign-state"):
        install_genesis(home, genesis)
    assert not home.sign_state.exists()


def test_a_second_chain_is_refused(tmp_path: Path) -> None:
    home, genesis = plain_home(tmp_path)
    install_genesis(home, genesis)
    other = genesis_of(["a", "b"])
    with pytest.raises(IdentityError, match="another genesis"):
        install_genesis(home, other)
    home.genesis_file.unlink()
    with pytest.raises(SignStateMismatchError):
        install_genesis(home, other)
    home.chain.mkdir()
    with pytest.raises(IdentityError, match="a chain already"):
        install_genesis(home, genesis)


def test_a_home_is_found_used_by_any_of_its_files(tmp_path: Path) -> None:
    home, _ = plain_home(tmp_path)
    refuse_existing(Home(tmp_path / "fresh"))
    for path in (home.config_file, home.node_key, home.validator_key):
        with pytest.raises(IdentityError, match=path.name):
            refuse_existing(home)
        path.unlink()
    refuse_existing(home)


def test_a_new_sign_state_needs_the_word_of_the_operator(tmp_path: Path) -> None:
    home, genesis = plain_home(tmp_path)
    install_genesis(home, genesis)
    refused = run("keys", "new-sign-state", "--home", tmp_path, "--never-voted")
    assert refused.exit_code == 78
    home.sign_state.unlink()
    asked = run("keys", "new-sign-state", "--home", tmp_path)
    assert asked.exit_code == 78
    assert "--never-voted" in asked.stderr
    assert not home.sign_state.exists()
    ok("keys", "new-sign-state", "--home", tmp_path, "--never-voted")
    validator = read_key_info(home.validator_key).public
    SignState.open(home.sign_state).check_owner(genesis.chain_id(), validator)


def test_a_new_passphrase_opens_the_same_key_and_the_old_one_no_more(tmp_path: Path) -> None:
    file, old, new = (
        tmp_path / "key.json",
        passphrase_file(tmp_path),
        passphrase_file(tmp_path, b"new"),
    )
    ok("keys", "gen", file, "--passphrase-file", old)
    public = read_key_info(file).public
    wrong = run("keys", "passwd", file, "--passphrase-file", new, "--new-passphrase-file", new)
    assert wrong.exit_code == 78
    ok("keys", "passwd", file, "--passphrase-file", old, "--new-passphrase-file", new)
    assert load_signing_key(file, purpose="actor", passphrase=b"new").public == public
    with pytest.raises(KeyFormatError):
        load_signing_key(file, purpose="actor", passphrase=PASSPHRASE)
    assert mode_of(file) == 0o600
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["key.json"]
    assert list(tmp_path.glob(".*")) == []


def test_a_key_is_shown_and_exported_without_its_passphrase(tmp_path: Path) -> None:
    file = tmp_path / "kem.json"
    ok("keys", "gen", file, "--kind", "kem", "--plain-devnet")
    public = read_key_info(file).public
    assert len(public) == len(KemKey.generate().public)
    assert json.loads(ok("keys", "show", file, "--json"))["public"] == public.hex()
    assert ok("keys", "export-public", file) == public.hex() + "\n"
    assert run("keys", "gen", file, "--plain-devnet").exit_code == 78

"""A validator does not go on with a sign state that does not know what the chain shows it signed
(storage.md, rule G5).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from medquorum import genesis as genesis_files
from medquorum.keyfile import save_devnet_key
from node.config.schema import Config
from node.errors import IdentityError
from node.forgotten_votes import signed_above
from node.home import Home
from node.stores import open_stores
from storage.signstate import SignState
from tests.support.cli import run
from tests.support.cluster import key_of
from tests.support.recovered import grown_past_a_disaster
from tests.support.signed_chain import REGISTRY, SignedChain
from tests.support.stopped_home import make_stopped_home

TIP = 8


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A stopped validator that signed all heights up to the last. Not to be changed."""
    home = make_stopped_home(tmp_path_factory.mktemp("sound"))
    home.validator_key.parent.mkdir()
    save_devnet_key(home.validator_key, key_of("vote0"), purpose="validator")
    return home


@pytest.fixture
def home(sound: Home, tmp_path: Path) -> Home:
    """A copy of it."""
    return Home(Path(shutil.copytree(sound.root, tmp_path / "home")))


@pytest.fixture
def recovered(tmp_path: Path) -> Iterator[SignedChain]:
    """Validators 0 to 3 up to height 5, then 4 to 7; the last of each never signs."""
    chain = grown_past_a_disaster(tmp_path / "chain")
    yield chain
    chain.close()


def put_back(home: Home, last: int) -> None:
    """The sign state as it was at an earlier height; 0: a new one."""
    chain_id = genesis_files.load(home.genesis_file.read_bytes()).chain_id()
    home.sign_state.unlink()
    state = SignState.create(home.sign_state, chain_id, key_of("vote0").public)
    if last > 0:
        state.check_and_save(last, 0, 3, bytes(32))


@pytest.mark.parametrize(
    ("name", "above", "found"),
    [
        ("vote0", 0, 5),
        ("vote0", 4, 5),
        ("vote0", 5, None),
        ("vote3", 0, None),
        ("vote4", 0, TIP),
        ("vote4", TIP - 1, TIP),
        ("vote4", TIP, None),
        ("vote7", 0, None),
        ("vote9", 0, None),
    ],
)
def test_the_last_height_that_a_key_signed_is_found_in_the_sets_that_have_it(
    recovered: SignedChain, name: str, above: int, found: int | None
) -> None:
    key = key_of(name).public
    assert signed_above(recovered.chain.blocks, recovered.genesis, key, above) == found


@pytest.mark.parametrize("last", [0, 1, TIP - 1])
def test_a_node_does_not_start_with_an_older_sign_state_than_its_chain(
    home: Home, last: int
) -> None:
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    validator = key_of("vote0").public
    open_stores(home, Config(), genesis, REGISTRY, validator).close()
    put_back(home, last)
    with pytest.raises(IdentityError, match=f"signed height {TIP} of this chain"):
        open_stores(home, Config(), genesis, REGISTRY, validator)
    open_stores(home, Config(), genesis, REGISTRY, None).close()


def test_no_new_sign_state_is_made_for_a_key_that_the_chain_shows_to_have_voted(
    home: Home,
) -> None:
    home.sign_state.unlink()
    words = ("keys", "new-sign-state", "--home", home.root, "--never-voted")
    refused = run(*words)
    assert (refused.exit_code, f"signed height {TIP}" in refused.stderr) == (78, True)
    assert not home.sign_state.exists()
    home.validator_key.unlink()
    save_devnet_key(home.validator_key, key_of("vote9"), purpose="validator")
    assert run(*words).exit_code == 0

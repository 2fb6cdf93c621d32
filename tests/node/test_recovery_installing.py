"""A recovery gets into a home whole, once, and never beside votes of another key."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from consensus.messages import AcceptedRecord, CommittedRecord, encode_record
from medquorum import genesis as genesis_files
from medquorum.errors import VerificationError
from medquorum.keyfile import save_devnet_key
from medquorum.recovery_file import RecoveryFile
from node.errors import IdentityError, RecoveryRefusedError
from node.home import Home
from node.recovering import installed_recovery
from node.recovery_installing import install_recovery
from node.recovery_proposals import may_have_been_certified, propose_recovery
from node.recovery_seats import dump_seat, load_seat
from storage.files import DiskFiles
from storage.signstate import SignState
from storage.wal import WriteAheadLog
from tests.support.cli import run
from tests.support.cluster import key_of
from tests.support.recovered import new_validators, recovery_of
from tests.support.signed_chain import SignedChain


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Of validator 0, which voted at height 6 of a chain that has five blocks."""
    place = Home(tmp_path / "home")
    for folder in (place.config_file.parent, place.node_key.parent, place.data):
        folder.mkdir(parents=True)
    place.config_file.write_text("")
    member = SignedChain(place.chain)
    member.grow(5)
    place.genesis_file.write_bytes(genesis_files.dump(member.genesis))
    member.close()
    save_devnet_key(place.node_key, key_of("node4"), purpose="node")
    save_devnet_key(place.validator_key, key_of("vote0"), purpose="validator")
    genesis = genesis_files.load(place.genesis_file.read_bytes())
    SignState.create(place.sign_state, genesis.chain_id(), key_of("vote0").public)
    SignState.open(place.sign_state).check_and_save(6, 0, 2, bytes(32))
    with closing(WriteAheadLog.open(place.consensus_log)) as log:
        log.append([encode_record(AcceptedRecord(6, 0, bytes(32)))])
    return place


def reading(home: Home, folder: Path) -> SignedChain:
    """A copy of the chain, to propose on."""
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    member = SignedChain(folder / "copy", genesis=genesis)
    member.grow(5)
    return member


@pytest.fixture
def file(home: Home, tmp_path: Path) -> RecoveryFile:
    """A recovery of that chain."""
    with closing(reading(home, tmp_path)) as member:
        return recovery_of(member.chain)


def new_key(folder: Path, name: str = "vote4") -> Path:
    path = folder / name
    save_devnet_key(path, key_of(name), purpose="validator")
    return path


def installed(home: Home, file: RecoveryFile, key: Path | None) -> bool:
    return install_recovery(home, genesis_files.load(home.genesis_file.read_bytes()), file, key)


def names(folder: Path) -> set[str]:
    return {path.name.split(".before")[0] for path in folder.iterdir() if ".before" in path.name}


def test_the_new_key_begins_with_an_empty_sign_state_and_no_log(
    home: Home, file: RecoveryFile, tmp_path: Path
) -> None:
    assert installed(home, file, new_key(tmp_path))
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    state = SignState.open(home.sign_state)
    state.check_owner(genesis.chain_id(), key_of("vote4").public)
    assert state.last is None
    assert not home.consensus_log.exists()
    assert names(home.data) == {"consensus.log", "sign_state"}
    assert names(home.validator_key.parent) == {"validator_key.json"}
    assert installed_recovery(home, genesis) is not None


def test_it_can_be_installed_again_and_votes_of_the_new_key_stay(
    home: Home, file: RecoveryFile, tmp_path: Path
) -> None:
    key = new_key(tmp_path)
    assert installed(home, file, key)
    SignState.open(home.sign_state).check_and_save(6, 0, 2, bytes(32))
    with closing(WriteAheadLog.open(home.consensus_log)) as log:
        log.append([encode_record(AcceptedRecord(6, 0, bytes(32)))])
    assert installed(home, file, key)
    assert installed(home, file, None)
    assert SignState.open(home.sign_state).last == (6, 0, 2)
    with closing(WriteAheadLog.open(home.consensus_log)) as log:
        assert len(log.records) == 1


def fresh_home(struck: Home, folder: Path) -> Home:
    """Of a new machine, which joins in the recovery and has nothing of the old chain."""
    place = Home(folder / "fresh")
    for directory in (place.config_file.parent, place.node_key.parent, place.data):
        directory.mkdir(parents=True)
    place.genesis_file.write_bytes(struck.genesis_file.read_bytes())
    save_devnet_key(place.node_key, key_of("node4"), purpose="node")
    return place


def test_a_sign_state_that_was_lost_since_is_not_made_anew(
    home: Home, file: RecoveryFile, tmp_path: Path
) -> None:
    """On a new machine, where no file that was put aside is in the way of a second call."""
    fresh, key = fresh_home(home, tmp_path), new_key(tmp_path)
    assert installed(fresh, file, key)
    SignState.open(fresh.sign_state).check_and_save(6, 0, 2, bytes(32))
    with closing(WriteAheadLog.open(fresh.consensus_log)) as log:
        log.append([encode_record(AcceptedRecord(6, 0, bytes(32)))])
    fresh.sign_state.unlink()
    for given in (key, None):
        with pytest.raises(IdentityError, match="may have voted"):
            installed(fresh, file, given)
    assert not fresh.sign_state.exists()
    assert names(fresh.data) == set()


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_who_followed_without_a_vote_may_get_its_key_later(
    home: Home, file: RecoveryFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Whichever rename of the second call is the last one before the power fails."""
    fresh, key = fresh_home(home, tmp_path), new_key(tmp_path)
    assert not installed(fresh, file, None)
    with monkeypatch.context() as patched:
        fail_after(patched, steps)
        with pytest.raises(OSError, match="power"):
            installed(fresh, file, key)
    assert installed(fresh, file, key)
    genesis = genesis_files.load(fresh.genesis_file.read_bytes())
    SignState.open(fresh.sign_state).check_owner(genesis.chain_id(), key_of("vote4").public)


def fail_after(patched: pytest.MonkeyPatch, renames: int) -> None:
    """So many files get their names, and then the power fails."""
    real, left = DiskFiles.rename, [renames]

    def failing(self: DiskFiles, source: Path, target: Path) -> None:
        if left[0] == 0:
            raise OSError("the power fails")
        left[0] -= 1
        real(self, source, target)

    patched.setattr(DiskFiles, "rename", failing)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 5])
def test_whatever_interrupts_it_a_second_call_completes_it(
    home: Home,
    file: RecoveryFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    """Each rename in turn is the last thing that happens before the power fails."""
    key = new_key(tmp_path)
    with monkeypatch.context() as patched:
        fail_after(patched, steps)
        with pytest.raises(OSError, match="power"):
            installed(home, file, key)
    assert not home.recovery_file.exists()
    assert installed(home, file, key)
    genesis = genesis_files.load(home.genesis_file.read_bytes())
    SignState.open(home.sign_state).check_owner(genesis.chain_id(), key_of("vote4").public)
    assert names(home.data) == {"consensus.log", "sign_state"}
    assert not home.consensus_log.exists()


def test_an_old_key_or_a_strange_one_is_refused(
    home: Home, file: RecoveryFile, tmp_path: Path
) -> None:
    with pytest.raises(IdentityError, match="none of the recovery's"):
        installed(home, file, None)
    with pytest.raises(IdentityError, match="no vote key of this recovery"):
        installed(home, file, new_key(tmp_path, "vote9"))
    with pytest.raises(IdentityError, match="another node key"):
        installed(home, file, new_key(tmp_path, "vote5"))
    assert names(home.data) == set()


def test_another_recovery_of_the_same_number_is_refused(
    home: Home, file: RecoveryFile, tmp_path: Path
) -> None:
    key = new_key(tmp_path)
    installed(home, file, key)
    with closing(reading(home, tmp_path / "again")) as member:
        other = recovery_of(member.chain, reason="site.flooded")
    with pytest.raises(RecoveryRefusedError, match="recovery_second"):
        installed(home, other, key)


def test_what_is_not_complete_is_not_installed(home: Home, tmp_path: Path) -> None:
    key = new_key(tmp_path)
    with closing(reading(home, tmp_path)) as member:
        blank = propose_recovery(member.chain, new_validators(member.chain), "site.lost")
    with pytest.raises(RecoveryRefusedError, match="recovery_signatures"):
        installed(home, blank.sign(key_of("org0")), key)
    three = blank.sign(key_of("org0")).sign(key_of("org1")).sign(key_of("org2"))
    with pytest.raises(RecoveryRefusedError, match="recovery_transaction"):
        installed(home, three, key)


def test_a_validator_that_signed_a_result_above_does_not_propose_unasked(
    home: Home, tmp_path: Path
) -> None:
    with closing(reading(home, tmp_path)) as member:
        seats = [dump_seat(validator) for validator in new_validators(member.chain)]
    paths = []
    for number, seat in enumerate(seats):
        paths.append(tmp_path / f"seat{number}")
        paths[-1].write_bytes(seat)
    chosen = [part for path in paths for part in ("--seat", path)]
    words = ("recovery", "propose", "--home", home.root, *chosen, "--reason", "site.lost")
    with closing(WriteAheadLog.open(home.consensus_log)) as log:
        log.append([encode_record(CommittedRecord(6, 0, bytes(32), bytes(32)))])
    refused = run(*words)
    assert refused.exit_code == 1
    assert "--give-up 6" in refused.output
    assert run(*words, "--give-up", 5).exit_code == 1
    given_up = run(*words, "--give-up", 6)
    assert given_up.exit_code == 0
    assert RecoveryFile.load(given_up.stdout.encode()).statement.height == 5


def test_what_may_be_certified_is_what_the_log_or_the_sign_state_cannot_exclude() -> None:
    prepared = AcceptedRecord(6, 0, bytes(32))
    said = CommittedRecord(6, 0, bytes(32), bytes(32))
    assert may_have_been_certified(None, (), 5) == 0
    assert may_have_been_certified((5, 0, 3), (), 5) == 0
    assert may_have_been_certified((6, 0, 2), (prepared,), 5) == 0
    assert may_have_been_certified((6, 0, 3), (prepared, said), 5) == 6
    assert may_have_been_certified((6, 1, 0), (prepared, said), 5) == 6, "a later wish hides it"
    assert may_have_been_certified((6, 0, 2), (), 5) == 6, "the log is gone"
    assert may_have_been_certified((8, 0, 2), (prepared,), 5) == 8


def test_a_seat_is_what_it_was_or_refused(home: Home, tmp_path: Path) -> None:
    with closing(reading(home, tmp_path)) as member:
        validator = new_validators(member.chain)[0]
    data = dump_seat(validator)
    assert load_seat(data) == validator
    short = data.replace(b'"0', b'"', 1)
    for wrong in (b"", data[:-3], data.replace(b"seat/v1", b"seat/v2"), short):
        with pytest.raises(VerificationError):
            load_seat(wrong)

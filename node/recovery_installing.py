"""Puts a disaster recovery into the home of a node that does not run, and a new vote key with it
(docs/spec/disaster-recovery.md, section 5).

What the old vote key signed is put aside, not removed: its sign state and the consensus log. They
are about heights that others may have to look at, and the new key has nothing to do with them.
"""

from __future__ import annotations

import os
from pathlib import Path

from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.keyfile import read_key_info
from medquorum.recovery import RecoveryStatement
from medquorum.recovery_file import RecoveryFile, VerifiedRecovery
from node.errors import IdentityError, RecoveryRefusedError
from node.home import Home
from storage.errors import SignStateMismatchError
from storage.files import DiskFiles
from storage.signstate import SignState


def require_complete(file: RecoveryFile, genesis: Genesis) -> VerifiedRecovery:
    """What the file comes to. Raises VerificationError, RecoveryRefusedError if it cannot be
    applied: too few have signed it, or nobody has combined it.
    """
    verified = file.verify(genesis)
    if not verified.powers.enough:
        raise RecoveryRefusedError(
            "recovery_signatures",
            f"organisations of {verified.powers.signed} of {verified.powers.total} validators"
            " signed: more than two thirds must",
        )
    if verified.transaction is None:
        raise RecoveryRefusedError("recovery_transaction", "it was signed, but not combined")
    return verified


def install_recovery(
    home: Home, genesis: Genesis, file: RecoveryFile, validator_key: Path | None
) -> bool:
    """Put the recovery in place, and `validator_key` if one is given; whether the node votes then.

    The caller holds the lock of the data directory, and has seen that the chain there, if there is
    one, takes the recovery. A second call finishes what a first one began. Raises IdentityError,
    RecoveryRefusedError, VerificationError, StorageErrors, OSError.
    """
    statement = require_complete(file, genesis).statement
    again = _refuse_another(home, statement)
    seats = {validator.key: validator for validator in statement.validators}
    source = validator_key or home.validator_key
    key = read_key_info(source).public if source.exists() else None
    if validator_key is not None and key not in seats:
        raise IdentityError(f"{validator_key} is no vote key of this recovery")
    if key in seats and key is not None:
        node_key = read_key_info(home.node_key).public
        if seats[key].node_key != node_key:
            raise IdentityError(f"the recovery names another node key for this validator: {home}")
    elif key is not None:
        raise IdentityError(
            f"the vote key of this node is none of the recovery's. Give the new one with"
            f" --validator-key, or put {source} aside: the node then follows without a vote"
        )
    if again and key is not None and key == _own_key(home) and not home.sign_state.exists():
        # What the chain knows of this key says nothing any more: it may vote since the first call.
        raise IdentityError(
            f"{home.sign_state} is missing, and this recovery and this vote key are in place from"
            " before: it may have voted. If it never has, 'medquorum keys new-sign-state"
            " --never-voted'; else rejoin with a new validator key, by governance"
        )
    _put_aside(home, statement, key)
    if key is not None and not home.sign_state.exists():
        # Nobody has ever voted with it: the state of the chain knows no such key (rule Z7). Before
        # the key is in its place, so that a key here without one always means that it was lost.
        SignState.create(home.sign_state, genesis.chain_id(), key)
    if validator_key is not None:
        _take_key(home, validator_key, _suffix(statement))
    _replace(home.recovery_file, file.dump())
    return key is not None


def _own_key(home: Home) -> bytes | None:
    return read_key_info(home.validator_key).public if home.validator_key.exists() else None


def _refuse_another(home: Home, statement: RecoveryStatement) -> bool:
    """Whether this very one is installed; raises if another is that it does not follow."""
    path = home.recovery_file
    if not path.exists():
        return False
    try:
        installed = RecoveryFile.load(path.read_bytes()).statement
    except VerificationError as error:
        raise IdentityError(f"{path} is in the way: {error}") from None
    if installed.counter == statement.counter and installed != statement:
        raise RecoveryRefusedError(
            "recovery_second",
            f"{installed.id().hex()} is installed, which is recovery {installed.counter} too;"
            " who signed both has forked the chain",
        )
    if installed.counter > statement.counter:
        raise RecoveryRefusedError(
            "recovery_counter", f"recovery {installed.counter} is installed already"
        )
    return installed == statement


def _put_aside(home: Home, statement: RecoveryStatement, key: bytes | None) -> None:
    """What belongs to another vote key than `key`. The log first: as long as the sign state is
    there, a second call knows that the log is still the old one's.
    """
    if not home.sign_state.exists():
        if key is not None:
            _move(home.consensus_log, _suffix(statement))
        return
    if key is not None and _is_of(SignState.open(home.sign_state), statement.chain_id, key):
        return
    _move(home.consensus_log, _suffix(statement))
    _move(home.sign_state, _suffix(statement))


def _is_of(state: SignState, chain_id: bytes, key: bytes) -> bool:
    try:
        state.check_owner(chain_id, key)
    except SignStateMismatchError:
        return False
    return True


def _take_key(home: Home, validator_key: Path, suffix: str) -> None:
    data = validator_key.read_bytes()
    if home.validator_key.exists():
        if home.validator_key.read_bytes() == data:
            return
        _move(home.validator_key, suffix)
    _replace(home.validator_key, data)


def _suffix(statement: RecoveryStatement) -> str:
    return f".before-recovery-{statement.counter}-{statement.id().hex()[:8]}"


def _move(path: Path, suffix: str) -> None:
    if not path.exists():
        return
    aside = path.with_name(path.name + suffix)
    if aside.exists():
        raise IdentityError(f"{aside} is there already, and nothing is ever overwritten")
    files = DiskFiles()
    files.rename(path, aside)
    files.sync_directory(path.parent)


def _replace(path: Path, data: bytes) -> None:
    """The whole file or none of it, durable, for its owner alone."""
    temp = path.with_name(path.name + ".tmp")
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    files = DiskFiles()
    files.rename(temp, path)
    files.sync_directory(path.parent)

"""`medquorum recovery`: go on after more validators were lost than the engine bears."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from medquorum.encoding import from_hex
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.hashing import HASH_BYTES
from medquorum.keyfile import read_key_info
from medquorum.keys import SigningKey, possession_bytes
from medquorum.limits import RECOVERY_FILE_BYTES_MAX
from medquorum.recovery import RecoveredValidator
from medquorum.recovery_file import RecoveryFile, VerifiedRecovery
from node.chain import Chain
from node.cli.exits import Ended, Exit
from node.cli.files import load_genesis_file
from node.cli.keys import load_any
from node.cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    genesis_option,
    home_option,
    json_option,
    passphrase_option,
    short_name,
)
from node.cli.show import echo_json, proves_nothing, read_input, write_output
from node.cli.stopped import StoppedNode, stopped_node
from node.errors import RecoveryRefusedError
from node.home import Home
from node.modules import installed_registry
from node.recovery_installing import install_recovery, require_complete
from node.recovery_proposals import may_have_been_certified, propose_recovery
from node.recovery_seats import SEAT_BYTES_MAX, dump_seat, load_seat
from node.stores import decode_records
from storage.lock import DataDirLock
from storage.signstate import SignState
from storage.wal import WriteAheadLog

_OUTPUT = click.option("-o", "--output", type=NEW_FILE, help="Write there; must not exist.")


@click.group
def recovery() -> None:
    """Go on after more validators were lost for ever than the chain bears.

    Organisations name the new validators by their root keys, more than two thirds of the chain
    together. It is the last resort, and every later receipt shows it. The operators' guide has the
    drill.
    """


@recovery.command("seat")
@home_option
@genesis_option
@click.option("--org", required=True, metavar="HEX", help="The organisation of the validator.")
@click.option(
    "--validator-key",
    type=EXISTING_FILE,
    help="The new vote key, if it is not that of the home: one that never voted.",
)
@_OUTPUT
@passphrase_option
def seat(
    *,
    home: Path,
    genesis: Path | None,
    org: str,
    validator_key: Path | None,
    output: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Print what a proposal needs of one validator: its keys, and the proof of the vote key."""
    place = Home(home)
    owner = _org(org)
    chain_id = load_genesis_file(genesis or place.genesis_file).chain_id()
    key = _signing_key(validator_key or place.validator_key, passphrase_file)
    proof = key.sign(possession_bytes(chain_id, owner, key.public))
    node_key = read_key_info(place.node_key).public
    write_output(output, dump_seat(RecoveredValidator(key.public, node_key, owner, proof)))


@recovery.command("propose")
@home_option
@click.option(
    "--seat",
    "seats",
    type=EXISTING_FILE,
    multiple=True,
    required=True,
    help="A validator of the new set ('recovery seat'); in this order they take turns.",
)
@click.option(
    "--reason", required=True, callback=short_name, help="A token for people: site.lost, say."
)
@click.option(
    "--give-up",
    type=click.IntRange(1),
    help="The height above the last one of which the lost may hold the certificate.",
)
@_OUTPUT
def propose(
    home: Path, seats: tuple[Path, ...], reason: str, give_up: int | None, output: Path | None
) -> None:
    """Write the statement that continues the highest certified height of this stopped node.

    Do it on the node that has the highest: a recovery gives up what lies above.
    """
    validators = [load_seat(read_input(path, SEAT_BYTES_MAX)) for path in seats]
    with stopped_node(Home(home)) as node:
        chain = _chain(node)
        doubtful = _doubtful(node, chain.tip.height)
        if doubtful and give_up != doubtful:
            raise Ended(
                Exit.NO,
                f"this validator signed a result at height {doubtful}, above the last certified"
                f" one that is here ({chain.tip.height}): those who are lost may hold its"
                f" certificate. If no copy of it can be found anywhere, say --give-up {doubtful}",
            )
        try:
            file = propose_recovery(chain, validators, reason)
        except RecoveryRefusedError as error:
            raise Ended(Exit.NO, str(error)) from None
    write_output(output, file.dump())
    statement = file.statement
    click.echo(
        f"Recovery {statement.counter} continues height {statement.height},"
        f" block {statement.block_hash.hex()}.",
        err=True,
    )


@recovery.command("sign")
@click.argument("file", type=EXISTING_FILE)
@click.option("--key", type=EXISTING_FILE, required=True, help="Our organisation's root key.")
@genesis_option
@home_option
@_OUTPUT
@passphrase_option
def sign(
    *,
    file: Path,
    key: Path,
    genesis: Path | None,
    home: Path,
    output: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Verify FILE and sign it for our organisation, into another file.

    What is signed cannot be taken back: compare the height and the validators with the others, by
    telephone, first.
    """
    read, founded = _file(file), _genesis(genesis, home)
    read.verify(founded)
    signed = read.sign(_signing_key(key, passphrase_file))
    write_output(output, signed.dump())
    click.echo("\n".join(_in_words(signed.verify(founded))), err=True)


@recovery.command("combine")
@click.argument("files", type=EXISTING_FILE, nargs=-1, required=True)
@click.option("--key", type=EXISTING_FILE, required=True, help="A root key that may sign.")
@genesis_option
@home_option
@_OUTPUT
@passphrase_option
def combine(
    *,
    files: tuple[Path, ...],
    key: Path,
    genesis: Path | None,
    home: Path,
    output: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Join the signatures of FILES into one file that 'recovery apply' takes."""
    founded = _genesis(genesis, home)
    first, *others = [_file(path) for path in files]
    for path, other in zip(files[1:], others, strict=True):
        if other.statement != first.statement:
            raise Ended(Exit.NO, f"{path} is about another statement than {files[0]}")
        first = first.joined(other.signatures)
    if not first.verify(founded).powers.enough:
        click.echo("\n".join(_in_words(first.verify(founded))), err=True)
        raise Ended(Exit.NO, "too few organisations have signed")
    combined = first.combined(_signing_key(key, passphrase_file))
    require_complete(combined, founded)
    write_output(output, combined.dump())


@recovery.command("verify", epilog="Exit code 0: it can be applied; 1: not, or not yet.")
@click.argument("file", type=EXISTING_FILE)
@genesis_option
@home_option
@json_option
def verify(file: Path, genesis: Path | None, home: Path, as_json: bool) -> int:
    """Check FILE from the genesis, without any node: the height that it continues, and who signed.

    Whether a chain takes it, the node checks with which it is applied.
    """
    founded = _genesis(genesis, home)
    try:
        found = _file(file).verify(founded)
    except VerificationError as error:
        return proves_nothing(error, as_json=as_json)
    complete = found.powers.enough and found.transaction is not None
    if as_json:
        echo_json(_document(found, complete=complete))
    else:
        click.echo("\n".join(_in_words(found)))
    return Exit.OK if complete else Exit.NO


@recovery.command("apply")
@click.argument("file", type=EXISTING_FILE)
@home_option
@click.option("--validator-key", type=EXISTING_FILE, help="The new vote key of this node.")
def apply(file: Path, home: Path, validator_key: Path | None) -> None:
    """Put FILE into a stopped node's home; from its next start on it follows the new validators.

    A validator of the old set gets its new vote key with --validator-key; what the old one signed
    is put aside. A node that has a certified block above the height refuses, and names it.
    """
    place, read = Home(home), _file(file)
    founded = load_genesis_file(place.genesis_file)
    complete = require_complete(read, founded)
    if place.chain.exists():
        with stopped_node(place) as node:
            if complete.transaction is not None:
                _chain(node).expect(complete.transaction)
    place.data.mkdir(parents=True, exist_ok=True)
    with DataDirLock(place.data):
        votes = install_recovery(place, founded, read, validator_key)
    role = "votes" if votes else "follows without a vote"
    click.echo(f"Recovery {read.statement.counter} is in place; this node {role}.", err=True)


def _chain(node: StoppedNode) -> Chain:
    keep = node.config.storage.keep_versions
    return Chain(node.kv, node.genesis, installed_registry(), keep_versions=keep)


def _doubtful(node: StoppedNode, tip_height: int) -> int:
    """See may_have_been_certified."""
    home = node.home
    last = SignState.open(home.sign_state).last if SignState.exists(home.sign_state) else None
    if not home.consensus_log.exists():
        return may_have_been_certified(last, (), tip_height)
    with closing(WriteAheadLog.open(home.consensus_log)) as log:
        return may_have_been_certified(last, decode_records(home, log), tip_height)


def _file(path: Path) -> RecoveryFile:
    return RecoveryFile.load(read_input(path, RECOVERY_FILE_BYTES_MAX))


def _genesis(genesis: Path | None, home: Path) -> Genesis:
    return load_genesis_file(genesis or Home(home).genesis_file)


def _org(text: str) -> bytes:
    try:
        return from_hex(text, size=HASH_BYTES)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--org") from None


def _signing_key(path: Path, passphrase_file: Path | None) -> SigningKey:
    key = load_any(path, read_key_info(path), passphrase_file)
    if not isinstance(key, SigningKey):
        raise Ended(Exit.CONFIG, f"{path} holds no signing key")
    return key


def _document(found: VerifiedRecovery, *, complete: bool) -> dict[str, object]:
    statement = found.statement
    return {
        "proven": True,
        "complete": complete,
        "id": found.id.hex(),
        "counter": statement.counter,
        "height": statement.height,
        "block_hash": statement.block_hash.hex(),
        "result_hash": statement.result_hash.hex(),
        "reason": statement.reason,
        "validators": [
            {"key": v.key.hex(), "node_key": v.node_key.hex(), "org": v.org.hex()}
            for v in statement.validators
        ],
        "signed": [org.hex() for org in found.signed],
        "missing": [org.hex() for org in found.missing],
        "weight": found.powers.signed,
        "of": found.powers.total,
    }


def _in_words(found: VerifiedRecovery) -> list[str]:
    statement = found.statement
    lines = [
        f"Recovery {statement.counter} of chain {statement.chain_id.hex()} ({statement.reason})",
        f"continues height {statement.height}, block {statement.block_hash.hex()},",
        f"under {len(statement.validators)} new validators:",
    ]
    lines += [f"  {v.key.hex()} of {v.org.hex()}" for v in statement.validators]
    weight = found.powers
    enough = "enough" if weight.enough else "more than two thirds must"
    lines.append(f"Signed for {weight.signed} of {weight.total} old validators: {enough}.")
    lines += [f"  not by {org.hex()}" for org in found.missing]
    if weight.enough and found.transaction is None:
        lines.append("It has yet to be combined.")
    return lines

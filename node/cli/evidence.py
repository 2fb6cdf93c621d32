"""`medquorum evidence`: who contradicted itself, proof of it, and the way to have it suspended."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from secrets import token_bytes
from typing import Final

import click
import msgspec

from medquorum.builder import Draft as TxDraft
from medquorum.builder import TransactionBuilder
from medquorum.codec import encode
from medquorum.errors import VerificationError
from medquorum.evidence import Statement
from medquorum.evidence_file import VerifiedEvidence, verify_evidence_file
from medquorum.genesis import Genesis
from medquorum.keyfile import load_signing_key, read_key_info
from medquorum.limits import EVIDENCE_FILE_BYTES_MAX
from node.cli.exits import Ended, Exit
from node.cli.fetch import get, get_json
from node.cli.files import load_genesis_file
from node.cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    genesis_option,
    home_option,
    json_option,
    passphrase_option,
    rpc_option,
    timeout_option,
)
from node.cli.remote import connect, needed_genesis
from node.cli.secret import passphrase_for_opening
from node.cli.show import echo_json, fields, proves_nothing, read_input, table, write_output
from node.ledger.decisions import Draft, proposal_id
from node.ledger.proposals import ProposalKind, ValidatorSuspend
from node.ledger.types.governance.bodies import Propose

IN: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
VALID_FOR: Final = 100
_ID: Final = re.compile(r"[0-9a-f]{64}")
_ORG_ID: Final = re.compile(r"[0-9a-f]{64}")
_NONCE_BYTES: Final = 16
_PAGE: Final = 100

MEANINGS: Final = {
    "equivocation": "said two different things in one height, round and phase",
    "amnesia": "signed a COMMIT, and denied it when it wished for a later round",
    "two_results": "signed two different results of one block",
}
_TAGS: Final = {
    "X": "proposed",
    "P": "prepared",
    "C": "committed",
    "R": "wished for the round (or voted in the term), naming",
    "A": "acknowledged",
}


class Piece(msgspec.Struct):
    """One line of the list."""

    id: str
    validator: str
    kind: str
    height: int
    votes_today: bool = False


class Pieces(msgspec.Struct):
    """A page of the list."""

    evidence: list[Piece]
    next: str = ""


class Key(msgspec.Struct):
    """Whose key it is."""

    org: str
    actor: str = ""


@click.group
def evidence() -> None:
    """Validators that contradicted themselves: what a node can prove, and what to do about it."""


@evidence.command("list")
@click.option("--validator", default="", metavar="KEY_HEX", help="Against this one only.")
@rpc_option
@timeout_option
@json_option
def list_(validator: str, rpc: str, timeout: float, as_json: bool) -> None:
    """List what a node holds: all correct nodes hold the same accusations."""
    found: list[Piece] = []
    query = {"limit": str(_PAGE), "validator": validator}
    while True:
        page = get_json(Pieces, rpc, "v1/evidence", query, timeout_s=timeout)
        found += page.evidence
        if page.next == "":
            break
        query["after"] = page.next
    if as_json:
        echo_json(found)
        return
    rows = [(p.id, p.kind, p.height, "yes" if p.votes_today else "no", p.validator) for p in found]
    table(("id", "kind", "height", "votes today", "validator"), rows)


@evidence.command("show")
@click.argument("evidence_id", metavar="ID")
@click.option("-o", "--output", type=NEW_FILE, help="Write the file that convicts without a node.")
@genesis_option
@home_option
@rpc_option
@timeout_option
@json_option
def show(
    *,
    evidence_id: str,
    output: Path | None,
    genesis: Path | None,
    home: Path,
    rpc: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Fetch one piece of evidence, check it against the genesis, and say what it proves."""
    data = _fetch(rpc, evidence_id, timeout)
    proven = verify_evidence_file(data, needed_genesis(genesis, home))
    if proven.id.hex() != evidence_id:
        raise VerificationError("evidence_id", "the node gave another piece of evidence")
    if output is not None:
        write_output(output, data)
    _print(proven, as_json)


@evidence.command("verify")
@click.argument("file", type=IN)
@click.option(
    "--genesis",
    type=EXISTING_FILE,
    required=True,
    help="The genesis, from a source that you trust: the proof is only as good as that.",
)
@json_option
def verify(file: Path, genesis: Path, as_json: bool) -> int:
    """Check what FILE proves. Needs no network and asks nobody.

    Exit code 0: it proves what is printed; 1: it proves nothing.
    """
    founded = load_genesis_file(genesis)
    try:
        proven = verify_evidence_file(read_input(file, EVIDENCE_FILE_BYTES_MAX), founded)
    except VerificationError as error:
        return proves_nothing(error, as_json=as_json)
    _print(proven, as_json)
    return Exit.OK


@evidence.command("propose")
@click.argument("what", metavar="ID|FILE")
@click.option(
    "--key",
    required=True,
    type=EXISTING_FILE,
    help="Key file of an organisation that operates a validator, or of its administrator.",
)
@click.option("--org", default="", metavar="ORG_HEX", help="For whom. Default: whose key it is.")
@click.option("--yes", is_flag=True, help="Do not ask whether to propose this.")
@click.option("-o", "--output", type=NEW_FILE, help="Write the signed transaction; send nothing.")
@passphrase_option
@genesis_option
@home_option
@rpc_option
@timeout_option
@json_option
def propose(
    *,
    what: str,
    key: Path,
    org: str,
    yes: bool,
    output: Path | None,
    passphrase_file: Path | None,
    genesis: Path | None,
    home: Path,
    rpc: str,
    timeout: float,
    as_json: bool,
) -> int:
    """Propose to the members to suspend the validator that the evidence convicts.

    The evidence is checked here before anything is signed, and by the ledger again. Nothing happens
    to the validator until more than two thirds approve. Exit code 1: it proves nothing, or the
    ledger refuses the proposal.
    """
    founded = needed_genesis(genesis, home)
    stored = _ID.fullmatch(what) is not None
    data = _fetch(rpc, what, timeout) if stored else read_input(Path(what), EVIDENCE_FILE_BYTES_MAX)
    try:
        proven = verify_evidence_file(data, founded)
    except VerificationError as error:
        raise Ended(Exit.NO, f"this proves nothing. {error}") from None
    _confirm(proven, yes=yes)
    proposer = _org_of(key, org, rpc, timeout)
    content = encode(ValidatorSuspend(proven.evidence))
    draft = Draft(ProposalKind.VALIDATOR_SUSPEND.value, content, token_bytes(_NONCE_BYTES))
    with connect(rpc, founded, timeout_s=timeout) as client:
        until = client.status().height + VALID_FOR
        transaction = _signed(founded, until, Propose(proposer, draft), key, passphrase_file)
        if output is not None:
            write_output(output, transaction.dump())
            _say_proposal(draft, "", as_json=as_json)
            return Exit.OK
        status = client.submit(transaction.complete(), wait="committed", timeout_s=timeout)
    if status.state != "committed":
        raise Ended(Exit.NO, f"transaction {status.txid} is {status.state}: {status.code or ''}")
    _say_proposal(draft, status.txid, as_json=as_json)
    return Exit.OK


def _confirm(proven: VerifiedEvidence, *, yes: bool) -> None:
    click.echo("\n".join(in_words(proven)), err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Ended(Exit.USAGE, "nobody can be asked here whether to propose this: give --yes")
    click.confirm("Propose to suspend this validator?", abort=True, err=True)


def _signed(
    founded: Genesis, until: int, body: Propose, key: Path, passphrase_file: Path | None
) -> TxDraft:
    info = read_key_info(key)
    passphrase = passphrase_for_opening(passphrase_file) if info.encrypted else None
    # A chain refuses keys that it does not know; which file is for play, its owner knows.
    signer = load_signing_key(key, purpose=info.purpose, passphrase=passphrase, devnet=True)
    builder = TransactionBuilder(founded.chain_id(), valid_until=until)
    return builder.operation("gov.propose", body).signer(signer.public).build().sign(signer)


def _org_of(key: Path, org: str, rpc: str, timeout: float) -> bytes:
    """The organisation that proposes: the one named, or whose key it is by the node's word. Of a
    wrong one the ledger refuses the proposal.
    """
    if org != "":
        if _ORG_ID.fullmatch(org) is None:
            raise click.BadParameter(f"{org!r} is not 64 hexadecimal digits", param_hint="--org")
        return bytes.fromhex(org)
    with connect(rpc, timeout_s=timeout) as client:
        found = client.query("id.key", key=read_key_info(key).public).result
    if found is None:
        raise Ended(Exit.NO, f"the chain does not know the key of {key}")
    return bytes.fromhex(msgspec.convert(found, Key).org)


def _say_proposal(draft: Draft, txid: str, *, as_json: bool) -> None:
    proposal = proposal_id(draft).hex()
    if as_json:
        echo_json({"proposal": proposal, "txid": txid or None})
        return
    fields([("proposal", proposal), ("txid", txid or "not sent")])
    click.echo(
        "Each organisation votes with: medquorum tx build gov.vote"
        f' \'{{"org": "...", "proposal": "{proposal}", "decision": "approve"}}\' --signer ...',
        err=True,
    )


def _fetch(rpc: str, evidence_id: str, timeout: float) -> bytes:
    if _ID.fullmatch(evidence_id) is None:
        raise click.BadParameter(f"{evidence_id!r} is not 64 hexadecimal digits", param_hint="ID")
    return get(rpc, f"v1/evidence/{evidence_id}/file", timeout_s=timeout)


def _print(proven: VerifiedEvidence, as_json: bool) -> None:
    if as_json:
        echo_json(_document(proven))
    else:
        click.echo("\n".join(in_words(proven)))


def in_words(proven: VerifiedEvidence) -> list[str]:
    """What a piece of evidence proves, for people who never heard of rounds."""
    accusation, pair = proven.accusation, (proven.evidence.first, proven.evidence.second)
    return [
        f"Proven: {accusation.kind.value}. On the chain {proven.chain_id.hex()}",
        f"validator {accusation.validator.hex()}",
        f"of organisation {proven.validator.org.hex()}",
        f"{MEANINGS[accusation.kind.value]}, at height {accusation.height}:",
        *(f"  it {_said(statement)}" for statement in pair),
        "It signed both. No correct validator does, whatever its network or its clock do to it.",
        "Two copies of one key do, and so does a disk that was restored from a backup.",
    ]


def _said(statement: Statement) -> str:
    parts = [part.hex() if isinstance(part, bytes) else str(part) for part in statement.payload]
    return f"{_TAGS[statement.tag]} {' '.join(parts) or 'nothing'} in round {statement.round}"


def _document(proven: VerifiedEvidence) -> dict[str, object]:
    return {
        "proven": True,
        "id": proven.id.hex(),
        "chain_id": proven.chain_id.hex(),
        "validator": proven.accusation.validator.hex(),
        "org": proven.validator.org.hex(),
        "kind": proven.accusation.kind.value,
        "height": proven.accusation.height,
        "statements": [
            {
                "tag": statement.tag,
                "round": statement.round,
                "payload": [
                    part.hex() if isinstance(part, bytes) else part for part in statement.payload
                ],
            }
            for statement in (proven.evidence.first, proven.evidence.second)
        ],
    }

"""`medquorum receipt` and `medquorum verify-receipt`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from medquorum.catalogue import entry
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.limits import RECEIPT_BYTES_MAX
from medquorum.quorum import quorum
from medquorum.receipt import VerifiedReceipt, verify_receipt
from node.cli.exits import Exit
from node.cli.files import load_genesis_file
from node.cli.operations import describe
from node.cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    genesis_option,
    home_option,
    json_option,
    rpc_option,
    timeout_option,
)
from node.cli.remote import connect, needed_genesis
from node.cli.show import echo_json, proves_nothing, read_input, write_output
from node.cli.tx import IN, tx_id_of
from node.rpc.view import attributes

_MS: Final = 1000


@click.command
@click.argument("tx_id", metavar="TXID")
@click.option("-o", "--output", type=NEW_FILE, help="Write there; must not exist.")
@genesis_option
@home_option
@rpc_option
@timeout_option
def receipt(
    *,
    tx_id: str,
    output: Path | None,
    genesis: Path | None,
    home: Path,
    rpc: str,
    timeout: float,
) -> None:
    """Fetch the receipt of a final transaction, check it, and write it to a file that proves it
    without any node.
    """
    wanted = tx_id_of(tx_id)
    founded = needed_genesis(genesis, home)
    with connect(rpc, founded, timeout_s=timeout) as client:
        data = client.receipt_file(wanted)
    proven = verify_receipt(data, founded)
    if proven.tx_id != wanted:
        raise VerificationError("receipt_tx", "the node gave the receipt of another transaction")
    write_output(output, data)
    click.echo(f"{proven.code} at height {proven.height}, verified", err=True)


@click.command("verify-receipt")
@click.argument("file", type=IN)
@click.option(
    "--genesis",
    type=EXISTING_FILE,
    required=True,
    help="The genesis, from a source that you trust: the proof is only as good as that.",
)
@json_option
def verify_receipt_command(file: Path, genesis: Path, as_json: bool) -> int:
    """Check what FILE proves. Needs no network and asks nobody.

    Exit code 0: it proves what is printed; 1: it proves nothing.
    """
    from_files = load_genesis_file(genesis)
    try:
        proven = verify_receipt(read_input(file, RECEIPT_BYTES_MAX), from_files)
    except VerificationError as error:
        return proves_nothing(error, as_json=as_json)
    if as_json:
        echo_json(_document(proven))
    else:
        click.echo("\n".join(in_words(proven, from_files)))
    return Exit.OK


def in_words(proven: VerifiedReceipt, genesis: Genesis) -> list[str]:
    """What a receipt proves, for people who never heard of Merkle trees."""
    when = f"{datetime.fromtimestamp(proven.time_ms / _MS, UTC):%Y-%m-%d %H:%M:%S} UTC"
    lines = [
        f"Proven: on the chain '{genesis.chain_name}' ({proven.chain_id.hex()})",
        f"transaction {proven.tx_id.hex()}",
        f"was decided at height {proven.height}, {when} by the clock of the block.",
    ]
    if proven.succeeded:
        lines.append("It took effect, all of it:")
    else:
        known = entry(proven.code)
        title = "" if known is None else f" ({known.titles['en']})"
        lines.append(
            f"It was rejected with {proven.code}{title} at operation {proven.failed_operation}, "
            "and changed nothing:"
        )
    lines += [f"  {op.type} version {op.version}" for op in proven.operations]
    lines.append("Signed by:")
    lines += [f"  {key.hex()}" for key in proven.signers]
    if proven.events:
        lines.append("It caused:")
        lines += [f"  {event.type} {attributes(event.attributes)}" for event in proven.events]
    lines.append(
        f"Certified by validators: {len(proven.certified_by)}. At the founding there were "
        f"{len(genesis.validators)}, of whom {_needed(genesis)} suffice; changes since then are "
        "part of the proof."
    )
    if proven.recoveries:
        lines.append(
            f"Disaster recoveries before it: {proven.recoveries}. So often organisations named the "
            "validators by their root keys, because too many were lost; that is part of the proof."
        )
    return lines


def _needed(genesis: Genesis) -> int:
    return quorum(genesis.engine, len(genesis.validators))


def _document(proven: VerifiedReceipt) -> dict[str, object]:
    return {
        "proven": True,
        "txid": proven.tx_id.hex(),
        "chain_id": proven.chain_id.hex(),
        "height": proven.height,
        "index": proven.index,
        "time_ms": proven.time_ms,
        "block_hash": proven.block_hash.hex(),
        "code": proven.code,
        "failed_operation": None if proven.succeeded else proven.failed_operation,
        "operations": [describe(operation) for operation in proven.operations],
        "signers": [key.hex() for key in proven.signers],
        "events": [
            {"type": event.type, "attributes": attributes(event.attributes)}
            for event in proven.events
        ],
        "certified_by": [key.hex() for key in proven.certified_by],
        "recoveries": proven.recoveries,
    }

"""`medquorum tx`: build, sign (here, or on a machine without a network), submit, wait."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import click

from medquorum.answers import TxStatus
from medquorum.client import WINDOW_DEFAULT, Wait
from medquorum.keyfile import load_signing_key, read_key_info
from medquorum.keys import SigningKey
from node.cli.exits import Ended, Exit
from node.cli.files import load_draft
from node.cli.operations import (
    LocalSchemas,
    NodeSchemas,
    build_draft,
    parse_operations,
    public_key,
    show_draft,
)
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
from node.cli.remote import connect, known_genesis, needed_genesis
from node.cli.secret import passphrase_for_opening
from node.cli.show import echo_json, fields, write_output

IN: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_TX_ID: Final = re.compile(r"[0-9a-f]{64}")


@click.group
def tx() -> None:
    """Build, sign, submit and follow transactions.

    The three steps may happen on three machines: 'build' asks a node for the shape of operations
    (or, with --offline, this installation), 'sign' needs no network, 'submit' needs no key.
    """


@tx.command("build")
@click.argument("type", metavar="[TYPE]", required=False)
@click.argument("body", metavar="[FIELDS]", required=False)
@click.option(
    "--operations",
    type=IN,
    help='JSON file [{"type": ..., "version": 1, "body": {...}}, ...]: all or nothing.',
)
@click.option("--version", default=1, show_default=True, help="The version of TYPE.")
@click.option(
    "--signer",
    "signers",
    multiple=True,
    required=True,
    metavar="KEY",
    help="A public key in hexadecimal, or a key file. May be repeated.",
)
@click.option(
    "--valid-for",
    default=WINDOW_DEFAULT,
    show_default=True,
    help="Heights from the newest within which it may be committed.",
)
@click.option("--valid-until", type=int, help="The last such height, instead of --valid-for.")
@click.option(
    "--offline",
    is_flag=True,
    help="Ask no node: shapes come from this installation. Needs --valid-until and a genesis.",
)
@click.option("-o", "--output", type=NEW_FILE, help="Write there; must not exist.")
@genesis_option
@home_option
@rpc_option
@timeout_option
def build(
    *,
    type: str | None,
    body: str | None,
    operations: Path | None,
    version: int,
    signers: tuple[str, ...],
    valid_for: int,
    valid_until: int | None,
    offline: bool,
    output: Path | None,
    genesis: Path | None,
    home: Path,
    rpc: str,
    timeout: float,
) -> None:
    """Build a transaction that waits for its signatures.

    One operation: TYPE and its FIELDS as a JSON object ('medquorum schema TYPE' shows them), bytes
    in hexadecimal. Several: --operations.
    """
    wanted = parse_operations(type, version, body, operations)
    publics = [public_key(signer) for signer in signers]
    if offline:
        if valid_until is None:
            raise click.UsageError("--offline needs --valid-until: nobody knows the height here")
        chain_id = needed_genesis(genesis, home).chain_id()
        draft = build_draft(LocalSchemas(), chain_id, valid_until, wanted, publics)
    else:
        founded = known_genesis(genesis, home)
        if founded is None:
            click.echo("No genesis here: which chain this is for, the node says.", err=True)
        with connect(rpc, founded, timeout_s=timeout) as client:
            status = client.status()
            last = status.height + valid_for if valid_until is None else valid_until
            chain_id = bytes.fromhex(status.chain_id)
            draft = build_draft(NodeSchemas(client), chain_id, last, wanted, publics)
    write_output(output, draft.dump())
    click.echo(f"{draft.tx_id.hex()} may be committed until {draft.body.valid_until}", err=True)


@tx.command("sign")
@click.argument("file", type=IN)
@click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    type=EXISTING_FILE,
    help="A key file. May be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether this is what to sign.")
@click.option("-o", "--output", type=NEW_FILE, help="Write there; must not exist.")
@passphrase_option
def sign(
    file: Path, keys: tuple[Path, ...], yes: bool, output: Path | None, passphrase_file: Path | None
) -> None:
    """Add signatures to a transaction that was built elsewhere. Needs no network."""
    draft = load_draft(file)
    show_draft(draft, err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise Ended(Exit.USAGE, "nobody can be asked here whether to sign this: give --yes")
        click.confirm("Sign this?", abort=True, err=True)
    for key in keys:
        if read_key_info(key).public not in draft.body.signers:
            raise Ended(Exit.NO, f"{key} holds no key that is to sign this")
    signed = draft.sign(*(_open(key, passphrase_file) for key in keys))
    write_output(output, signed.dump())
    missing = len(signed.missing)
    click.echo(f"{missing} signatures missing" if missing else "complete", err=True)


@tx.command("show")
@click.argument("what", metavar="FILE|TXID")
@rpc_option
@json_option
def show(what: str, rpc: str, as_json: bool) -> None:
    """Show what is in FILE, or where the transaction TXID stands."""
    if _TX_ID.fullmatch(what) is not None:
        with connect(rpc) as client:
            _show_status(client.tx(bytes.fromhex(what)), as_json)
        return
    show_draft(load_draft(Path(what)), as_json=as_json)


@tx.command("submit")
@click.argument("file", type=IN)
@click.option(
    "--wait",
    type=click.Choice(["none", "accepted", "committed"]),
    default="committed",
    show_default=True,
    help="Until when to wait.",
)
@rpc_option
@timeout_option
@json_option
def submit(file: Path, wait: Wait, rpc: str, timeout: float, as_json: bool) -> int:
    """Send a complete transaction. Sending it again is harmless.

    Exit code 0: it took effect, or is pending if that is all we waited for; 1: rejected, refused or
    expired; 75: still pending, or no answer.
    """
    draft = load_draft(file)
    if draft.missing:
        missing = ", ".join(key.hex() for key in draft.missing)
        raise Ended(Exit.NO, f"not signed yet by {missing}")
    transaction = draft.complete()
    with connect(rpc, timeout_s=timeout) as client:
        return _show_status(client.submit(transaction, wait=wait, timeout_s=timeout), as_json)


@tx.command("wait")
@click.argument("tx_id", metavar="TXID")
@rpc_option
@timeout_option
@json_option
def wait_(tx_id: str, rpc: str, timeout: float, as_json: bool) -> int:
    """Wait until TXID is final. Exit codes as of 'submit'."""
    with connect(rpc, timeout_s=timeout) as client:
        return _show_status(client.wait(tx_id_of(tx_id), timeout_s=timeout), as_json)


def tx_id_of(text: str) -> bytes:
    """The id of a transaction. A usage error if it is none."""
    if _TX_ID.fullmatch(text) is None:
        raise click.BadParameter(f"{text!r} is not 64 hexadecimal digits", param_hint="TXID")
    return bytes.fromhex(text)


def _open(file: Path, passphrase_file: Path | None) -> SigningKey:
    info = read_key_info(file)
    passphrase = passphrase_for_opening(passphrase_file) if info.encrypted else None
    # A chain refuses the signatures of keys that it does not know; which file is for play, its
    # owner knows.
    return load_signing_key(file, purpose=info.purpose, passphrase=passphrase, devnet=True)


def _show_status(status: TxStatus, as_json: bool) -> Exit:
    if as_json:
        echo_json(status)
    else:
        shown = [("txid", status.txid), ("state", status.state)]
        if status.height is not None:
            shown.append(("height", str(status.height)))
        if status.code is not None:
            # Which operation failed says nothing where none did.
            where = "" if status.code == "ok" else f" at operation {status.operation}"
            shown.append(("code", status.code + where))
        fields(shown)
    return Exit.NO if status.state in {"rejected", "expired", "unknown"} else Exit.OK

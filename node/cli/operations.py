"""Operations from JSON, and transactions for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import click
import msgspec

from medquorum.builder import Draft, TransactionBuilder
from medquorum.client_sync import SyncClient
from medquorum.errors import MalformedError
from medquorum.keyfile import read_key_info
from medquorum.keys import PUBLIC_KEY_BYTES
from medquorum.limits import ENVELOPE_FILE_BYTES_MAX
from medquorum.schema import json_schema
from medquorum.transaction import Operation
from node.cli.exits import Ended, Exit
from node.cli.show import echo_json, read_input
from node.ledger.decisions import proposal_id
from node.ledger.errors import TxError
from node.ledger.proposals import content_of
from node.ledger.types.governance.bodies import Propose
from node.modules import installed_registry
from node.rpc.view import view


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation as people write it."""

    type: str
    body: dict[str, object]
    version: int = 1


class Schemas(Protocol):
    """Where the shapes of operations come from."""

    def schema(self, type_: str, version: int) -> dict[str, object]:
        """The JSON Schema of the body of a type."""
        ...


class NodeSchemas:
    """The published ones of a node."""

    def __init__(self, client: SyncClient) -> None:
        self._client = client

    def schema(self, type_: str, version: int) -> dict[str, object]:
        """See Schemas. Raises ProblemError `not_found`."""
        return self._client.schema(type_, version).schema


class LocalSchemas:
    """Those of this installation, for machines without a network."""

    def __init__(self) -> None:
        self._registry = installed_registry()

    def schema(self, type_: str, version: int) -> dict[str, object]:
        """See Schemas. Ends the command for an unknown type."""
        entry = self._registry.entry(type_, version)
        if entry is None:
            raise Ended(Exit.NO, f"this installation has no type {type_} version {version}")
        return json_schema(entry.type.body)


def parse_operations(
    type_: str | None, version: int, body: str | None, file: Path | None
) -> list[Wanted]:
    """What the command line asks for: either TYPE and FIELDS, or a file. Usage errors otherwise."""
    if (type_ is None) == (file is None):
        raise click.UsageError("give either TYPE and FIELDS, or --operations FILE")
    try:
        if file is not None:
            data = read_input(file, ENVELOPE_FILE_BYTES_MAX)
            return msgspec.json.decode(data, type=list[Wanted])
        body_fields = msgspec.json.decode(body or "{}", type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where = "FIELDS" if file is None else str(file)
        raise click.BadParameter(
            f"not the JSON that is wanted: {error}", param_hint=where
        ) from None
    return [Wanted(type_ or "", body_fields, version)]


def public_key(text: str) -> bytes:
    """A public key in hexadecimal, or that of a key file."""
    if len(text) == 2 * PUBLIC_KEY_BYTES:
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    path = Path(text)
    if not path.exists():
        raise click.BadParameter(
            f"{text!r} is neither a public key nor a key file", param_hint="--signer"
        )
    return read_key_info(path).public


def build_draft(
    schemas: Schemas,
    chain_id: bytes,
    valid_until: int,
    wanted: Sequence[Wanted],
    signers: Sequence[bytes],
) -> Draft:
    """The transaction without signatures. Ends the command for fields that do not fit."""
    builder = TransactionBuilder(chain_id, valid_until=valid_until)
    for item in wanted:
        schema = schemas.schema(item.type, item.version)
        try:
            builder.operation_from_json(item.type, schema, item.body, version=item.version)
        except MalformedError as error:
            raise Ended(Exit.USAGE, f"{item.type}: {error}") from None
    return builder.signer(*signers).build()


def describe(operation: Operation) -> dict[str, object]:
    """The operation with its body by names, or in hexadecimal if this build does not know it. What
    is proposed is shown by names as well: nobody should sign what they cannot read.
    """
    try:
        decoded = installed_registry().decode_body(operation)
        body: object = view(decoded)
        if isinstance(decoded, Propose) and isinstance(body, dict):
            body["draft"]["content"] = view(content_of(decoded.draft))
            body["proposal"] = proposal_id(decoded.draft).hex()
    except TxError:
        body = operation.body.hex()
    return {"type": operation.type, "version": operation.version, "body": body}


def show_draft(draft: Draft, *, as_json: bool = False, err: bool = False) -> None:
    """All that is about to be signed, or was."""
    body = draft.body
    shown: dict[str, object] = {
        "txid": draft.tx_id.hex(),
        "chain_id": body.chain_id.hex(),
        "valid_until": body.valid_until,
        "signers": [key.hex() for key in body.signers],
        "missing": [key.hex() for key in draft.missing],
        "operations": [describe(operation) for operation in body.operations],
    }
    if as_json:
        echo_json(shown)
        return
    click.echo(f"transaction  {shown['txid']}", err=err)
    click.echo(f"chain        {shown['chain_id']}", err=err)
    click.echo(f"valid until  height {body.valid_until}", err=err)
    for key in body.signers:
        click.echo(f"signer       {key.hex()}{' (missing)' * (key in draft.missing)}", err=err)
    for operation in body.operations:
        known = describe(operation)
        click.echo(f"operation    {operation.type} version {operation.version}", err=err)
        inner = known["body"]
        lines = inner.items() if isinstance(inner, dict) else [("body (unknown here)", inner)]
        for name, value in lines:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            click.echo(f"    {name}: {text}", err=err)

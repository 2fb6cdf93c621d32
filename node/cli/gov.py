"""`medquorum gov`: proposals as people write and read them, and changes of the validators looked at
before they are made.
"""

from __future__ import annotations

from pathlib import Path
from secrets import token_bytes
from typing import Final

import click
import msgspec

from medquorum.errors import MalformedError
from medquorum.schema import body_from_json, json_schema
from node.cli.exits import Ended, Exit
from node.cli.fetch import get_json
from node.cli.options import NEW_FILE, json_option, rpc_option, short_name, timeout_option
from node.cli.show import echo_json, fields, table, write_output
from node.ledger.decisions import APPROVE, Draft, proposal_id
from node.ledger.errors import TxError
from node.ledger.proposals import CONTENTS, ProposalKind, content_of
from node.rpc.view import view

ID_BYTES: Final = 32
NONCE_BYTES: Final = 16


class Seat(msgspec.Struct, frozen=True):
    """A validator after the change."""

    key: str
    node_key: str
    standing: str
    behind: int
    newcomer: bool


class Forecast(msgspec.Struct, frozen=True):
    """The part of /v1/validators/forecast that is shown; a newer node may say more."""

    safe: bool
    engine: str
    ready: int
    needed: int
    detail: str
    validators: tuple[Seat, ...]


@click.group
def gov() -> None:
    """Write and read proposals; look before validators change."""


def _id(_context: click.Context, parameter: click.Parameter, value: str) -> bytes:
    try:
        found = bytes.fromhex(value)
    except ValueError:
        found = b""
    if len(found) != ID_BYTES:
        raise click.BadParameter(f"{parameter.name} is {2 * ID_BYTES} hexadecimal digits")
    return found


def _name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    return None if value is None else short_name(context, parameter, value)


@gov.command("propose")
@click.argument("kind")
@click.argument("content", metavar="FIELDS")
@click.option("--org", required=True, callback=_id, metavar="HEX", help="The organisation.")
@click.option("--approve", is_flag=True, help="Vote for it in the same transaction.")
@click.option(
    "--override",
    metavar="REASON",
    callback=_name,
    help="Answer for a change of validators that nodes hold for dangerous, e.g. site.lost.",
)
@click.option("-o", "--output", type=NEW_FILE, help="Write there; must not exist.")
def propose(
    *,
    kind: str,
    content: str,
    org: bytes,
    approve: bool,
    override: str | None,
    output: Path | None,
) -> None:
    """Write the operations that put something to the vote, for 'medquorum tx build --operations'.

    KIND and its FIELDS, a JSON object with bytes in hexadecimal, are those of docs/spec/ledger.md,
    section Governance. The id of the proposal goes to the standard error. Asks no node.
    """

    draft = _draft(kind, content)
    proposal = proposal_id(draft).hex()
    drafted = {"kind": draft.kind, "content": draft.content.hex(), "nonce": draft.nonce.hex()}
    wanted: list[tuple[str, dict[str, object]]] = [("gov.propose", {"draft": drafted})]
    if approve:
        wanted.append(("gov.vote", {"proposal": proposal, "decision": APPROVE}))
    if override is not None:
        wanted.append(("gov.override", {"proposal": proposal, "reason": override}))
    operations = [{"type": name, "body": {"org": org.hex(), **body}} for name, body in wanted]
    data = msgspec.json.format(msgspec.json.encode(operations), indent=2)
    write_output(output, data + b"\n")
    click.echo(f"proposal {proposal}", err=True)


def _draft(kind: str, content: str) -> Draft:

    if kind not in tuple(ProposalKind):
        raise click.BadParameter(f"one of {', '.join(ProposalKind)}", param_hint="KIND")
    try:
        given = msgspec.json.decode(content, type=dict[str, object])
        encoded = body_from_json(json_schema(CONTENTS[ProposalKind(kind)]), given)
        draft = Draft(kind, encoded, token_bytes(NONCE_BYTES))
        # What the schema does not say, the structure does.
        content_of(draft)
    except (msgspec.DecodeError, MalformedError, TxError) as error:
        raise click.BadParameter(str(error), param_hint="FIELDS") from None
    return draft


@gov.command("show")
@click.argument("proposal", callback=_id)
@rpc_option
@timeout_option
def show(proposal: bytes, rpc: str, timeout: float) -> None:
    """Show what a proposal would do, who has voted, and who answers for it. The content is checked
    against the id; the rest is the word of the node.
    """

    query = {"proposal": proposal.hex()}
    answered = get_json(_Found, rpc, "v1/query/gov.proposal", query=query, timeout_s=timeout)
    found = answered.result
    if found is None:
        raise Ended(Exit.NO, f"{rpc} knows no such proposal")
    kind, content, nonce = (str(found.pop(name)) for name in ("kind", "content", "nonce"))
    draft = Draft(kind, bytes.fromhex(content), bytes.fromhex(nonce))
    if proposal_id(draft) != proposal:
        raise Ended(Exit.CORRUPT, f"{rpc} shows other than what was proposed")
    try:
        shown = view(content_of(draft))
    except TxError as error:
        raise Ended(Exit.CORRUPT, f"this installation cannot read it: {error.detail}") from None
    echo_json({"height": answered.height, "kind": kind, "content": shown, **found})


class _Found(msgspec.Struct):
    height: int
    result: dict[str, object] | None


@gov.command("check")
@click.option("--proposal", metavar="HEX", help="What this proposal would change.")
@click.option("--add", metavar="NODE_KEY", help="Give this daemon a vote.")
@click.option("--remove", metavar="VOTE_KEY", help="Take this validator's vote away.")
@click.option("--replace", metavar="VOTE_KEY", help="Put the daemon of --by in its place.")
@click.option("--by", metavar="NODE_KEY", help="See --replace.")
@rpc_option
@timeout_option
@json_option
def check(
    *,
    proposal: str | None,
    add: str | None,
    remove: str | None,
    replace: str | None,
    by: str | None,
    rpc: str,
    timeout: float,
    as_json: bool,
) -> int:
    """Say whether a quorum would be there after a change, as the node sees its peers now. Without a
    change: whether one is there today.

    Exit code 0: it would be; 1: it would not, and the node would refuse the change.
    """
    asked = {"proposal": proposal, "add": add, "remove": remove, "replace": replace, "by": by}
    query = {name: value for name, value in asked.items() if value is not None}
    raw = get_json(dict[str, object], rpc, "v1/validators/forecast", query=query, timeout_s=timeout)
    found = msgspec.convert(raw, Forecast)
    if as_json:
        echo_json(raw)
    else:
        _show(found)
    return Exit.OK if found.safe else Exit.NO


def _show(found: Forecast) -> None:
    table(
        ("validator", "daemon", "standing"),
        [
            (
                seat.key[:16] or "-",
                seat.node_key[:16],
                seat.standing
                + (f" by {seat.behind}" if seat.standing == "behind" else "")
                + (", new" if seat.newcomer else ""),
            )
            for seat in found.validators
        ],
    )
    spare = found.ready - found.needed
    more = f", so {spare} more may fail" if spare >= 0 else ""
    fields(
        [
            ("there", f"{found.ready} of {len(found.validators)}"),
            ("needed", f"{found.needed} ({found.engine}){more}"),
            ("state", "safe" if found.safe else found.detail),
        ]
    )

"""`medquorum gov`: changes of the validators, looked at before they are made."""

from __future__ import annotations

import click
import msgspec

from node.cli.exits import Exit
from node.cli.fetch import get_json
from node.cli.options import json_option, rpc_option, timeout_option
from node.cli.show import echo_json, fields, table


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
    """Look at changes of the validators before they are made."""


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

"""`medquorum node`: what an operator asks of a running node, on its operators' port."""

from __future__ import annotations

import click
import msgspec

from node.cli.exits import Ended, Exit
from node.cli.fetch import post_json
from node.cli.options import json_option, ops_option
from node.cli.show import echo_json


class Handed(msgspec.Struct, frozen=True):
    """Who led before, and who leads now."""

    before: str
    leader: str


@click.group
def node() -> None:
    """Ask something of a running node, as its operator."""


@node.command("transfer-leader")
@click.option(
    "--to",
    default="",
    metavar="KEY_HEX",
    help="The validator key of the next leader, or how it begins (8 digits at least). Default: "
    "whoever is best placed.",
)
@click.option(
    "--timeout",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, 60, min_open=True),
    help="Seconds until the wish is taken back.",
)
@ops_option
@json_option
def transfer_leader(to: str, timeout: float, ops: str, as_json: bool) -> None:
    """Hand the leadership over before planned maintenance (Raft chains only). Run it at the leader;
    it returns once somebody else leads. A node that is stopped does this by itself.

    Exit code 1: the node refuses, because it does not lead or KEY_HEX names no other validator;
    75: the next leader is behind or did not take over in time, and this node leads on.
    """
    try:
        bytes.fromhex(to)
    except ValueError:
        raise click.BadParameter(f"{to!r} is not hexadecimal", param_hint="--to") from None
    wish = {"to": to.lower(), "timeout": timeout}
    # The node answers within its time; ours is a little longer, so that we hear what it says.
    handed = post_json(Handed, ops, "transfer-leadership", wish, timeout_s=timeout + 5)
    if handed.before == handed.leader:
        raise Ended(Exit.CONFIG, f"{ops} answers, but not as a node does")
    if as_json:
        echo_json(handed)
    else:
        click.echo(f"{handed.leader} leads now")

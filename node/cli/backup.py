"""`medquorum backup`: asks a running node for a backup of its chain."""

from __future__ import annotations

import click
import msgspec

from node.cli.fetch import post_json
from node.cli.options import json_option, ops_option
from node.cli.show import echo_json, fields


class Made(msgspec.Struct, frozen=True):
    """The backup that the node made."""

    height: int
    digest: str
    block_hash: str
    state_root: str
    entries: int
    chunks: int
    chunks_new: int
    bytes: int
    bytes_new: int
    seconds: float


@click.command("backup")
@ops_option
@json_option
@click.option(
    "--timeout",
    default=3600.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds until we wait no longer. The node goes on with it.",
)
def backup(ops: str, timeout: float, as_json: bool) -> None:
    """Have a running node write a backup of its chain to the directory that its configuration names
    (backup.directory).

    All of it is of one height, and the chain goes on meanwhile. What the directory has already is
    not written again. The sign state, keys, logs and the vault are not in it. Exit code 1: the node
    makes no backups.
    """
    made = post_json(Made, ops, "backup", {}, timeout_s=timeout)
    if as_json:
        echo_json(made)
    else:
        fields(list(msgspec.structs.asdict(made).items()))

"""Options that many commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

HOME_DEFAULT: Final = "~/.medquorum"
RPC_DEFAULT: Final = "http://127.0.0.1:29651"
OPS_DEFAULT: Final = "http://127.0.0.1:29652"
EXISTING_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_NAME: Final = re.compile(r"[a-z][a-z0-9_.\-]{0,63}")


def _expanded(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    return value.expanduser().absolute()


def short_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """A callback for what travels as a Name of the codec, whose own message names no option."""
    if _NAME.fullmatch(value) is None:
        raise click.BadParameter(
            f"{value!r} is no name: at most 64 of a-z, 0-9, '_', '.' and '-', a letter first"
        )
    return value


home_option: Final = click.option(
    "--home",
    envvar="MEDQUORUM_HOME",
    default=HOME_DEFAULT,
    show_default=True,
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    callback=_expanded,
    help="The home directory of the node.",
)
"""`home`: the home directory of the node."""


json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs."
)
"""`as_json`: for programs."""


rpc_option: Final = click.option(
    "--rpc",
    envvar="MEDQUORUM_RPC",
    default=RPC_DEFAULT,
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="The API of the node to ask.",
)
"""`rpc`: the address of a node's API."""


ops_option: Final = click.option(
    "--ops",
    envvar="MEDQUORUM_OPS",
    default=OPS_DEFAULT,
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="The operators' port of the node.",
)
"""`ops`: the address of a node's operators' port."""


passphrase_option: Final = click.option(
    "--passphrase-file",
    envvar="MEDQUORUM_PASSPHRASE_FILE",
    show_envvar=True,
    type=EXISTING_FILE,
    help="File whose first line is the passphrase of the key files. Without it: the systemd "
    "credential 'passphrase', else a prompt.",
)
"""`passphrase_file`: where the passphrase of the key files stands."""

genesis_option: Final = click.option(
    "--genesis",
    type=EXISTING_FILE,
    help="What proofs are checked against. Default: the genesis of the home, if there is one.",
)
"""`genesis`: the genesis of the chain, from a source that the user trusts."""

linearizable_option: Final = click.option(
    "--linearizable",
    is_flag=True,
    help="See everything that was decided, anywhere, when this was asked (Raft chains only).",
)
"""`linearizable`: not only what the node happens to have."""

timeout_option: Final = click.option(
    "--timeout", default=30.0, show_default=True, help="Seconds until we give up."
)
"""`timeout`: in seconds."""

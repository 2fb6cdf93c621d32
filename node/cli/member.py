"""`medquorum member`: what the others need to know of us, and we of them."""

from __future__ import annotations

from pathlib import Path
from secrets import token_bytes
from typing import Final

import click
import msgspec

from medquorum.keyfile import read_key_info
from node.cli.description import (
    FORMAT,
    Daemon,
    Description,
    Organisation,
    hide_legal_name,
    read_description,
)
from node.cli.exits import Ended, Exit
from node.cli.options import EXISTING_FILE, NEW_FILE, home_option, short_name
from node.cli.setup import write_private
from node.cli.show import write_output
from node.home import Home

_ORG_ID_BYTES: Final = 32


@click.group
def member() -> None:
    """Publish what the others need to know of us, and use what they published."""


@member.command("describe")
@home_option
@click.option("--legal-name", required=True, help="The legal name. It stays here: see --opening.")
@click.option(
    "--kind",
    default="hospital",
    show_default=True,
    callback=short_name,
    help="The kind of organisation.",
)
@click.option(
    "--jurisdiction", required=True, callback=short_name, help="Whose law applies, e.g. cn."
)
@click.option(
    "--root-key",
    required=True,
    type=EXISTING_FILE,
    help="Key file of the organisation ('medquorum keys gen --purpose organisation').",
)
@click.option(
    "--address", required=True, metavar="HOST:PORT", help="Where members reach this node."
)
@click.option("--gateway-uri", default="", help="Where members reach our records vault.")
@click.option(
    "--opening",
    required=True,
    type=NEW_FILE,
    help="Write the salted legal name here, to be kept: it shows later whom the hash means.",
)
@click.option("-o", "--output", type=NEW_FILE, help="Write there; must not exist.")
def describe(
    *,
    home: Path,
    legal_name: str,
    kind: str,
    jurisdiction: str,
    root_key: Path,
    address: str,
    gateway_uri: str,
    opening: Path,
    output: Path | None,
) -> None:
    """Print what the others need to found a chain with us. It holds no secret."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise click.BadParameter(f"{address!r} is not HOST:PORT", param_hint="--address")
    for path in (opening, output):
        if path is not None and path.exists():
            raise Ended(Exit.CONFIG, f"{path} exists already, and nothing is ever overwritten")
    place = Home(home)
    salt, legal_hash = hide_legal_name(legal_name)
    validator = place.validator_key
    description = Description(
        FORMAT,
        Organisation(
            token_bytes(_ORG_ID_BYTES).hex(),
            kind,
            legal_hash.hex(),
            jurisdiction,
            read_key_info(root_key).public.hex(),
            gateway_uri,
        ),
        [
            Daemon(
                read_key_info(place.node_key).public.hex(),
                read_key_info(validator).public.hex() if validator.exists() else "",
                address,
            )
        ],
    )
    description.genesis_org()
    kept = {"legal_name": legal_name, "salt": salt.hex(), "legal_hash": legal_hash.hex()}
    write_private(opening, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
    write_output(output, description.dump())
    click.echo(f"fingerprint {description.fingerprint()}", err=True)


@member.command("fingerprint")
@click.argument("files", nargs=-1, required=True, type=EXISTING_FILE)
def fingerprint(files: tuple[Path, ...]) -> None:
    """Print what to compare with the sender of each description."""
    for file in files:
        click.echo(f"{read_description(file).fingerprint()}  {file}")


@member.command("peers")
@click.argument("files", nargs=-1, required=True, type=EXISTING_FILE)
@home_option
def peers(files: tuple[Path, ...], home: Path) -> None:
    """Print the line p2p.peers of the configuration, for all members but ourselves."""
    own = Home(home).node_key
    own_key = read_key_info(own).public.hex() if own.exists() else ""
    found = [
        peer
        for file in files
        for peer in read_description(file).peers()
        if not peer.startswith(f"{own_key}@")
    ]
    click.echo(f"peers = {msgspec.json.encode(found).decode()}")

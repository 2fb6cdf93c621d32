"""`medquorum init`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from medquorum.keyfile import Strength
from node.cli.files import load_genesis_file
from node.cli.options import EXISTING_FILE, home_option, json_option, passphrase_option
from node.cli.secret import passphrase_for_sealing
from node.cli.setup import HomeKeys, create_home, install_genesis, refuse_existing
from node.cli.show import echo_json, fields
from node.config.load import load
from node.home import Home


@click.command
@home_option
@click.option("--genesis", type=EXISTING_FILE, help="The genesis of the chain, if there is one.")
@click.option(
    "--role",
    type=click.Choice(["validator", "observer"]),
    default="validator",
    show_default=True,
    help="Whether the node is to vote. An observer follows, serves and proves.",
)
@click.option("--moniker", help="The name of the node in logs and status.")
@click.option("--vault", is_flag=True, help="Make the two keys of a records vault as well.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Write this into the configuration, e.g. p2p.port=29660. May be repeated.",
)
@click.option(
    "--plain-devnet",
    is_flag=True,
    help="Leave the keys unencrypted. Only chains whose name begins with devnet- accept them.",
)
@click.option(
    "--low-memory",
    is_flag=True,
    help="Stretch the passphrase with 64 MiB of memory instead of 256.",
)
@passphrase_option
@json_option
def init(
    *,
    home: Path,
    genesis: Path | None,
    role: Literal["validator", "observer"],
    moniker: str | None,
    vault: bool,
    settings: tuple[str, ...],
    plain_devnet: bool,
    low_memory: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Create a node's home directory: a commented configuration, and keys of its own.

    Nothing that exists is overwritten. A validator gets its sign state, the guard against voting
    twice, together with the genesis: here, or later with 'medquorum genesis install'.
    """
    place = Home(home)
    values = _typed(settings, moniker)
    founded = None if genesis is None else load_genesis_file(genesis)
    refuse_existing(place)
    passphrase = None if plain_devnet else passphrase_for_sealing(passphrase_file)
    keys = HomeKeys.generate(validator=role == "validator", vault=vault)
    strength = Strength.INTERACTIVE if low_memory else Strength.STRONG
    create_home(place, values, keys, passphrase=passphrase, strength=strength)
    if founded is not None:
        install_genesis(place, founded)
    shown = {
        "home": str(home),
        "role": role,
        "node_key": keys.node.public.hex(),
        "validator_key": None if keys.validator is None else keys.validator.public.hex(),
        "gateway_key": None if keys.gateway is None else keys.gateway.public.hex(),
        "gateway_kem": None if keys.gateway_kem is None else keys.gateway_kem.public.hex(),
        "chain_id": None if founded is None else founded.chain_id().hex(),
    }
    if as_json:
        echo_json(shown)
        return
    fields([(name, value) for name, value in shown.items() if value and name != "gateway_kem"])
    following = "start" if founded else "member describe"
    click.echo(f"\nNext: medquorum {following} --home {home}")


def _typed(settings: tuple[str, ...], moniker: str | None) -> dict[str, object]:
    """The chosen settings as values of the configuration. Raises ConfigError for a wrong one."""
    flags: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if equals == "":
            raise click.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
        flags[key] = value
    if moniker is not None:
        flags["base.moniker"] = moniker
    config = load(None, {}, flags).config
    return {path: _value(config, path) for path in flags}


def _value(config: object, path: str) -> object:
    section, name = path.split(".", 1)
    value: object = getattr(getattr(config, section), name)
    return value

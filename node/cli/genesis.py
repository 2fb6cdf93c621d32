"""`medquorum genesis`: found a chain, and check what others founded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import time_ns
from typing import get_args

import click

from medquorum import genesis as genesis_files
from medquorum.errors import DecodeError
from medquorum.genesis import Genesis, GenesisParam
from medquorum.quorum import EngineName, may_lie, quorum
from node.cli.description import Description, read_description
from node.cli.exits import Ended, Exit
from node.cli.files import load_genesis_file
from node.cli.options import EXISTING_FILE, NEW_FILE, home_option, json_option, short_name
from node.cli.setup import install_genesis
from node.cli.show import echo_json, fields, write_output
from node.home import Home
from node.ledger.genesis import genesis_changes
from node.modules import installed_registry

_MS: int = 1000


@click.group
def genesis() -> None:
    """Found a chain, and check what others founded."""


@genesis.command("new")
@click.argument("members", nargs=-1, required=True, type=EXISTING_FILE)
@click.option(
    "--chain-name",
    required=True,
    callback=short_name,
    help="Short, lower case; devnet-... is for play.",
)
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A chain parameter that differs from its default. May be repeated.",
)
@click.option(
    "--engine",
    type=click.Choice(get_args(EngineName)),
    default="pbft",
    help="pbft: fewer than a third may fail, even lie; raft: fewer than half may crash, and none "
    "may lie. It cannot be changed later. Default: pbft.",
)
@click.option("--time", "when", help="The time of the founding, ISO 8601. Default: now.")
@click.option("-o", "--output", type=NEW_FILE, help="Write there; must not exist.")
def new(
    *,
    members: tuple[Path, ...],
    chain_name: str,
    params: tuple[str, ...],
    engine: EngineName,
    when: str | None,
    output: Path | None,
) -> None:
    """Compose a genesis from the descriptions of MEMBERS (see 'medquorum member describe').

    One member composes it; all others check it with 'genesis validate', and compare the chain id by
    telephone before anybody starts.
    """
    composed = compose(
        chain_name,
        [read_description(file) for file in members],
        params=_params(params),
        time_ms=_time_ms(when),
        engine=engine,
    )
    write_output(output, genesis_files.dump(composed))
    _tell(composed)


@genesis.command("hash")
@click.argument("file", type=EXISTING_FILE)
def hash_(file: Path) -> None:
    """Print the chain id: the hash of the content of FILE, whatever its white space."""
    click.echo(load_genesis_file(file).chain_id().hex())


@genesis.command("validate")
@click.argument("file", type=EXISTING_FILE)
@click.option(
    "--member",
    "members",
    multiple=True,
    type=EXISTING_FILE,
    help="A member's description that must stand in it unchanged. May be repeated.",
)
@json_option
def validate(file: Path, members: tuple[Path, ...], as_json: bool) -> None:
    """Check FILE as a node would when it starts, and show what it founds."""
    founded = load_genesis_file(file)
    check(founded)
    for member in members:
        description = read_description(member)
        if description.genesis_org() not in founded.organisations or any(
            validator not in founded.validators for validator in description.validators()
        ):
            raise Ended(Exit.CORRUPT, f"{member} does not stand unchanged in {file}")
    shown = _facts(founded)
    if as_json:
        echo_json(dict(shown))
    else:
        fields(shown)


@genesis.command("install")
@click.argument("file", type=EXISTING_FILE)
@home_option
def install(file: Path, home: Path) -> None:
    """Put FILE into the home, and give its validator the sign state for this chain."""
    founded = load_genesis_file(file)
    check(founded)
    install_genesis(Home(home), founded)
    _tell(founded)


def compose(
    chain_name: str,
    members: Sequence[Description],
    *,
    params: Sequence[GenesisParam],
    time_ms: int,
    engine: EngineName,
) -> Genesis:
    """The genesis of these members, checked. The same input gives the same chain id in any order.

    Raises a DecodeError.
    """
    organisations = sorted((m.genesis_org() for m in members), key=lambda org: org.org)
    validators = sorted((v for m in members for v in m.validators()), key=lambda v: v.key)
    ordered = sorted(params, key=lambda param: param.name)
    composed = Genesis(
        1, chain_name, time_ms, engine, tuple(ordered), tuple(organisations), tuple(validators)
    )
    # Reading back what will be written checks every bound.
    composed = genesis_files.load(genesis_files.dump(composed))
    check(composed)
    return composed


def check(founded: Genesis) -> None:
    """Found it on an empty ledger, as a node does. Ends the command with CORRUPT if it fails."""
    try:
        genesis_changes(founded, installed_registry())
    except DecodeError as error:
        raise Ended(Exit.CORRUPT, f"this genesis founds nothing: {error}") from None


def _params(given: Sequence[str]) -> list[GenesisParam]:
    found = []
    for text in given:
        name, equals, value = text.partition("=")
        if equals == "" or not value.isdecimal():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
        found.append(GenesisParam(name, int(value)))
    return found


def _time_ms(when: str | None) -> int:
    if when is None:
        return time_ns() // 1_000_000
    try:
        parsed = datetime.fromisoformat(when)
    except ValueError:
        raise click.BadParameter(f"{when!r} is not ISO 8601", param_hint="--time") from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()) * _MS


def _facts(founded: Genesis) -> list[tuple[str, object]]:
    count = len(founded.validators)
    needed = quorum(founded.engine, count)
    return [
        ("chain_id", founded.chain_id().hex()),
        ("chain_name", founded.chain_name),
        ("engine", founded.engine),
        ("founded", datetime.fromtimestamp(founded.time_ms / _MS, UTC).isoformat()),
        ("organisations", len(founded.organisations)),
        ("validators", count),
        ("quorum", needed),
        ("may_fail", count - needed),
        ("may_lie", may_lie(founded.engine, count)),
        ("params", {param.name: param.value for param in founded.params}),
    ]


def _tell(founded: Genesis) -> None:
    """On the error stream, because the file itself may go to the other one."""
    for name, value in _facts(founded):
        click.echo(f"{name}  {value}", err=True)

"""`medquorum keys`: key files."""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_hex
from typing import Final, Literal

import click

from medquorum.encoding import from_hex
from medquorum.hashing import HASH_BYTES
from medquorum.kem import KemKey
from medquorum.keyfile import (
    Key,
    KeyInfo,
    Strength,
    load_kem_key,
    load_signing_key,
    read_key_info,
    save_devnet_key,
    save_key,
)
from medquorum.keys import SigningKey, possession_bytes
from node.cli.exits import Ended, Exit
from node.cli.files import load_genesis_file
from node.cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    genesis_option,
    home_option,
    json_option,
    passphrase_option,
)
from node.cli.secret import passphrase_for_opening, passphrase_for_sealing, read_passphrase
from node.cli.setup import new_sign_state
from node.cli.show import echo_json, fields, write_output
from node.cli.stopped import stopped_node
from node.forgotten_votes import require_all_known
from node.home import Home
from storage.chain import ChainStore

PURPOSES: Final = ("actor", "organisation", "node", "validator", "gateway")


@click.group
def keys() -> None:
    """Make and look after key files."""


@keys.command("gen")
@click.argument("file", type=NEW_FILE)
@click.option(
    "--purpose",
    type=click.Choice(PURPOSES),
    default="actor",
    show_default=True,
    help="What the key is for. A key file opens for its purpose only.",
)
@click.option(
    "--kind",
    type=click.Choice(["signing", "kem"]),
    default="signing",
    show_default=True,
    help="signing signs; kem opens what others sealed to it.",
)
@click.option("--plain-devnet", is_flag=True, help="Leave it unencrypted: development only.")
@passphrase_option
@json_option
def gen(
    *,
    file: Path,
    purpose: str,
    kind: Literal["signing", "kem"],
    plain_devnet: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make a key and write it to FILE, which must not exist."""
    if file.exists():
        raise Ended(Exit.CONFIG, f"{file} exists already, and no key is ever overwritten")
    key: Key = SigningKey.generate() if kind == "signing" else KemKey.generate()
    if plain_devnet:
        save_devnet_key(file, key, purpose=purpose)
    else:
        passphrase = passphrase_for_sealing(passphrase_file)
        save_key(file, key, purpose=purpose, passphrase=passphrase)
    _show(file, read_key_info(file), as_json)


@keys.command("show")
@click.argument("file", type=EXISTING_FILE)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show what FILE says about its key. Needs no passphrase, and proves nothing."""
    _show(file, read_key_info(file), as_json)


@keys.command("export-public")
@click.argument("file", type=EXISTING_FILE)
@click.option("-o", "--output", type=NEW_FILE, help="Write there; must not exist.")
def export_public(file: Path, output: Path | None) -> None:
    """Print the public key in FILE in hexadecimal."""
    write_output(output, read_key_info(file).public.hex().encode() + b"\n")


@keys.command("passwd")
@click.argument("file", type=EXISTING_FILE)
@click.option(
    "--new-passphrase-file", type=EXISTING_FILE, help="File whose first line is the new passphrase."
)
@passphrase_option
def passwd(file: Path, new_passphrase_file: Path | None, passphrase_file: Path | None) -> None:
    """Change the passphrase of FILE. Copies that exist elsewhere keep the old one."""
    info = read_key_info(file)
    key = load_any(file, info, passphrase_file)
    new = (
        passphrase_for_sealing(None)
        if new_passphrase_file is None
        else read_passphrase(new_passphrase_file)
    )
    # The new file is whole and on disk before it takes the place of the old one.
    beside = file.with_name(f".{file.name}.{token_hex(8)}")
    save_key(beside, key, purpose=info.purpose, passphrase=new, strength=Strength.STRONG)
    beside.replace(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    click.echo(f"{file} has a new passphrase.", err=True)


@keys.command("prove")
@click.argument("file", type=EXISTING_FILE)
@click.option(
    "--owner",
    required=True,
    metavar="HEX",
    help="Whose the key is to be: an organisation for vote and root keys, else an actor.",
)
@genesis_option
@home_option
@passphrase_option
def prove(
    file: Path, owner: str, genesis: Path | None, home: Path, passphrase_file: Path | None
) -> None:
    """Print the proof that we hold the key in FILE, as whoever enrols it has to show: a signature
    that is good for this owner on this chain, and for nothing else.
    """
    try:
        whose = from_hex(owner, size=HASH_BYTES)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--owner") from None
    info = read_key_info(file)
    chain_id = load_genesis_file(genesis or Home(home).genesis_file).chain_id()
    key = load_any(file, info, passphrase_file)
    if not isinstance(key, SigningKey):
        raise Ended(Exit.CONFIG, f"{file} holds no signing key")
    click.echo(key.sign(possession_bytes(chain_id, whose, key.public)).hex())


@keys.command("new-sign-state")
@home_option
@click.option("--genesis", type=EXISTING_FILE, help="The genesis, if not that of the home.")
@click.option(
    "--never-voted",
    is_flag=True,
    help="You are certain that this validator key has never voted on this chain.",
)
def sign_state(home: Path, genesis: Path | None, never_voted: bool) -> None:
    """Create the missing guard against voting twice, for a key that has never voted.

    A validator that lost its sign state and goes on can contradict its own earlier votes, and that
    proves it faulty to everybody. If it may have voted: make a new validator key, and let the
    members exchange it by governance. Refused if the chain that is here shows a vote of the key.
    """
    place = Home(home)
    founded = load_genesis_file(genesis or place.genesis_file)
    info = read_key_info(place.validator_key)
    if not never_voted:
        raise Ended(
            Exit.CONFIG,
            f"if you are certain that {info.public.hex()} has never voted on chain "
            f"{founded.chain_name}, say so with --never-voted",
        )
    if place.chain.exists():
        with stopped_node(place) as node:
            require_all_known(place.sign_state, ChainStore(node.kv), founded, info.public)
    new_sign_state(place, founded, info.public)
    click.echo(f"{place.sign_state} created.", err=True)


def load_any(file: Path, info: KeyInfo, passphrase_file: Path | None) -> Key:
    """The private key in `file`, whatever its kind and purpose."""
    passphrase = passphrase_for_opening(passphrase_file) if info.encrypted else None
    load = load_signing_key if info.kind == "signing" else load_kem_key
    # Whoever names the file has decided that a plain one will do; a node decides by its chain.
    return load(file, purpose=info.purpose, passphrase=passphrase, devnet=True)


def _show(file: Path, info: KeyInfo, as_json: bool) -> None:
    shown = {
        "file": str(file),
        "kind": info.kind,
        "purpose": info.purpose,
        "encrypted": info.encrypted,
        "public": info.public.hex(),
    }
    if as_json:
        echo_json(shown)
    else:
        fields(list(shown.items()))

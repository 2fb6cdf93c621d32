"""A new home directory: what `medquorum init` does, for other programs as well."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medquorum.genesis import Genesis, dump
from medquorum.kem import KemKey
from medquorum.keyfile import Key, Strength, read_key_info, save_devnet_key, save_key
from medquorum.keys import SigningKey
from node.config.template import render
from node.errors import IdentityError
from node.home import Home
from storage.signstate import SignState


@dataclass(frozen=True, slots=True)
class HomeKeys:
    """The private keys of a home. An observer has no validator key; only a vault has the others."""

    node: SigningKey
    validator: SigningKey | None = None
    gateway: SigningKey | None = None
    gateway_kem: KemKey | None = None

    @classmethod
    def generate(cls, *, validator: bool, vault: bool) -> HomeKeys:
        """Fresh keys."""
        return cls(
            SigningKey.generate(),
            SigningKey.generate() if validator else None,
            SigningKey.generate() if vault else None,
            KemKey.generate() if vault else None,
        )


def create_home(
    home: Home,
    values: Mapping[str, object],
    keys: HomeKeys,
    *,
    passphrase: bytes | None,
    strength: Strength = Strength.STRONG,
) -> None:
    """Write the configuration and the key files, below a directory that may exist already.

    `values`, by key path, differ from the defaults of the configuration. Without `passphrase` the
    keys lie in the clear, which only development networks accept. Raises IdentityError, before it
    writes anything, if one of the files exists; OSError.
    """
    wanted: list[tuple[Path, Key | None, str]] = [
        (home.node_key, keys.node, "node"),
        (home.validator_key, keys.validator, "validator"),
        (home.gateway_key, keys.gateway, "gateway"),
        (home.gateway_kem, keys.gateway_kem, "gateway"),
    ]
    refuse_existing(home)
    for folder in (home.config_file.parent, home.node_key.parent, home.data, home.log):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, key, purpose in wanted:
        if key is None:
            continue
        if passphrase is None:
            save_devnet_key(path, key, purpose=purpose)
        else:
            save_key(path, key, purpose=purpose, passphrase=passphrase, strength=strength)
    write_private(home.config_file, render(values).encode())


def refuse_existing(home: Home) -> None:
    """Raise IdentityError if there is a configuration or a key already."""
    for path in (
        home.config_file,
        home.genesis_file,
        home.node_key,
        home.validator_key,
        home.gateway_key,
        home.gateway_kem,
        home.sign_state,
        home.chain,
    ):
        if path.exists():
            raise IdentityError(f"{path} exists already, and nothing is ever overwritten")


def install_genesis(home: Home, genesis: Genesis) -> None:
    """Put the genesis in place, and give a validator the sign state for its chain.

    A second call finishes what a first one began. Raises IdentityError if there is another genesis,
    chain data, or a genesis but no sign state: that one was lost; OSError, StorageError.
    """
    if home.chain.exists():
        raise IdentityError(f"{home.chain} holds a chain already; its genesis cannot change")
    data = dump(genesis)
    installed = home.genesis_file.exists()
    if installed and home.genesis_file.read_bytes() != data:
        raise IdentityError(f"{home.genesis_file} is another genesis, and is not overwritten")
    if home.validator_key.exists():
        validator = read_key_info(home.validator_key).public
        if home.sign_state.exists():
            SignState.open(home.sign_state).check_owner(genesis.chain_id(), validator)
        elif installed:
            raise IdentityError(
                f"{home.sign_state} is gone. If this validator has never voted, "
                "'medquorum keys new-sign-state --never-voted' makes a new one"
            )
        else:
            # First, so that a genesis without one always means that it was lost.
            new_sign_state(home, genesis, validator)
    if not installed:
        write_private(home.genesis_file, data)


def new_sign_state(home: Home, genesis: Genesis, validator: bytes) -> None:
    """A sign state for a key that has never voted on this chain: the caller knows that.

    Raises IdentityError if there is one; StorageError.
    """
    if home.sign_state.exists():
        raise IdentityError(f"{home.sign_state} exists already; it is never made anew")
    SignState.create(home.sign_state, genesis.chain_id(), validator)


def write_private(path: Path, data: bytes) -> None:
    """A new file for its owner alone, on disk when this returns. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())

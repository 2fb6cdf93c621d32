"""The files that commands read: genesis, members' descriptions, transactions."""

from __future__ import annotations

from pathlib import Path

from medquorum import genesis as genesis_files
from medquorum.errors import DecodeError
from medquorum.genesis import GENESIS_BYTES_MAX, Genesis
from node.cli.exits import Ended, Exit
from node.cli.show import read_input
from node.home import Home


def load_genesis_file(path: Path) -> Genesis:
    """A genesis. Ends the command with CORRUPT if it is none."""
    try:
        return genesis_files.load(read_input(path, GENESIS_BYTES_MAX))
    except DecodeError as error:
        raise Ended(Exit.CORRUPT, f"{path}: {error}") from None


def genesis_for(path: Path | None, home: Path) -> Genesis:
    """The genesis in `path`, or else in the home directory."""
    if path is not None:
        return load_genesis_file(path)
    own = Home(home).genesis_file
    if not own.exists():
        raise Ended(
            Exit.CONFIG, f"there is no {own}: name a genesis with --genesis, or a home with --home"
        )
    return load_genesis_file(own)

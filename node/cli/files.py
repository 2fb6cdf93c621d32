"""The files that commands read."""

from __future__ import annotations

from pathlib import Path

from medquorum import genesis as genesis_files
from medquorum.builder import Draft
from medquorum.errors import DecodeError
from medquorum.genesis import GENESIS_BYTES_MAX, Genesis
from medquorum.limits import ENVELOPE_FILE_BYTES_MAX
from node.cli.exits import Ended, Exit
from node.cli.show import read_input


def load_genesis_file(path: Path) -> Genesis:
    """A genesis. Ends the command with CORRUPT if it is none."""
    try:
        return genesis_files.load(read_input(path, GENESIS_BYTES_MAX))
    except DecodeError as error:
        raise Ended(Exit.CORRUPT, f"{path}: {error}") from None


def load_draft(path: Path) -> Draft:
    """A transaction on its way to its signers. Raises VerificationError, OSError."""
    return Draft.load(read_input(path, ENVELOPE_FILE_BYTES_MAX))

"""Where a passphrase comes from: a file, a systemd credential or a prompt.

Never a flag or a variable, for other users of the machine can read those.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from node.cli.exits import Ended, Exit

CREDENTIAL: Final = "passphrase"
"""The name of the systemd credential (LoadCredential=passphrase:/path)."""
_BYTES_MAX: Final = 4096


def passphrase_for_opening(file: Path | None) -> bytes:
    """The passphrase of existing key files."""
    return _stored(file, os.environ) or _prompt("Passphrase of the key files", confirm=False)


def passphrase_for_sealing(file: Path | None) -> bytes:
    """The passphrase of new key files; asked for twice if it is typed."""
    return _stored(file, os.environ) or _prompt("New passphrase for the key files", confirm=True)


def read_passphrase(file: Path) -> bytes:
    """The first line of `file`. Refuses a file that others may read, and an empty line."""
    with file.open("rb") as stream:
        status = os.fstat(stream.fileno())
        # A pipe (`<(command)`) is nobody else's, whatever its mode says.
        if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(status.st_mode)
            raise Ended(
                Exit.CONFIG, f"{file} is open to others (mode {mode:04o}): chmod 600 {file}"
            )
        line = stream.readline(_BYTES_MAX).rstrip(b"\r\n")
    if line == b"":
        raise Ended(Exit.CONFIG, f"{file}: its first line is empty, and that is no passphrase")
    return line


def _stored(file: Path | None, environment: Mapping[str, str]) -> bytes | None:
    if file is not None:
        return read_passphrase(file)
    folder = environment.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder) / CREDENTIAL if folder else None
    if credential is not None and credential.exists():
        return read_passphrase(credential)
    return None


def _prompt(question: str, *, confirm: bool) -> bytes:
    if not sys.stdin.isatty():
        raise Ended(
            Exit.CONFIG,
            "a passphrase is needed and nobody can be asked here: give --passphrase-file, or the "
            "systemd credential 'passphrase'",
        )
    typed: str = click.prompt(question, hide_input=True, confirmation_prompt=confirm, err=True)
    return typed.encode()

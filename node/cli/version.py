"""`medquorum version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Final

import click

from node.cli.options import json_option
from node.cli.show import echo_json, fields
from node.version import VERSION

_PARTS: Final = ("aiohttp", "cryptography", "msgspec", "plyvel", "pynacl")


@click.command
@click.option("-v", "--verbose", is_flag=True, help="Show what it is built from, too.")
@json_option
def version(verbose: bool, as_json: bool) -> None:
    """Show the version."""
    shown: dict[str, object] = {"medquorum": VERSION}
    if verbose:
        shown |= {"python": platform.python_version(), "system": platform.platform()}
        shown |= {name: _installed(name) for name in _PARTS}
        shown["modules"] = _modules()
    if as_json:
        echo_json(shown)
        return
    modules = shown.pop("modules", {})
    fields(list(shown.items()))
    if isinstance(modules, dict) and modules:
        click.echo("\nLedger modules, and the hash of the code of each:")
        fields(list(modules.items()))


def _installed(name: str) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:
        return "missing"


def _modules() -> dict[str, str]:
    # Every module of the ledger is imported and hashed here.
    from node.modules import installed_registry  # noqa: PLC0415

    hashes = installed_registry().code_hashes
    return {name: hashes[name].hex() for name in sorted(hashes)}

"""The ledger modules of this installation: the built-in ones, and those from elsewhere.

A distribution offers a module by an entry point of the group `medquorum.modules` that names a
node.ledger.txtype.Module. Installing one changes nothing until governance activates it.
"""

from __future__ import annotations

from hashlib import sha256
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from node.errors import ConfigError
from node.ledger.errors import RegistryError
from node.ledger.registry import Registry, module_code_hash
from node.ledger.txtype import Module
from node.ledger.types import BUILT_IN

GROUP: Final = "medquorum.modules"


def installed_registry() -> Registry:
    """All modules of this installation with the hashes of their code.

    Raises ConfigError if one of them is broken or they contradict each other.
    """
    hashes = {module.name: _code_hash(f"node.ledger.types.{module.name}") for module in BUILT_IN}
    third_party: list[Module] = []
    for point in entry_points(group=GROUP):
        found = point.load()
        if not isinstance(found, Module):
            raise ConfigError(f"the entry point {point.name} of {GROUP} is no ledger module")
        third_party.append(found)
        hashes[found.name] = _code_hash(point.module)
    try:
        return Registry(BUILT_IN, tuple(third_party), hashes)
    except RegistryError as error:
        raise ConfigError(f"installed ledger modules contradict each other: {error}") from None


def _code_hash(package: str) -> bytes:
    """Over every Python file of a package, or over the one file of a plain module."""
    file = Path(import_module(package).__file__ or "")
    folder = file.parent
    files = sorted(folder.rglob("*.py")) if file.name == "__init__.py" else [file]
    return module_code_hash(
        {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).digest() for path in files}
    )

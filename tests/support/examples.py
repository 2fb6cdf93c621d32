"""One good example of every transaction type, for tests that hold for all types alike.

A module joins in with a file tests/support/examples_<module>.py that has a mapping EXAMPLES: the
type's name to a function that prepares a fresh ledger and returns the operation and who must sign
it. It must succeed as it is returned; the generic tests vary it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from medquorum.transaction import Operation
from node.ledger.types import BUILT_IN
from tests.support.ledger import By, Ledger


@dataclass(frozen=True, slots=True)
class Example:
    """An operation that succeeds when all of `by` sign it, and not with one of them missing."""

    operation: Operation
    by: Sequence[By]


Examples = Mapping[str, Callable[[Ledger], Example]]


def examples() -> dict[str, Callable[[Ledger], Example]]:
    """The examples of all modules that have some, by type name."""
    found: dict[str, Callable[[Ledger], Example]] = {}
    for module in BUILT_IN:
        name = f"tests.support.examples_{module.name}"
        if find_spec(name) is not None:
            found.update(import_module(name).EXAMPLES)
    return found

"""Who votes and listens, what is active and what is paused: rows of the governance namespace that
the core reads.

Written by types/governance (and genesis) only. Every change names the height from which it holds,
at the earliest the next one, so within one block every transaction meets the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from medquorum.block import Validator, ValidatorSet
from medquorum.codec import Bytes32, Hash, Height, TimeMs, Wire
from medquorum.invariants import require
from medquorum.keys import PublicKey
from node.ledger.context import View
from node.ledger.tables import Table

NAMESPACE: Final = "governance"
WHOLE_MODULE: Final = 0
"""The version under which the activation of a whole module is filed; types are filed under their
own.
"""


class Observer(Wire):
    """A member's daemon that follows the chain and does not vote."""

    node_key: PublicKey
    org: Bytes32


class Activation(Wire):
    """Code that runs from `height` on. `code_hash` says which code the members agreed upon."""

    height: Height
    code_hash: Hash


class Pause(Wire):
    """The module is paused at heights >= `from_height`, until the block time `until_ms` or the
    height `until_height`.
    """

    from_height: Height
    until_height: Height
    until_ms: TimeMs

    def holds(self, height: int, time_ms: int) -> bool:
        """Whether the module is paused in the block of this height and time.

        An `until_height` of 0 is 'none set'.
        """
        if height < self.from_height or time_ms >= self.until_ms:
            return False
        return self.until_height == 0 or height < self.until_height


VALIDATORS = Table(
    b"v", "validators", key=(), value=ValidatorSet, meaning="the set that votes on the next height"
)
OBSERVERS = Table(
    b"o",
    "observers",
    key=("node_key",),
    value=Observer,
    meaning="daemons that follow without a vote",
)
ACTIVATIONS = Table(
    b"a",
    "activations",
    key=("name", "version"),
    value=Activation,
    meaning="active from which height: a module (version 0) or a type's version",
)
PAUSES = Table(b"h", "pauses", key=("module",), value=Pause, meaning="modules on hold")


def validator_set(view: View) -> ValidatorSet:
    """The validators that vote on the height after the view's."""
    row = VALIDATORS.get(view.read(NAMESPACE))
    if row is None:
        require(False, "the ledger has no validators")
        return ValidatorSet(())
    return row


def validators_of(view: View, org: bytes) -> tuple[Validator, ...]:
    """The validators that the organisation operates."""
    return tuple(v for v in validator_set(view).validators if v.org == org)


def node_keys(view: View) -> Iterator[tuple[bytes, bytes]]:
    """(node key, organisation) of every daemon that may connect:

    validators first, then observers.
    """
    for validator in validator_set(view).validators:
        yield validator.node_key, validator.org
    for _, observer in OBSERVERS.rows(view.read(NAMESPACE)):
        yield observer.node_key, observer.org


def paused(view: View, module: str) -> bool:
    """Whether the module is paused in the block being executed."""
    row = PAUSES.get(view.read(NAMESPACE), module)
    return row is not None and row.holds(view.height, view.time_ms)


def activation(view: View, name: str, version: int) -> Activation | None:
    """What governance decided about the module (version 0) or type version, or None."""
    return ACTIVATIONS.get(view.read(NAMESPACE), name, version)

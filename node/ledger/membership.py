"""Who votes and listens, what is active and what is paused.

Written by types/governance (and genesis) only. Every change names the height from which it holds,
at the earliest the next one, so within one block every transaction meets the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from medquorum.block import Validator, ValidatorSet
from medquorum.codec import Bytes32, Hash, Height, Name, TimeMs, Wire
from medquorum.invariants import require
from medquorum.keys import PublicKey
from node.ledger.context import View
from node.ledger.tables import Table, WritableState

NAMESPACE: Final = "governance"
WHOLE_MODULE: Final = 0
"""The version under which the activation of a whole module is filed; types are filed under their
own.
"""


VOTE_USE: Final = "vote"
NODE_USE: Final = "node"


class Observer(Wire, frozen=True):
    """A member's daemon that follows the chain and does not vote."""

    node_key: PublicKey
    org: Bytes32


class DaemonKey(Wire, frozen=True):
    """A key that a daemon of `org` uses or once used.

    A vote key never comes back; a node key may, for its own org.
    """

    org: Bytes32
    use: Name


class Activation(Wire, frozen=True):
    """Code that runs from the height of the row's key on.

    `code_hash` says which code was agreed upon.
    """

    decided: Height
    code_hash: Hash


class Pause(Wire, frozen=True):
    """A pause from `from_height` to before `until_height` or the block time `until_ms`."""

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
DAEMON_KEYS = Table(
    b"k", "daemon_keys", key=("key",), value=DaemonKey, meaning="keys of daemons, past and present"
)
ACTIVATIONS = Table(
    b"a",
    "activations",
    key=("name", "version", "height"),
    value=Activation,
    meaning="active from that height on: a type's version, or a module's code (version 0)",
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
    """(node key, organisation) of every daemon that may connect, validators first."""
    for validator in validator_set(view).validators:
        yield validator.node_key, validator.org
    for _, observer in OBSERVERS.rows(view.read(NAMESPACE)):
        yield observer.node_key, observer.org


def file_keys(state: WritableState, validator: Validator) -> None:
    """Remember whose the keys of a new validator are."""
    DAEMON_KEYS.put(state, DaemonKey(validator.org, VOTE_USE), validator.key)
    DAEMON_KEYS.put(state, DaemonKey(validator.org, NODE_USE), validator.node_key)


def ever_connected(view: View, node_key: bytes) -> bool:
    """Whether a daemon with this node key is, or once was, a member's."""
    row = DAEMON_KEYS.get(view.read(NAMESPACE), node_key)
    return row is not None and row.use == NODE_USE


def paused(view: View, module: str) -> bool:
    """Whether the module is paused in the block being executed."""
    row = PAUSES.get(view.read(NAMESPACE), module)
    return row is not None and row.holds(view.height, view.time_ms)


@dataclass(frozen=True, slots=True)
class Activated:
    """One decision about code: a type's version, or a whole module (version 0)."""

    name: str
    version: int
    height: int
    code_hash: bytes


def is_activated(view: View, name: str, version: int) -> bool | None:
    """Whether the earliest activation has been reached; None if nothing was ever decided."""
    for key, _ in ACTIVATIONS.rows(view.read(NAMESPACE), name, version):
        return view.height >= int.from_bytes(key, "big")
    return None


def activations(view: View) -> Iterator[Activated]:
    """All decisions about code, past and pending, by name, version and height."""
    for key, row in ACTIVATIONS.rows(view.read(NAMESPACE)):
        name, numbers = key.split(b"\0", 1)
        version, height = int.from_bytes(numbers[:8], "big"), int.from_bytes(numbers[8:], "big")
        yield Activated(name.decode(), version, height, row.code_hash)

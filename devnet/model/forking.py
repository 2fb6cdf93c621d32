"""Copies of engines, and what makes two engines equal.

An engine consists of containers, of its own small classes, and of values that never change. Copying
only what changes is about twenty times faster than `copy.deepcopy`, which looks at everything.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar, cast

from consensus.outbox import Outbox
from consensus.pbft.engine import PbftEngine
from consensus.pbft.future import FutureVotes
from consensus.pbft.proofs import CertificateBook
from consensus.pbft.tally import CommitTally
from consensus.raft.engine import RaftEngine
from consensus.raft.future import EarlyMessages
from consensus.replies import ReplyBudget

T = TypeVar("T")
PLAIN: Final = (
    *(PbftEngine, RaftEngine, FutureVotes, EarlyMessages),
    *(CertificateBook, CommitTally, ReplyBudget),
)
"""Classes of engines that are neither dataclasses nor values."""

INERT: Final = frozenset(
    {
        *("chain_id", "signer", "verify", "_verify", "_chain_id", "timing", "out"),
        *("started", "members", "_height", "convicted", "sought", "attempts"),
    }
)
"""Fields in which engines of one height may differ without acting differently.

What they were made with; the effects of the last step; how often something was asked or reported.
`attempts` only varies how long a timer runs, and timers fire at any time here.
"""

_VALUE: Final[tuple[str, ...]] = ()
_fields: dict[type, tuple[str, ...]] = {}
"""The fields of classes whose objects change; none for values, which are shared."""

_telling: dict[type, tuple[str, ...]] = {}
"""Those of them that tell one engine from another."""

_values: set[type] = set()
"""Types that were found to be values."""


def fork(thing: T) -> T:
    """A copy that shares nothing that changes."""
    return cast("T", _copy(thing))


def _copy(thing: Any) -> Any:
    kind = type(thing)
    if kind in _values:
        return thing
    if kind is dict:
        return {
            key: value if type(value) in _values else _copy(value) for key, value in thing.items()
        }
    if kind is set:
        return set(thing)
    if kind is list:
        return [_copy(item) for item in thing]
    names = _fields.get(kind)
    if names is None:
        names = _learn(kind)
        if kind in _values:
            return thing
    twin = object.__new__(kind)
    for name in names:
        value = getattr(thing, name)
        setattr(twin, name, value if type(value) in _values else _copy(value))
    return twin


def _learn(kind: type) -> tuple[str, ...]:
    """The fields of a class that is met for the first time."""
    if kind in PLAIN:
        names = tuple(kind.__slots__)
    elif is_dataclass(kind) and kind is not Outbox and not _is_frozen(kind):
        names = tuple(field.name for field in fields(kind))
    else:
        _values.add(kind)
        names = _VALUE
    _fields[kind] = names
    _telling[kind] = tuple(name for name in names if name not in INERT)
    return names


def _is_frozen(kind: Any) -> bool:
    return bool(kind.__dataclass_params__.frozen)


def fingerprint(thing: Any) -> Hashable:
    """What tells one engine from another: equal ones act alike, whatever comes.

    The order in which a dict or a set was filled does not count. No rule depends on it but the
    choice of the block that is forgotten first, and there are never so many here.
    """
    kind = type(thing)
    if kind in _values:
        return cast("Hashable", thing)
    if kind is dict:
        return frozenset(
            (key, value if type(value) in _values else fingerprint(value))
            for key, value in thing.items()
        )
    if kind is set:
        return frozenset(thing)
    if kind is list:
        return tuple(fingerprint(item) for item in thing)
    names = _telling.get(kind)
    if names is None:
        _learn(kind)
        return fingerprint(thing)
    if kind in _values:
        return cast("Hashable", thing)
    return tuple(
        value if type(value) in _values else fingerprint(value)
        for value in (getattr(thing, name) for name in names)
    )

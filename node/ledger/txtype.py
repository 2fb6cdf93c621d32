"""The plug-in contract: what a module tells the registry (docs/adding-a-transaction-type.md).

A module is one folder under node/ledger/types with an object `MODULE`. It declares its transaction
types, tables, events, queries, parameters and due work; the executor does the rest. Adding a type
touches its module's folder and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from medquorum.codec import Wire
from medquorum.genesis import Genesis
from node.ledger.context import Context, View
from node.ledger.tables import Table

BodyT = TypeVar("BodyT", bound=Wire)
ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)


class Traffic(Enum):
    """Fairness class in the mempool.

    Bulk traffic cannot starve clinical traffic, governance passes before both.
    """

    GOVERNANCE = "governance"
    CLINICAL = "clinical"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class TxType(Generic[BodyT]):
    """One transaction type.

    `apply` checks every precondition first (raising TxError) and writes last. It may assume that
    the body has the declared shape, the module is active and not paused, and every signature is
    right; it must check roles itself, through access.py.

    `unstoppable` types still pass while their organisation is suspended or their module paused:
    revoking consent, withdrawing, rotating keys.
    """

    name: str
    version: int
    body: type[BodyT]
    apply: Callable[[BodyT, Context], None]
    summary: str
    traffic: Traffic = Traffic.CLINICAL
    unstoppable: bool = False


@dataclass(frozen=True, slots=True)
class Query(Generic[ParamsT]):
    """A named read of the ledger. `run` returns a msgspec structure, shown as JSON, or None.

    `params` has keyword fields (not array_like) decoded from the URL's query string: bytes are
    hexadecimal there. Lists are paged: `params` then has `limit` and `cursor`, and the result
    carries the next cursor.
    """

    name: str
    params: type[ParamsT]
    run: Callable[[ParamsT, View], object]
    summary: str


@dataclass(frozen=True, slots=True)
class EventType:
    """An event that the module emits, for the documentation and as a check on `emit`."""

    name: str
    attributes: tuple[str, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Param:
    """A chain parameter, changed by governance only. An integer within bounds."""

    name: str
    default: int
    minimum: int
    maximum: int
    summary: str


DueHandler = Callable[[bytes, Context], None]


@dataclass(frozen=True, slots=True)
class Module:
    """Everything that the ledger knows about one use case.

    `name` is its folder and its state namespace.
    """

    name: str
    # Any stands for 'each of them some structure of its own', which Python's generics cannot say.
    types: tuple[TxType[Any], ...]
    tables: tuple[Table[Any], ...]
    events: tuple[EventType, ...] = ()
    queries: tuple[Query[Any], ...] = ()
    params: tuple[Param, ...] = ()
    due: Mapping[str, DueHandler] = field(default_factory=dict)
    genesis: Callable[[Genesis, Context], None] | None = None

"""A ledger module of numbered registers, for clients whose reads and writes can be judged.

A read is a transaction too: it takes its place in the order that the validators agreed on, and its
event says what it saw there. So it promises more than a look at one node's state, which may be old.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from medquorum.codec import U16, U53, Wire
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import refuse_unless
from node.ledger.tables import Table
from node.ledger.txtype import EventType, Module, TxType

NAME: Final = "register"
SEEN: Final = "register.seen"


class Put(Wire, frozen=True):
    """Make the register hold a value."""

    register: U16
    value: U53


class Swap(Wire, frozen=True):
    """Make it hold another value if it holds `expected`; E_STATE if it does not."""

    register: U16
    expected: U53
    value: U53


class Read(Wire, frozen=True):
    """Say what it holds. A register that nobody wrote holds 0."""

    register: U16


class Row(Wire, frozen=True):
    """What a register holds."""

    value: U53


ROWS = Table(b"r", "registers", key=("register",), value=Row, meaning="what each register holds")


def held(ctx: Context, register: int) -> int:
    """The value of a register."""
    row = ROWS.get(ctx.state, register)
    return 0 if row is None else row.value


def put(body: Put, ctx: Context) -> None:
    """Apply Put."""
    ROWS.put(ctx.state, Row(body.value), body.register)


def swap(body: Swap, ctx: Context) -> None:
    """Apply Swap."""
    refuse_unless(held(ctx, body.register) == body.expected, Code.STATE, "it holds another value")
    ROWS.put(ctx.state, Row(body.value), body.register)


def read(body: Read, ctx: Context) -> None:
    """Apply Read."""
    ctx.emit(SEEN, register=body.register, value=held(ctx, body.register))


def put_wrongly(body: Put, ctx: Context) -> None:
    """What a machine with a bug, or bad memory, makes of Put."""
    ROWS.put(ctx.state, Row(body.value ^ 1), body.register)


def module(apply_put: Callable[[Put, Context], None]) -> Module:
    """The module with this way to put."""
    return Module(
        name=NAME,
        types=(
            TxType("register.put", 1, Put, apply_put, "Set a register."),
            TxType("register.swap", 1, Swap, swap, "Set a register that holds a known value."),
            TxType("register.read", 1, Read, read, "Read a register in the agreed order."),
        ),
        tables=(ROWS,),
        events=(EventType(SEEN, ("register", "value"), "What a read saw."),),
    )


REGISTER: Final = module(put)
DIVERGING: Final = module(put_wrongly)
"""The same declarations with another effect: its results differ from everybody's."""

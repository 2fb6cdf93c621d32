"""The promises of execution: all or nothing, in order, and a function of state and block alone."""

from __future__ import annotations

from medquorum.codec import U53, Bytes32, Wire
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import refuse_unless
from node.ledger.tables import Table
from node.ledger.txtype import EventType, Module, TxType
from tests.support.ledger import Ledger


class Put(Wire, frozen=True):
    key: Bytes32
    value: U53


class Row(Wire, frozen=True):
    value: U53


ROWS = Table(b"r", "rows", key=("key",), value=Row, meaning="numbers of the test")


def put(body: Put, ctx: Context) -> None:
    ROWS.put(ctx.state, Row(body.value), body.key)
    ctx.emit("toy.put", key=body.key, value=body.value)
    # Written before the check, to see that a refusal takes it back.
    refuse_unless(body.value != 13, Code.LIMIT, "thirteen is not allowed")


TOY = Module(
    "toy",
    types=(TxType("toy.put", 1, Put, put, "Set a number."),),
    tables=(ROWS,),
    events=(EventType("toy.put", ("key", "value"), "A number was set."),),
)


def test_a_transaction_happens_completely_or_not_at_all() -> None:
    ledger = Ledger(TOY)
    who = ledger.person()
    first, second = ledger.fresh_id(), ledger.fresh_id()
    ledger.accept(ledger.op("toy.put", Put(first, 1)), by=who)
    ledger.refuse(
        Code.LIMIT,
        ledger.op("toy.put", Put(second, 2)),
        ledger.op("toy.put", Put(first, 13)),
        by=who,
    )
    assert ROWS.get(ledger.space("toy"), first) == Row(1)
    assert ROWS.get(ledger.space("toy"), second) is None
    assert ledger.event_types() == []

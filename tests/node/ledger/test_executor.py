"""The promises of execution: all or nothing, in order, and a function of state and block alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medquorum import merkle
from medquorum.codec import U53, Bytes32, Wire, encode
from medquorum.invariants import InvariantBroken
from medquorum.transaction import Operation, Transaction
from node.ledger import due
from node.ledger.codes import OK, Code
from node.ledger.context import Context
from node.ledger.errors import TxError, refuse_unless
from node.ledger.limits import DUE_PER_BLOCK_MAX, EVENTS_PER_TX_MAX
from node.ledger.tables import Table
from node.ledger.txtype import EventType, Module, TxType
from tests.support.ledger import By, Ledger, MemoryState, some_key


class Put(Wire, frozen=True):
    key: Bytes32
    value: U53


class Row(Wire, frozen=True):
    value: U53


class Alarm(Wire, frozen=True):
    at_ms: U53
    count: U53


ROWS = Table(b"r", "rows", key=("key",), value=Row, meaning="numbers of the test")
RUNG = Table(b"g", "rung", key=("reference",), value=Row, meaning="when alarms rang")


def put(body: Put, ctx: Context) -> None:
    ROWS.put(ctx.state, Row(body.value), body.key)
    ctx.emit("toy.put", key=body.key, value=body.value)
    # Written before the check, to see that a refusal takes it back.
    refuse_unless(body.value != 13, Code.LIMIT, "thirteen is not allowed")


def alarm(body: Alarm, ctx: Context) -> None:
    for number in range(body.count):
        ctx.schedule(body.at_ms, "ring", number.to_bytes(8, "big"))


def ring(reference: bytes, ctx: Context) -> None:
    RUNG.put(ctx.state, Row(ctx.height), reference)


def spoil(body: Alarm, ctx: Context) -> None:
    ctx.schedule(body.at_ms, "spoil", b"")


def refuse(_reference: bytes, _ctx: Context) -> None:
    raise TxError(Code.STATE, "due work must not refuse")


def flood(body: Alarm, ctx: Context) -> None:
    for _ in range(body.count):
        ctx.emit("toy.put")


def crash(_body: Alarm, _ctx: Context) -> None:
    raise KeyError("a mistake of the module")


TOY = Module(
    "toy",
    types=(
        TxType("toy.put", 1, Put, put, "Set a number."),
        TxType("toy.alarm", 1, Alarm, alarm, "Ring later."),
        TxType("toy.spoil", 1, Alarm, spoil, "Have due work that refuses."),
        TxType("toy.flood", 1, Alarm, flood, "Emit events."),
        TxType("toy.crash", 1, Alarm, crash, "Make a mistake."),
    ),
    tables=(ROWS, RUNG),
    events=(EventType("toy.put", ("key", "value"), "A number was set."),),
    due={"ring": ring, "spoil": refuse},
)


def test_a_transaction_happens_completely_or_not_at_all() -> None:
    ledger = Ledger(TOY)
    who = ledger.person()
    first, second = ledger.fresh_id(), ledger.fresh_id()
    ledger.accept(ledger.op("toy.put", Put(first, 1)), by=who)
    operations = [ledger.op("toy.put", Put(second, 2)), ledger.op("toy.put", Put(first, 13))]
    outcome = ledger.block(ledger.tx(*operations, by=who))[0]
    assert (outcome.code, outcome.operation) == (Code.LIMIT, 1)
    assert ROWS.get(ledger.space("toy"), first) == Row(1)
    assert ROWS.get(ledger.space("toy"), second) is None
    assert ledger.event_types() == []


def test_later_transactions_and_operations_see_what_earlier_ones_wrote() -> None:
    ledger = Ledger(TOY)
    who = ledger.person()
    key = ledger.fresh_id()
    blocks = [ledger.tx(ledger.op("toy.put", Put(key, n)), by=who) for n in (1, 13, 3)]
    assert [o.code for o in ledger.block(*blocks)] == [OK, Code.LIMIT, OK]
    assert ROWS.get(ledger.space("toy"), key) == Row(3)
    assert [event.tx for event in ledger.events] == [0, 2]


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.tuples(st.integers(0, 5), st.integers(10, 15)), max_size=12))
def test_execution_depends_on_state_and_block_alone(values: list[tuple[int, int]]) -> None:
    ledger = Ledger(TOY)
    who = ledger.person()
    transactions = [
        ledger.tx(ledger.op("toy.put", Put(bytes([k]) * 32, v)), by=who) for k, v in values
    ]
    header = ledger.header(transactions, ledger.time_ms + 1)
    before = ledger.state.digest()
    first = ledger.executor.execute(ledger.state, header, transactions, ledger.validators)
    again = Ledger(TOY)
    again.person()
    second = again.executor.execute(again.state, header, transactions, again.validators)
    assert first == second
    assert ledger.state.digest() == before, "executing changes nothing until it is committed"
    assert first.receipts_root == merkle.root([encode(o) for o in first.outcomes])
    assert first.events_root == merkle.counted_root([encode(e) for e in first.events])


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(6)))
def test_independent_transactions_give_the_same_state_in_any_order(order: list[int]) -> None:
    digests = []
    for arrangement in (list(range(6)), order):
        ledger = Ledger(TOY)
        who = ledger.person()
        transactions = [
            ledger.tx(ledger.op("toy.put", Put(bytes([n]) * 32, n + 10)), by=who) for n in range(6)
        ]
        ledger.block(*(transactions[n] for n in arrangement))
        digests.append(ledger.state.digest())
    assert digests[0] == digests[1]


def test_the_recorded_changes_rebuild_the_state() -> None:
    ledger = Ledger(TOY)
    who = ledger.person()
    copy = ledger.state.copy()
    for number in range(5):
        ledger.accept(ledger.op("toy.put", Put(bytes([number % 3]) * 32, number)), by=who)
        assert ledger.last is not None
        copy.apply(ledger.last.changes)
    exported = MemoryState()
    exported.apply({name: dict(rows) for name, rows in copy.spaces.items()})
    assert exported.digest() == ledger.state.digest()


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (Operation("toy.none", 1, b""), Code.TYPE),
        (Operation("toy.put", 2, encode(Put(bytes(32), 1))), Code.TYPE),
        (Operation("toy.put", 1, b""), Code.SCHEMA),
        (Operation("toy.put", 1, encode(Put(bytes(31), 1))), Code.SCHEMA),
        (Operation("toy.put", 1, encode(Put(bytes(32), 1)) + b"\x00"), Code.SCHEMA),
        (Operation("toy.put", 1, encode((bytes(32), 1, 1))), Code.SCHEMA),
        (Operation("toy.put", 1, encode((bytes(32),))), Code.SCHEMA),
        (Operation("toy.put", 1, encode((bytes(32), 2**53))), Code.SCHEMA),
        (Operation("toy.put", 1, encode((bytes(32), -1))), Code.SCHEMA),
        (Operation("toy.put", 1, encode((bytes(32), 1.0))), Code.SCHEMA),
        (Operation("toy.put", 1, encode((bytes(32), True))), Code.SCHEMA),
        (Operation("toy.put", 1, encode((bytes(32), None))), Code.SCHEMA),
        (Operation("toy.put", 1, b"\x92\xc4\x20" + bytes(32) + b"\xcc\x01"), Code.SCHEMA),
        (Operation("toy.put", 1, encode({"key": bytes(32), "value": 1})), Code.SCHEMA),
        (Operation("toy.put", 1, encode(("13800138000", 1))), Code.SCHEMA),
    ],
)
def test_bodies_of_the_wrong_shape_are_refused(operation: Operation, code: Code) -> None:
    ledger = Ledger(TOY)
    ledger.refuse(code, operation, by=ledger.person())


def test_a_key_that_belongs_to_nobody_does_nothing() -> None:
    ledger = Ledger(TOY)
    stranger = some_key("stranger")
    ledger.refuse(Code.ROLE, ledger.op("toy.put", Put(bytes(32), 1)), by=stranger)
    # One signer whom nobody knows spoils the transaction, whoever else signed.
    both: list[By] = [ledger.person(), stranger]
    ledger.refuse(Code.ROLE, ledger.op("toy.put", Put(bytes(32), 1)), by=both)


def test_due_work_runs_in_order_bounded_and_never_early() -> None:
    ledger = Ledger(TOY)
    who = ledger.person()
    at_ms = ledger.time_ms + 10_000
    ledger.accept(ledger.op("toy.alarm", Alarm(at_ms, DUE_PER_BLOCK_MAX + 7)), by=who)
    ledger.pass_time(ms=at_ms - ledger.time_ms - 1)
    assert list(RUNG.rows(ledger.space("toy"))) == []
    assert due.next_due_ms(ledger.space(due.NAMESPACE)) == at_ms
    ledger.pass_time(ms=1)
    rung = [key for key, _ in RUNG.rows(ledger.space("toy"))]
    assert rung == [number.to_bytes(8, "big") for number in range(DUE_PER_BLOCK_MAX)]
    ledger.pass_time(ms=1)
    assert len(list(RUNG.rows(ledger.space("toy")))) == DUE_PER_BLOCK_MAX + 7
    assert due.next_due_ms(ledger.space(due.NAMESPACE)) is None


def test_due_work_that_refuses_is_a_broken_invariant() -> None:
    ledger = Ledger(TOY)
    with pytest.raises(InvariantBroken, match="spoil of toy"):
        ledger.accept(ledger.op("toy.spoil", Alarm(ledger.time_ms, 1)), by=ledger.person())


def test_a_mistake_of_a_module_stops_the_node_and_names_the_type() -> None:
    ledger = Ledger(TOY)
    with pytest.raises(InvariantBroken, match=r"toy\.crash raised KeyError"):
        ledger.accept(ledger.op("toy.crash", Alarm(0, 0)), by=ledger.person())


def test_the_events_of_a_transaction_are_bounded() -> None:
    ledger = Ledger(TOY)
    who = ledger.person()
    ledger.accept(ledger.op("toy.flood", Alarm(0, EVENTS_PER_TX_MAX)), by=who)
    ledger.refuse(Code.LIMIT, ledger.op("toy.flood", Alarm(0, EVENTS_PER_TX_MAX + 1)), by=who)


def test_the_same_transaction_gives_the_same_id_and_outcome_on_every_node() -> None:
    ledger, twin = Ledger(TOY), Ledger(TOY)
    who = ledger.person()
    twin.person()
    tx: Transaction = ledger.tx(ledger.op("toy.put", Put(bytes(32), 1)), by=who)
    assert ledger.block(tx) == twin.block(tx)
    assert ledger.state.digest() == twin.state.digest()

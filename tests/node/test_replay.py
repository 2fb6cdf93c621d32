"""No transaction is taken twice, whether it was committed before the start of the node or after."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medquorum.keys import SigningKey
from medquorum.transaction import Transaction
from node.replay import ReplayWindow
from tests.support.cluster import make_transaction

KEY = SigningKey(bytes(32))
WINDOW = 5


def tx_of(number: int, valid_until: int) -> Transaction:
    """A transaction told apart by number."""
    return make_transaction(bytes(32), KEY, number, valid_until=valid_until)


def test_the_index_is_not_asked_once_the_chain_is_past_what_it_could_know() -> None:
    asked: list[bytes] = []

    def indexed(tx_id: bytes) -> bool:
        asked.append(tx_id)
        return False

    window = ReplayWindow(10, WINDOW, indexed)
    for height in range(11, 15):
        window.advance(height, [])
        assert not window.seen(bytes(32))
    assert len(asked) == 4
    window.advance(15, [])
    assert not window.seen(bytes(32))
    assert len(asked) == 4


def test_what_was_committed_before_the_start_is_known_once_it_is_absorbed() -> None:
    asked: list[bytes] = []

    def indexed(tx_id: bytes) -> bool:
        asked.append(tx_id)
        return True

    old, other = tx_of(1, valid_until=12), tx_of(2, valid_until=12)
    window = ReplayWindow(10, WINDOW, indexed)
    window.absorb([old.id])
    assert window.seen(old.id)
    assert not window.seen(other.id)
    assert asked == [old.id]
    window.advance(15, [])
    assert len(window) == 0


def test_on_a_fresh_chain_there_is_nothing_to_ask_the_index() -> None:
    window = ReplayWindow(0, WINDOW, lambda _: True)
    assert not window.seen(bytes(32))


def test_what_expired_is_forgotten() -> None:
    window = ReplayWindow(0, WINDOW, lambda _: True)
    window.advance(1, [tx_of(1, valid_until=3), tx_of(2, valid_until=4)])
    assert len(window) == 2
    window.advance(3, [])
    assert len(window) == 1
    window.advance(9, [])
    assert len(window) == 0


@given(
    st.booleans(),
    st.integers(1, 12),
    st.lists(st.lists(st.integers(1, WINDOW), max_size=3), max_size=25),
)
def test_it_agrees_with_a_set_of_everything(
    absorb: bool, start: int, blocks: list[list[int]]
) -> None:
    """Commit blocks of transactions with these lifetimes; the node starts at height `start`."""
    committed: dict[bytes, Transaction] = {}
    window: ReplayWindow | None = None
    number = 0
    for height, lifetimes in enumerate(blocks, start=1):
        transactions = []
        for lifetime in lifetimes:
            number += 1
            transactions.append(tx_of(number, valid_until=height - 1 + lifetime))
        committed.update((tx.id, tx) for tx in transactions)
        if window is not None:
            window.advance(height, transactions)
        elif height >= start:
            window = ReplayWindow(height, WINDOW, committed.__contains__)
            if absorb:
                window.absorb(list(committed))
        if window is not None:
            for tx in committed.values():
                assert window.seen(tx.id) or tx.body.valid_until <= height
            assert not window.seen(bytes(32))

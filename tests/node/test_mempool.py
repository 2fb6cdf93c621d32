"""What the mempool promises: bounds, fairness, and that nothing gets lost in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medquorum.keys import SigningKey
from medquorum.transaction import Operation, Transaction, build, sign
from node.ledger.txtype import Traffic
from node.mempool import TURNS, Mempool, PoolTx, Refusal

KEY = SigningKey(bytes(32))
CHAIN = bytes(32)
ORGS = [bytes([n]) * 32 for n in range(4)]


def make_tx(
    number: int, *, valid_until: int = 100, operations: int = 1, size: int = 0
) -> Transaction:
    """A transaction that differs from all others by its nonce."""
    body = build(
        chain_id=CHAIN,
        nonce=number.to_bytes(16, "big"),
        valid_until=valid_until,
        operations=[Operation("test.op", 1, bytes(size)) for _ in range(operations)],
        signers=[KEY.public],
    )
    return sign(body, [KEY])


def add(
    pool: Mempool,
    number: int,
    org: bytes = ORGS[0],
    traffic: Traffic = Traffic.CLINICAL,
    **fields: int,
) -> Transaction:
    """Add a transaction that must be taken."""
    tx = make_tx(number, **fields)
    assert pool.add(PoolTx(tx, org, traffic, local=False)) is None
    return tx


def take(pool: Mempool, count: int) -> list[Transaction]:
    """The next `count` candidates."""
    return pool.candidates(txs_max=count, bytes_max=10**9, operations_max=10**9)


def test_candidates_stay_until_they_are_removed() -> None:
    pool = Mempool()
    tx = add(pool, 1)
    assert take(pool, 10) == [tx]
    assert take(pool, 10) == [tx]
    pool.remove([tx.id])
    assert take(pool, 10) == []
    assert len(pool) == 0
    assert pool.size_bytes == 0


def test_organisations_take_turns_however_many_transactions_one_of_them_sends() -> None:
    pool = Mempool()
    for number in range(100):
        add(pool, number, ORGS[0])
    quiet = [add(pool, 1000 + number, ORGS[1]) for number in range(3)]
    chosen = take(pool, 6)
    assert [tx for tx in chosen if tx in quiet] == quiet


def test_bulk_traffic_keeps_its_share_and_no_more() -> None:
    pool = Mempool()
    for number in range(200):
        add(pool, number, traffic=Traffic.BULK)
        add(pool, 1000 + number, traffic=Traffic.CLINICAL)
    chosen = take(pool, 80)
    bulk = sum(int.from_bytes(tx.body.nonce, "big") < 1000 for tx in chosen)
    turns = dict(TURNS)
    expected = 80 * turns[Traffic.BULK] // (turns[Traffic.BULK] + turns[Traffic.CLINICAL])
    assert bulk == expected


def test_governance_passes_before_everything_else() -> None:
    pool = Mempool()
    for number in range(50):
        add(pool, number, traffic=Traffic.CLINICAL)
    vote = add(pool, 1000, traffic=Traffic.GOVERNANCE)
    assert take(pool, 1) == [vote]


def test_turns_between_organisations_go_on_from_block_to_block() -> None:
    pool = Mempool()
    for org in ORGS:
        for number in range(5):
            add(pool, ORGS.index(org) * 100 + number, org)
    served: list[int] = []
    for _ in range(4):
        [tx] = take(pool, 1)
        served.append(int.from_bytes(tx.body.nonce, "big") // 100)
        pool.remove([tx.id])
    assert sorted(served) == [0, 1, 2, 3]


def test_a_full_pool_refuses_and_keeps_what_it_has() -> None:
    pool = Mempool(txs_max=2, org_share=1.0)
    first, second = add(pool, 1), add(pool, 2)
    assert pool.add(PoolTx(make_tx(3), ORGS[1], Traffic.CLINICAL, local=False)) is Refusal.FULL
    assert set(take(pool, 5)) == {first, second}


def test_a_pool_full_of_bytes_refuses() -> None:
    pool = Mempool(bytes_max=1000)
    add(pool, 1, size=500)
    big = make_tx(2, size=900)
    assert pool.add(PoolTx(big, ORGS[0], Traffic.CLINICAL, local=False)) is Refusal.FULL


def test_one_organisation_cannot_hold_more_than_its_share() -> None:
    pool = Mempool(txs_max=10, org_share=0.5)
    for number in range(5):
        add(pool, number, ORGS[0])
    over = PoolTx(make_tx(6), ORGS[0], Traffic.CLINICAL, local=False)
    assert pool.add(over) is Refusal.ORG_SHARE
    add(pool, 7, ORGS[1])


def test_expired_transactions_leave_and_are_remembered_as_expired() -> None:
    pool = Mempool()
    early, late = add(pool, 1, valid_until=5), add(pool, 2, valid_until=6)
    assert pool.expire(4) == []
    assert pool.expire(5) == [early.id]
    assert pool.has_expired(early.id)
    assert not pool.has_expired(late.id)
    assert take(pool, 5) == [late]


def test_a_committed_transaction_does_not_count_as_expired() -> None:
    pool = Mempool()
    tx = add(pool, 1, valid_until=5)
    pool.remove([tx.id])
    assert pool.expire(10) == []
    assert not pool.has_expired(tx.id)


@pytest.mark.parametrize(("operations_max", "expected"), [(3, 1), (4, 2), (100, 3)])
def test_a_block_holds_no_more_operations_than_allowed(operations_max: int, expected: int) -> None:
    pool = Mempool()
    for number in range(3):
        add(pool, number, operations=2)
    chosen = pool.candidates(txs_max=10, bytes_max=10**9, operations_max=operations_max)
    assert len(chosen) == expected


def test_a_transaction_larger_than_a_block_still_gets_a_block_of_its_own() -> None:
    pool = Mempool()
    tx = add(pool, 1, size=2000)
    assert pool.candidates(txs_max=10, bytes_max=100, operations_max=10) == [tx]


def test_what_is_still_being_written_is_nothing_to_propose() -> None:
    pool = Mempool()
    own = make_tx(1)
    pool.add(PoolTx(own, ORGS[0], Traffic.CLINICAL, local=True), written=False)
    assert (pool.has_written, take(pool, 10)) == (False, [])
    passed_on = add(pool, 2)
    assert (pool.has_written, take(pool, 10)) == (True, [passed_on])
    pool.remove([passed_on.id])
    assert not pool.has_written
    pool.mark_written([own.id])
    assert (pool.has_written, take(pool, 10)) == (True, [own])


def test_only_transactions_of_own_clients_are_offered_to_peers_again() -> None:
    pool = Mempool()
    add(pool, 1)
    own = make_tx(2)
    pool.add(PoolTx(own, ORGS[0], Traffic.CLINICAL, local=True))
    assert pool.local(10) == [own.raw]


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("add"),
                st.integers(0, 40),
                st.integers(0, 3),
                st.sampled_from(list(Traffic)),
            ),
            st.tuples(st.just("commit"), st.integers(0, 8), st.just(0), st.just(Traffic.BULK)),
            st.tuples(st.just("expire"), st.integers(0, 40), st.just(0), st.just(Traffic.BULK)),
        ),
        max_size=40,
    )
)
def test_pool_agrees_with_a_plain_set(steps: list[tuple[str, int, int, Traffic]]) -> None:
    """The twin is a dictionary from id to expiry: same members, same refusals for want of room."""
    pool = Mempool(txs_max=12, org_share=1.0)
    twin: dict[bytes, int] = {}
    for what, number, org, traffic in steps:
        if what == "add":
            tx = make_tx(number, valid_until=number)
            refusal = pool.add(PoolTx(tx, ORGS[org], traffic, local=False))
            if tx.id in twin or len(twin) < 12:
                assert refusal is None
                twin[tx.id] = number
            else:
                assert refusal is Refusal.FULL
        elif what == "commit":
            chosen = take(pool, number)
            assert len(chosen) == min(number, len(twin))
            assert len({tx.id for tx in chosen}) == len(chosen)
            pool.remove(tx.id for tx in chosen)
            for tx in chosen:
                del twin[tx.id]
        else:
            late = pool.expire(number)
            assert set(late) == {tx_id for tx_id, until in twin.items() if until <= number}
            twin = {tx_id: until for tx_id, until in twin.items() if until > number}
        pool.check_invariants()
        assert {tx.id for tx in take(pool, 100)} == set(twin)

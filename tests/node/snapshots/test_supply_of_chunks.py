"""Who is asked for the chunks of a snapshot, and who no more (P8, P13): a peer that delivers hardly
anything cannot hold a node up, and a narrow link of our own is nobody's fault. On made-up time.
"""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.snapshots.limits import (
    ANSWER_WAIT_S,
    CHUNK_LATE_S,
    CHUNK_WAIT_S,
    CHUNKS_IN_FLIGHT_MAX,
    CHUNKS_MAX,
    MIB,
    PATIENCE_S,
    RATE_BYTES_MIN,
    SLOW_FETCHES_MAX,
    SLOW_WINDOW_S,
    UNFINISHED_MAX,
)
from node.snapshots.patience import Patience, Tries
from node.snapshots.supply import Ask, Supply
from tests.support.chunk_peers import SILENT, Joining, Peer, some_chunks

DRIPPING = Peer(delay_s=ANSWER_WAIT_S - 0.1)
FAST = Peer(rate=4 * MIB)


def keys(count: int) -> list[bytes]:
    return [bytes([at]) * 33 for at in range(count)]


@settings(deadline=None, max_examples=60)
@given(
    peers=st.integers(1, 13),
    link=st.floats(1.01 * CHUNKS_IN_FLIGHT_MAX * MIB / CHUNK_WAIT_S, 64 * MIB),
    count=st.integers(1, 120),
    seed=st.integers(0, 2**32),
)
def test_a_narrow_link_of_our_own_costs_no_peer_its_place(
    peers: int, link: float, count: int, seed: int
) -> None:
    chunks = some_chunks(count, Random(seed))
    node = Joining(chunks, dict.fromkeys(keys(peers), Peer()), link=link)
    assert node.run()
    assert node.given_up == []
    # Nothing is fetched twice but the last few, late as they are.
    assert node.came <= sum(ref.size for ref in chunks) + CHUNKS_IN_FLIGHT_MAX * MIB


@pytest.mark.parametrize("peers", [1, 2, 3])
def test_a_link_of_hardly_more_than_the_least_rate_does_for_a_few_peers(peers: int) -> None:
    node = Joining(
        some_chunks(60, Random(10)),
        dict.fromkeys(keys(peers), Peer()),
        link=1.05 * RATE_BYTES_MIN,
    )
    assert node.run()
    assert node.given_up == []


def test_who_answers_just_in_time_is_named_and_passed_over_beside_one_who_delivers() -> None:
    slow, fast = keys(2)
    node = Joining(some_chunks(400, Random(1)), {slow: DRIPPING, fast: FAST})
    assert node.run()
    assert node.given_up == [(slow, "snapshot_slow")]
    first = next(at for at, ask in enumerate(node.asked) if ask.peer == slow)
    assert first <= 2  # it was asked from the beginning on
    alone = Joining(node.chunks, {fast: FAST})
    assert alone.run()
    assert node.now_s < alone.now_s + 1.0


@pytest.mark.parametrize("drips", [SILENT, DRIPPING, Peer(rate=RATE_BYTES_MIN / 16)])
def test_many_who_deliver_hardly_anything_hold_one_honest_peer_up_by_seconds(drips: Peer) -> None:
    *slow, fast = keys(7)
    node = Joining(some_chunks(400, Random(2)), {**dict.fromkeys(slow, drips), fast: FAST})
    alone = Joining(node.chunks, {fast: FAST})
    assert node.run() and alone.run()
    assert (fast, "snapshot_slow") not in node.given_up
    # What they owe at the end is asked of the honest one once it is late.
    assert node.now_s < alone.now_s + CHUNK_WAIT_S + CHUNK_LATE_S


def test_more_than_there_are_questions_cannot_keep_the_honest_one_from_being_asked() -> None:
    *slow, fast = keys(40)
    node = Joining(some_chunks(400, Random(3)), {**dict.fromkeys(slow, DRIPPING), fast: FAST})
    assert node.run()
    assert node.now_s < 400 * 0.64 * MIB / FAST.rate + 10 * CHUNK_LATE_S


def test_who_is_slow_like_all_others_stays() -> None:
    """Nobody can be compared with one who is better: the link may be ours."""
    node = Joining(
        some_chunks(60, Random(4)), dict.fromkeys(keys(3), Peer(rate=RATE_BYTES_MIN / 2))
    )
    assert node.run()
    assert node.given_up == []
    assert node.now_s > 3 * SLOW_WINDOW_S


def test_a_quarter_of_the_pace_of_the_others_is_no_reason() -> None:
    slow, *fast = keys(3)
    peers = {slow: Peer(rate=FAST.rate / 4), **dict.fromkeys(fast, FAST)}
    node = Joining(some_chunks(800, Random(5)), peers)
    assert node.run()
    assert node.given_up == []
    assert sum(ask.peer == slow for ask in node.asked) > 50


@pytest.mark.parametrize("size", [1, 400_000])
@pytest.mark.parametrize("count", [1, 5])
def test_if_all_drip_it_ends_though_each_answer_is_in_time(count: int, size: int) -> None:
    """Also with chunks of a byte: no true snapshot has so many of them."""
    chunks = some_chunks(CHUNKS_MAX if size == 1 else 500, Random(6), size=size)
    drips = Peer(delay_s=DRIPPING.delay_s, rate=RATE_BYTES_MIN / (2 * count))
    node = Joining(chunks, dict.fromkeys(keys(count), drips))
    assert not node.run()
    assert node.now_s <= PATIENCE_S + node.came / RATE_BYTES_MIN + 0.01


@settings(deadline=None, max_examples=40)
@given(
    habits=st.lists(
        st.tuples(st.floats(100.0, 4e5), st.floats(0.01, 40.0) | st.just(inf)), min_size=1
    ),
    count=st.integers(1, 60),
    seed=st.integers(0, 2**32),
)
def test_whatever_the_peers_do_time_is_paid_for_in_bytes(
    habits: list[tuple[float, float]], count: int, seed: int
) -> None:
    """All tries together take as long as their bytes at the least rate, and a named time more."""
    peers = {key: Peer(*habit) for key, habit in zip(keys(len(habits)), habits, strict=True)}
    tries, came, now_s = Tries(), 0, 0.0
    while not tries.is_over:
        node = Joining(some_chunks(count, Random(seed)), peers, patience=tries.patience)
        if node.run():
            break
        came, now_s = came + node.came, now_s + node.now_s
        # Any chunk that came is as good as progress, so that this alone never ends it.
        tries.failed(1)
    assert tries.unfinished <= UNFINISHED_MAX
    assert now_s <= SLOW_FETCHES_MAX * PATIENCE_S + came / RATE_BYTES_MIN + 1.0


def test_what_an_unfinished_fetch_used_up_of_the_patience_stays_used_up() -> None:
    tries = Tries()
    tries.patience.waited(PATIENCE_S - 1.0)
    tries.failed(1)
    assert tries.patience.left_s == 1.0
    tries.patience.waited(1.0)
    tries.failed(1)
    assert tries.patience.left_s == PATIENCE_S
    assert not tries.is_over


def test_a_question_that_nobody_answers_has_an_end_and_the_chunk_is_asked_of_another_next() -> None:
    silent, other = keys(2)
    chunks = some_chunks(9, Random(7))
    supply = Supply(chunks, [silent, other], Patience(), 0.0)
    asks = supply.plan(0.0)
    owed = [ask.ref for ask in asks if ask.peer == silent]
    for ask in asks:
        if ask.peer == other:
            assert supply.answered(ask, 1.0)
            supply.written(ask)
    supply.plan(1.0)
    assert supply.give_up(CHUNK_WAIT_S - 0.1) == []
    assert supply.give_up(CHUNK_WAIT_S) == [(silent, "snapshot_stalled")]
    assert supply.suppliers == (other,)
    assert supply.withdraw(silent, CHUNK_WAIT_S) is False
    assert not supply.answered(Ask(silent, owed[0]), CHUNK_WAIT_S)
    supply.check_invariants()


def test_a_slow_disk_of_our_own_uses_up_nobodys_time() -> None:
    (peer,) = keys(1)
    patience = Patience()
    supply = Supply(some_chunks(2, Random(8)), [peer], patience, 0.0)
    asks = supply.plan(0.0)
    assert [supply.answered(ask, 1.0) for ask in asks] == [True, True]
    left_s = patience.left_s
    assert supply.deadline(1.0) is None
    assert supply.plan(1_000.0) == []
    assert supply.give_up(1_000.0) == []
    assert patience.left_s == left_s
    for ask in asks:
        supply.written(ask)
    assert supply.is_done


def test_the_last_chunks_are_asked_of_a_second_peer_once_they_are_late() -> None:
    late, other = keys(2)
    (ref,) = some_chunks(1, Random(9))
    supply = Supply([ref], [late, other], Patience(), 0.0)
    (first,) = supply.plan(0.0)
    assert supply.deadline(0.0) == CHUNK_LATE_S
    assert supply.plan(CHUNK_LATE_S - 0.1) == []
    (second,) = supply.plan(CHUNK_LATE_S)
    assert {first.peer, second.peer} == {late, other}
    assert supply.plan(CHUNK_LATE_S) == []
    assert supply.answered(second, CHUNK_LATE_S + 1.0)
    # The late one is right as well, and nothing is done with it.
    assert not supply.answered(first, CHUNK_LATE_S + 1.0)
    supply.written(second)
    assert supply.is_done

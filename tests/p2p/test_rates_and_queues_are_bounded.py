"""Token buckets and send queues, without a network and with a clock that is an argument."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.frames import Control
from p2p.limits import Limits
from p2p.model import KindLimit, Lane
from p2p.ratelimit import AttemptRates, PeerRates, TokenBucket, address_group
from p2p.reasons import Reason
from p2p.sendqueue import SendQueue

SMALL = replace(
    Limits(),
    consensus_queue_messages_max=3,
    consensus_queue_bytes_max=30,
    bulk_queue_messages_max=3,
    bulk_queue_bytes_max=30,
)


@given(
    st.integers(1, 20),
    st.floats(0.5, 50),
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_no_window_ever_sees_more_than_burst_plus_rate(
    burst: int, per_second: float, gaps: list[float]
) -> None:
    bucket, now, taken = TokenBucket(per_second, burst, 0.0), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(now):
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            count = last - first + 1
            assert count <= burst + per_second * (taken[last] - start) + 1e-6


def test_a_bucket_refills_with_time_and_never_above_its_burst() -> None:
    bucket = TokenBucket(per_second=2.0, burst=3, now=10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5), bucket.take(10.5)] == [True, False]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_each_kind_has_its_own_bucket_and_habitual_excess_is_not_tolerated() -> None:
    kinds = {
        1: KindLimit("a", Lane.BULK, bytes_max=1, per_second=1, burst=1),
        2: KindLimit("b", Lane.BULK, bytes_max=1, per_second=1, burst=1),
    }
    limits = replace(Limits(), excess_frames_burst=2, excess_frames_per_second=1.0)
    rates = PeerRates(kinds, limits, now=0.0)
    assert rates.allow(1, 0.0)
    assert not rates.allow(1, 0.0)
    assert rates.allow(2, 0.0)
    assert [rates.tolerate(0.0) for _ in range(3)] == [True, True, False]
    assert rates.tolerate(1.0)


def test_attempts_are_counted_by_address_and_the_table_stays_bounded() -> None:
    limits = replace(
        Limits(), attempts_per_address_s=1.0, attempts_per_address_burst=1, addresses_tracked_max=2
    )
    attempts = AttemptRates(limits)
    assert attempts.allow("a", 0.0)
    assert not attempts.allow("a", 0.0)
    assert attempts.allow("b", 0.0)
    assert attempts.allow("c", 0.0)
    assert len(attempts) == 2
    assert not attempts.allow("b", 0.0)


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_customer_is_one_origin(host: str, group: str) -> None:
    assert address_group(host) == group


def test_a_full_bulk_queue_refuses_the_newest_by_name() -> None:
    queue = SendQueue(Lane.BULK, SMALL)
    assert [queue.push(bytes([n]) * 5) for n in range(3)] == [(), (), ()]
    assert queue.push(b"late") == (Reason.BULK_QUEUE_FULL,)
    assert queue.take(1000) == [bytes([n]) * 5 for n in range(3)]


def test_a_full_consensus_queue_drops_the_oldest_by_name() -> None:
    queue = SendQueue(Lane.CONSENSUS, SMALL)
    assert [queue.push(bytes([n]) * 10) for n in range(3)] == [(), (), ()]
    assert queue.push(b"x" * 15) == (Reason.CONSENSUS_QUEUE_FULL,) * 2
    assert queue.push(b"x" * 31) == (Reason.CONSENSUS_QUEUE_FULL,)
    assert queue.take(1000) == [bytes([2]) * 10, b"x" * 15]


def test_control_frames_overtake_and_only_the_latest_of_a_kind_waits() -> None:
    queue = SendQueue(Lane.BULK, SMALL)
    queue.push(b"message")
    for n in range(100):
        queue.push_control(Control.PONG, bytes([n]))
    assert queue.take(1000) == [bytes([99]), b"message"]
    assert not queue.ready.is_set()


@given(
    st.sampled_from(Lane),
    st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.integers(1, 60)), max_size=60),
)
def test_a_queue_never_exceeds_its_bounds_and_keeps_the_order(
    lane: Lane, actions: list[bytes | int]
) -> None:
    queue, twin = SendQueue(lane, SMALL), list[bytes]()
    for action in actions:
        if isinstance(action, bytes):
            dropped = len(queue.push(action))
            if lane is Lane.BULK:
                twin += [action] * (1 - dropped)
            elif len(action) <= 30:
                twin = [*twin[dropped:], action]
        else:
            batch = queue.take(action)
            assert batch == twin[: len(batch)]
            assert len(batch) <= 1 or sum(map(len, batch)) <= action
            assert len(batch) > 0 or len(twin) == 0
            twin = twin[len(batch) :]
        assert (queue.messages, queue.bytes_waiting) == (len(twin), sum(map(len, twin)))
        assert queue.messages <= 3
        assert queue.bytes_waiting <= 30
        assert queue.ready.is_set() == (len(twin) > 0)

"""Peers are told again of what waits for longer than it should, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from node.limits import REMINDED_TXS
from node.reminder import Reminder


class World:
    """What waits, and what was gossiped to whom."""

    def __init__(self) -> None:
        self.pool = [b"one", b"two"]
        self.sent: list[tuple[Sequence[bytes], Sequence[bytes]]] = []
        self.reminder = Reminder(
            waiting=lambda limit: self.pool[:limit],
            gossip=lambda raws, peers: self.sent.append((raws, peers)),
        )


def test_a_peer_is_reminded_of_what_still_waits_when_it_says_again_that_it_is_there() -> None:
    world = World()
    world.reminder.on_tip(b"a")
    assert world.sent == []
    world.pool.append(b"three")
    world.reminder.on_tip(b"a")
    world.reminder.on_tip(b"b")
    assert world.sent == [([b"one", b"two"], [b"a"])]


def test_what_is_new_each_time_reminds_nobody() -> None:
    world = World()
    for number in range(3):
        world.pool = [b"%d" % number]
        world.reminder.on_tip(b"a")
    assert world.sent == []


def test_a_reminder_is_small_and_an_empty_pool_sends_none() -> None:
    world = World()
    world.pool = [b"%d" % number for number in range(REMINDED_TXS + 1)]
    world.reminder.on_tip(b"a")
    world.reminder.on_tip(b"a")
    [(raws, _)] = world.sent
    assert raws == world.pool[:REMINDED_TXS]
    world.pool = []
    world.reminder.on_tip(b"a")
    assert len(world.sent) == 1


def test_a_peer_that_was_gone_starts_over() -> None:
    world = World()
    world.reminder.on_tip(b"a")
    world.reminder.lost(b"a")
    world.reminder.on_tip(b"a")
    assert world.sent == []

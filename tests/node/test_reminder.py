"""Peers are told again of what waits, exactly while nothing moves."""

from __future__ import annotations

from collections.abc import Sequence

from node.limits import REMINDED_TXS
from node.reminder import Reminder


class World:
    """A height, what waits, and what was gossiped to whom."""

    def __init__(self) -> None:
        self.height = 5
        self.pool = [b"one", b"two"]
        self.sent: list[tuple[Sequence[bytes], Sequence[bytes]]] = []
        self.reminder = Reminder(
            height=lambda: self.height,
            waiting=lambda limit: self.pool[:limit],
            gossip=lambda raws, peers: self.sent.append((raws, peers)),
        )


def test_a_peer_is_reminded_when_the_chain_stands_still() -> None:
    world = World()
    world.reminder.on_tip(b"a")
    assert world.sent == []
    world.reminder.on_tip(b"a")
    assert world.sent == [([b"one", b"two"], [b"a"])]


def test_a_chain_that_moves_reminds_nobody() -> None:
    world = World()
    for _ in range(3):
        world.reminder.on_tip(b"a")
        world.height += 1
    assert world.sent == []


def test_a_reminder_is_small_and_an_empty_pool_sends_none() -> None:
    world = World()
    world.pool = [b"tx"] * (REMINDED_TXS + 1)
    world.reminder.on_tip(b"a")
    world.reminder.on_tip(b"a")
    [(raws, _)] = world.sent
    assert len(raws) == REMINDED_TXS
    world.pool = []
    world.reminder.on_tip(b"a")
    assert len(world.sent) == 1


def test_a_peer_that_was_gone_starts_over() -> None:
    world = World()
    world.reminder.on_tip(b"a")
    world.reminder.lost(b"a")
    world.reminder.on_tip(b"a")
    assert world.sent == []

"""What waits for the engine is bounded for each validator, and nobody's flood is another's loss."""

from __future__ import annotations

from consensus.engine import Received, WorkAvailable
from consensus.messages import Status
from node.inbox import Inbox

LIAR, HONEST = b"liar", b"honest"


def message(peer: bytes, height: int = 1) -> Received:
    """A small message."""
    return Received(peer, Status(height, 0))


async def test_a_flood_shuts_out_nobody_but_its_sender() -> None:
    inbox = Inbox(peer_events_max=3)
    taken = [inbox.post_received(message(LIAR), 10) for _ in range(100)]
    assert taken.count(True) == 3
    assert inbox.post_received(message(HONEST), 10)
    inbox.post(WorkAvailable())
    assert await inbox.drain() == [*[message(LIAR)] * 3, message(HONEST), WorkAvailable()]


async def test_large_messages_are_bounded_by_their_size() -> None:
    inbox = Inbox(peer_bytes_max=1_000)
    assert [inbox.post_received(message(LIAR), 400) for _ in range(4)] == [True, True, False, False]
    assert inbox.post_received(message(HONEST), 400)


async def test_whoever_was_heard_has_room_again() -> None:
    inbox = Inbox(peer_events_max=1)
    assert inbox.post_received(message(LIAR), 10)
    await inbox.drain()
    assert inbox.post_received(message(LIAR), 10)


async def test_the_nodes_own_answers_always_find_room() -> None:
    inbox = Inbox(peer_events_max=1)
    for _ in range(1_000):
        inbox.post(WorkAvailable())
    assert len(inbox) == 1_000

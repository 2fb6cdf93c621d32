"""The window of questions: any mix of honest, slow, short, silent and lying peers ends with the
whole chain if one is honest, within the bounds, as if a dumb twin had asked the honest one block by
block.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.catchup.peers import Peers, Source
from node.catchup.window import TIMEOUT_S, Answer, Ask, Window
from node.limits import (
    SYNC_BACKOFF_S_MAX,
    SYNC_BLOCKS_PER_REQUEST,
    SYNC_BYTES_AHEAD_MAX,
    SYNC_BYTES_PER_RESPONSE,
    SYNC_HEDGE_S,
    SYNC_PARTS_MAX,
    SYNC_REQUESTS_PER_PEER,
)

HABITS = ("honest", "slow", "short", "silent", "empty", "lying", "bold", "fickle")
TIP_S = 1.0
GIVE_UP_S = 3_600.0


@dataclass(frozen=True)
class Block:
    """Good ones are true to their height."""

    height: int
    good: bool = True


class Town:
    """Peers with habits, on virtual time, and a node that follows the window's plans."""

    def __init__(self, target: int, habits: list[str], block_bytes: int, random: Random) -> None:
        self.target = target
        self.habits = {bytes([index]): habit for index, habit in enumerate(habits)}
        self.block_bytes = block_bytes
        self.random = random
        self.window = Window[Block](1)
        self.peers = Peers()
        self.now_s = 0.0
        self.applied: list[int] = []
        self.banned: set[bytes] = set()
        self.questions = 0
        self.tick = count()
        self.events: list[tuple[float, int, str, bytes, Answer[Block] | None]] = []

    def run(self) -> None:
        """Until the chain is here, or for an hour."""
        self.push(0.0, "tip", b"")
        while len(self.applied) < self.target and self.now_s < GIVE_UP_S:
            due = self.window.deadline(self.now_s)
            if self.events and (due is None or self.events[0][0] <= due):
                self.now_s, _, what, peer, answer = heapq.heappop(self.events)
                if what == "tip":
                    self.announce()
                elif answer is not None:
                    self.hear(peer, answer)
            elif due is not None:
                self.now_s = due
            self.look()

    def push(
        self, delay_s: float, what: str, peer: bytes, answer: Answer[Block] | None = None
    ) -> None:
        heapq.heappush(self.events, (self.now_s + delay_s, next(self.tick), what, peer, answer))

    def announce(self) -> None:
        """What every peer says once a second."""
        for peer, habit in self.habits.items():
            self.peers.claim(peer, 10 * self.target if habit == "bold" else self.target)
        self.push(TIP_S, "tip", b"")

    def look(self) -> None:
        """What the node does whenever something happened."""
        while self.apply():
            continue
        for peer in self.window.expire(self.now_s):
            self.peers.stalled(peer, self.now_s)
        connected = [peer for peer in self.habits if peer not in self.banned]
        sources = self.peers.ahead(len(self.applied), connected, self.now_s)
        for ask in self.window.plan(sources, self.now_s):
            self.asked(ask)
        if not self.window.is_waiting:
            self.window.clear()
        self.check_bounds()

    def apply(self) -> bool:
        head = self.window.head
        if head is None or head.answer is None:
            return False
        for block in head.answer.blocks:
            if not block.good:
                self.banned.add(head.answer.peer)
                self.window.discard(head.answer.peer)
                break
            assert block.height == len(self.applied) + 1
            self.applied.append(block.height)
        self.window.reached(len(self.applied))
        return True

    def asked(self, ask: Ask) -> None:
        """A peer answers after its habit."""
        self.questions += 1
        habit, wish = self.habits[ask.peer], range(ask.first, ask.first + ask.count)
        blocks = tuple(Block(height) for height in wish if height <= self.target)
        delay_s = self.random.uniform(0.005, 0.05)
        if habit == "silent":
            return
        if habit == "slow":
            delay_s = self.random.uniform(1.0, 2 * TIMEOUT_S)
        elif habit == "fickle":
            delay_s = self.random.choice((0.01, TIMEOUT_S * 3))
        elif habit == "short":
            blocks = blocks[: self.random.randint(1, 2)]
        elif habit == "empty":
            blocks = ()
        elif habit == "lying":
            blocks = (*blocks[:-1], Block(ask.first + len(blocks) - 1, good=False))
        answer = Answer(ask.peer, ask.first, blocks, 10 + self.block_bytes * len(blocks))
        self.push(delay_s, "answer", ask.peer, answer)

    def hear(self, peer: bytes, answer: Answer[Block]) -> None:
        took_s = self.window.answered(answer, self.now_s)
        if took_s is not None:
            self.peers.answered(peer, took_s, len(answer.blocks))

    def check_bounds(self) -> None:
        self.window.check_invariants()
        parts = self.window.parts
        assert len(parts) <= SYNC_PARTS_MAX + SYNC_BLOCKS_PER_REQUEST
        held = sum(part.answer.size for part in parts if part.answer is not None)
        coming = sum(len(part.asked) for part in parts if part.answer is None)
        room = max(SYNC_BYTES_PER_RESPONSE, SYNC_BLOCKS_PER_REQUEST * self.block_bytes + 10)
        # What is under way was asked for when answers were perhaps still believed to be small.
        assert held <= SYNC_BYTES_AHEAD_MAX + room * max(coming, SYNC_PARTS_MAX)
        for peer in self.habits:
            assert self.window.owed(peer) <= SYNC_REQUESTS_PER_PEER


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 400),
    st.lists(st.sampled_from(HABITS), max_size=6),
    st.sampled_from((100, 20_000, 600_000)),
    st.randoms(use_true_random=False),
)
def test_one_honest_peer_among_any_others_is_enough(
    target: int, habits: list[str], block_bytes: int, random: Random
) -> None:
    place = random.randint(0, len(habits))
    town = Town(target, [*habits[:place], "honest", *habits[place:]], block_bytes, random)
    town.run()
    assert town.applied == list(range(1, target + 1))
    assert bytes([place]) not in town.banned
    assert all(town.habits[peer] == "lying" for peer in town.banned)


@pytest.mark.parametrize("habit", ["silent", "slow", "empty"])
def test_a_peer_that_is_of_no_use_costs_little_time(habit: str) -> None:
    alone = Town(2_000, ["honest", "honest"], 100, Random(1))
    alone.run()
    beside = Town(2_000, ["honest", habit, "honest"], 100, Random(1))
    beside.run()
    assert beside.applied == alone.applied
    assert beside.now_s <= alone.now_s + 4 * SYNC_HEDGE_S


def test_who_leaves_questions_open_is_asked_ever_less_often() -> None:
    town = Town(1, ["silent"], 100, Random(1))
    town.run()
    assert (
        GIVE_UP_S / SYNC_BACKOFF_S_MAX / 2 <= town.questions <= 2 * GIVE_UP_S / SYNC_BACKOFF_S_MAX
    )


def sources(*peers: tuple[bytes, int]) -> list[Source]:
    return [Source(peer, height, slow=False) for peer, height in peers]


def test_parts_are_spread_over_the_peers() -> None:
    window = Window[Block](1)
    asks = window.plan(sources((b"a", 1_000), (b"b", 1_000), (b"c", 1_000)), 0.0)
    assert [ask.peer for ask in asks] == [b"a", b"b", b"c", b"a", b"b", b"c"]
    assert [ask.first for ask in asks] == [1 + 32 * part for part in range(6)]


def test_nobody_is_asked_for_more_than_it_claims_to_have() -> None:
    window = Window[Block](1)
    assert window.plan(sources((b"a", 5)), 0.0) == [Ask(b"a", 1, 5)]


def test_what_a_short_answer_lacks_is_asked_for_again() -> None:
    window = Window[Block](1)
    window.plan(sources((b"a", 5)), 0.0)
    window.answered(Answer(b"a", 1, (Block(1), Block(2)), 20), 1.0)
    assert window.plan(sources((b"b", 9)), 1.0)[0] == Ask(b"b", 3, 3)


def test_blocks_that_came_by_another_way_are_not_needed_twice() -> None:
    window = Window[Block](1)
    window.plan(sources((b"a", 5)), 0.0)
    window.answered(Answer(b"a", 1, tuple(map(Block, range(1, 6))), 50), 1.0)
    window.reached(3)
    head = window.head
    assert head is not None
    assert head.answer is not None
    assert head.answer.blocks == (Block(4), Block(5))


def test_an_answer_that_is_needed_no_more_is_still_owed() -> None:
    window = Window[Block](1)
    window.plan(sources((b"a", 5)), 0.0)
    window.reached(5)
    assert (window.owed(b"a"), window.is_waiting) == (1, False)
    assert window.expire(TIMEOUT_S) == [b"a"]
    assert window.owed(b"a") == 0


def test_nobody_may_answer_for_another_one() -> None:
    window = Window[Block](1)
    window.plan(sources((b"a", 5)), 0.0)
    assert window.answered(Answer(b"b", 1, (Block(1),), 10), 1.0) is None
    assert window.answered(Answer(b"a", 2, (Block(2),), 10), 1.0) is None
    assert window.answered(Answer(b"a", 1, (Block(1),), 10), 1.0) == 1.0
    assert window.answered(Answer(b"a", 1, (Block(1),), 10), 1.0) is None

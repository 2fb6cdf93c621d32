"""Linearizable reads: one question for all who wait, and never an answer from before it."""

from __future__ import annotations

import asyncio

import pytest

from consensus.wishes import ReadAnswered, ReadAsked
from medquorum.quorum import EngineName
from node.errors import RefusedError
from node.reads import ReadIndex

PATIENCE_S = 30.0
"""Of tests in which the answer comes."""


class Asked:
    """An engine that writes down what it was asked."""

    def __init__(self, engine: EngineName = "raft", *, votes: bool = True) -> None:
        self.halted = False
        self.contexts: list[int] = []
        self.came = asyncio.Event()
        self.reads = ReadIndex(
            engine,
            self._ask,
            votes=lambda: votes,
            halted=lambda: self.halted,
            first_context=2**32 - 2,
            attempt_ms=20,
        )

    def _ask(self, asked: ReadAsked) -> None:
        self.contexts.append(asked.context)
        self.came.set()

    async def question(self) -> int:
        """The context of the next question."""
        await asyncio.wait_for(self.came.wait(), PATIENCE_S)
        self.came.clear()
        return self.contexts[-1]


async def refusal(reads: ReadIndex, timeout_s: float = PATIENCE_S) -> str:
    """The code with which a read is refused."""
    with pytest.raises(RefusedError) as refused:
        await reads.height(timeout_s)
    return refused.value.code


async def test_all_who_wait_share_one_question_and_later_ones_the_next() -> None:
    engine = Asked()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(engine.reads.height(PATIENCE_S))
        context = await engine.question()
        others = [group.create_task(engine.reads.height(PATIENCE_S)) for _ in range(5)]
        await asyncio.sleep(0)
        engine.reads.answered(ReadAnswered(context, 7))
        # Only the one who began the question is in it: the others came after it was asked.
        assert await first == 7
        again = await engine.question()
        assert not any(other.done() for other in others)
        engine.reads.answered(ReadAnswered(again, 9))
    assert [other.result() for other in others] == [9] * 5
    assert len(engine.contexts) == 2


async def test_an_answer_to_a_question_that_was_given_up_counts_for_nothing() -> None:
    engine = Asked()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(engine.reads.height(PATIENCE_S))
        lost = await engine.question()
        again = await engine.question()
        assert again != lost
        engine.reads.answered(ReadAnswered(lost, 3))
        await asyncio.sleep(0)
        assert not waiting.done()
        engine.reads.answered(ReadAnswered(engine.contexts[-1], 5))
    assert waiting.result() == 5


async def test_a_refusal_is_followed_by_another_question() -> None:
    engine = Asked()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(engine.reads.height(PATIENCE_S))
        engine.reads.answered(ReadAnswered(await engine.question(), None))
        engine.reads.answered(ReadAnswered(await engine.question(), 4))
    assert waiting.result() == 4
    assert engine.contexts == [2**32 - 1, 0]


async def test_without_a_leader_the_read_ends_with_its_code_and_the_questions_end_too() -> None:
    engine = Asked()
    assert await refusal(engine.reads, 0.05) == "no_leader"
    engine.reads.answered(ReadAnswered(engine.contexts[-1], None))
    asked = len(engine.contexts)
    # Longer than an attempt, and longer than the pause after a refusal.
    await asyncio.sleep(0.2)
    assert len(engine.contexts) == asked


async def test_who_cannot_know_says_so_at_once() -> None:
    assert await refusal(Asked("pbft").reads) == "not_offered"
    assert await refusal(Asked(votes=False).reads) == "not_offered"
    halted = Asked()
    halted.halted = True
    assert await refusal(halted.reads) == "halted"

"""Short reads travel to their threads together, and each gets its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from node.threads import BRIEFS_TOGETHER_MAX, READER_THREADS, Readers


@pytest.fixture(name="readers")
def _readers() -> Iterator[Readers]:
    readers = Readers()
    yield readers
    readers.close()


async def test_each_of_many_short_reads_gets_its_own_answer_or_error(readers: Readers) -> None:
    def halve(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number // 2

    found = await asyncio.gather(
        *(readers.brief(halve, number) for number in range(5 * BRIEFS_TOGETHER_MAX)),
        return_exceptions=True,
    )
    for number, one in enumerate(found):
        if number % 2:
            assert isinstance(one, ValueError)
            assert one.args == (number,)
        else:
            assert one == number // 2


async def test_reads_that_come_together_share_a_way_to_a_thread(readers: Readers) -> None:
    threads = await asyncio.gather(
        *(readers.brief(threading.get_ident) for _ in range(BRIEFS_TOGETHER_MAX))
    )
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_one_that_hangs_holds_up_none_that_come_later(readers: Readers) -> None:
    let_go = threading.Event()
    begun = [threading.Event() for _ in range(READER_THREADS - 1)]

    def hang(number: int) -> None:
        begun[number].set()
        let_go.wait(20)

    async with asyncio.TaskGroup() as group:
        for number, event in enumerate(begun):
            group.create_task(readers.brief(hang, number))
            await asyncio.to_thread(event.wait, 20)
        try:
            assert await asyncio.wait_for(readers.brief(int, "7"), 20) == 7
        finally:
            let_go.set()


async def test_who_went_away_leaves_the_others_their_answers(readers: Readers) -> None:
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(readers.brief(int, "1"))
        stays = group.create_task(readers.brief(int, "2"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 2
    assert gone.cancelled()
    assert await readers.brief(int, "3") == 3

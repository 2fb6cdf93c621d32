"""What became of a transaction, and waiting for it: bounded, and never past an answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from node.errors import RefusedError
from node.events import Cursor, read_page
from node.receipts import receipt_file
from node.tracker import Tracker, TxState
from tests.support.daemon import local_node
from tests.support.people import enrolment


async def test_old_outcomes_are_read_from_the_store(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        txs = [node.transaction(enrolment(node, name)) for name in ("a", "b")]
        await node.admit(*txs)
        await node.commit()
        fresh = Tracker(node.chain, node.pool, node.readers)
        assert await fresh.statuses([txs[1].id, txs[0].id]) == await node.tracker.statuses(
            [txs[1].id, txs[0].id]
        )
        assert (await fresh.status(b"\x00" * 32)).state is TxState.UNKNOWN


async def test_everyone_who_waits_is_told_at_once(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        tx = node.transaction(enrolment(node, "a"))
        await node.admit(tx)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(node.tracker.wait(tx.id, 10)) for _ in range(3)]
            height = group.create_task(node.tracker.wait_height(1, 10))
            while len(node.tracker) < 4:
                node.tracker.someone_waits.clear()
                await node.tracker.someone_waits.wait()
            await node.commit()
        assert {task.result().state for task in waiting} == {TxState.COMMITTED}
        assert height.result()
        assert len(node.tracker) == 0


async def test_waits_are_bounded_in_number(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        tracker = Tracker(node.chain, node.pool, node.readers, waiters_max=1)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(tracker.wait_height(5, 10))
            await asyncio.sleep(0)
            with pytest.raises(RefusedError) as refused:
                await tracker.wait(b"\x00" * 32, 10)
            with pytest.raises(RefusedError):
                await tracker.wait_height(6, 10)
            first.cancel()
        assert refused.value.code == "rate_limited"
        assert len(tracker) == 0


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(node.tracker.wait(b"\x01" * 32, 10)),
                group.create_task(node.tracker.wait_height(9, 10)),
            ]
            while len(node.tracker) < 2:
                node.tracker.someone_waits.clear()
                await node.tracker.someone_waits.wait()
            for task in tasks:
                task.cancel()
        assert len(node.tracker) == 0
        await node.commit()


async def test_a_commit_between_the_end_of_a_wait_and_its_notice_is_no_fault(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path) as node:
        block = await node.commit()
        async with asyncio.TaskGroup() as group:
            late = group.create_task(node.tracker.wait_height(2, 10))
            await node.tracker.someone_waits.wait()
            await asyncio.sleep(0)
            # The wait is over, and the commit comes before the task can act on that.
            late.cancel()
            node.tracker.on_commit(replace(block, header=structs.replace(block.header, height=2)))
        assert late.cancelled()
        assert len(node.tracker) == 0


async def test_a_wait_that_ends_says_where_the_transaction_stands(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        tx = node.transaction(enrolment(node, "a"))
        await node.admit(tx)
        assert (await node.tracker.wait(tx.id, 0.01)).state is TxState.PENDING
        assert not await node.tracker.wait_height(1, 0.01)
        assert await node.tracker.wait_height(0, 0)


async def test_what_is_in_no_block_has_no_receipt(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        assert receipt_file(node.chain.blocks, b"\x00" * 32) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("heights_max", [1, 2, 500])
async def test_pages_of_any_size_find_the_same_events(
    tmp_path: Path, limit: int, heights_max: int
) -> None:
    async with local_node(tmp_path) as node:
        for size in (3, 0, 0, 2, 1, 0):
            people = (enrolment(node, f"{node.chain.tip.height} {n}") for n in range(size))
            await node.admit(*(node.transaction(operation) for operation in people))
            await node.commit()
        seen, after = [], Cursor(0, 0, 0)
        while True:
            page = read_page(
                node.chain.blocks,
                after,
                types=(),
                limit=limit,
                tip=node.chain.tip.height,
                heights_max=heights_max,
            )
            seen += [str(placed.cursor) for placed in page.events]
            if page.next == after:
                break
            after = page.next
        assert seen == ["1-0-0", "1-1-1", "1-2-2", "4-0-0", "4-1-1", "5-0-0"]
        assert after == Cursor.after_height(6)

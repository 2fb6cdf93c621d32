"""What an engine asks of blocks is answered, whatever peers, clocks and disks do meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from consensus.engine import (
    BODY_MISMATCH,
    BlockBuilt,
    Build,
    Event,
    Execute,
    Validate,
    Validated,
    WorkAvailable,
)
from medquorum.transaction import Transaction
from node.app import Node
from node.ledger.blockcheck import check_block
from node.ledger.txtype import Traffic
from node.mempool import PoolTx
from node.wire import CertifiedBlock
from tests.support.cluster import Cluster, running_cluster

WAIT_S = 20.0
HOUR_MS = 3_600_000


@asynccontextmanager
async def lone_node(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Cluster, Node, asyncio.Queue[Event]]]:
    """One of four validators, whose engine hears nothing: the test asks in its place."""
    async with running_cluster(path, 4, start=[0]) as cluster, asyncio.timeout(WAIT_S):
        node = cluster.node(0)
        answers: asyncio.Queue[Event] = asyncio.Queue()

        def post(event: Event) -> None:
            if not isinstance(event, WorkAvailable):  # which nobody asked for
                answers.put_nowait(event)

        monkeypatch.setattr(node.inbox, "post", post)
        yield cluster, node, answers


async def certified_block(path: Path) -> CertifiedBlock:
    """Height 1 of another run of the same chain."""
    async with running_cluster(path, 4) as source:
        tx = source.transaction()
        await source.submit(0, tx)
        await source.committed([tx])
        stored = source.node(0).chain.blocks.block(1)
        assert stored is not None
        return CertifiedBlock(stored.header, stored.result, stored.certificate, stored.transactions)


async def built(
    node: Node, answers: asyncio.Queue[Event], *transactions: Transaction
) -> BlockBuilt:
    """A block of these, which are in the pool afterwards, by the node itself."""
    for tx in transactions:
        node.pool.add(PoolTx(tx, b"", Traffic.CLINICAL, local=False))
    start = node.work.height_started()
    node.work.build(
        Build(
            height=start.height,
            round=0,
            proposer=start.validators.validators[0].key,
            parent_hash=start.parent_hash,
            parent_result_hash=start.parent_result_hash,
            validators_hash=start.validators.hash(),
            not_before_ms=start.parent_time_ms + 1,
        )
    )
    block = await answers.get()
    assert isinstance(block, BlockBuilt)
    return block


async def answer_to(
    node: Node, answers: asyncio.Queue[Event], block: BlockBuilt, *, certified: bool = False
) -> str:
    """What Validate says of a block."""
    node.work.validate(Validate(block.header, block.body, (), certified))
    answer = await answers.get()
    assert isinstance(answer, Validated)
    return answer.reason


async def test_a_transaction_that_is_being_written_makes_no_empty_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lone_node(tmp_path, monkeypatch) as (cluster, node, _answers):
        told: list[Event] = []
        monkeypatch.setattr(node.inbox, "post", told.append)
        tx = cluster.transaction()
        node.pool.add(PoolTx(tx, b"", Traffic.CLINICAL, local=True), written=False)
        node.work.announce_work()
        assert told == []
        node.pool.mark_written([tx.id])
        node.work.announce_work()
        node.work.announce_work()
        assert told == [WorkAvailable()]


async def test_an_execution_that_waits_for_what_nobody_has_does_not_stop_the_catch_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = await certified_block(tmp_path / "a")
    async with lone_node(tmp_path / "b", monkeypatch) as (cluster, node, answers):
        lost = cluster.transaction()
        block = await built(node, answers, lost)
        node.pool.remove([lost.id])
        asked = asyncio.Event()
        monkeypatch.setattr(node.bodies, "_ask", lambda *_what: asked.set())
        node.work.execute(Execute(block.header, block.body))
        await asked.wait()
        assert await node.sync.try_block(decided) == ""
        assert node.chain.tip.height == 1
        await asyncio.gather(*node.work._begun, return_exceptions=True)
        assert node.bodies._wanted == {}


async def test_a_full_journal_costs_a_vote_and_not_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lone_node(tmp_path, monkeypatch) as (cluster, node, answers):
        block = await built(node, answers, cluster.transaction())
        monkeypatch.setattr(node.stores.pending._journal, "_bytes_max", 1)
        assert await answer_to(node, answers, block) == "journal_full"
        assert await answer_to(node, answers, block, certified=True) == ""


async def test_what_was_kept_for_a_block_that_was_not_decided_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = await certified_block(tmp_path / "a")
    async with lone_node(tmp_path / "b", monkeypatch) as (cluster, node, answers):
        pending, withheld = cluster.transaction(1), cluster.transaction(2)
        block = await built(node, answers, pending, withheld)
        assert await answer_to(node, answers, block) == ""
        node.pool.remove([withheld.id])
        assert await node.sync.try_block(decided) == ""
        assert set(node.stores.pending._positions) == {pending.id}


async def test_a_clock_that_was_set_back_stops_neither_proposals_nor_votes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lone_node(tmp_path, monkeypatch) as (cluster, node, answers):
        parent_ms = node.chain.tip.time_ms
        monkeypatch.setattr(node.work, "_now_ms", lambda: parent_ms - HOUR_MS)
        block = await built(node, answers, cluster.transaction())
        assert block.header.time_ms == parent_ms + 1
        assert await answer_to(node, answers, block) == ""


async def test_a_false_body_is_no_more_believed_after_the_true_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lone_node(tmp_path, monkeypatch) as (cluster, node, answers):
        block = await built(node, answers, cluster.transaction())
        assert await answer_to(node, answers, block) == ""
        false = BlockBuilt(block.height, block.round, block.header, b"garbage")
        assert await answer_to(node, answers, false) == BODY_MISMATCH


async def test_a_block_is_checked_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = await certified_block(tmp_path / "a")
    threads: list[str] = []

    def checked(*args: object, **values: object) -> str | None:
        threads.append(threading.current_thread().name.partition("_")[0])
        return check_block(*args, **values)  # type: ignore[arg-type]  # whatever it is given

    monkeypatch.setattr("node.blockwork.check_block", checked)
    async with lone_node(tmp_path / "b", monkeypatch) as (cluster, node, answers):
        block = await built(node, answers, cluster.transaction())
        assert await answer_to(node, answers, block) == ""
        assert await node.sync.try_block(decided) == ""
    assert threads == ["ledger", "ledger"]

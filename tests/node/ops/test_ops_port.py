"""Health and metrics: readiness names what is wrong, and no label grows with the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Thread, current_thread

import pytest
from typing_extensions import override

from consensus.engine import EngineStatus
from node.errors import RefusedError
from node.ops.looplag import watch_loop
from node.ops.metrics import REASONS_MAX, Metrics, TransportMetrics
from node.sync import SyncStatus
from p2p.model import Observer, PeerInfo
from storage.chain import ChainStore
from storage.state import StateStore
from tests.support.daemon import NODE, VALIDATOR, World, local_node
from tests.support.people import enrolment


def peer(*, connected: bool) -> PeerInfo:
    """A peer."""
    return PeerInfo(
        node_key=b"\x01" * 33,
        address=("127.0.0.1", 1),
        connected=connected,
        software="test",
        lanes=(),
        last_reason="",
        ban_reason="",
        banned_s=0,
        bans=0,
    )


def status_of(*, proposer: bytes) -> EngineStatus:
    """An engine at height 1 that waits for this one."""
    return EngineStatus(
        height=1,
        round=0,
        phase="idle",
        proposer=proposer,
        round_timeout_ms=1_000,
        prepared_by=(),
        committed_by=(),
        round_change_by=(),
        divergent=False,
        halted="",
    )


def halt(world: World) -> None:
    world.halted = "divergence"


def lag(world: World) -> None:
    world.sync = SyncStatus(1, 4)


def fill(world: World) -> None:
    world.disk.f_bavail = 900 * 1024


@pytest.mark.parametrize(
    ("change", "query", "component"),
    [
        (halt, "", "consensus"),
        (lag, "", "sync"),
        (fill, "", "disk"),
        (lambda _world: None, "?min_peers=1", "peers"),
    ],
)
async def test_readiness_names_the_cause(
    tmp_path: Path, change: Callable[[World], None], query: str, component: str
) -> None:
    world = World()
    change(world)
    async with local_node(tmp_path, world=world) as node, node.ops() as ops:
        async with ops.get(f"/readyz{query}") as answer:
            found = await answer.json()
        assert (answer.status, found["ready"]) == (503, False)
        assert [check["component"] for check in found["failed_checks"]] == [component]
        async with ops.get("/livez") as answer:
            assert answer.status == 200


async def test_a_node_that_is_well_is_ready(tmp_path: Path) -> None:
    world = World(sync=SyncStatus(1, 3), peers=(peer(connected=True), peer(connected=False)))
    async with local_node(tmp_path, world=world) as node, node.ops() as ops:
        async with ops.get("/readyz?min_peers=1&max_behind=2&verbose=1") as answer:
            found = await answer.json()
        assert (answer.status, found["ready"], found["failed_checks"]) == (200, True, [])
        assert set(found["checks"]) == {"consensus", "sync", "peers", "disk", "modules"}
        async with ops.get("/readyz?max_behind=1") as answer:
            assert answer.status == 503
        async with ops.get("/readyz?max_behind=x") as answer:
            assert answer.status == 422
        async with ops.get("/version") as answer:
            assert (await answer.json())["chain_id"] == node.chain.chain_id.hex()


async def test_metrics_do_not_read_the_database_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by: list[Thread] = []

    def slow(_self: object) -> int:
        by.append(current_thread())
        return 1

    async with local_node(tmp_path) as node, node.ops() as ops:
        monkeypatch.setattr(ChainStore, "oldest_block", slow)
        monkeypatch.setattr(StateStore, "oldest", slow)
        async with ops.get("/metrics") as answer:
            assert "medquorum_oldest_block 1.0" in await answer.text()
    assert len(by) == 2
    assert current_thread() not in by


async def test_a_node_that_catches_up_says_how_fast_and_how_long(tmp_path: Path) -> None:
    slow = bytes([1, *[7] * 32])
    world = World(sync=SyncStatus(1, 101, 20.0, 400.0, (slow,)))
    async with local_node(tmp_path, world=world) as node, node.api() as api, node.ops() as ops:
        async with api.get("/v1/status") as answer:
            assert (await answer.json())["syncing"] == {
                "height": 1,
                "target": 101,
                "blocks_per_second": 20.0,
                "txs_per_second": 400.0,
                "seconds_left": 5.0,
                "passed_over": [slow.hex()],
            }
        async with ops.get("/metrics") as answer:
            page = await answer.text()
        assert "medquorum_sync_blocks_per_second 20.0" in page
        assert "medquorum_sync_seconds_left 5.0" in page
    assert SyncStatus(1, 101).seconds_left is None


async def test_the_page_of_metrics_shows_what_happened(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api, node.ops() as ops:
        tx = node.transaction(enrolment(node, "a"))
        node.tracker.submitted([tx.id])
        await node.admit(tx)
        node.metrics.committed(await node.commit(), {0: "founder"})
        for path in (f"/v1/txs/{tx.id.hex()}", f"/v1/txs/{'00' * 32}", "/nowhere/at/all"):
            async with api.get(path) as answer:
                await answer.read()
        async with ops.get("/metrics") as answer:
            page = await answer.text()
        for line in (
            "medquorum_consensus_height 1.0",
            'medquorum_transactions_total{outcome="ok"} 1.0',
            "medquorum_tx_commit_latency_seconds_count 1.0",
            'medquorum_validator_last_signed_height{validator="founder"} 1.0',
            'medquorum_rpc_request_duration_seconds_count{code="200",route="/v1/txs/{txid}"} 2.0',
            'medquorum_rpc_request_duration_seconds_count{code="404",route="unknown"} 1.0',
            'medquorum_mempool_size{class="clinical"} 0.0',
            "medquorum_disk_guard_state 0.0",
            "medquorum_sync_behind_blocks 0.0",
            'medquorum_build_info{protocol="1",version="test"} 1.0',
        ):
            assert line in page, page
        assert tx.id.hex() not in page


async def test_leadership_is_handed_over_and_the_answer_names_both(tmp_path: Path) -> None:
    world = World()
    async with local_node(tmp_path, world=world) as node, node.ops() as ops:
        async with ops.post("/transfer-leadership", json={"to": "01ab", "timeout": 1.5}) as answer:
            assert answer.status == 200
            assert await answer.json() == {"before": "01", "leader": "02"}
        async with ops.post("/transfer-leadership", json={}) as answer:
            assert answer.status == 200
    assert world.transfers == [b"\x01\xab", b""]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("not_offered", 409),
        ("not_leader", 409),
        ("transfer_target_unknown", 404),
        ("transfer_target_behind", 503),
        ("transfer_timed_out", 503),
    ],
)
async def test_a_transfer_that_fails_has_its_code(tmp_path: Path, code: str, status: int) -> None:
    world = World(transferred=RefusedError(code, "because"))
    async with (
        local_node(tmp_path, world=world) as node,
        node.ops() as ops,
        ops.post("/transfer-leadership", json={}) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"{}", {"Content-Type": "text/plain"}, "unsupported_media_type"),
        (b"{}", {"Host": "evil.test"}, "policy_denied"),
        (b'{"to": "xy"}', {}, "schema_violation"),
        (b'{"to": "AB"}', {}, "schema_violation"),
        (b'{"timeout": 61}', {}, "malformed"),
        (b'{"timeout": 0}', {}, "malformed"),
        (b'{"more": 1}', {}, "malformed"),
        (b"\xff", {}, "malformed"),
        (b" " * 2_000, {}, "too_large"),
    ],
)
async def test_nobody_else_can_have_the_leadership_handed_over(
    tmp_path: Path, body: bytes, headers: dict[str, str], code: str
) -> None:
    world = World()
    async with local_node(tmp_path, world=world) as node, node.ops() as ops:
        sent = {"Content-Type": "application/json", **headers}
        async with ops.post("/transfer-leadership", data=body, headers=sent) as answer:
            assert (await answer.json())["code"] == code
        for host in ("10.1.2.3:29652", "node.hospital.test", "localhost"):
            named = {"Host": host}
            async with ops.post("/transfer-leadership", json={}, headers=named) as answer:
                assert answer.status == 200
    assert len(world.transfers) == 3


async def test_the_page_of_metrics_shows_who_proposes(tmp_path: Path) -> None:
    world = World()
    async with local_node(tmp_path, world=world) as node, node.ops() as ops:
        for proposer, shown in ((VALIDATOR.public, 1), (NODE.public, 0), (b"", 0)):
            world.engine = status_of(proposer=proposer)
            async with ops.get("/metrics") as answer:
                page = await answer.text()
            assert f"medquorum_consensus_is_proposer {shown}.0" in page


def test_reasons_beyond_their_number_are_counted_together() -> None:
    metrics = Metrics(version="test")
    for number in range(REASONS_MAX + 5):
        metrics.dropped(f"reason {number}")
    assert metrics.registry.get_sample_value("medquorum_dropped_total", {"reason": "other"}) == 5


def test_the_transport_is_observed_by_kind_and_not_by_peer() -> None:
    metrics = Metrics(version="test")
    observer: Observer = TransportMetrics(metrics, {1: "consensus"})
    observer.sent(1, 10)
    observer.received(1, 20)
    observer.received(99, 1)
    observer.dropped("bulk_queue_full")
    for key, connected in ((b"a", True), (b"b", True), (b"a", True), (b"b", False)):
        observer.peer_changed(key, connected)
    value = metrics.registry.get_sample_value
    assert value("medquorum_p2p_message_send_bytes_total", {"type": "consensus"}) == 10
    assert value("medquorum_p2p_message_receive_bytes_total", {"type": "consensus"}) == 20
    assert value("medquorum_p2p_message_receive_bytes_total", {"type": "other"}) == 1
    assert value("medquorum_p2p_dropped_total", {"reason": "bulk_queue_full"}) == 1
    assert value("medquorum_p2p_peers") == 1


async def test_a_loop_that_is_held_up_is_measured() -> None:
    found: asyncio.Queue[float] = asyncio.Queue()

    class Watched(Metrics):
        @override
        def loop_lag(self, seconds: float) -> None:
            super().loop_lag(seconds)
            found.put_nowait(seconds)

    metrics, loop = Watched(version="test"), asyncio.get_running_loop()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        watching = group.create_task(watch_loop(metrics, interval_s=0.001))
        await found.get()
        until = loop.time() + 0.05
        while loop.time() < until:
            sum(range(1_000))
        lags = [await found.get() for _ in range(2)]
        watching.cancel()
    assert max(lags) > 0.04
    assert metrics.registry.get_sample_value("medquorum_eventloop_lag_seconds") == lags[-1]


async def test_operators_see_how_many_may_fail_before_nothing_is_decided_any_more(
    tmp_path: Path,
) -> None:
    world = World()
    async with local_node(tmp_path, world=world) as node, node.ops() as ops:
        for change, ready in ((lambda _world: None, 1), (halt, 0)):
            change(world)
            async with ops.get("/metrics") as answer:
                page = await answer.text()
            assert f"medquorum_validators_ready {ready}.0" in page
            assert "medquorum_validators_needed 1.0" in page
            async with ops.get("/readyz") as answer:
                warnings = (await answer.json())["warnings"]
            there = "0 of 1 validators are there, 1 must vote"
            expected = [{"component": "quorum", "reason": there}] if ready == 0 else []
            assert warnings == expected

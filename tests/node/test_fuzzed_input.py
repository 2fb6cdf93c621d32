"""Whatever bytes a peer or a client sends: no handler raises, nothing grows, the sender is named,
and the node goes on committing (R11).

The short run is part of every test run. The long one: `scripts/test --slow -- -k fuzzed`.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgpack
import psutil
import pytest
from aiohttp import ClientSession

from medquorum.quorum import EngineName
from node.ledger.types.identity.bodies import KemSet
from node.network import Network
from node.wire import KINDS
from p2p.model import Frame
from tests.support.cluster import Cluster, running_cluster
from tests.support.daemon import MSGPACK, local_node
from tests.support.fuzz import Fuzzer

FRAMES: Final = [2_000, pytest.param(450_000, marks=[pytest.mark.slow, pytest.mark.timeout(3_600)])]
BODIES: Final = [400, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(3_600)])]
GROWTH_BYTES_MAX: Final = 50 * 1024 * 1024
CORPUS_PER_KIND: Final = 64
JSON_BODY: Final = b'{"txs": ["AAAA", "k6Rub25l"]}'
PAUSE_EVERY: Final = 50
"""Frames after which the node gets a turn to work off what it was sent."""


Corpus = dict[int, list[bytes]]
"""Genuine payloads by kind of frame."""


def record(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """What all nodes are sent from now on, the first of each kind."""
    found: Corpus = {}
    genuine = Network.on_frame

    async def on_frame(network: Network, frame: Frame) -> None:
        seen = found.setdefault(frame.kind, [])
        if len(seen) < CORPUS_PER_KIND:
            seen.append(frame.payload)
        await genuine(network, frame)

    monkeypatch.setattr(Network, "on_frame", on_frame)
    return found


async def live(cluster: Cluster) -> None:
    """Transactions through each node, and one node that has to catch up."""
    for number in range(4):
        tx = cluster.transaction(number)
        await cluster.submit(number, tx)
        await cluster.committed([tx])
    await cluster.stop(3)
    for number in range(4):
        tx = cluster.transaction(number % 3)
        await cluster.submit(number % 3, tx)
        await cluster.committed([tx])
    last = tx
    await cluster.start(3)
    await cluster.committed([last])


@asynccontextmanager
async def bounded_growth() -> AsyncIterator[None]:
    """What happens in here leaves the process about as large as it was."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    yield
    gc.collect()
    assert psutil.Process().memory_info().rss - before < GROWTH_BYTES_MAX


@pytest.mark.parametrize("engine", ["pbft", "raft"])
@pytest.mark.parametrize("count", FRAMES)
async def test_fuzzed_frames_raise_nothing_and_cost_their_sender_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, engine: EngineName
) -> None:
    rng = random.Random(f"frames {count}")
    punished: Counter[str] = Counter()
    corpus = record(monkeypatch)
    async with running_cluster(tmp_path, 4, engine=engine) as cluster:
        node = cluster.node(0)
        await live(cluster)
        assert len(corpus) >= 5, corpus.keys()
        # Its real connections stay: what is sent here in their names is not theirs.
        monkeypatch.setattr(node.network, "punish", lambda _peer, why: punished.update([why]))
        payloads = [payload for seen in corpus.values() for payload in seen]
        fuzzers = {kind: Fuzzer(rng, corpus.get(kind) or payloads) for kind in KINDS}
        senders = [validator.node_key for validator in cluster.genesis.validators[1:]]
        lanes = {kind: limit.lane for kind, limit in KINDS.items()}
        async with bounded_growth():
            for number in range(count):
                kind = rng.choice(list(KINDS))
                payload = fuzzers[kind].draw()[: KINDS[kind].bytes_max]
                await node.network.on_frame(Frame(rng.choice(senders), lanes[kind], kind, payload))
                if number % PAUSE_EVERY == 0:
                    await asyncio.sleep(0)
        tx = cluster.transaction(0)
        await cluster.submit(0, tx)
        await cluster.committed([tx])
        assert node.halt_reason() is None
    assert sum(punished.values()) > count // 10, punished
    assert all(reason.isidentifier() for reason in punished), punished


async def answered(api: ClientSession, rng: random.Random, fuzzer: Fuzzer) -> str:
    """Post something; the code of the refusal, or the status of what is none."""
    path = rng.choice(("/v1/txs", "/v1/txs/batch"))
    headers = rng.choice((MSGPACK, {"Content-Type": "application/json"}, {}))
    async with api.post(path, data=fuzzer.draw(), headers=headers) as answer:
        assert answer.status < 500, await answer.text()
        if answer.status >= 400:
            assert answer.content_type == "application/problem+json"
            return str((await answer.json())["code"])
        return str(answer.status)


@pytest.mark.parametrize("count", BODIES)
async def test_fuzzed_bodies_of_requests_are_refused_with_a_code(
    tmp_path: Path, count: int
) -> None:
    rng = random.Random(f"bodies {count}")
    codes: Counter[str] = Counter()
    async with local_node(tmp_path) as node, node.api() as api:
        operation = node.operation("id.kem.set", KemSet(bytes(32), b""))
        raws = [node.transaction(operation).raw for _ in range(16)]
        fuzzer = Fuzzer(rng, [*raws, msgpack.packb(raws), JSON_BODY])
        async with bounded_growth():
            for _ in range(count):
                codes.update([await answered(api, rng, fuzzer)])
        assert len(codes) > 3, codes
        async with api.get("/v1/status") as answer:
            assert answer.status == 200

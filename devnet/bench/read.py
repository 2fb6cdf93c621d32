"""How many reads one node answers: queries, states of transactions, proofs and receipts, over a
fixed number of open connections. What proves something is verified, every answer, after the clock
has stopped: whoever asks has a machine of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
import msgspec

from devnet.bench.limits import Limits
from devnet.bench.rig import Rig, rig
from devnet.economy import Till, tills
from devnet.errors import StateError
from devnet.load import drain, following
from devnet.loadbook import Book, percentile
from devnet.network import Network
from devnet.processes import ProcessId
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.history import ValidatorHistory
from medquorum.payloads import StateAnswer, certified_of, hex_bytes, proof_of
from medquorum.receipt import verify_receipt
from medquorum.statetree import verify_state
from node.ledger.types.payments.rows import ACCOUNTS, NAMESPACE

SENT_MAX: Final = 2_000
"""Committed transactions whose states and receipts are asked for."""
KEPT_MAX: Final = 50_000
"""Answers that are kept for verification; beyond it, a figure is of a shorter time."""
OK: Final = 200
DRAIN_S: Final = 60.0
REQUEST_S: Final = 30.0

Verify = Callable[[str, bytes], None]
"""Takes what was asked for, and the answer. Raises VerificationError."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of read. Processor times are of one read."""

    what: str
    connections: int
    reads: int
    failed: int
    seconds: float
    per_second: float
    p50_ms: float
    p99_ms: float
    node_cpu_us: float
    node_cpu_share: float
    """Of one core. Near the number of cores that Python can use, the node is what limits."""

    client_cpu_share: float
    """Of one core. Near 1, whoever asks is what limits, not the node."""

    answer_bytes: float
    verified: int
    """Answers that were verified, each of them; 0 where nothing is proven."""

    verify_us: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    validators: int
    figures: list[Figure]


class _Kind(msgspec.Struct, frozen=True):
    name: str
    paths: Sequence[str]
    verify: Verify | None


async def run(
    network: Network, limits: Limits, *, accounts: int, connections: int, seconds: float
) -> Result:
    """Ask the first node. The network must be running and made from a `rig.bench_manifest`."""
    async with rig(network, accounts, limits.cores) as running:
        tx_ids = await _commit_some(running)
        kinds = _kinds(network, tills(network), accounts, tx_ids)
    node = network.process(network.nodes[0])
    if node is None:
        raise StateError("the first node does not run")
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(network.nodes[0].url, connector=connector) as session:
        figures = [await _measure(session, kind, node, connections, seconds) for kind in kinds]
    return Result(validators=len(network.validators), figures=figures)


async def _commit_some(running: Rig) -> list[str]:
    height = await running.height()
    batch = await (await running.stock(SENT_MAX, height)).take(SENT_MAX, height)
    book = Book()
    book.last_height = height
    sender = running.sender
    async with following(sender.session, sender.urls, height, book, followers=1):
        for first in range(0, len(batch), 500):
            part = batch[first : first + 500]
            for tx in part:
                book.sent(tx, time.monotonic())
            book.answered(part, await sender.send(part, 0))
        await drain(sender, book, DRAIN_S)
    seen = [entry.tx.tx_id.hex() for entry in book.accepted() if entry.seen]
    if not seen:
        raise StateError("nothing was committed that could be read")
    return seen


def _kinds(
    network: Network, holders: Sequence[Till], accounts: int, tx_ids: Sequence[str]
) -> list[_Kind]:
    numbers = [till.account(number) for till in holders for number in range(accounts)]
    genesis = network.genesis
    draw = random.Random(1)
    draw.shuffle(numbers)
    return [
        _Kind("query", [f"/v1/query/pay.account?acct={acct.hex()}" for acct in numbers], None),
        _Kind("transaction", [f"/v1/txs/{tx_id}" for tx_id in tx_ids], None),
        _Kind(
            "proof",
            [f"/v1/state/{NAMESPACE}/{ACCOUNTS.key(acct).hex()}" for acct in numbers],
            _proof_verifier(genesis),
        ),
        _Kind(
            "receipt",
            [f"/v1/txs/{tx_id}/receipt" for tx_id in tx_ids],
            _receipt_verifier(genesis),
        ),
    ]


async def _measure(
    session: aiohttp.ClientSession, kind: _Kind, node: ProcessId, connections: int, seconds: float
) -> Figure:
    latencies: list[float] = []
    answers: list[tuple[str, bytes]] = []
    failed = 0
    asked = 0
    node_cpu, own_cpu = node.cpu_seconds(), time.process_time()
    began = time.monotonic()

    async def ask() -> None:
        nonlocal asked, failed
        while time.monotonic() < began + seconds and len(answers) < KEPT_MAX:
            path = kind.paths[asked % len(kind.paths)]
            asked += 1
            sent = time.monotonic()
            timeout = aiohttp.ClientTimeout(total=REQUEST_S)
            try:
                async with session.get(path, timeout=timeout) as response:
                    body = await response.read()
            except (aiohttp.ClientError, TimeoutError):
                failed += 1
                continue
            if response.status != OK:
                failed += 1
                continue
            latencies.append(1_000 * (time.monotonic() - sent))
            answers.append((path, body))

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(ask())
    took = time.monotonic() - began
    node_cpu, own_cpu = node.cpu_seconds() - node_cpu, time.process_time() - own_cpu
    verified, verify_us = _verify_all(kind, answers)
    latencies.sort()
    return Figure(
        what=kind.name,
        connections=connections,
        reads=len(answers),
        failed=failed,
        seconds=round(took, 2),
        per_second=round(len(answers) / took, 1),
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        node_cpu_us=round(1e6 * node_cpu / max(1, len(answers)), 1),
        node_cpu_share=round(node_cpu / took, 3),
        client_cpu_share=round(own_cpu / took, 3),
        answer_bytes=round(sum(len(body) for _, body in answers) / max(1, len(answers)), 1),
        verified=verified,
        verify_us=verify_us,
    )


def _verify_all(kind: _Kind, answers: Sequence[tuple[str, bytes]]) -> tuple[int, float]:
    """How many were verified, and microseconds for each. Raises VerificationError."""
    if kind.verify is None or not answers:
        return 0, 0.0
    began = time.process_time_ns()
    for path, body in answers:
        kind.verify(path, body)
    return len(answers), round((time.process_time_ns() - began) / 1_000 / len(answers), 1)


def _proof_verifier(genesis: Genesis) -> Verify:
    history = ValidatorHistory(genesis)

    def verify(path: str, answer: bytes) -> None:
        document = msgspec.json.decode(answer, type=StateAnswer)
        certified = certified_of(document)
        history.verify(certified)
        value = None if document.value is None else hex_bytes(document.value)
        root, proof = certified.result.state_root, proof_of(document.proof)
        verify_state(root, NAMESPACE, hex_bytes(path.rpartition("/")[2]), value, proof)

    return verify


def _receipt_verifier(genesis: Genesis) -> Verify:
    def verify(path: str, answer: bytes) -> None:
        proven = verify_receipt(answer, genesis)
        if proven.tx_id.hex() not in path:
            raise VerificationError("receipt_tx", "a receipt of another transaction")

    return verify

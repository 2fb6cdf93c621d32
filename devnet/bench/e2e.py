"""Four validators and the load on this one machine: how much, how fast, and at what cost.

Transactions have one operation and one signature, and were signed before they are needed.
Saturation is found by keeping more and more transactions under way until that commits no more a
second; it is then measured for a fixed time. Latency is measured open-loop at half of that rate.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from devnet.bench.limits import Limits, measure, signature_bound
from devnet.bench.load import Stock, keep_under_way, prepare
from devnet.economy import endow
from devnet.errors import StateError
from devnet.limits import DRAIN_S
from devnet.load import Plan, ask, drain, following, generate, make_recipe, window_of
from devnet.loadbook import Book, Report, make_report
from devnet.loadclient import Sender, highest
from devnet.manifest import Manifest
from devnet.network import Network
from devnet.signing import Recipe
from medquorum.client import Client
from medquorum.quorum import EngineName

WINDOWS: Final = (250, 500, 1_000, 2_000, 4_000, 8_000)
RATE_MIN: Final = 1.0
"""Transactions a second at half load, at least: a busy machine may commit nothing in a second."""
GAIN_MIN: Final = 1.05
"""A larger window that commits less than this much more is not worth it."""
PATIENCE: Final = 2
"""So many larger windows in succession must disappoint: one may have met a busy machine."""
OPEN_LOOP_TICK_S: Final = 0.02
"""At half load, what falls due within this time is sent together. It counts as latency."""
WARM_UP_S: Final = 1.0
RATE_GUESS: Final = 2_500
"""Transactions a second that the first step of the search has in stock."""
STOCK_SPARE: Final = 1.5
CONFIG: Final[dict[str, object]] = {
    "rpc.quota_txs_per_second": 1_000_000,
    "rpc.quota_burst_txs": 1_000_000,
}
"""One client stands for thousands; its quota is not what is to be measured."""
PARAMS: Final = {"tx.window_heights": 100_000}
"""Transactions that are signed long before they are sent must still be valid then."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A time under full load."""

    window: int
    seconds: float
    committed_per_second: float
    cpu_us_per_tx_per_validator: float | None
    """None if nothing was committed in that time."""
    refused: dict[str, int]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, on what."""

    engine: EngineName
    validators: int
    limits: Limits
    search: list[Step]
    saturation: Step
    half_load: Report
    signature_bound_per_second: float
    ratio_to_bound: float
    lost: int


@dataclass(slots=True)
class Bench:
    """A network under measurement."""

    network: Network
    sender: Sender
    recipe: Recipe
    pool: ProcessPoolExecutor
    workers: int
    lost: int = 0

    async def saturate(self, window: int, seconds: float, rate_guess: float) -> Step:
        """Keep `window` transactions under way for so long, and count after a warm-up."""
        while True:
            step = await self._try_to_saturate(window, seconds, rate_guess)
            if step is not None:
                return step
            rate_guess *= 2

    async def _try_to_saturate(self, window: int, seconds: float, rate_guess: float) -> Step | None:
        """None if the signed transactions did not last: then the load ended too early."""
        height = await self._height()
        count = window + round(rate_guess * (seconds + WARM_UP_S) * STOCK_SPARE)
        stock = await self._stock(count, height)
        book = Book()
        book.last_height = height
        urls = self.sender.urls
        async with following(self.sender.session, urls, height, book, followers=1):
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    keep_under_way(
                        self.sender, stock, book, window=window, seconds=WARM_UP_S + seconds
                    )
                )
                await asyncio.sleep(WARM_UP_S)
                start, cpu = time.monotonic(), self._cpu_seconds()
                await asyncio.sleep(seconds)
                end, cpu = time.monotonic(), self._cpu_seconds() - cpu
            lasted = stock.left > 0
            committed = book.seen_between(start, end)
            await drain(self.sender, book, DRAIN_S)
        await self._check(book, height, rate_guess)
        if not lasted:
            return None
        return Step(
            window=window,
            seconds=round(end - start, 2),
            committed_per_second=round(committed / (end - start), 1),
            cpu_us_per_tx_per_validator=(
                round(1e6 * cpu / committed / len(urls), 1) if committed else None
            ),
            refused=dict(book.refused),
        )

    async def search(self, seconds: float) -> list[Step]:
        """Larger and larger windows, until they are not worth it."""
        steps: list[Step] = []
        rate = float(RATE_GUESS)
        for window in WINDOWS:
            steps.append(await self.saturate(window, seconds, rate))
            rate = max(rate, steps[-1].committed_per_second * STOCK_SPARE)
            if len(steps) > PATIENCE and not _still_gains(steps):
                break
        return steps

    async def open_loop(self, rate: float, seconds: float) -> Report:
        """A fixed rate, whether or not the network keeps up."""
        plan = Plan(rate, seconds, tick_s=OPEN_LOOP_TICK_S)
        height = await self._height()
        stock = await self._stock(plan.count + 1, height)
        book = Book()
        book.last_height = height
        urls = self.sender.urls
        async with following(self.sender.session, urls, height, book, followers=1):
            ended = await generate(plan, self.sender, stock, book)
            await drain(self.sender, book, DRAIN_S)
        return await self._check(book, height, rate, seconds=ended)

    async def _check(self, book: Book, height: int, rate: float, *, seconds: float = 0.0) -> Report:
        """The report of a phase. A rejected transaction is cheaper than a committed one, so one
        would make the figures worthless. Raises StateError.
        """
        fates = await ask(self.sender, book.accepted())
        report = make_report(
            book, fates, rate=rate, seconds=seconds, first_height=height, stranded=0
        )
        if report.rejected:
            raise StateError(f"{report.rejected} transactions were rejected: nothing was measured")
        self.lost += len(report.lost)
        return report

    async def _stock(self, count: int, height: int) -> Stock:
        valid_until = height + window_of(self.network)
        return await prepare(self.pool, self.workers, self.recipe, count, valid_until)

    async def _height(self) -> int:
        height = await highest(self.sender.session, self.sender.urls)
        if height is None:
            raise StateError("no node answers")
        return height

    def _cpu_seconds(self) -> float:
        processes = [self.network.process(node) for node in self.network.nodes]
        return sum(process.cpu_seconds() for process in processes if process is not None)


@asynccontextmanager
async def bench(network: Network, accounts: int, workers: int) -> AsyncIterator[Bench]:
    """Endow the accounts and get ready."""
    async with Client(network.nodes[0].url, genesis=network.genesis) as client:
        tills = await endow(network, client, accounts)
    recipe = make_recipe(network, tills, Plan(1, 1, accounts=accounts))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            sender = Sender(session, [node.url for node in network.nodes])
            yield Bench(network, sender, recipe, pool, workers)


async def run(network: Network, *, accounts: int, seconds: float, search_s: float) -> Result:
    """All of it. The network must be running and have `CONFIG` and `PARAMS`."""
    limits = measure(network.directory.path)
    validators = len(network.validators)
    async with bench(network, accounts, limits.cores) as running:
        search = await running.search(search_s)
        best = max(search, key=lambda step: step.committed_per_second)
        saturation = await running.saturate(best.window, seconds, best.committed_per_second)
        half = await running.open_loop(max(RATE_MIN, saturation.committed_per_second / 2), seconds)
        lost = running.lost
    bound = signature_bound(limits, validators)
    return Result(
        engine=network.engine,
        validators=validators,
        limits=limits,
        search=search,
        saturation=saturation,
        half_load=half,
        signature_bound_per_second=round(bound, 1),
        ratio_to_bound=round(saturation.committed_per_second / bound, 4),
        lost=lost,
    )


def _still_gains(steps: list[Step]) -> bool:
    before = max(step.committed_per_second for step in steps[:-PATIENCE])
    latest = max(step.committed_per_second for step in steps[-PATIENCE:])
    return latest >= GAIN_MIN * before


def bench_manifest(manifest: Manifest) -> Manifest:
    """The manifest of a network to be measured."""
    return msgspec.structs.replace(
        manifest,
        params={**manifest.params, **PARAMS},
        config={**CONFIG, **manifest.config},
    )

"""A running network under load that was signed before: closed-loop to find what it can do,
open-loop to see how it feels.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Final, NamedTuple, TypeAlias

import aiohttp
import msgspec

from devnet.bench.load import Stock, keep_under_way, prepare
from devnet.bench.meters import Reading, Spent, read_network, spent_between
from devnet.economy import endow
from devnet.errors import StateError
from devnet.limits import DRAIN_S
from devnet.load import Plan, ask, caught_up, drain, following, generate, make_recipe, window_of
from devnet.loadbook import Book, Report, make_report
from devnet.loadclient import Sender, highest
from devnet.manifest import Manifest
from devnet.network import Network
from devnet.signing import Kind, Recipe
from devnet.wards import admit
from medquorum.client import Client

WINDOWS: Final = (250, 500, 1_000, 2_000, 4_000, 8_000)
GAIN_MIN: Final = 1.05
"""A larger window that commits less than this much more is not worth it."""
PATIENCE: Final = 2
"""So many larger windows in succession must disappoint: one may have met a busy machine."""
FINALISTS: Final = 2
FINAL_FACTOR: Final = 3.0
"""So many of the best windows are tried again, for so many times as long: a step of the search is
so short that one pause of the machine may decide it.
"""
WARM_UP_S: Final = 1.0
RATE_GUESS: Final = 2_500
"""Transactions a second that the first step of the search has in stock."""
RATE_MIN: Final = 1.0
"""Transactions a second of open-loop load, at least: a busy machine may commit nothing for a
second."""
STOCK_SPARE: Final = 1.5
CONFIG: Final[dict[str, object]] = {
    "rpc.quota_txs_per_second": 1_000_000,
    "rpc.quota_burst_txs": 1_000_000,
}
"""One client stands for thousands; its quota is not what is to be measured."""
PARAMS: Final = {"tx.window_heights": 100_000}
"""Transactions that are signed long before they are sent must still be valid then."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A time under full load. `cpu_us_per_tx_per_validator` and `per_tx` (of one node) are None if
    nothing was committed in that time.
    """

    window: int
    seconds: float
    committed: int
    committed_per_second: float
    cpu_us_per_tx_per_validator: float | None
    per_tx: Spent | None
    memory_peak_mib: float
    round_changes: int
    refused: dict[str, int]


Saturate: TypeAlias = Callable[[int, float, float], Awaitable[Step]]
"""See Rig.saturate."""


class Search(NamedTuple):
    """What was tried to find what a network can do, in this order, and what it can do."""

    steps: list[Step]
    best: Step


class OpenLoop(msgspec.Struct, frozen=True, kw_only=True):
    """A time at a fixed rate. Queues grow if, in the end, more wait than fell due in a second."""

    percent: float
    """Of saturation."""

    report: Report
    round_changes: int
    pending_after: int
    queues_grew: bool

    @property
    def sustained(self) -> bool:
        """No growing queues, no round changes, everything accepted, and all of it committed."""
        clean = self.round_changes == 0 and not self.queues_grew
        return clean and self.report.committed == self.report.sent


@dataclass(slots=True)
class Rig:
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
        height = await self.height()
        count = window + round(rate_guess * (seconds + WARM_UP_S) * STOCK_SPARE)
        stock = await self.stock(count, height)
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
                before = await self.read()
                await asyncio.sleep(seconds)
                after = await self.read()
            lasted = stock.left > 0
            committed = book.seen_between(before.at, after.at)
            await drain(self.sender, book, DRAIN_S)
        await self.check(book, height, rate_guess)
        if not lasted:
            return None
        spent = spent_between(before, after, committed)
        return Step(
            window=window,
            seconds=round(after.at - before.at, 2),
            committed=committed,
            committed_per_second=round(committed / (after.at - before.at), 1),
            cpu_us_per_tx_per_validator=None if spent is None else spent.cpu_us,
            per_tx=spent,
            memory_peak_mib=after.memory_peak_mib,
            round_changes=after.round_changes - before.round_changes,
            refused=dict(book.refused),
        )

    async def search(self, seconds: float) -> Search:
        """See `search`."""
        return await search(self.saturate, seconds, float(RATE_GUESS) / self.recipe.operations)

    async def open_loop(
        self, percent: float, of: float, seconds: float, tick_s: float, stock: Stock | None = None
    ) -> OpenLoop:
        """`percent` of the rate `of`, whether or not the network keeps up. What falls due within
        a tick is sent together, and its waiting counts as latency. `stock` is made now if it was
        not before.
        """
        rate = max(RATE_MIN, of * percent / 100)
        plan = Plan(rate, seconds, tick_s=tick_s)
        height = await self.height()
        if stock is None:
            stock = await self.stock(plan.count + 1, height)
        book = Book()
        book.last_height = height
        before = await self.read()
        async with following(self.sender.session, self.sender.urls, height, book, followers=1):
            ended = await generate(plan, self.sender, stock, book)
            after = await self.read()
            await drain(self.sender, book, DRAIN_S)
        return OpenLoop(
            percent=percent,
            report=await self.check(book, height, rate, seconds=ended),
            round_changes=after.round_changes - before.round_changes,
            pending_after=after.pending,
            queues_grew=after.pending > max(rate, before.pending + 1),
        )

    async def check(self, book: Book, height: int, rate: float, *, seconds: float = 0.0) -> Report:
        """The report of a phase. A rejected transaction is cheaper than a committed one, so one
        would make the figures worthless. Raises StateError.
        """
        await caught_up(self.sender, book.last_height, DRAIN_S)
        fates = await ask(self.sender, book.accepted())
        report = make_report(
            book, fates, rate=rate, seconds=seconds, first_height=height, stranded=0
        )
        if report.rejected:
            raise StateError(f"{report.rejected} transactions were rejected: nothing was measured")
        self.lost += len(report.lost)
        return report

    async def read(self) -> Reading:
        """What the nodes have used so far."""
        return await asyncio.to_thread(read_network, self.network)

    async def stock(self, count: int, height: int) -> Stock:
        """So many signed transactions."""
        valid_until = height + window_of(self.network)
        return await prepare(self.pool, self.workers, self.recipe, count, valid_until)

    async def height(self) -> int:
        """The last height. Raises StateError."""
        height = await highest(self.sender.session, self.sender.urls)
        if height is None:
            raise StateError("no node answers")
        return height


@asynccontextmanager
async def rig(
    network: Network,
    accounts: int,
    workers: int,
    *,
    kind: Kind = Kind.TRANSFER,
    operations: int = 1,
) -> AsyncIterator[Rig]:
    """Endow the accounts and get ready. The network must be running and have `CONFIG` and
    `PARAMS`.
    """
    async with Client(network.nodes[0].url, genesis=network.genesis) as client:
        tills = await endow(network, client, accounts)
        if kind is Kind.ANCHOR:
            await admit(client, tills)
    recipe = make_recipe(network, tills, Plan(1, 1, {kind: 1}, accounts))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            sender = Sender(session, [node.url for node in network.nodes])
            yield Rig(network, sender, replace(recipe, operations=operations), pool, workers)


async def search(saturate: Saturate, seconds: float, rate: float) -> Search:
    """Larger and larger windows, until they are not worth it, and the best of them again. One in
    which something was refused, or a round failed, is worse than any other: it could not go on.
    """
    steps: list[Step] = []
    for window in WINDOWS:
        steps.append(await saturate(window, seconds, rate))
        rate = max(rate, steps[-1].committed_per_second * STOCK_SPARE)
        if len(steps) > PATIENCE and not _still_gains(steps):
            break
    again: list[Step] = []
    for step in nlargest(FINALISTS, steps, key=_worth):
        rate = step.committed_per_second * STOCK_SPARE
        again.append(await saturate(step.window, FINAL_FACTOR * seconds, rate))
    return Search([*steps, *again], max(again, key=_worth))


def bench_manifest(manifest: Manifest) -> Manifest:
    """The manifest of a network to be measured."""
    return msgspec.structs.replace(
        manifest,
        params={**manifest.params, **PARAMS},
        config={**CONFIG, **manifest.config},
    )


def _worth(step: Step) -> tuple[bool, float]:
    clean = step.round_changes == 0 and not step.refused
    return clean, step.committed_per_second


def _still_gains(steps: list[Step]) -> bool:
    before = max(step.committed_per_second for step in steps[:-PATIENCE])
    latest = max(step.committed_per_second for step in steps[-PATIENCE:])
    return latest >= GAIN_MIN * before

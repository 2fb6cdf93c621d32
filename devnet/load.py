"""Open-loop load: transactions are due at fixed times, whether or not the network keeps up.

Latency counts from the moment a transaction was due to the moment its certified block was seen, so
a network that stalls cannot hide its stall by slowing the load down (coordinated omission). At the
end every accepted transaction must have a final state, by the word of another node than took it.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp

from devnet.economy import Till, endow
from devnet.errors import StateError
from devnet.limits import (
    BATCH_TXS,
    DRAIN_S,
    LOOK_S,
    POLL_S,
    REQUESTS_MAX,
    SIGN_AHEAD_S,
    SIGN_CHUNKS,
    TICK_S,
)
from devnet.loadbook import FINAL, Book, Report, Sent, make_report, state_of
from devnet.loadclient import Fate, Follower, Sender, highest
from devnet.netfile import NodeInfo
from devnet.network import Network
from devnet.processes import RunState
from devnet.signing import Kind, Recipe, Signed, make
from devnet.wards import admit
from medquorum.client import Client
from node.ledger.params import CORE_PARAMS, TX_WINDOW

FOLLOWERS: Final = 2
"""Nodes whose blocks are watched at once: one may be paused, and then the other one tells."""
_WINDOW_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send."""

    rate: float
    seconds: float
    mix: Mapping[Kind, int] = field(default_factory=lambda: {Kind.TRANSFER: 1})
    accounts: int = 16
    """Accounts of each hospital between which money moves."""
    drain_s: float = DRAIN_S
    tick_s: float = TICK_S
    """What falls due within this time travels in one request to each node."""

    @property
    def count(self) -> int:
        """How many transactions."""
        return max(1, round(self.rate * self.seconds))


async def run_load(
    network: Network, plan: Plan, *, through: Sequence[NodeInfo] | None = None
) -> Report:
    """Endow the accounts, send the load, wait for the end of everything, and check it. It goes
    `through` these nodes, by default all. Raises StateError if no node answers, ClientError.
    """
    nodes = network.nodes if through is None else through
    urls = [node.url for node in nodes]
    async with Client(_running(network, nodes), genesis=network.genesis) as client:
        tills = await endow(network, client, plan.accounts)
        if Kind.ANCHOR in plan.mix:
            await admit(client, tills)
    recipe = make_recipe(network, tills, plan)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        height = await highest(session, urls)
        if height is None:
            raise StateError("no node answers")
        book = Book()
        book.last_height = height
        sender = Sender(session, urls)
        async with following(session, urls, height, book):
            with signing(recipe, plan, window_of(network)) as supply:
                ended = await generate(plan, sender, supply, book)
            await drain(sender, book, plan.drain_s)
        book.failovers = sender.failovers
        await caught_up(sender, book.last_height, plan.drain_s)
        fates = await ask(sender, book.accepted())
        stranded = await _settle(sender, book, fates, plan.drain_s)
    return make_report(
        book,
        fates,
        rate=plan.rate,
        seconds=ended,
        first_height=height,
        stranded=stranded,
    )


def make_recipe(network: Network, tills: Sequence[Till], plan: Plan) -> Recipe:
    """What signing processes need."""
    return Recipe(
        network.manifest.name,
        bytes.fromhex(network.chain_id),
        tuple((till.org, till.clerk) for till in tills),
        plan.accounts,
        tuple(plan.mix.items()),
    )


def window_of(network: Network) -> int:
    """How many heights ahead a transaction may be valid, leaving some for the way."""
    default = next(param.default for param in CORE_PARAMS if param.name == TX_WINDOW)
    return int(network.manifest.params.get(TX_WINDOW, default) * _WINDOW_SHARE)


@asynccontextmanager
async def following(
    session: aiohttp.ClientSession,
    urls: Sequence[str],
    height: int,
    book: Book,
    *,
    followers: int = FOLLOWERS,
) -> AsyncIterator[None]:
    """Write down every block after `height` while inside."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(Follower(session, urls, at, book.block, height).run())
            for at in range(min(followers, len(urls)))
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


class Source(Protocol):
    """Where signed transactions come from."""

    async def take(self, count: int, height: int) -> list[Signed]:
        """The next ones. `height` is the tip."""
        ...


class Supply:
    """Signed transactions, made ahead in another process."""

    def __init__(self, pool: ProcessPoolExecutor, recipe: Recipe, chunk: int, window: int) -> None:
        self._pool = pool
        self._recipe = recipe
        self._chunk = chunk
        self._window = window
        self._coming: list[asyncio.Future[list[Signed]]] = []
        self._ready: list[Signed] = []

    async def take(self, count: int, height: int) -> list[Signed]:
        """The next ones; asks for more so that later calls need not wait. `height` is the tip."""
        while len(self._ready) < count:
            self._order(height)
            self._ready += await self._coming.pop(0)
        self._order(height)
        taken, self._ready = self._ready[:count], self._ready[count:]
        return taken

    def _order(self, height: int) -> None:
        loop = asyncio.get_running_loop()
        while len(self._coming) < SIGN_CHUNKS:
            self._coming.append(
                loop.run_in_executor(
                    self._pool, make, self._recipe, self._chunk, height + self._window
                )
            )


@contextmanager
def signing(recipe: Recipe, plan: Plan, window: int) -> Iterator[Supply]:
    """A supply of signed transactions for a plan."""
    # A fresh interpreter: a fork would copy threads' locks in whatever state they are.
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    try:
        chunk = max(8, math.ceil(plan.rate * SIGN_AHEAD_S / SIGN_CHUNKS))
        yield Supply(pool, recipe, chunk, window)
    finally:
        pool.shutdown(cancel_futures=True)


def _running(network: Network, nodes: Sequence[NodeInfo]) -> str:
    for node in nodes:
        if network.state(node) is RunState.RUNNING:
            return node.url
    raise StateError("no node runs: `devnet up` first")


async def generate(plan: Plan, sender: Sender, supply: Source, book: Book) -> float:
    """Send everything when it is due; the seconds from the first due moment to the last answer."""
    await supply.take(0, book.last_height)
    ready = await supply.take(1, book.last_height)
    slots = asyncio.Semaphore(REQUESTS_MAX)
    start = time.monotonic()
    done = 0
    async with asyncio.TaskGroup() as group:
        while done < plan.count:
            elapsed = time.monotonic() - start
            due = min(plan.count, math.floor(elapsed * plan.rate) + 1)
            if due > done:
                ready += await supply.take(due - done - len(ready), book.last_height)
                for number, tx in enumerate(ready, done):
                    book.sent(tx, start + number / plan.rate)
                for batch in _batches(ready):
                    group.create_task(_send(sender, batch, book, slots))
                done, ready = due, []
            await asyncio.sleep(max(plan.tick_s, start + done / plan.rate - time.monotonic()))
    return time.monotonic() - start


def _batches(transactions: Sequence[Signed]) -> list[list[Signed]]:
    """By hospital, for each submits through its own node."""
    by_org: dict[int, list[Signed]] = {}
    for tx in transactions:
        by_org.setdefault(tx.org, []).append(tx)
    return [
        group[first : first + BATCH_TXS]
        for group in by_org.values()
        for first in range(0, len(group), BATCH_TXS)
    ]


async def _send(sender: Sender, batch: list[Signed], book: Book, slots: asyncio.Semaphore) -> None:
    async with slots:
        book.answered(batch, await sender.send(batch, batch[0].org))


async def drain(sender: Sender, book: Book, seconds: float) -> None:
    """Until everything accepted was seen in a block, or the time is over, or what is left waits
    for a node that is down.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not await _settled(book):
                down = await _down(sender)
                if all(entry.by in down for entry in book.accepted() if entry.seen == 0.0):
                    return


async def _settled(book: Book) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            await book.settled.wait()
    return book.settled.is_set()


async def _down(sender: Sender) -> set[int]:
    """The numbers of the nodes that do not answer."""
    return {
        number
        for number, url in enumerate(sender.urls)
        if await highest(sender.session, [url]) is None
    }


async def caught_up(sender: Sender, height: int, seconds: float) -> None:
    """Until every node that answers has this height, or the time is over: one that is a block
    behind does not know yet how that block ended, and would be taken for one that has forgotten.
    """
    deadline = time.monotonic() + seconds
    for url in sender.urls:
        while time.monotonic() < deadline:
            reached = await highest(sender.session, [url])
            if reached is None or reached >= height:
                break
            await asyncio.sleep(POLL_S)


async def ask(sender: Sender, entries: Iterable[Sent]) -> dict[str, Fate]:
    """What another node than took it says about each: submitting again tells the outcome of what
    is known, and nothing else happens to it. What is not known there is taken in.
    """
    fates: dict[str, Fate] = {}
    for batch in _batches([entry.tx for entry in entries]):
        answered = await sender.send(batch, batch[0].org + 1)
        if answered is not None:
            fates.update({fate.txid: fate for fate in answered.fates})
    return fates


async def _settle(sender: Sender, book: Book, fates: dict[str, Fate], seconds: float) -> int:
    """Deal with what only a node knows that is down now; how many. `ask` has just handed it to
    another node, so wait until that has brought it to an end, and note how it ended.
    """
    down = await _down(sender)
    stranded = [
        entry
        for entry in book.accepted()
        if entry.by in down and state_of(fates.get(entry.tx.tx_id.hex())) not in FINAL
    ]
    deadline = time.monotonic() + seconds
    left = stranded
    while left and time.monotonic() < deadline:
        fates.update(await ask(sender, left))
        left = [e for e in left if state_of(fates.get(e.tx.tx_id.hex())) not in FINAL]
        await asyncio.sleep(POLL_S)
    return len(stranded)

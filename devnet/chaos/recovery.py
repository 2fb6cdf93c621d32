"""How long a network takes to commit again on every honest node once a fault is over.

A watch looks at the height of every honest node again and again while a history is made. Afterwards
the moments at which faults ended are held against what it saw: a network has recovered when every
honest node has committed more than any had at that moment. If the next fault came first, the time
was not measured, and is counted as such.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import aiohttp
import msgspec

from devnet.chaos.limits import LOOK_S, NODES_MAX, RECOVER_S
from devnet.chaos.scenario import (
    AnyStep,
    Flap,
    Heal,
    Join,
    Remove,
    Replace,
    Restart,
    RestartAll,
    Restore,
    Resume,
    Skew,
    Start,
    Wipe,
)
from devnet.limits import REQUEST_S

HEALING = (
    Flap,
    Heal,
    Join,
    Remove,
    Replace,
    Restart,
    RestartAll,
    Restore,
    Resume,
    Skew,
    Start,
    Wipe,
)
"""Steps after which nothing is disturbed any more, in a scenario that has one fault at a time."""


class Recovery(msgspec.Struct, frozen=True):
    """What ended, when in the history, and how long the slowest honest node took after it."""

    after: str
    at_s: float
    ms: float


class _Height(msgspec.Struct):
    height: int


@dataclass(slots=True)
class Watch:
    """Heights over time of the nodes that should commit. Times are those of time.monotonic."""

    seen: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    """For each node, by the address of its API, when it was first seen at which height."""
    ended: list[tuple[float, str]] = field(default_factory=list)
    """Faults that were over then."""
    began: list[float] = field(default_factory=list)
    """When a fault began."""

    _arrived: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(NODES_MAX))

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._follow(session, await self._arrived.get()))

    def expect(self, urls: Collection[str]) -> None:
        """Whom to look at from now on."""
        for url in urls:
            if url not in self.seen:
                self.seen[url] = []
                self._arrived.put_nowait(url)
        for url in [url for url in self.seen if url not in urls]:
            del self.seen[url]

    def step(self, step: AnyStep, began: float, name: str) -> None:
        """A step was carried out that began at this time."""
        if isinstance(step, HEALING):
            self.ended.append((time.monotonic(), name))
        if not isinstance(step, Heal | Resume | Start):
            self.began.append(began)

    def is_calm(self) -> bool:
        """Whether every fault that began was over, as far as the steps say."""
        last = max((at for at, _ in self.ended), default=0.0)
        return all(at <= last for at in self.began)

    def recoveries(self, start: float) -> tuple[list[Recovery], int]:
        """What was measured since `start`, and how often the next fault came first."""
        found, interrupted = [], 0
        for ended, name in self.ended:
            next_fault = min((at for at in self.began if at > ended), default=float("inf"))
            again = self.committed_after(ended)
            if again is None or again > next_fault:
                interrupted += 1
                continue
            found.append(Recovery(name, round(ended - start, 2), round(1_000 * (again - ended), 1)))
        return found, interrupted

    def committed_after(self, moment: float) -> float | None:
        """When every node had been seen above the greatest height of that moment, or None."""
        before = max(
            (h for node in self.seen.values() for at, h in node if at <= moment), default=0
        )
        first = [next((at for at, h in node if h > before), None) for node in self.seen.values()]
        times = [at for at in first if at is not None]
        return max(times) if len(times) == len(self.seen) and times else None

    async def wait_after(self, moment: float) -> bool:
        """Until all have committed after this moment; False if that takes too long."""
        while self.committed_after(moment) is None:
            if time.monotonic() > moment + RECOVER_S:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def behind(self, moment: float) -> list[str]:
        """The nodes that have not committed since."""
        before = max(
            (h for node in self.seen.values() for at, h in node if at <= moment), default=0
        )
        return [url for url, node in self.seen.items() if not any(h > before for _, h in node)]

    def _height_at(self, moment: float) -> int:
        seen = (place for places in self.seen.values() for place in places)
        return max((height for at, height in seen if at <= moment), default=0)

    async def _follow(self, session: aiohttp.ClientSession, url: str) -> None:
        patience = aiohttp.ClientTimeout(total=REQUEST_S)
        while url in self.seen:
            try:
                async with session.get(f"{url}/v1/status", timeout=patience) as response:
                    height = msgspec.json.decode(await response.read(), type=_Height).height
            except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
                height = 0
            seen = self.seen.get(url, [])
            if height > 0 and (not seen or seen[-1][1] != height):
                seen.append((time.monotonic(), height))
            await asyncio.sleep(LOOK_S)

"""The two ends of a load: sending to whichever node takes it, and watching blocks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
import msgspec

from devnet.limits import FOLLOW_S, POLL_S, REQUEST_S, SUBMIT_S
from devnet.signing import Signed

_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
# What another node may well take although this one does not.
_ELSEWHERE = frozenset({"halted", "disk_low", "not_ready", "internal"})


class Refusal(msgspec.Struct):
    """Why something was not taken, of the problem document."""

    code: str
    status: int = 0
    retry_after_ms: int = 0


class Refused(NamedTuple):
    """The HTTP status, of a whole batch or of its part, and whether it said when to come back."""

    status: int
    told_when: bool


class Fate(msgspec.Struct):
    """What a node says about one transaction of a batch."""

    txid: str
    state: str
    code: str = ""
    duplicate: bool = False
    problem: Refusal | None = None


class _Batch(msgspec.Struct):
    results: list[Fate]


class _Block(msgspec.Struct):
    height: int
    tx_ids: list[str]


class _Height(msgspec.Struct):
    height: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What node number `node` says about a batch, in the order of the batch."""

    node: int
    fates: Sequence[Fate]


@dataclass(slots=True)
class Sender:
    """Submits batches. When a node does not answer, the same batch goes to the next one, which is
    harmless: a transaction is known by its content.
    """

    session: aiohttp.ClientSession
    urls: Sequence[str]
    failovers: int = 0
    refusals: Counter[Refused] = field(default_factory=Counter)
    """Transactions that were refused, by how they were."""

    async def send(self, batch: Sequence[Signed], first: int) -> Answered | None:
        """The first answer, asking node `first` before the others. None if no node answers.

        A batch that is refused as a whole gives each of its parts that problem.
        """
        body = msgspec.msgpack.encode([tx.raw for tx in batch])
        last: Answered | None = None
        for attempt in range(len(self.urls)):
            self.failovers += attempt > 0
            node = (first + attempt) % len(self.urls)
            try:
                async with self.session.post(
                    f"{self.urls[node]}/v1/txs/batch",
                    data=body,
                    headers={"Content-Type": "application/msgpack"},
                    timeout=aiohttp.ClientTimeout(total=SUBMIT_S),
                ) as response:
                    answer = await response.read()
                if response.status == 200:  # noqa: PLR2004 - OK
                    fates = msgspec.json.decode(answer, type=_Batch).results
                    for fate in fates:
                        if fate.problem is not None:
                            told = fate.problem.retry_after_ms > 0
                            self.refusals[Refused(fate.problem.status, told)] += 1
                    return Answered(node, fates)
                problem = msgspec.json.decode(answer, type=Refusal)
                told = "Retry-After" in response.headers
                self.refusals[Refused(response.status, told)] += len(batch)
            except (*_FAILURES, msgspec.DecodeError):
                continue
            fates = [Fate(tx.tx_id.hex(), "unknown", problem=problem) for tx in batch]
            last = Answered(node, fates)
            if problem.code not in _ELSEWHERE:
                return last
        return last


@dataclass(slots=True)
class Follower:
    """Follows the chain block by block, at one node until it fails, then at the next."""

    session: aiohttp.ClientSession
    urls: Sequence[str]
    at: int
    seen: Callable[[int, Sequence[str]], None]
    """Called with the height and the transaction ids of every block, in order."""
    height: int = field(default=0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            block = await self._next()
            if block is None:
                self.at = (self.at + 1) % len(self.urls)
                await asyncio.sleep(POLL_S)
            elif block is not _NONE_YET:
                self.height = block.height
                self.seen(block.height, block.tx_ids)

    async def _next(self) -> _Block | None:
        """The next block; `_NONE_YET` if there is none; None if the node fails."""
        height = self.height + 1
        url = f"{self.urls[self.at]}/v1/blocks/{height}"
        try:
            async with self.session.get(
                url,
                params={"min_height": str(height), "timeout": str(FOLLOW_S)},
                timeout=aiohttp.ClientTimeout(total=FOLLOW_S + REQUEST_S),
            ) as response:
                answer = await response.read()
            if response.status == 200:  # noqa: PLR2004 - OK
                return msgspec.json.decode(answer, type=_Block)
            code = msgspec.json.decode(answer, type=Refusal).code
        except (*_FAILURES, msgspec.DecodeError):
            return None
        return _NONE_YET if code in ("not_ready", "height_in_future") else None


_NONE_YET = _Block(0, [])


async def highest(session: aiohttp.ClientSession, urls: Sequence[str]) -> int | None:
    """The greatest height of the nodes that answer, or None."""
    heights = []
    for url in urls:
        try:
            async with session.get(
                f"{url}/v1/status", timeout=aiohttp.ClientTimeout(total=REQUEST_S)
            ) as response:
                heights.append(msgspec.json.decode(await response.read(), type=_Height).height)
        except (*_FAILURES, msgspec.DecodeError):
            continue
    return max(heights, default=None)

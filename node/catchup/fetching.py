"""Catches up: keeps several peers busy, checks what they give before its turn, applies it in order.

Several things happen at once: answers are on their way, later parts are checked on the verifier
threads, and the next block is executed on the ledger thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from medquorum.block import Result, ValidatorSet
from medquorum.codec import decode
from medquorum.errors import DecodeError, VerificationError
from node.blockwork import BlockWork
from node.catchup.checking import BadBlockError, CheckedBlock, Checker
from node.catchup.peers import Peers
from node.catchup.progress import Progress
from node.catchup.window import Answer, Window
from node.chain import Chain, ExecutedBlock
from node.errors import DivergenceError, RecoveryRefusedError
from node.limits import SYNC_GROUP_BLOCKS_MAX, SYNC_GROUP_BYTES_MAX
from node.network import Network
from node.recovering import adopt_from
from node.threads import Threads
from node.wire import (
    SEVERAL_BLOCKS_BYTES_MAX,
    Blocks,
    CertifiedBlock,
    FrameKind,
    GetBlocks,
)

WAIT_S_MIN: Final = 0.001


@dataclass(slots=True)
class _Check:
    """Of a part; what came of it, once it has ended."""

    outcome: list[CheckedBlock] | BadBlockError | None = None
    task: asyncio.Task[None] | None = None


class BlockFetcher:
    """Lives on the event loop. `peers` is shared with whoever hears of their heights, and calls
    `wake` then. `spawn` starts a task that ends with the node at the latest, and ends it if it
    fails. `halted` says whether the node has stopped voting for good: then it also stops here.
    """

    def __init__(
        self,
        chain: Chain,
        work: BlockWork,
        network: Network,
        threads: Threads,
        peers: Peers,
        *,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        halted: Callable[[], bool],
    ) -> None:
        self._chain = chain
        self._work = work
        self._network = network
        self._threads = threads
        self._peers = peers
        self._spawn = spawn
        self._halted = halted
        self._checker = Checker(chain.genesis.engine, threads.verifiers)
        self._window = Window[CertifiedBlock](chain.tip.height + 1)
        # Of the answers that are here, by the peer and the first height.
        self._checks: dict[tuple[bytes, int], _Check] = {}
        # What was applied since the last sync.
        self._unsynced = 0
        self._unsynced_bytes = 0
        self._decoding: dict[bytes, int] = {}
        self._moved = asyncio.Event()
        self._active = False
        self.progress = Progress()

    def wake(self) -> None:
        """Somebody new is ahead, or gone: look again."""
        self._moved.set()

    async def run(self) -> None:
        """Fetch and apply until nobody claims more who could be asked. Raises DivergenceError."""
        self._active = True
        self.progress.begin(self._now_s())
        try:
            await self._fetch_and_apply()
        finally:
            self._active = False
            self._window.clear()
            self._drop_checks()

    def lost(self, peer: bytes) -> None:
        """The peer is gone: what it owes is asked of others."""
        self._window.lost(peer)
        self.wake()

    async def on_blocks(self, peer: bytes, payload: bytes) -> None:
        """An answer. One that nobody asked for is not even decoded, and one with more than a single
        large block is none that a correct node gives. Raises DecodeError.
        """
        if self._window.owed(peer) <= self._decoding.get(peer, 0):
            self._network.dropped("blocks_not_asked")
            return
        self._decoding[peer] = self._decoding.get(peer, 0) + 1
        try:
            given = await self._threads.verifiers.run(
                decode, Blocks, payload, size_max=len(payload)
            )
        finally:
            self._decoding[peer] -= 1
            if self._decoding[peer] == 0:
                del self._decoding[peer]
        if len(given.blocks) > 1 and len(payload) > SEVERAL_BLOCKS_BYTES_MAX:
            self._reject(peer, "too_large")
            self.wake()
            return
        answer = Answer(peer, given.first, given.blocks, len(payload))
        took_s = self._window.answered(answer, self._now_s())
        if took_s is None:
            self._network.dropped("blocks_not_asked")
            return
        self._peers.begins(peer, given.oldest)
        if given.oldest > given.first:
            self._network.dropped("blocks_pruned")
        elif not given.blocks:
            self._network.dropped("blocks_missing")
        self._peers.answered(peer, took_s, len(given.blocks))
        if self._active:
            self._check_ahead()
            self._refill()
        self.wake()

    async def _fetch_and_apply(self) -> None:
        while not self._halted():
            self._moved.clear()
            self._refill()
            if await self._apply_head():
                continue
            await self._settle()
            if not self._window.is_waiting and self._next_check() is None:
                return
            await self._wait()
        await self._settle()

    async def apply_one(self, block: CertifiedBlock) -> None:
        """Apply a block that came by another way, if it is the next one. Raises BadBlockError, and
        DivergenceError if all is right with it and our own result differs.
        """
        tip = self._chain.tip
        if block.header.height == tip.height + 1:
            [checked] = await self._checker.check([block], tip.height + 1, tip.validators)
            await self._apply(checked, more=False)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _wait(self) -> None:
        """Until something happens, or a peer has had its time."""
        now_s = self._now_s()
        deadline = self._window.deadline(now_s)
        if deadline is not None:
            # A timer may fire a moment early, by the resolution of its clock. Looked at again at
            # once, nothing would be due yet, and again, and again.
            deadline = max(deadline, now_s + WAIT_S_MIN)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._moved.wait()

    def _refill(self) -> None:
        """Pass over who is late, and ask for as much as there is room for."""
        now_s = self._now_s()
        for peer in self._window.expire(now_s):
            self._network.dropped("blocks_not_answered")
            self._peers.stalled(peer, now_s)
        height = self._chain.tip.height
        self._window.reached(height)
        sources = self._peers.ahead(height, set(self._network.connected()), now_s)
        for ask in self._window.plan(sources, now_s):
            question = GetBlocks(ask.first, ask.count)
            if not self._network.send(ask.peer, FrameKind.GET_BLOCKS, question):
                self._window.lost(ask.peer)
                self._peers.doubt(ask.peer)
                self.wake()

    def _check_ahead(self) -> None:
        """Begin to check every part that has come."""
        answers = [part.answer for part in self._window.parts if part.answer is not None]
        keys = {(answer.peer, answer.first) for answer in answers}
        for key in [key for key in self._checks if key not in keys]:
            self._drop_check(key)
        for answer in answers:
            if (answer.peer, answer.first) not in self._checks:
                check = self._checks[answer.peer, answer.first] = _Check()
                check.task = self._spawn(self._check(answer, self._chain.tip.validators, check))

    async def _check(
        self, answer: Answer[CertifiedBlock], validators: ValidatorSet, check: _Check
    ) -> None:
        """What is wrong with a part is told when it is its turn."""
        try:
            check.outcome = await self._checker.check(answer.blocks, answer.first, validators)
        except BadBlockError as error:
            check.outcome = error
        self.wake()

    def _next_check(self) -> _Check | None:
        """That of the part whose turn it is, if it is here."""
        head = self._window.head
        if head is None or head.answer is None:
            return None
        return self._checks.get((head.answer.peer, head.answer.first))

    async def _apply_head(self) -> bool:
        """Apply the part whose turn it is, if it is here and checked; whether it was.

        Raises DivergenceError.
        """
        self._check_ahead()
        head, check = self._window.head, self._next_check()
        if head is None or head.answer is None or check is None or check.outcome is None:
            return False
        peer = head.answer.peer
        if isinstance(check.outcome, BadBlockError):
            self._reject(peer, check.outcome.reason)
            return True
        try:
            for checked in check.outcome:
                if self._halted():
                    break
                await self._apply(checked, more=self._may_wait_for_sync(checked))
                self._refill()
        except BadBlockError as error:
            self._reject(peer, error.reason)
        return True

    def _may_wait_for_sync(self, checked: CheckedBlock) -> bool:
        """Whether the block need not be durable at once: not too much is unsynced with it."""
        self._unsynced += 1
        self._unsynced_bytes += sum(len(tx.raw) for tx in checked.transactions)
        more = (
            self._unsynced < SYNC_GROUP_BLOCKS_MAX and self._unsynced_bytes < SYNC_GROUP_BYTES_MAX
        )
        if not more:
            self._unsynced = self._unsynced_bytes = 0
        return more

    async def _apply(self, checked: CheckedBlock, *, more: bool) -> None:
        """Raises BadBlockError, DivergenceError."""
        block = checked.block
        async with self._work.lock:
            tip = self._chain.tip
            if block.header.height != tip.height + 1:
                return
            if checked.under != tip.validators.hash():
                await self._certify(block)
            executed = await self._work.follow(block.header, checked.tx_ids, checked.transactions)
            if isinstance(executed, str):
                raise BadBlockError(executed)
            if executed.result != block.result:
                raise DivergenceError(block.header.height, _difference(executed, block.result))
            await self._work.apply(executed, block.certificate, more=more)
        self.progress.applied(len(checked.tx_ids), self._now_s())

    async def _certify(self, block: CertifiedBlock) -> None:
        """Its validators are known only now: the block before named them, or, after a disaster,
        organisations did. Raises BadBlockError.
        """
        try:
            await self._threads.ledger.run(adopt_from, self._chain, block)
        except (VerificationError, RecoveryRefusedError) as error:
            raise BadBlockError(error.reason) from None
        except DecodeError as error:
            raise BadBlockError(error.code) from None
        await self._checker.certify(block, self._chain.tip.validators)

    async def _settle(self) -> None:
        """What was applied is durable."""
        self._unsynced = self._unsynced_bytes = 0
        async with self._work.lock:
            await self._work.settle()

    def _reject(self, peer: bytes, reason: str) -> None:
        """A peer gave what no correct one has: nothing of it counts."""
        self._window.discard(peer)
        self._peers.doubt(peer)
        self._network.punish(peer, f"bad_block_{reason}")

    def _drop_checks(self) -> None:
        for key in list(self._checks):
            self._drop_check(key)

    def _drop_check(self, key: tuple[bytes, int]) -> None:
        task = self._checks.pop(key).task
        if task is not None:
            task.cancel()


def _difference(executed: ExecutedBlock, certified: Result) -> str:
    """What an operator needs to find the module that differs: compare these with another node's."""
    roots = ", ".join(f"{sub.namespace} {sub.root.hex()[:16]}" for sub in executed.update.sub_roots)
    return (
        f"the certified result is {certified.hash().hex()}, ours {executed.result.hash().hex()};"
        f" our sub-roots: {roots}"
    )

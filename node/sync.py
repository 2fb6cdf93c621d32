"""Catch-up: who is ahead of whom, the blocks that a node lacks, and those that its peers lack.

Nothing is believed: every block comes with a certificate of the validators that the chain so far
names, its transactions are checked and executed, and the result must be the certified one. A peer
whose blocks do not check out is dropped by name; one that does not answer is passed over
(node/catchup).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from medquorum.codec import decode
from medquorum.quorum import may_lie
from node.blockwork import BlockWork
from node.catchup.checking import BadBlockError
from node.catchup.fetching import BlockFetcher
from node.catchup.peers import Peers
from node.chain import Chain
from node.limits import PEERS_HEARD_MAX, SYNC_BYTES_PER_RESPONSE, SYNC_HEIGHT_CLAIM_MAX
from node.network import Network
from node.threads import Threads
from node.wire import Blocks, CertifiedBlock, FrameKind, GetBlocks, Tip
from storage.chain import CommittedBlock

TIP_INTERVAL_S = 1.0
TIP_BEAT_S = TIP_INTERVAL_S / 2
"""Announcements of one peer that come sooner after each other count as one."""
TIP_ONLOOKERS_S = 0.05
"""Blocks that follow each other sooner are announced together to those who have no vote."""
TIP_VERSION = 1


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """How far behind a node is, by what its peers claim, and how fast it gets there. `passed_over`
    are the peers that are not asked at the moment, for they left questions open.
    """

    height: int
    target: int
    blocks_per_second: float = 0.0
    txs_per_second: float = 0.0
    passed_over: tuple[bytes, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """Until it is there, if all goes on as now; None while nothing moves."""
        if self.blocks_per_second == 0.0:
            return None
        return (self.target - self.height) / self.blocks_per_second


@dataclass(frozen=True, slots=True)
class Heard:
    """What a peer last said of its height: how long ago, how many heights it lacked of ours then,
    and the height itself.
    """

    ago_s: float
    behind: int
    height: int


class Sync:
    """Lives on the event loop.

    `halted` says whether the node has stopped voting for good: then it also stops here.
    """

    def __init__(
        self,
        chain: Chain,
        work: BlockWork,
        network: Network,
        threads: Threads,
        *,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        halted: Callable[[], bool],
    ) -> None:
        self._chain = chain
        self._work = work
        self._network = network
        self._threads = threads
        self._peers = Peers()
        self._fetcher = BlockFetcher(
            chain, work, network, threads, self._peers, spawn=spawn, halted=halted
        )
        self._beats: dict[bytes, float] = {}
        self._grown = asyncio.Event()
        # When, our height then, and theirs.
        self._heard: OrderedDict[bytes, tuple[float, int, int]] = OrderedDict()
        self._wake = asyncio.Event()

    def status(self) -> SyncStatus | None:
        """Where we are and where the chain is by the word of a correct validator, or None when
        level with it.

        As many claims as there may be liars are set aside, the highest ones: a single one must not
        make every node of a consortium look as if it were behind. While no validator that is known
        here is heard of, as at the start from a genesis whose members have all been replaced, the
        claims of the others are what there is.
        """
        voters = self._chain.tip.validators.validators
        said = self._peers.claims()
        claims = sorted((said.get(v.node_key, 0) for v in voters), reverse=True)
        if claims[0] == 0:
            claims = sorted(said.values(), reverse=True) or claims
        liars = may_lie(self._chain.genesis.engine, len(claims))
        height, target = self._chain.tip.height, claims[liars]
        if target <= height + 1:
            return None
        now_s = asyncio.get_running_loop().time()
        speed = self._fetcher.progress.speed(now_s)
        return SyncStatus(
            height,
            target,
            speed.blocks_per_second,
            speed.txs_per_second,
            self._peers.passed_over(now_s),
        )

    def heard(self, peer: bytes) -> Heard | None:
        """The last announcement of a peer since this node started, or None. It may be a lie."""
        found = self._heard.get(peer)
        if found is None:
            return None
        at_s, ours, theirs = found
        return Heard(asyncio.get_running_loop().time() - at_s, ours - theirs, theirs)

    def claim(self, peer: bytes, height: int) -> None:
        """A peer says, or an engine saw, that `height` is committed elsewhere."""
        if 0 < height <= SYNC_HEIGHT_CLAIM_MAX:
            self._peers.claim(peer, height)
            if height > self._chain.tip.height:
                self._look()

    def lost(self, peer: bytes) -> None:
        """The peer is gone, and its claim with it."""
        self._beats.pop(peer, None)
        self._peers.lost(peer)
        self._fetcher.lost(peer)

    def on_commit(self, _block: CommittedBlock) -> None:
        """We have a new block: who has no vote may not know yet."""
        self._grown.set()

    async def announce(self) -> None:
        """Tell the peers our height now and then, until cancelled.

        A chain at rest is quiet but for this. Who has no vote hears no votes, and is told of new
        blocks at once: its clients wait for them.
        """
        while True:
            self._network.broadcast(FrameKind.TIP, self._tip())
            with suppress(TimeoutError):
                async with asyncio.timeout(TIP_INTERVAL_S):
                    await self._tell_onlookers()

    async def _tell_onlookers(self) -> None:
        while True:
            await self._grown.wait()
            self._grown.clear()
            tip = self._tip()
            for peer in self._network.onlookers():
                self._network.send(peer, FrameKind.TIP, tip)
            await asyncio.sleep(TIP_ONLOOKERS_S)

    def greet(self, peer: bytes) -> None:
        """Tell a peer that has just connected our height, so that it need not wait to know it."""
        self._network.send(peer, FrameKind.TIP, self._tip())

    async def run(self) -> None:
        """Catch up whenever somebody is ahead, until cancelled. Raises DivergenceError."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._fetcher.run()

    async def try_block(self, block: CertifiedBlock) -> str:
        """Apply a certified block if it is the next one; why it does not check out, or nothing.

        Raises DivergenceError if all is right with it and our own result differs.
        """
        try:
            await self._fetcher.apply_one(block)
        except BadBlockError as error:
            return error.reason
        return ""

    def _look(self) -> None:
        """Somebody is ahead."""
        self._wake.set()
        self._fetcher.wake()

    def _tip(self) -> Tip:
        """What we say of ourselves: what a power cut takes away again counts for nothing."""
        return Tip(TIP_VERSION, self._work.durable)

    async def on_tip(self, peer: bytes, payload: bytes) -> bool:
        """A peer announces its height. Whether this counts: about once in TIP_INTERVAL_S it does,
        however often the peer says so.

        If we vote, one that is a single block ahead is about to tell us by itself. If it still is
        when it announces itself again, it is not.
        """
        height = min(decode(Tip, payload, size_max=len(payload)).height, SYNC_HEIGHT_CLAIM_MAX)
        self._remember(peer, height)
        again = self._peers.claims().get(peer) == height
        self._peers.claim(peer, height)
        if height > self._chain.tip.height + (1 if self._network.votes and not again else 0):
            self._look()
        now_s = asyncio.get_running_loop().time()
        if now_s < self._beats.get(peer, -inf) + TIP_BEAT_S:
            return False
        self._beats[peer] = now_s
        return True

    def _remember(self, peer: bytes, height: int) -> None:
        now_s = asyncio.get_running_loop().time()
        self._heard[peer] = (now_s, self._chain.tip.height, height)
        self._heard.move_to_end(peer)
        if len(self._heard) > PEERS_HEARD_MAX:
            self._heard.popitem(last=False)

    async def on_get_blocks(self, peer: bytes, payload: bytes) -> None:
        """A peer asks for blocks: answer with what is here, within the size of an answer."""
        request = decode(GetBlocks, payload, size_max=len(payload))
        blocks = await self._threads.ledger.run(self._load, request.first, request.count)
        oldest = await self._threads.ledger.run(self._chain.blocks.oldest_block)
        self._network.send(peer, FrameKind.BLOCKS, Blocks(request.first, tuple(blocks), oldest))

    def _load(self, first: int, count: int) -> Sequence[CertifiedBlock]:
        found: list[CertifiedBlock] = []
        size = 0
        for height in range(first, min(first + count, self._work.durable + 1)):
            stored = self._chain.blocks.block(height)
            if stored is None:
                break
            size += sum(map(len, stored.transactions))
            if found and size > SYNC_BYTES_PER_RESPONSE:
                break
            found.append(
                CertifiedBlock(
                    stored.header, stored.result, stored.certificate, stored.transactions
                )
            )
        return found

    async def on_blocks(self, peer: bytes, payload: bytes) -> None:
        """The answer to a question of ours; anything else is ignored. Raises DecodeError."""
        await self._fetcher.on_blocks(peer, payload)

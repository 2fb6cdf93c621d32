"""Catch-up: a node that is behind fetches certified blocks from its peers and applies them.

Nothing is believed: every block comes with a certificate of the validators that the chain so far
names, its transactions are checked and executed, and the result must be the certified one. A peer
whose blocks do not check out is dropped by name; one that does not answer is passed over.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from medquorum.block import Result
from medquorum.certificate import verify_certificate
from medquorum.codec import decode
from medquorum.errors import DecodeError, VerificationError
from medquorum.quorum import may_lie
from medquorum.transaction import Transaction
from node.blockwork import BlockWork
from node.chain import Chain, ExecutedBlock
from node.errors import DivergenceError, RecoveryRefusedError
from node.limits import (
    PEERS_HEARD_MAX,
    SYNC_BLOCKS_PER_REQUEST,
    SYNC_BYTES_PER_RESPONSE,
    SYNC_HEIGHT_CLAIM_MAX,
    SYNC_TIMEOUT_MS,
)
from node.network import Network
from node.recovering import adopt_from
from node.threads import Threads
from node.verifier import signatures_hold
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
    """How far behind a node is, by what its peers claim."""

    height: int
    target: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a peer last said of its height: how long ago, and how many heights it lacked of ours
    then.
    """

    ago_s: float
    behind: int


class BadBlockError(Exception):
    """A peer's block does not check out; `reason` says how."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
        halted: Callable[[], bool],
    ) -> None:
        self._chain = chain
        self._work = work
        self._network = network
        self._threads = threads
        self._halted = halted
        self._claims: dict[bytes, int] = {}
        self._beats: dict[bytes, float] = {}
        self._grown = asyncio.Event()
        self._pace_s: dict[bytes, float] = {}
        self._heard: OrderedDict[bytes, tuple[float, int]] = OrderedDict()
        self._wake = asyncio.Event()
        self._answer: tuple[bytes, int, asyncio.Future[Blocks]] | None = None

    def status(self) -> SyncStatus | None:
        """Where we are and where the chain is by the word of a correct validator, or None when
        level with it.

        As many claims as there may be liars are set aside, the highest ones: a single one must not
        make every node of a consortium look as if it were behind. While no validator that is known
        here is heard of, as at the start from a genesis whose members have all been replaced, the
        claims of the others are what there is.
        """
        voters = self._chain.tip.validators.validators
        claims = sorted((self._claims.get(v.node_key, 0) for v in voters), reverse=True)
        if claims[0] == 0:
            claims = sorted(self._claims.values(), reverse=True) or claims
        liars = may_lie(self._chain.genesis.engine, len(claims))
        height, target = self._chain.tip.height, claims[liars]
        return SyncStatus(height, target) if target > height + 1 else None

    def heard(self, peer: bytes) -> Heard | None:
        """The last announcement of a peer since this node started, or None. It may be a lie."""
        found = self._heard.get(peer)
        if found is None:
            return None
        at_s, behind = found
        return Heard(asyncio.get_running_loop().time() - at_s, behind)

    def claim(self, peer: bytes, height: int) -> None:
        """A peer says, or an engine saw, that `height` is committed elsewhere."""
        if 0 < height <= SYNC_HEIGHT_CLAIM_MAX:
            self._claims[peer] = height
            if height > self._chain.tip.height:
                self._wake.set()

    def lost(self, peer: bytes) -> None:
        """The peer is gone, and its claim with it."""
        self._claims.pop(peer, None)
        self._beats.pop(peer, None)
        self._pace_s.pop(peer, None)

    def on_commit(self, _block: CommittedBlock) -> None:
        """We have a new block: who has no vote may not know yet."""
        self._grown.set()

    async def announce(self) -> None:
        """Tell the peers our height now and then, until cancelled.

        A chain at rest is quiet but for this. Who has no vote hears no votes, and is told of new
        blocks at once: its clients wait for them.
        """
        while True:
            self._network.broadcast(FrameKind.TIP, Tip(TIP_VERSION, self._chain.tip.height))
            with suppress(TimeoutError):
                async with asyncio.timeout(TIP_INTERVAL_S):
                    await self._tell_onlookers()

    async def _tell_onlookers(self) -> None:
        while True:
            await self._grown.wait()
            self._grown.clear()
            tip = Tip(TIP_VERSION, self._chain.tip.height)
            for peer in self._network.onlookers():
                self._network.send(peer, FrameKind.TIP, tip)
            await asyncio.sleep(TIP_ONLOOKERS_S)

    def greet(self, peer: bytes) -> None:
        """Tell a peer that has just connected our height, so that it need not wait to know it."""
        self._network.send(peer, FrameKind.TIP, Tip(TIP_VERSION, self._chain.tip.height))

    async def run(self) -> None:
        """Catch up whenever somebody is ahead, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while ahead := self._ahead():
                if self._halted():
                    return
                await self._from_peer(ahead[0])

    def _ahead(self) -> list[bytes]:
        """Connected peers that claim more than we have: those not tried yet, then the quickest
        first, or one that hands out a block every few seconds could keep us behind for ever. Of
        equals the boldest is last: its claim is the likeliest lie.
        """
        height = self._chain.tip.height
        connected = set(self._network.connected())
        ahead = [
            peer for peer, claimed in self._claims.items() if claimed > height and peer in connected
        ]
        return sorted(ahead, key=lambda peer: (self._pace_s.get(peer, 0.0), self._claims[peer]))

    async def _from_peer(self, peer: bytes) -> None:
        """Ask one peer for blocks once. Its claim is forgotten if nothing comes of it."""
        before, clock = self._chain.tip.height, asyncio.get_running_loop().time
        asked_at = clock()
        answer = await self._request(peer, before + 1)
        blocks = () if answer is None else answer.blocks
        self._pace_s[peer] = (clock() - asked_at) / max(len(blocks), 1)
        for block in blocks:
            reason = await self.try_block(block)
            if reason != "":
                self._network.punish(peer, f"bad_block_{reason}")
                self._claims.pop(peer, None)
                return
        if len(blocks) == 0 or self._chain.tip.height == before:
            self._claims.pop(peer, None)

    async def try_block(self, block: CertifiedBlock) -> str:
        """Apply a certified block if it is the next one; why it does not check out, or nothing.

        Raises DivergenceError if all is right with it and our own result differs.
        """
        try:
            await self._apply(block)
        except BadBlockError as error:
            return error.reason
        return ""

    async def _request(self, peer: bytes, first: int) -> Blocks | None:
        future: asyncio.Future[Blocks] = asyncio.get_running_loop().create_future()
        self._answer = (peer, first, future)
        try:
            if not self._network.send(
                peer, FrameKind.GET_BLOCKS, GetBlocks(first, SYNC_BLOCKS_PER_REQUEST)
            ):
                return None
            return await asyncio.wait_for(future, SYNC_TIMEOUT_MS / 1000)
        except TimeoutError:
            return None
        finally:
            self._answer = None

    async def _apply(self, block: CertifiedBlock) -> None:
        async with self._work.lock:
            tip = self._chain.tip
            if block.header.height != tip.height + 1:
                return
            transactions = await self._check(block)
            executed = await self._threads.ledger.run(
                self._chain.execute, block.header, transactions
            )
            if executed.result != block.result:
                raise DivergenceError(block.header.height, _difference(executed, block.result))
            await self._work.apply(executed, block.certificate)

    async def _check(self, block: CertifiedBlock) -> list[Transaction]:
        try:
            await self._threads.ledger.run(adopt_from, self._chain, block)
            tip = self._chain.tip
            verify_certificate(
                engine=self._chain.genesis.engine,
                header=block.header,
                result=block.result,
                certificate=block.certificate,
                validators=tip.validators,
            )
            transactions = await self._threads.ledger.run(_decode_all, block.transactions)
        except (VerificationError, RecoveryRefusedError) as error:
            raise BadBlockError(error.reason) from None
        except DecodeError as error:
            raise BadBlockError(error.code) from None
        tx_ids = [tx.id for tx in transactions]
        reason = await self._work.refusal(block.header, tx_ids, transactions)
        if reason != "":
            raise BadBlockError(reason)
        if not all(await signatures_hold(self._threads.verifiers, transactions)):
            raise BadBlockError("transaction_signature")
        return transactions

    async def on_tip(self, peer: bytes, payload: bytes) -> bool:
        """A peer announces its height. Whether this counts: about once in TIP_INTERVAL_S it does,
        however often the peer says so.

        If we vote, one that is a single block ahead is about to tell us by itself. If it still is
        when it announces itself again, it is not.
        """
        height = min(decode(Tip, payload, size_max=len(payload)).height, SYNC_HEIGHT_CLAIM_MAX)
        self._remember(peer, height)
        again = self._claims.get(peer) == height
        self._claims[peer] = height
        if height > self._chain.tip.height + (1 if self._network.votes and not again else 0):
            self._wake.set()
        now_s = asyncio.get_running_loop().time()
        if now_s < self._beats.get(peer, -inf) + TIP_BEAT_S:
            return False
        self._beats[peer] = now_s
        return True

    def _remember(self, peer: bytes, height: int) -> None:
        now_s = asyncio.get_running_loop().time()
        self._heard[peer] = (now_s, self._chain.tip.height - height)
        self._heard.move_to_end(peer)
        if len(self._heard) > PEERS_HEARD_MAX:
            self._heard.popitem(last=False)

    async def on_get_blocks(self, peer: bytes, payload: bytes) -> None:
        """A peer asks for blocks: answer with what is here, within the size of an answer."""
        request = decode(GetBlocks, payload, size_max=len(payload))
        blocks = await self._threads.ledger.run(self._load, request.first, request.count)
        self._network.send(peer, FrameKind.BLOCKS, Blocks(request.first, tuple(blocks)))

    def _load(self, first: int, count: int) -> Sequence[CertifiedBlock]:
        found: list[CertifiedBlock] = []
        size = 0
        for height in range(first, first + count):
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
        """The answer to our request; anything else is ignored, and not even decoded."""
        if self._answer is None or self._answer[0] != peer:
            self._network.dropped("blocks_not_asked")
            return
        _, first, future = self._answer
        blocks = decode(Blocks, payload, size_max=len(payload))
        if blocks.first == first and not future.done():
            future.set_result(blocks)


def _decode_all(raws: Sequence[bytes]) -> list[Transaction]:
    """Raises DecodeError."""
    return [Transaction.decode(raw) for raw in raws]


def _difference(executed: ExecutedBlock, certified: Result) -> str:
    """What an operator needs to find the module that differs: compare these with another node's."""
    roots = ", ".join(f"{sub.namespace} {sub.root.hex()[:16]}" for sub in executed.update.sub_roots)
    return (
        f"the certified result is {certified.hash().hex()}, ours {executed.result.hash().hex()};"
        f" our sub-roots: {roots}"
    )

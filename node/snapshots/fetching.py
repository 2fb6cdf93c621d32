"""State sync: a node without blocks begins with a snapshot of its peers (docs/spec/snapshot.md,
section 5).

Nothing is believed. The head proves itself from the genesis, chunks hash to what the manifest says,
and what was built from them must have the certified root, or the snapshot is refuted and all who
offered it are dropped by name. Where that leaves nobody, blocks are fetched instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from structlog.typing import FilteringBoundLogger

from medquorum.codec import decode, encode
from medquorum.errors import DecodeError, VerificationError
from medquorum.genesis import Genesis
from medquorum.quorum import may_lie
from node.errors import ChainReplaced
from node.limits import SYNC_HEIGHT_CLAIM_MAX
from node.snapshots.asking import Peers, Questions
from node.snapshots.errors import FalseSnapshotError
from node.snapshots.format import ChunkRef, SnapshotHead, verify_head
from node.snapshots.limits import (
    AHEAD_MIN,
    HEAD_BYTES_MAX,
    OFFER_WAIT_S,
    PROGRESS_CHUNKS,
    REFUTED_MAX,
)
from node.snapshots.making import sweeping
from node.snapshots.patience import Tries
from node.snapshots.supply import Ask, Supply
from node.threads import Worker
from node.wire import Snapshots
from storage.errors import BlobNotFoundError, DamagedBlobError, DiskFullError
from storage.snapshots import SnapshotFiles, SnapshotName

WAIT_S_MIN: Final = 0.001

Found = dict[SnapshotName, list[bytes]]
"""Snapshots with the peers that offer them."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """A snapshot that is on its way here: of which height, and how many of its chunks are here."""

    height: int
    chunks: int
    fetched: int


class StateSync:
    """Lives on the event loop. `run` is called once.

    `height` is our tip. `build` makes the chain of a proven head whose chunks are here, ready to
    take the place of ours; it runs on `worker`, raises FalseSnapshotError, and DiskFullError before
    it takes more than `room`. That is how many bytes may still be written: a head proves which
    state was certified, and not how many chunks it takes, so that whoever makes it could fill the
    disk.
    """

    def __init__(
        self,
        genesis: Genesis,
        peers: Peers,
        files: SnapshotFiles,
        *,
        enabled: bool,
        height: Callable[[], int],
        build: Callable[[SnapshotHead], None],
        room: Callable[[], int],
        worker: Worker,
        log: FilteringBoundLogger,
    ) -> None:
        self.questions = Questions(peers)
        self._genesis = genesis
        self._peers = peers
        self._files = files
        self._enabled = enabled
        self._height = height
        self._build = build
        self._room = room
        self._worker = worker
        self._log = log
        self._met = asyncio.Event()
        self._refuted: set[bytes] = set()
        self._caught: set[bytes] = set()
        self._fetched = 0
        self._full = False
        self._tries = Tries()
        self._moved = asyncio.Event()
        self._status: Fetching | None = None

    def status(self) -> Fetching | None:
        """What is being fetched, or None. With all chunks here, the chain is being built."""
        return self._status

    def met(self) -> None:
        """A peer has connected."""
        self._met.set()

    def lost(self, peer: bytes) -> None:
        """A peer is gone."""
        self.questions.lost(peer)

    async def run(self) -> None:
        """Return if this node has blocks, or no peer a snapshot that is true and worth it.

        Raises ChainReplaced once a chain that begins with one is ready.
        """
        if not self._enabled or self._height() > 0:
            return
        while not self._tries.is_over:
            while not self._peers.connected() and not self._caught:
                self._met.clear()
                await self._met.wait()
            found = await self._search()
            name = self._best(found)
            if name is None:
                break
            if await self._take(name, found[name]):
                self._log.info("state_sync_done", height=name.height, digest=name.digest)
                raise ChainReplaced(name.height)
            self._tries.failed(self._fetched)
        self._status = None
        if self._tries.unfinished > 0:
            await self._forget()
        self._log.info("state_sync_passed_over", reason="no_snapshot", height=self._height())

    async def _search(self) -> Found:
        """Ask everybody who is connected, and who connects meanwhile, for a while.

        That ends early once nothing more is to be expected (`_heard_all`).
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + OFFER_WAIT_S
        asked: dict[bytes, asyncio.Task[Snapshots | None]] = {}
        async with asyncio.TaskGroup() as group:
            while loop.time() < until_s and self._height() == 0:
                self._met.clear()
                for peer in self._peers.connected():
                    if peer not in asked and peer not in self._caught:
                        asked[peer] = group.create_task(self.questions.snapshots(peer))
                        asked[peer].add_done_callback(lambda _done: self._met.set())
                answers = [task.result() for task in asked.values() if task.done()]
                if len(answers) == len(asked) and self._heard_all(answers):
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(until_s):
                        await self._met.wait()
            for task in asked.values():
                task.cancel()
        return _offers(
            (peer, task.result()) for peer, task in asked.items() if not task.cancelled()
        )

    def _heard_all(self, answers: Sequence[Snapshots | None]) -> bool:
        """Whether those who were asked, and have all answered or are gone, are not worth waiting
        for others: as many said something as there are other founders, or nobody has the blocks.
        """
        said = [answer for answer in answers if answer is not None]
        if len(said) >= max(1, len(self._genesis.validators) - 1):
            return True
        return len(answers) > 0 and all(answer.height < AHEAD_MIN for answer in said)

    def _best(self, found: Found) -> SnapshotName | None:
        """The latest one that more peers offer than may lie among the founders (nobody else is
        known yet); if there is none, the latest one.

        Members that make snapshots at the same heights offer the same ones: digests are equal.
        """
        liars = may_lie(self._genesis.engine, len(self._genesis.validators))
        usable = [
            name
            for name in found
            if self._height() + AHEAD_MIN <= name.height <= SYNC_HEIGHT_CLAIM_MAX
            and name.digest not in self._refuted
        ]
        if self._height() > 0 or len(self._refuted) >= REFUTED_MAX:
            return None
        return max(usable, key=lambda name: (len(found[name]) > liars, name), default=None)

    async def _take(self, name: SnapshotName, offering: Sequence[bytes]) -> bool:
        """Fetch a snapshot, prove it and build a chain from it. Whether that worked."""
        self._fetched, self._full = 0, False
        self._log.info("state_sync", height=name.height, digest=name.digest, count=len(offering))
        head = await self._head(name, offering)
        if head is None:
            return False
        missing = await self._worker.run(self._missing, head)
        if not self._fits(head, missing):
            await self._too_large(head)
            return False
        if not await self._fetch(head, missing, offering):
            if self._full:
                await self._too_large(head)
            return False
        if not await self._built(head, offering):
            return False
        # For others; ours is ready all the same.
        with suppress(DiskFullError):
            await self._worker.run(self._files.keep, name, encode(head))
        return True

    async def _built(self, head: SnapshotHead, offering: Sequence[bytes]) -> bool:
        """Build a chain from what is here. Whether that worked."""
        name = head.manifest.name()
        try:
            await self._worker.run(self._build, head)
        except FalseSnapshotError as error:
            self._log.error(
                "snapshot_refuted", height=name.height, digest=name.digest, detail=str(error)
            )
            self._refuted.add(name.digest)
            for peer in offering:
                self._punish(peer, f"false_{error.reason}")
            await self._forget()
            return False
        except DiskFullError:
            await self._too_large(head)
            return False
        except (BlobNotFoundError, DamagedBlobError) as error:
            # Our own disk lost what was checked when it came: fetch it again.
            self._log.error("snapshot_chunk_damaged", detail=str(error))
            await self._worker.run(self._files.chunks.delete, error.blob_id)
            return False
        return True

    async def _head(self, name: SnapshotName, offering: Sequence[bytes]) -> SnapshotHead | None:
        """A head that proves itself, from the first peer that has one."""
        for peer in offering:
            data = await self.questions.head(peer, name)
            if not data:
                self._peers.dropped("snapshot_stalled" if data is None else "snapshot_gone")
                continue
            try:
                return await self._worker.run(self._proven, name, data)
            except VerificationError as error:
                self._punish(peer, f"bad_snapshot_{error.reason}")
            except DecodeError as error:
                self._punish(peer, f"bad_snapshot_{error.code}")
        return None

    async def _forget(self) -> None:
        """Delete what was fetched in vain: each false snapshot could be as large as the disk.

        With a block here, our own may be in the making, and its chunks are not told from these.
        """
        if self._height() == 0:
            # In one go: the first snapshot of our own could begin between two.
            await self._worker.run(sum, sweeping(self._files))

    def _fits(self, head: SnapshotHead, missing: Sequence[ChunkRef]) -> bool:
        """Whether there may be room for what is missing, and for a database of everything."""
        coming = sum(ref.size for ref in missing)
        return coming + sum(ref.size for ref in head.manifest.chunks()) <= self._room()

    async def _too_large(self, head: SnapshotHead) -> None:
        """There is no room for it. Others may be smaller, or blocks are fetched."""
        manifest = head.manifest
        digest, size = manifest.digest(), sum(ref.size for ref in manifest.chunks())
        self._log.warning("snapshot_too_large", height=manifest.height, digest=digest, bytes=size)
        self._refuted.add(digest)
        await self._forget()

    def _proven(self, name: SnapshotName, data: bytes) -> SnapshotHead:
        head = decode(SnapshotHead, data, size_max=HEAD_BYTES_MAX)
        if head.manifest.name() != name:
            raise VerificationError("snapshot_digest", "it is another snapshot")
        verify_head(head, self._genesis)
        return head

    async def _fetch(
        self, head: SnapshotHead, missing: Sequence[ChunkRef], offering: Sequence[bytes]
    ) -> bool:
        """Have all chunks here, from everybody who offers them at once. False if nobody is left who
        delivers enough, or no room.

        What an interrupted fetch, or another snapshot, left here is not asked for again.
        """
        clock = asyncio.get_running_loop().time
        total, chunks = len(missing), len(head.manifest.chunks())
        self._status = Fetching(head.manifest.height, chunks, chunks - total)
        patience = self._tries.patience
        supply = Supply(missing, offering, patience, clock())
        waiting: dict[Ask, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while supply.goes_on and not self._full:
                self._moved.clear()
                for ask in supply.plan(clock()):
                    waiting[ask] = group.create_task(self._fetch_one(ask, supply, waiting))
                await self._wait(supply.deadline(clock()))
                for peer, reason in supply.give_up(clock()):
                    self._pass_over(peer, reason, waiting)
            if patience.is_over and not supply.is_done:
                self._log.warning(
                    "state_sync_slow",
                    height=head.manifest.height,
                    count=self._fetched,
                    target=total,
                )
                for peer in supply.suppliers:
                    self._pass_over(peer, "snapshot_slow", waiting)
            # Nobody needs these any more. What is being written is waited for.
            for task in waiting.values():
                task.cancel()
        return supply.is_done

    async def _wait(self, until_s: float | None) -> None:
        """Until something happens, or it is time to look again."""
        if until_s is not None:
            # A timer may fire a moment early, by the resolution of its clock.
            until_s = max(until_s, asyncio.get_running_loop().time() + WAIT_S_MIN)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._moved.wait()

    def _missing(self, head: SnapshotHead) -> list[ChunkRef]:
        refs = {ref.hash: ref for ref in head.manifest.chunks()}
        return [ref for ref in refs.values() if not self._files.chunks.has(ref.hash)]

    async def _fetch_one(
        self, ask: Ask, supply: Supply, waiting: dict[Ask, asyncio.Task[None]]
    ) -> None:
        """Ask for a chunk, and keep what comes; as long as it is `waiting`, nothing has."""
        clock = asyncio.get_running_loop().time
        data = await self.questions.chunk(ask.peer, ask.ref.hash)
        del waiting[ask]
        if data and len(data) == ask.ref.size and sha256(data).digest() == ask.ref.hash:
            if supply.answered(ask, clock()):
                if await self._worker.run(self._put, data):
                    supply.written(ask)
                    self._count()
                else:
                    self._full = True
        elif supply.withdraw(ask.peer, clock()):
            if data:
                self._punish(ask.peer, "bad_snapshot_chunk")
            else:
                reason = "snapshot_stalled" if data is None else "snapshot_gone"
                self._pass_over(ask.peer, reason, waiting)
        self._moved.set()

    def _pass_over(self, peer: bytes, reason: str, waiting: dict[Ask, asyncio.Task[None]]) -> None:
        """Wait no more for a peer, and count why."""
        self._peers.dropped(reason)
        self._log.info("snapshot_peer_passed_over", peer=peer, reason=reason)
        for ask in [ask for ask in waiting if ask.peer == peer]:
            waiting.pop(ask).cancel()

    def _put(self, chunk: bytes) -> bool:
        """Keep a chunk if there is room for it."""
        if len(chunk) > self._room():
            return False
        try:
            self._files.chunks.put(chunk)
        except DiskFullError:
            return False
        return True

    def _punish(self, peer: bytes, reason: str) -> None:
        """Who was caught is asked no more: a ban ends, and the lies would begin again."""
        self._caught.add(peer)
        self._peers.punish(peer, reason)

    def _count(self) -> None:
        self._fetched += 1
        if self._status is None:
            return
        self._status = status = replace(self._status, fetched=self._status.fetched + 1)
        if self._fetched % PROGRESS_CHUNKS == 0 or status.fetched == status.chunks:
            self._log.info("state_sync_fetched", count=status.fetched, target=status.chunks)


def _offers(answers: Iterable[tuple[bytes, Snapshots | None]]) -> Found:
    found: Found = {}
    for peer, answer in answers:
        for offer in () if answer is None else answer.offers:
            offering = found.setdefault(SnapshotName(offer.height, offer.digest), [])
            if peer not in offering:
                offering.append(peer)
    return found

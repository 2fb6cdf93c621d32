"""Makes snapshots of the committed chain, in the background (docs/spec/snapshot.md, P1, P5, P6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator

from structlog.typing import FilteringBoundLogger

from medquorum.codec import decode, encode
from medquorum.errors import DecodeError
from medquorum.history import Certified
from medquorum.invariants import require
from node.chain import Chain
from node.ledger.params import ROTA_CYCLES_MAX, remembered_heights
from node.receipts import certified_at, history_before
from node.snapshots.cutting import past_chunks, state_chunks
from node.snapshots.errors import UnmakeableError
from node.snapshots.format import VERSION, ChunkRef, Manifest, SnapshotHead, make_head
from node.snapshots.limits import CHUNKS_MAX, HEAD_BYTES_MAX, STEP_REST_S
from node.threads import Worker
from storage.chain import CommittedBlock
from storage.errors import DiskError, StorageError
from storage.kv import KV, Reader, Snapshot
from storage.snapshots import SnapshotFiles, SnapshotName


def first_past(chain: Chain) -> int:
    """The first of the heights before the tip that the next block needs: for replays, as far as
    ids are remembered; for turns, as far as a rota of these validators can reach back. A function
    of the committed chain.
    """
    rota = 2 * ROTA_CYCLES_MAX * len(chain.tip.validators.validators)
    return max(1, chain.tip.height - max(remembered_heights(chain.view()), rota) + 1)


class SnapshotWork:
    """One snapshot that is being made, of the tip that `chain` has when this is called.

    `reader` is the store as it was at that moment. The chunks are written one after the other by
    `step`, on any thread, never two at once; the chain may go on meanwhile.
    """

    def __init__(self, chain: Chain, reader: Reader, files: SnapshotFiles) -> None:
        self.height = chain.tip.height
        require(self.height > 0, "a snapshot of the genesis")
        self._blocks = chain.blocks
        self._chain_id = chain.chain_id
        self._files = files
        self._past = past_chunks(chain.blocks, first_past(chain), self.height)
        self._state = state_chunks(reader)
        self._chunks = self._written()
        self._refs: tuple[list[ChunkRef], list[ChunkRef]] = ([], [])

    def step(self) -> bool:
        """Do a little. Whether there is more to do.

        Raises UnmakeableError, DamagedError, DiskError.
        """
        return next(self._chunks, False)

    def finish(self) -> SnapshotName:
        """Give it its head, once `step` has nothing left to do. It is durable on return.

        Raises UnmakeableError, DamagedError, DiskError.
        """
        certified = self._certified()
        manifest = Manifest(
            version=VERSION,
            chain_id=self._chain_id,
            height=self.height,
            block_hash=certified.header.hash(),
            result_hash=certified.result.hash(),
            state_root=certified.result.state_root,
            past=tuple(self._refs[0]),
            state=tuple(self._refs[1]),
        )
        changes = history_before(self._blocks, self.height + 1)
        head = encode(make_head(manifest, certified, changes))
        if len(manifest.chunks()) > CHUNKS_MAX or len(head) > HEAD_BYTES_MAX:
            raise UnmakeableError(f"{len(manifest.chunks())} chunks, a head of {len(head)} bytes")
        self._files.keep(manifest.name(), head)
        return manifest.name()

    def _certified(self) -> Certified:
        certified = certified_at(self._blocks, self.height)
        if certified is None:
            raise UnmakeableError(f"height {self.height} is not certified here")
        return certified

    def _written(self) -> Iterator[bool]:
        for part, chunks in zip(self._refs, (self._past, self._state), strict=True):
            for chunk in chunks:
                if chunk is not None:
                    part.append(ChunkRef(self._files.chunks.put(chunk), len(chunk)))
                yield True


def load_head(files: SnapshotFiles, name: SnapshotName) -> SnapshotHead | None:
    """A head that is here, or None. One that rotted counts as absent."""
    data = files.head(name)
    if data is None:
        return None
    try:
        head = decode(SnapshotHead, data, size_max=HEAD_BYTES_MAX)
    except DecodeError:
        return None
    return head if head.manifest.name() == name else None


def retaining(files: SnapshotFiles, keep: int, made: SnapshotName) -> Iterator[int]:
    """Forget all snapshots but `made` and the last ones, `keep` together, and what only the others
    needed, in short steps; how many chunks went with each.
    """
    files.keep_last(keep, made)
    yield from sweeping(files)


def sweeping(files: SnapshotFiles) -> Iterator[int]:
    """Delete the chunks that no snapshot here needs, in short steps; how many with each."""
    needed: set[bytes] = set()
    for name in files.names():
        head = load_head(files, name)
        needed.update(() if head is None else (c.hash for c in head.manifest.chunks()))
        yield 0
    yield from files.sweeping(needed)


class SnapshotMaker:
    """Makes a snapshot at every multiple of `interval`, one at a time. Lives on the event loop.

    The store is held as it is at the height, which costs the commit nothing; the reading is done by
    `worker` in small goes with a rest between them.
    """

    def __init__(
        self,
        chain: Chain,
        kv: KV,
        files: SnapshotFiles,
        *,
        interval: int,
        keep: int,
        worker: Worker,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        log: FilteringBoundLogger,
    ) -> None:
        """`interval` 0: none are made."""
        self._chain = chain
        self._kv = kv
        self._files = files
        self._interval = interval
        self._keep = keep
        self._worker = worker
        self._spawn = spawn
        self._log = log
        self._busy = False

    def on_commit(self, block: CommittedBlock) -> None:
        """Begin a snapshot if it is time for one."""
        height = block.header.height
        if self._interval == 0 or height % self._interval != 0:
            return
        if self._busy:
            self._log.warning("snapshot_skipped", height=height, reason="busy")
            return
        try:
            view = self._kv.snapshot()
        except StorageError as error:
            self._log.warning("snapshot_failed", height=height, detail=str(error))
            return
        self._busy = True
        self._spawn(self._make(SnapshotWork(self._chain, view, self._files), view))

    async def _make(self, work: SnapshotWork, view: Snapshot) -> None:
        began_s = asyncio.get_running_loop().time()
        try:
            more = True
            while more:
                more = await self._worker.run(work.step)
                await asyncio.sleep(STEP_REST_S)
            name = await self._worker.run(work.finish)
            await self._worker.run_steps(
                retaining(self._files, self._keep, name), rest_s=STEP_REST_S
            )
        except (UnmakeableError, DiskError) as error:
            # The chain does not need it, and the disk guard looks after the disk.
            self._log.warning("snapshot_failed", height=work.height, detail=str(error))
        else:
            took_ms = round(1_000 * (asyncio.get_running_loop().time() - began_s))
            self._log.info(
                "snapshot_made", height=name.height, digest=name.digest, duration_ms=took_ms
            )
        finally:
            self._busy = False
            # A step that was under way when the node stopped still reads.
            await self._worker.run(view.close)

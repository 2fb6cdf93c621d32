"""Makes backups of a node that runs. The chain goes on meanwhile, and no commit waits for them.

The database is held as it is at one moment, which is a height, for each is committed in one batch.
Pruning goes in whole batches too, so what is held is what a crash at that moment would have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
from structlog.typing import FilteringBoundLogger

from medquorum.block import Header, Result
from medquorum.codec import WireT, decode, encode
from medquorum.errors import DecodeError
from node.backup.errors import FalseBackupError, UnmakeableBackupError
from node.backup.format import VERSION, BackupChunk, BackupManifest, ChunkRef, load_manifest
from node.backup.limits import (
    CHUNK_BYTES_MIN,
    CHUNK_BYTES_TARGET_MAX,
    CHUNK_CUT,
    CHUNKS_MAX,
    ROOM_LOOK_STEPS,
    STEP_ENTRIES,
    STEP_REST_S,
)
from node.errors import RefusedError
from node.threads import Worker
from storage import layout
from storage.errors import DataDirLockedError, DiskFullError, StorageError
from storage.kv import KV, Reader, Snapshot
from storage.lock import DataDirLock
from storage.snapshots import SnapshotFiles, SnapshotName

_EVERYTHING: Final = (b"\x00", b"\xff")
_ENTRY_FRAME_BYTES: Final = 11
"""What an entry takes beside its key and its value, at most."""


class BackupMade(msgspec.Struct, frozen=True):
    """A backup that is there, durably. What is new was not in the directory before."""

    height: int
    digest: str
    block_hash: str
    state_root: str
    entries: int
    chunks: int
    chunks_new: int
    bytes: int
    bytes_new: int
    seconds: float

    def name(self) -> SnapshotName:
        """Under what it is kept."""
        return SnapshotName(self.height, bytes.fromhex(self.digest))


class BackupWork:
    """One backup that is being made of `view`, which is the database at one moment.

    The chunks are written one after the other by `step`, on any thread, never two at once.
    """

    def __init__(
        self, view: Reader, files: SnapshotFiles, *, chain_id: bytes, software: str
    ) -> None:
        """Raises UnmakeableBackupError, DamagedStoreError, DiskError."""
        tip = view.get(layout.TIP)
        self.height = 0 if tip is None else layout.unpack_height(tip)
        if self.height == 0:
            raise UnmakeableBackupError("not_ready", "this node has no blocks yet")
        _refuse_another_chain(files, chain_id)
        self._header = _read(view, Header, layout.at_height(layout.HEADER, self.height))
        self._result = _read(view, Result, layout.at_height(layout.RESULT, self.height))
        self._chain_id = chain_id
        self._software = software
        self._files = files
        self._refs: list[ChunkRef] = []
        self._new: list[int] = []
        self._entries = 0
        self._steps = self._written(view)

    def step(self) -> bool:
        """Do a little. Whether there is more to do. Raises DamagedStoreError, DiskError."""
        return next(self._steps, False)

    def finish(self, seconds: float) -> BackupMade:
        """Give it its manifest, once `step` has nothing left to do. It is durable on return.

        `seconds` is how long it took. Raises UnmakeableBackupError, DiskError.
        """
        if len(self._refs) > CHUNKS_MAX:
            raise UnmakeableBackupError("too_large", f"{len(self._refs)} chunks")
        manifest = BackupManifest(
            version=VERSION,
            software=self._software,
            layout=layout.FORMAT_VERSION,
            chain_id=self._chain_id,
            height=self.height,
            block_hash=self._header.hash(),
            result_hash=self._result.hash(),
            state_root=self._result.state_root,
            entries=self._entries,
            chunks=tuple(self._refs),
        )
        name = manifest.name()
        self._files.keep(name, encode(manifest))
        return BackupMade(
            height=name.height,
            digest=name.digest.hex(),
            block_hash=manifest.block_hash.hex(),
            state_root=manifest.state_root.hex(),
            entries=self._entries,
            chunks=len(self._refs),
            chunks_new=len(self._new),
            bytes=manifest.size(),
            bytes_new=sum(self._new),
            seconds=round(seconds, 3),
        )

    def close(self) -> None:
        """Read no more of the view: it is about to be closed. Harmless if all was read."""
        self._steps.close()

    def _written(self, view: Reader) -> Generator[bool, None, None]:
        """A chunk ends with its prefix, before it would be too large, and once it is large enough
        after a key whose checksum says so: where chunks end depends on what is near.
        """
        entries: list[tuple[bytes, bytes]] = []
        size = last = 0
        for key, value in view.scan(*_EVERYTHING):
            added = _ENTRY_FRAME_BYTES + len(key) + len(value)
            if entries and (
                entries[-1][0][:1] != key[:1]
                or size + added > CHUNK_BYTES_TARGET_MAX
                or (size >= CHUNK_BYTES_MIN and _may_end_behind(entries[-1][0], last))
            ):
                self._put(entries)
                entries, size = [], 0
                yield True
            entries.append((key, value))
            size, last = size + added, added
            self._entries += 1
            if self._entries % STEP_ENTRIES == 0:
                yield True
        self._put(entries)

    def _put(self, entries: list[tuple[bytes, bytes]]) -> None:
        data = encode(BackupChunk(tuple(entries)))
        chunk = ChunkRef(sha256(data).digest(), len(data))
        if not self._files.chunks.has(chunk.hash):
            self._new.append(chunk.size)
        # Also what is there already is read and compared: a copy that rotted is replaced.
        self._files.chunks.put(data)
        self._refs.append(chunk)


def retaining(files: SnapshotFiles, keep: int, made: SnapshotName) -> Iterator[int]:
    """Forget all backups but `made` and the last ones, `keep` together, and what only the others
    needed, in short steps; how many chunks went with each.

    While a manifest cannot be read, nobody knows what it needs, and every chunk stays.
    """
    files.keep_last(keep, made)
    yield from sweeping(files)


def sweeping(files: SnapshotFiles) -> Iterator[int]:
    """Delete the chunks that no backup needs, in short steps; how many with each. None while a
    manifest cannot be read.
    """
    needed: set[bytes] = set()
    try:
        for name in files.names():
            needed.update(chunk.hash for chunk in load_manifest(files, name).chunks)
            yield 0
    except FalseBackupError:
        return
    yield from files.sweeping(needed)


class BackupMaker:
    """Makes a backup whenever it is asked for, one at a time. Lives on the event loop; the work is
    done by `worker` in small goes with a rest between them.
    """

    def __init__(
        self,
        kv: KV,
        directory: Path,
        *,
        chain_id: bytes,
        keep: int,
        software: str,
        worker: Worker,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        log: FilteringBoundLogger,
        short_of_room: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`short_of_room` says why its disk is too full for a backup; it is called by `worker`."""
        self._kv = kv
        self._directory = directory
        self._chain_id = chain_id
        self._keep = keep
        self._software = software
        self._worker = worker
        self._spawn = spawn
        self._log = log
        self._short_of_room = short_of_room
        self._busy = False

    async def make(self) -> BackupMade:
        """Back the last committed height up; done when this returns. It goes on if the caller is
        cancelled. Raises RefusedError: nothing was damaged, and no earlier backup was lost.
        """
        if self._busy:
            raise RefusedError("not_ready", "a backup is being made already")
        try:
            view = self._kv.snapshot()
        except StorageError as error:
            raise _refusal(error) from None
        self._busy = True
        done: asyncio.Future[BackupMade | RefusedError] = asyncio.get_running_loop().create_future()
        self._spawn(self._run(view, done))
        ended = await asyncio.shield(done)
        if isinstance(ended, RefusedError):
            raise ended
        return ended

    async def _run(self, view: Snapshot, done: asyncio.Future[BackupMade | RefusedError]) -> None:
        try:
            made = await self._made(view)
        except (UnmakeableBackupError, StorageError, OSError) as error:
            # The chain does not need it. Damage that reading found is told, and 'verify' names it.
            refused = _refusal(error)
            self._log.error("backup_failed", code=refused.code, detail=str(error))
            done.set_result(refused)
        else:
            self._log.info(
                "backup_made", height=made.height, bytes=made.bytes, bytes_new=made.bytes_new
            )
            done.set_result(made)
        finally:
            self._busy = False
            done.cancel()
            # A step that was under way when the node stopped still reads.
            await self._worker.run(view.close)

    async def _made(self, view: Snapshot) -> BackupMade:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        if not await self._worker.run(self._directory.is_dir):
            # Not made: where a disk is not mounted, it would be on another one.
            raise UnmakeableBackupError("not_ready", f"{self._directory} is not there")
        lock = await self._worker.run(DataDirLock, self._directory)
        try:
            files = SnapshotFiles(self._directory)
            await self._require_room()
            work = await self._worker.run(
                BackupWork, view, files, chain_id=self._chain_id, software=self._software
            )
            try:
                await self._write(work)
                made = await self._worker.run(work.finish, clock() - began_s)
                await self._worker.run_steps(
                    retaining(files, self._keep, made.name()), rest_s=STEP_REST_S
                )
            except (UnmakeableBackupError, DiskFullError):
                # What it has written is half a backup, and its disk may be short of room.
                await self._worker.run_steps(sweeping(files), rest_s=STEP_REST_S)
                raise
            finally:
                await self._worker.run(work.close)
        finally:
            # Not here: its file system may not answer any more, and the chain goes on.
            await self._worker.run(lock.release)
        return made

    async def _write(self, work: BackupWork) -> None:
        steps, more = 0, True
        while more:
            more = await self._worker.run(work.step)
            steps += 1
            if steps % ROOM_LOOK_STEPS == 0:
                await self._require_room()
            await asyncio.sleep(STEP_REST_S)

    async def _require_room(self) -> None:
        """Raise UnmakeableBackupError before the disk of the backups is full."""
        short = await self._worker.run(self._short_of_room)
        if short is not None:
            raise UnmakeableBackupError("disk_low", short)


def _refusal(error: Exception) -> RefusedError:
    match error:
        case UnmakeableBackupError():
            return RefusedError(error.code, error.detail)
        case DiskFullError():
            return RefusedError("disk_low", str(error))
        case DataDirLockedError():
            return RefusedError("not_ready", str(error))
        case _:
            return RefusedError("internal", str(error))


def _may_end_behind(key: bytes, size: int) -> bool:
    """Whether a chunk that is large enough ends behind this entry. Only the entry decides."""
    return crc32(key) % CHUNK_CUT <= size * CHUNK_CUT // CHUNK_BYTES_MIN


def _refuse_another_chain(files: SnapshotFiles, chain_id: bytes) -> None:
    for name in reversed(files.names()):
        try:
            found = load_manifest(files, name).chain_id
        except FalseBackupError:
            continue
        if found != chain_id:
            raise UnmakeableBackupError(
                "policy_denied", "the directory holds backups of another chain"
            )
        return


def _read(view: Reader, kind: type[WireT], key: bytes) -> WireT:
    data = view.get(key)
    try:
        return decode(kind, data or b"", size_max=len(data or b""))
    except DecodeError as error:
        raise UnmakeableBackupError("internal", f"the last height: {error}") from None

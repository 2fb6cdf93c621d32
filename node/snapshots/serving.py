"""Hands out snapshots to members who ask (docs/spec/snapshot.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from medquorum.codec import Wire, decode
from node.snapshots.limits import HEAD_BYTES_MAX, OFFERS_MAX
from node.threads import Worker
from node.wire import (
    Chunk,
    FrameKind,
    GetChunk,
    GetSnapshot,
    GetSnapshots,
    Offer,
    Snapshot,
    Snapshots,
)
from storage.errors import BlobNotFoundError, DamagedBlobError
from storage.snapshots import SnapshotFiles, SnapshotName

Send = Callable[[bytes, FrameKind, Wire], bool]


class SnapshotServer:
    """Answers each question with what is here, or with nothing; keeps nothing of who asked."""

    def __init__(
        self,
        files: SnapshotFiles,
        *,
        height: Callable[[], int],
        send: Send,
        worker: Worker,
        log: FilteringBoundLogger,
    ) -> None:
        self._files = files
        self._height = height
        self._send = send
        self._worker = worker
        self._log = log

    async def on_get_snapshots(self, peer: bytes, payload: bytes) -> None:
        """Which snapshots are here: the latest ones."""
        decode(GetSnapshots, payload, size_max=len(payload))
        names = await self._worker.run(self._files.names)
        offers = tuple(Offer(name.height, name.digest) for name in names[-OFFERS_MAX:])
        self._send(peer, FrameKind.SNAPSHOTS, Snapshots(self._height(), offers))

    async def on_get_snapshot(self, peer: bytes, payload: bytes) -> None:
        """The head of one."""
        asked = decode(GetSnapshot, payload, size_max=len(payload))
        name = SnapshotName(asked.height, asked.digest)
        head = await self._worker.run(self._files.head, name) or b""
        fits = head if len(head) <= HEAD_BYTES_MAX else b""
        self._send(peer, FrameKind.SNAPSHOT, Snapshot(asked.digest, fits))

    async def on_get_chunk(self, peer: bytes, payload: bytes) -> None:
        """A chunk, whichever snapshot it belongs to."""
        asked = decode(GetChunk, payload, size_max=len(payload)).hash
        data = await self._worker.run(self._chunk, asked)
        self._send(peer, FrameKind.CHUNK, Chunk(asked, data))

    def _chunk(self, chunk: bytes) -> bytes:
        try:
            return self._files.chunks.get(chunk)
        except BlobNotFoundError:
            return b""
        except DamagedBlobError as error:
            # It rotted. Others have it, and the next snapshot that needs it writes it again.
            self._log.error("snapshot_chunk_damaged", detail=str(error))
            self._files.chunks.delete(chunk)
            return b""

"""Questions to peers, and the answers that were asked for."""

from __future__ import annotations

import asyncio
from typing import Protocol

from medquorum.codec import Wire, decode
from node.snapshots.limits import ANSWER_WAIT_S
from node.wire import (
    Chunk,
    FrameKind,
    GetChunk,
    GetSnapshot,
    GetSnapshots,
    Snapshot,
    Snapshots,
)
from storage.snapshots import SnapshotName

QUESTION_VERSION = 1


class Peers(Protocol):
    """The network, as fetching needs it."""

    def send(self, peer: bytes, kind: FrameKind, message: Wire) -> bool:
        """Queue without waiting; False if it was dropped."""
        ...

    def connected(self) -> tuple[bytes, ...]:
        """Node keys of the connected peers."""
        ...

    def punish(self, peer: bytes, reason: str) -> None:
        """Disconnect a peer that did what no correct node does, and count it by name."""
        ...

    def dropped(self, reason: str) -> None:
        """Count what a correct peer may have done."""
        ...


class Questions:
    """What was asked of whom and is not answered yet. Lives on the event loop.

    An answer that nobody asked for is dropped without being decoded.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._open: dict[tuple[bytes, FrameKind], dict[bytes, asyncio.Future[Wire | None]]] = {}

    async def snapshots(self, peer: bytes) -> Snapshots | None:
        """Which snapshots the peer has; None if it does not say."""
        answer = await self._ask(
            peer,
            FrameKind.GET_SNAPSHOTS,
            GetSnapshots(QUESTION_VERSION),
            FrameKind.SNAPSHOTS,
            b"",
            wait_s=ANSWER_WAIT_S,
        )
        return answer if isinstance(answer, Snapshots) else None

    async def head(self, peer: bytes, name: SnapshotName) -> bytes | None:
        """The head of a snapshot, empty if the peer has it no more; None if it does not say."""
        answer = await self._ask(
            peer,
            FrameKind.GET_SNAPSHOT,
            GetSnapshot(name.height, name.digest),
            FrameKind.SNAPSHOT,
            name.digest,
            wait_s=ANSWER_WAIT_S,
        )
        return answer.head if isinstance(answer, Snapshot) else None

    async def chunk(self, peer: bytes, chunk: bytes) -> bytes | None:
        """What the peer says is the chunk, empty if it has none; None if it is gone.

        Waited for without end: how long it may take the caller decides, and cancels this.
        """
        answer = await self._ask(
            peer,
            FrameKind.GET_CHUNK,
            GetChunk(chunk),
            FrameKind.CHUNK,
            chunk,
            wait_s=None,
        )
        return answer.data if isinstance(answer, Chunk) else None

    async def on_snapshots(self, peer: bytes, payload: bytes) -> None:
        """An answer to `snapshots`."""
        if self._is_open(peer, FrameKind.SNAPSHOTS):
            answer = decode(Snapshots, payload, size_max=len(payload))
            self._answered(peer, FrameKind.SNAPSHOTS, b"", answer)

    async def on_snapshot(self, peer: bytes, payload: bytes) -> None:
        """An answer to `head`."""
        if self._is_open(peer, FrameKind.SNAPSHOT):
            answer = decode(Snapshot, payload, size_max=len(payload))
            self._answered(peer, FrameKind.SNAPSHOT, answer.digest, answer)

    async def on_chunk(self, peer: bytes, payload: bytes) -> None:
        """An answer to `chunk`."""
        if self._is_open(peer, FrameKind.CHUNK):
            answer = decode(Chunk, payload, size_max=len(payload))
            self._answered(peer, FrameKind.CHUNK, answer.hash, answer)

    def lost(self, peer: bytes) -> None:
        """The peer is gone: it will not answer."""
        for (asked, _), futures in self._open.items():
            if asked == peer:
                for future in futures.values():
                    if not future.done():
                        future.set_result(None)

    async def _ask(
        self,
        peer: bytes,
        kind: FrameKind,
        question: Wire,
        answer: FrameKind,
        key: bytes,
        *,
        wait_s: float | None,
    ) -> Wire | None:
        future: asyncio.Future[Wire | None] = asyncio.get_running_loop().create_future()
        waiting = self._open.setdefault((peer, answer), {})
        if key in waiting or not self._peers.send(peer, kind, question):
            return None
        waiting[key] = future
        try:
            return await asyncio.wait_for(future, wait_s)
        except TimeoutError:
            return None
        finally:
            del waiting[key]
            if not waiting:
                self._open.pop((peer, answer), None)

    def _is_open(self, peer: bytes, kind: FrameKind) -> bool:
        if self._open.get((peer, kind)):
            return True
        self._peers.dropped("snapshot_not_asked")
        return False

    def _answered(self, peer: bytes, kind: FrameKind, key: bytes, answer: Wire) -> None:
        future = self._open.get((peer, kind), {}).get(key)
        if future is not None and not future.done():
            future.set_result(answer)
        else:
            self._peers.dropped("snapshot_not_asked")

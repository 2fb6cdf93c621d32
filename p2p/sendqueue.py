"""What waits to be sent to one peer on one lane: bounded in messages and in bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import assert_never

from p2p.frames import Control
from p2p.limits import Limits
from p2p.model import Lane
from p2p.reasons import Reason


class SendQueue:
    """Frames in the order of `push`. It outlives a connection that is replaced by another.

    When it is full, the lanes differ. On the bulk lane the newest frame is refused: its sender
    learns so at once and can offer it again or elsewhere, and what waits longest is not starved. On
    the consensus lane the oldest frame goes: votes are superseded by later ones, so to a peer that
    lags behind the latest state of the round is worth more than its history, and what it missed it
    asks for.
    """

    __slots__ = ("_bytes", "_bytes_max", "_control", "_frames", "_lane", "_messages_max", "ready")

    def __init__(self, lane: Lane, limits: Limits) -> None:
        self._lane = lane
        match lane:
            case Lane.CONSENSUS:
                self._messages_max = limits.consensus_queue_messages_max
                self._bytes_max = limits.consensus_queue_bytes_max
            case Lane.BULK:
                self._messages_max = limits.bulk_queue_messages_max
                self._bytes_max = limits.bulk_queue_bytes_max
            case _:
                assert_never(lane)
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._control: dict[Control, bytes] = {}
        """At most one frame of each control kind: a later ping or pong replaces the earlier."""
        self.ready = asyncio.Event()
        """Set while there is something to take."""

    def push(self, frame: bytes) -> tuple[Reason, ...]:
        """Queue `frame`; return the reason once for every frame that had to be dropped.

        The bulk lane drops `frame` itself or nothing. The consensus lane drops from the front, and
        `frame` only if it alone is larger than the queue may be.
        """
        if self._lane is Lane.BULK:
            if not self._fits(frame):
                return (Reason.BULK_QUEUE_FULL,)
            self._append(frame)
            return ()
        if len(frame) > self._bytes_max:
            return (Reason.CONSENSUS_QUEUE_FULL,)
        count = 0
        while not self._fits(frame):
            self._bytes -= len(self._frames.popleft())
            count += 1
        self._append(frame)
        return (Reason.CONSENSUS_QUEUE_FULL,) * count

    def push_control(self, kind: Control, frame: bytes) -> None:
        """Queue a control frame ahead of all messages."""
        self._control[kind] = frame
        self.ready.set()

    def take(self, bytes_max: int) -> list[bytes]:
        """Remove and return frames from the front: at least one if there is one, then as many as
        fit into `bytes_max` bytes."""
        batch = list(self._control.values())
        self._control.clear()
        size = sum(map(len, batch))
        frames = self._frames
        while frames and (not batch or size + len(frames[0]) <= bytes_max):
            frame = frames.popleft()
            size += len(frame)
            self._bytes -= len(frame)
            batch.append(frame)
        if not frames:
            self.ready.clear()
        return batch

    def clear(self) -> int:
        """Forget everything; return how many messages that were."""
        count = len(self._frames)
        self._frames.clear()
        self._control.clear()
        self._bytes = 0
        self.ready.clear()
        return count

    @property
    def messages(self) -> int:
        """How many messages wait."""
        return len(self._frames)

    @property
    def bytes_waiting(self) -> int:
        """How many bytes wait, headers included."""
        return self._bytes

    def _append(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._bytes += len(frame)
        self.ready.set()

    def _fits(self, frame: bytes) -> bool:
        return (
            len(self._frames) < self._messages_max and self._bytes + len(frame) <= self._bytes_max
        )

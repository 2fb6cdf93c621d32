"""One standing connection: one task reads, one writes, one keeps it alive.

Whichever ends first ends all three, and `run` returns the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import ceil
from typing import Final

from p2p.errors import LinkEndedError
from p2p.frames import Control, FrameDecoder, SizeTable, encode_frame
from p2p.handshake import Introduction
from p2p.hello import decode_goodbye, encode_goodbye
from p2p.limits import CONTROL_KIND_MIN, FRAME_HEADER_BYTES, PING_BYTES, Limits
from p2p.model import Frame, Observer
from p2p.ratelimit import PeerRates
from p2p.reasons import Reason
from p2p.sendqueue import SendQueue

_KIND_AT: Final = FRAME_HEADER_BYTES - 1

# After these there is nobody left to hear a goodbye.
_UNHEARD: Final = frozenset({Reason.PEER_CLOSED, Reason.CONNECTION_LOST, Reason.STUCK})


class Link:
    """A connection of one lane to one peer.

    `on_frame` is awaited by the reading task, so a slow handler slows its own lane of its own peer
    and nothing else. It may be cancelled where it awaits, when the link ends.
    """

    def __init__(
        self,
        introduction: Introduction,
        *,
        queue: SendQueue,
        rates: PeerRates,
        table: SizeTable,
        limits: Limits,
        clock: Callable[[], float],
        observer: Observer,
        on_frame: Callable[[Frame], Awaitable[None]],
    ) -> None:
        self.introduction: Final = introduction
        self.since: Final = clock()
        self.round_trip_s: float | None = None
        self._stream = introduction.stream
        self._queue = queue
        self._rates = rates
        self._decoder = FrameDecoder(table)
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._on_frame = on_frame
        self._end_reason: Reason | None = None
        self._ending = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._retired = False
        """Whether we have said goodbye, because another connection takes over."""
        self._heard_out = False
        """Whether the peer has."""
        self._listening = False
        """Whether the reader waits for the peer, and not for our own handler."""
        self._silent_ticks = 0
        self._ping_number = 0
        self._ping_at = 0.0

    async def run(self) -> LinkEndedError:
        """Serve the connection until it ends and return why. The caller closes it then.

        An exception of `on_frame` is a fault of ours and comes out in an ExceptionGroup.
        """
        ended = LinkEndedError(Reason.SHUTTING_DOWN)
        try:
            async with asyncio.TaskGroup() as tasks:
                if not self._retired:
                    self._writing = tasks.create_task(self._write())
                tasks.create_task(self._keep_alive())
                tasks.create_task(self._read())
        except* LinkEndedError as group:
            ended = _first(group)
        finally:
            if self._linger is not None:
                self._linger.cancel()
        return ended

    def end(self, reason: Reason) -> None:
        """End the link soon. No further frame is handled; the first reason stands."""
        if self._end_reason is None:
            self._end_reason = reason
            self._ending.set()

    def retire(self) -> None:
        """Let another connection take over: send nothing more, but hear the peer out.

        The goodbye goes last on either side, so what was under way arrives before it.
        """
        self._retired = True
        if self._writing is not None:
            self._writing.cancel()
        self._stream.write(encode_goodbye(Reason.SUPERSEDED))
        self._end_after_linger()

    def abort(self) -> None:
        """Drop the connection on the spot."""
        self._stream.abort()

    async def _read(self) -> None:
        peer, lane = self.introduction.peer, self.introduction.lane
        allow, clock, received = self._rates.allow, self._clock, self._observer.received
        turn = self._limits.frames_per_turn
        while True:
            chunk = await self._receive()
            for kind, payload in self._decoder.feed(chunk):
                if not allow(kind, clock()):
                    self._count_excess()
                elif kind == Control.GOODBYE:
                    await self._hear_goodbye(decode_goodbye(payload))
                elif kind >= CONTROL_KIND_MIN:
                    self._control(kind, payload)
                else:
                    received(kind, len(payload))
                    await self._on_frame(Frame(peer, lane, kind, payload))
                if self._end_reason is not None:
                    raise LinkEndedError(self._end_reason)
                turn -= 1
                if turn == 0:
                    turn = self._limits.frames_per_turn
                    await asyncio.sleep(0)

    async def _receive(self) -> bytes:
        self._listening = True
        try:
            chunk = await self._stream.reader.read(self._limits.read_bytes)
        except OSError:
            raise LinkEndedError(Reason.CONNECTION_LOST) from None
        self._listening = False
        self._silent_ticks = 0
        if len(chunk) == 0:
            raise LinkEndedError(Reason.PEER_CLOSED)
        return chunk

    async def _hear_goodbye(self, reason: Reason) -> None:
        """Nothing more will come. That another connection takes over may be known to the peer
        before it is to us: then this one goes on sending until we know too."""
        if reason is not Reason.SUPERSEDED:
            raise LinkEndedError(reason, told_by_peer=True)
        self._heard_out = True
        self._end_after_linger()
        await self._ending.wait()

    def _end_after_linger(self) -> None:
        if self._retired and self._heard_out:
            self.end(Reason.SUPERSEDED)
        elif self._linger is None:
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(self._limits.linger_s_max, self.end, Reason.SUPERSEDED)

    def _count_excess(self) -> None:
        self._observer.dropped(Reason.RATE_LIMITED)
        if not self._rates.tolerate(self._clock()):
            raise LinkEndedError(Reason.RATE_EXCEEDED)

    def _control(self, kind: int, payload: bytes) -> None:
        if len(payload) != PING_BYTES:
            raise LinkEndedError(Reason.BAD_CONTROL)
        if kind == Control.PING:
            self._queue.push_control(Control.PONG, encode_frame(Control.PONG, payload))
        elif int.from_bytes(payload, "big") == self._ping_number:
            self.round_trip_s = self._clock() - self._ping_at

    async def _write(self) -> None:
        queue, stream, limits = self._queue, self._stream, self._limits
        sent = self._observer.sent
        while True:
            await queue.ready.wait()
            batch = queue.take(limits.write_bytes)
            stream.write(b"".join(batch))
            for frame in batch:
                if frame[_KIND_AT] < CONTROL_KIND_MIN:
                    sent(frame[_KIND_AT], len(frame) - FRAME_HEADER_BYTES)
            # Below this nothing would be waited for, and a timeout costs more than a small write.
            if stream.writer.transport.get_write_buffer_size() > limits.write_buffer_bytes // 2:
                await self._drain()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._limits.stuck_s_max):
                await self._stream.writer.drain()
        except TimeoutError:
            raise LinkEndedError(Reason.STUCK) from None
        except OSError:
            raise LinkEndedError(Reason.CONNECTION_LOST) from None

    async def _keep_alive(self) -> None:
        """Ping, and end the link when it is told to or the peer is dead.

        Silence is counted in ticks of this task and not by the clock: a process that was paused
        does not blame its peers for it.
        """
        interval = self._limits.ping_interval_s
        ticks_max = ceil(self._limits.silence_s_max / interval)
        while self._end_reason is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._ending.wait()
            if not self._ending.is_set() and not self._retired:
                self._tick(ticks_max)
        raise LinkEndedError(self._end_reason)

    def _tick(self, ticks_max: int) -> None:
        if self._listening:
            self._silent_ticks += 1
        if self._silent_ticks >= ticks_max:
            raise LinkEndedError(Reason.SILENT)
        self._ping_number += 1
        self._ping_at = self._clock()
        number = self._ping_number.to_bytes(PING_BYTES, "big")
        self._queue.push_control(Control.PING, encode_frame(Control.PING, number))

    async def close(self, ended: LinkEndedError) -> None:
        """Close the stream, and tell the peer why if it can still hear it."""
        if ended.reason in _UNHEARD:
            self.abort()
            return
        goodbye = None if ended.told_by_peer or self._retired else ended.reason
        await self._stream.close(goodbye=goodbye, close_s_max=self._limits.close_s_max)


def _first(group: BaseExceptionGroup[LinkEndedError]) -> LinkEndedError:
    """The reason that came first. The tasks raise nothing nested, but the type allows it."""
    for error in group.exceptions:
        return error if isinstance(error, LinkEndedError) else _first(error)
    raise ValueError("an exception group is never empty")

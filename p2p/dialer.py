"""Keeping a lane to one peer up: when to dial, and how long to wait after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from p2p.errors import HandshakeError
from p2p.handshake import Introduction
from p2p.limits import DOUBLINGS_MAX, Limits
from p2p.model import Lane, Observer, PeerAddress
from p2p.peers import Peer, PeerBook
from p2p.reasons import Reason


class Backoff:
    """Waits that double with each failure, each scaled by a random factor from 1/2 to 1.

    The jitter keeps peers that lost each other at the same moment from meeting at the same moment
    for ever. `draw` returns a number in [0, 1).
    """

    __slots__ = ("_draw", "_failures", "_limits")

    def __init__(self, limits: Limits, draw: Callable[[], float]) -> None:
        self._limits = limits
        self._draw = draw
        self._failures = 0

    def next_s(self) -> float:
        """Count a failure and return the seconds to wait."""
        doubled = self._limits.backoff_s_min * 2.0 ** min(self._failures, DOUBLINGS_MAX)
        ceiling = min(doubled, self._limits.backoff_s_max)
        self._failures += 1
        return ceiling * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """The peer has proven stable."""
        self._failures = 0


class Dialer:
    """Dials one lane of one peer whenever it is down, until cancelled."""

    def __init__(
        self,
        *,
        address: PeerAddress,
        lane: Lane,
        book: PeerBook,
        dial: Callable[[PeerAddress, Lane], Awaitable[Introduction]],
        serve: Callable[[Introduction], None],
        limits: Limits,
        clock: Callable[[], float],
        draw: Callable[[], float],
        observer: Observer,
    ) -> None:
        self._address = address
        self._lane = lane
        self._book = book
        self._dial = dial
        self._serve = serve
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._backoff = Backoff(limits, draw)

    async def run(self) -> None:
        """Dial whenever the lane is down. A link that stood long enough resets the backoff."""
        peer = self._book.enter(self._address.node_key)
        down = peer.down[self._lane]
        while True:
            if down.is_set():
                await self._attempt(peer)
            up_at = self._clock()
            if not down.is_set():
                await down.wait()
                if self._clock() - up_at >= self._limits.stable_s_min:
                    self._backoff.reset()
                    continue
            await self._rest(peer)

    async def _attempt(self, peer: Peer) -> None:
        refused = self._book.refusal(peer.node_key)
        if refused is not None:
            # A member that is not welcome now, or not yet a member: nothing was sent or dropped.
            peer.last_reason = refused
            return
        try:
            self._serve(await self._dial(self._address, self._lane))
        except HandshakeError as error:
            # A duplicate means that the peer reached us first, which is no failure.
            if error.reason is not Reason.DUPLICATE:
                peer.last_reason = str(error)
                self._observer.dropped(error.reason)

    async def _rest(self, peer: Peer) -> None:
        peer.nudge.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.next_s()):
                await peer.nudge.wait()

"""What is known of every peer: its links, its queues, its rates, its bans. No I/O of its own.

There is at most one link for each lane of a peer. Both sides may dial at the same moment; both
then see both connections and keep the same one (`newcomer_wins`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from p2p.handshake import Introduction
from p2p.limits import DOUBLINGS_MAX, Limits
from p2p.link import Link
from p2p.model import KindLimit, Lane, LaneInfo, Observer, PeerAddress, PeerInfo
from p2p.ratelimit import PeerRates
from p2p.reasons import Reason
from p2p.sendqueue import SendQueue

_MS_PER_S = 1000.0


def newcomer_wins(standing: Introduction, newcomer: Introduction) -> bool:
    """Which of two connections of one lane to one peer stays.

    A peer that was restarted has a new instance, so the standing connection belongs to a process
    that is gone. A side dials only while it has no connection, so a second one dialled by the same
    side means that it lost the first. What is left are two sides that dialled at once: the one with
    the smaller key wins, at both ends alike.
    """
    if newcomer.hello.instance != standing.hello.instance:
        return True
    return newcomer.dialler <= standing.dialler


class Peer:
    """One peer, connected or not."""

    def __init__(self, node_key: bytes, kinds: Mapping[int, KindLimit], limits: Limits, now: float):
        self.node_key = node_key
        self.address: PeerAddress | None = None
        self.links: dict[Lane, Link] = {}
        self.lingering: list[Link] = []
        """Links that were replaced and still deliver what was under way, oldest first."""
        self.queues = {lane: SendQueue(lane, limits) for lane in Lane}
        self.rates = PeerRates(kinds, limits, now)
        self.down = {lane: asyncio.Event() for lane in Lane}
        """Set while the lane has no link: whoever dials waits for it."""
        self.nudge = asyncio.Event()
        """Set when a wait before the next dial has lost its reason."""
        self.software = ""
        self.last_reason = ""
        self.ban_reason = ""
        self.banned_until = now
        self.bans = 0
        for event in self.down.values():
            event.set()

    @property
    def connected(self) -> bool:
        """Whether both lanes stand."""
        return len(self.links) == len(Lane)


class PeerBook:
    """All peers of one node. `is_member` decides who may be one; `on_peer` hears of changes."""

    def __init__(
        self,
        *,
        own_key: bytes,
        kinds: Mapping[int, KindLimit],
        limits: Limits,
        clock: Callable[[], float],
        is_member: Callable[[bytes], bool],
        on_peer: Callable[[bytes, bool], None],
        observer: Observer,
    ) -> None:
        self._own_key = own_key
        self._kinds = kinds
        self._limits = limits
        self._clock = clock
        self._is_member = is_member
        self._on_peer = on_peer
        self._observer = observer
        self._peers: dict[bytes, Peer] = {}

    def __iter__(self) -> Iterator[Peer]:
        return iter(tuple(self._peers.values()))

    def find(self, node_key: bytes) -> Peer | None:
        """The peer, if it is known."""
        return self._peers.get(node_key)

    def enter(self, node_key: bytes) -> Peer:
        """The peer, entered if it is new. The caller has checked `refusal` or the configuration."""
        peer = self._peers.get(node_key)
        if peer is None:
            peer = Peer(node_key, self._kinds, self._limits, self._clock())
            self._peers[node_key] = peer
        return peer

    def refusal(self, node_key: bytes) -> Reason | None:
        """Why the holder of a proven key is not welcome now, or None if it is."""
        if node_key == self._own_key:
            return Reason.SELF
        if not self._is_member(node_key):
            return Reason.NOT_MEMBER
        peer = self._peers.get(node_key)
        if peer is None:
            full = len(self._peers) >= self._limits.peers_max
            return Reason.TOO_MANY_PEERS if full else None
        if self._clock() < peer.banned_until:
            return Reason.BANNED
        return None

    def duplicate(self, newcomer: Introduction) -> bool:
        """Whether a standing link is preferred to `newcomer`."""
        peer = self._peers.get(newcomer.peer)
        standing = None if peer is None else peer.links.get(newcomer.lane)
        return standing is not None and not newcomer_wins(standing.introduction, newcomer)

    def attach(self, link: Link) -> None:
        """Make `link` the one of its lane. A link that it replaces is retired, and what waits in
        the queue goes out over the new one."""
        introduction = link.introduction
        peer = self.enter(introduction.peer)
        was_connected = peer.connected
        standing = peer.links.get(introduction.lane)
        peer.links[introduction.lane] = link
        peer.down[introduction.lane].clear()
        peer.software = introduction.hello.software
        if standing is not None:
            self._retire(peer, standing)
        if peer.connected and not was_connected:
            self._announce(peer.node_key, connected=True)

    def attach_retired(self, link: Link) -> None:
        """Only hear `link` out: another is preferred, but the peer may have sent on this one."""
        self._retire(self.enter(link.introduction.peer), link)

    def detach(self, link: Link) -> None:
        """Forget `link`. What waited to be sent on it is dropped, unless another took its place."""
        lane = link.introduction.lane
        peer = self._peers.get(link.introduction.peer)
        if peer is None:
            return
        if link in peer.lingering:
            peer.lingering.remove(link)
        if peer.links.get(lane) is not link:
            return
        was_connected = peer.connected
        del peer.links[lane]
        peer.down[lane].set()
        for _ in range(peer.queues[lane].clear()):
            self._observer.dropped(Reason.NOT_CONNECTED)
        if was_connected:
            self._announce(peer.node_key, connected=False)

    def end(self, peer: Peer, reason: Reason) -> None:
        """End all links of the peer. From now on it counts as not connected."""
        for link in (*peer.links.values(), *peer.lingering):
            self.detach(link)
            link.end(reason)

    def ban(self, peer: Peer, reason: str) -> None:
        """Keep the peer out for a while, twice as long each time, within the limits."""
        doubled = self._limits.ban_s_min * 2.0 ** min(peer.bans, DOUBLINGS_MAX)
        seconds = min(doubled, self._limits.ban_s_max)
        peer.bans += 1
        peer.ban_reason = reason
        peer.banned_until = self._clock() + seconds

    def recheck_membership(self) -> None:
        """End the links of those who are no longer members, and forget them unless configured."""
        for peer in self:
            if self._is_member(peer.node_key):
                # Others are not nudged, or a call at every height would undo the backoff.
                if peer.last_reason == Reason.NOT_MEMBER:
                    peer.nudge.set()
                continue
            if len(peer.links) + len(peer.lingering) > 0:
                peer.last_reason = Reason.NOT_MEMBER
                self.end(peer, Reason.NOT_MEMBER)
            if peer.address is None:
                del self._peers[peer.node_key]

    def info(self) -> tuple[PeerInfo, ...]:
        """Every peer as it stands now, for the status page, in the order of the keys."""
        now = self._clock()
        return tuple(_describe(self._peers[node_key], now) for node_key in sorted(self._peers))

    def _retire(self, peer: Peer, link: Link) -> None:
        link.retire()
        peer.lingering.append(link)
        if len(peer.lingering) > self._limits.lingering_max:
            peer.lingering.pop(0).end(Reason.SUPERSEDED)

    def _announce(self, node_key: bytes, *, connected: bool) -> None:
        self._observer.peer_changed(node_key, connected)
        self._on_peer(node_key, connected)


def _describe(peer: Peer, now: float) -> PeerInfo:
    banned_s = max(0.0, peer.banned_until - now)
    return PeerInfo(
        node_key=peer.node_key,
        address=None if peer.address is None else (peer.address.host, peer.address.port),
        connected=peer.connected,
        software=peer.software,
        lanes=tuple(_describe_lane(peer, lane, now) for lane in Lane),
        last_reason=peer.last_reason,
        ban_reason=peer.ban_reason if banned_s > 0 else "",
        banned_s=banned_s,
        bans=peer.bans,
    )


def _describe_lane(peer: Peer, lane: Lane, now: float) -> LaneInfo:
    link, queue = peer.links.get(lane), peer.queues[lane]
    round_trip_s = None if link is None else link.round_trip_s
    return LaneInfo(
        lane=lane,
        up=link is not None,
        dialled_by_us=link is not None and link.introduction.dialler != peer.node_key,
        up_s=0.0 if link is None else now - link.since,
        round_trip_ms=None if round_trip_s is None else round_trip_s * _MS_PER_S,
        queued_messages=queue.messages,
        queued_bytes=queue.bytes_waiting,
    )

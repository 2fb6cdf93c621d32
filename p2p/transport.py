"""The transport as the rest of the node sees it: bytes to and from peers with proven keys.

    from p2p.transport import Frame, KindLimit, Lane, PeerAddress, Transport

Everything here runs on one event loop, and no method but `run` waits for anything. Delivery is at
most once: what is lost with a connection is lost, and who needs an answer asks again.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from medquorum.hashing import HASH_BYTES
from medquorum.invariants import require
from medquorum.keys import SigningKey
from p2p import tls
from p2p.dialer import Dialer
from p2p.errors import AddressError, HandshakeError, LinkEndedError
from p2p.frames import SizeTable, encode_frame
from p2p.handshake import Handshaker, Introduction
from p2p.limits import FRAME_HEADER_BYTES, PORT_MAX, SOFTWARE_CHARS_MAX, Limits
from p2p.link import Link
from p2p.listener import Gate, accept_forever, bind
from p2p.model import Frame, KindLimit, Lane, LaneInfo, Observer, PeerAddress, PeerInfo, is_host
from p2p.peers import Peer, PeerBook
from p2p.reasons import Reason

__all__ = (
    "Frame",
    "KindLimit",
    "Lane",
    "LaneInfo",
    "Limits",
    "Observer",
    "PeerAddress",
    "PeerInfo",
    "Transport",
)

_INSTANCE_BYTES: Final = 16


class Transport:
    """Keeps two authenticated connections, one a lane, to every peer it can reach.

    `is_member` is asked whenever somebody connects and whenever `recheck_membership` is called;
    `on_peer` is told when both lanes of a peer stand and when one of them is lost. `on_frame` is
    awaited by the reader of one lane of one peer: while it waits, that lane of that peer waits and
    nothing else does. It may be cancelled where it awaits, when the connection ends. `clock` is
    monotonic, in seconds; `draw` returns a number in [0, 1) for the jitter of the backoff.

    Raises AddressError for a configuration that cannot work. Makes the TLS contexts, which takes
    some milliseconds.
    """

    def __init__(
        self,
        *,
        node_key: SigningKey,
        chain_id: bytes,
        host: str,
        port: int,
        peers: Sequence[PeerAddress],
        is_member: Callable[[bytes], bool],
        on_frame: Callable[[Frame], Awaitable[None]],
        on_peer: Callable[[bytes, bool], None],
        kinds: Mapping[int, KindLimit],
        observer: Observer,
        software: str = "medquorum",
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] | None = None,
    ) -> None:
        limits = Limits() if limits is None else limits
        require(len(chain_id) == HASH_BYTES, "a chain id is a hash")
        require(0 < len(software) <= SOFTWARE_CHARS_MAX, "the software version fits the hello")
        if not is_host(host) or not 0 <= port <= PORT_MAX:
            raise AddressError(f"{host!r} port {port} is no address to listen on")
        _check_kinds(kinds, limits)
        self._own_key = node_key.public
        self._host, self._port = host, port
        self._kinds = dict(kinds)
        self._tables = {lane: SizeTable(lane, kinds) for lane in Lane}
        self._limits = limits
        self._clock = clock
        self._draw = random.SystemRandom().random if draw is None else draw
        self._observer = observer
        self._on_frame = on_frame
        self._gate = Gate(limits)
        self._book = PeerBook(
            own_key=node_key.public,
            kinds=self._kinds,
            limits=limits,
            clock=clock,
            is_member=is_member,
            on_peer=on_peer,
            observer=observer,
        )
        self._handshaker = Handshaker(
            node_key=node_key.public,
            chain_id=chain_id,
            instance=secrets.token_bytes(_INSTANCE_BYTES),
            software=software,
            contexts=tls.contexts_for(node_key, chain_id),
            limits=limits,
            refusal=self._book.refusal,
            duplicate=self._book.duplicate,
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._dialling: dict[PeerAddress, list[asyncio.Task[None]]] = {}
        self._addresses: frozenset[PeerAddress] = frozenset()
        self.set_peers(peers)

    @property
    def port(self) -> int:
        """The port that is listened on: the bound one once `run` has set `started`."""
        return self._port

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Listen, dial and serve until cancelled; then say goodbye to all peers and close.

        Raises ListenError before anything is started. An exception out of `on_frame` or another
        callback is a fault of this node: it ends the transport and comes out in an ExceptionGroup.
        """
        require(self._tasks is None, "a transport runs once at a time")
        listening = await bind(self._host, self._port, self._limits)
        self._port = int(listening.getsockname()[1])
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._accept_all(listening))
                for address in self._addresses:
                    self._start_dialling(tasks, address)
                if started is not None:
                    started.set()
        finally:
            self._tasks = None
            self._dialling.clear()
            listening.close()

    def send(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        """Queue a message without waiting. False: not connected, or refused by the full queue.

        What is dropped is counted by name: see SendQueue for what a full queue drops on which lane.
        """
        self._check_message(lane, kind, payload)
        known = self._book.find(peer)
        if known is None or lane not in known.links:
            self._observer.dropped(Reason.NOT_CONNECTED)
            return False
        return self._push(known, lane, encode_frame(kind, payload))

    def broadcast(self, lane: Lane, kind: int, payload: bytes) -> int:
        """Queue a message to every peer whose lane stands; return how many queues took it."""
        self._check_message(lane, kind, payload)
        frame = encode_frame(kind, payload)
        return sum([self._push(peer, lane, frame) for peer in self._book if lane in peer.links])

    def connected(self) -> tuple[bytes, ...]:
        """The keys of the peers to which both lanes stand, in order."""
        return tuple(sorted(peer.node_key for peer in self._book if peer.connected))

    def peers_info(self) -> tuple[PeerInfo, ...]:
        """What is known of every peer, connected or not, for the status page."""
        return self._book.info()

    def disconnect(self, peer: bytes, reason: str) -> None:
        """Close both lanes of a peer that misbehaved, and keep it out for a while.

        `reason` is one of a closed list of the caller's: it becomes a metric label.
        """
        known = self._book.find(peer)
        if known is None:
            return
        self._observer.dropped(reason)
        self._book.ban(known, reason)
        self._book.end(known, Reason.MISBEHAVED)

    def recheck_membership(self) -> None:
        """Disconnect whoever is no longer a member, and dial new members without delay."""
        self._book.recheck_membership()

    def set_peers(self, peers: Sequence[PeerAddress]) -> None:
        """Replace the addresses to dial. Standing connections stay; membership decides on those.

        Our own address may be among them, so that all nodes can share one list. Raises AddressError
        if there are too many, or two for one peer.
        """
        addresses = {peer.node_key: peer for peer in peers if peer.node_key != self._own_key}
        if len(addresses) != sum(peer.node_key != self._own_key for peer in peers):
            raise AddressError("a peer has two addresses")
        if len(addresses) > self._limits.peers_max:
            raise AddressError(f"more than {self._limits.peers_max} peer addresses")
        for peer in self._book:
            peer.address = addresses.get(peer.node_key)
        for node_key, address in addresses.items():
            self._book.enter(node_key).address = address
        self._addresses = frozenset(addresses.values())
        for address in self._dialling.keys() - self._addresses:
            for task in self._dialling.pop(address):
                task.cancel()
        if self._tasks is not None:
            for address in self._addresses - self._dialling.keys():
                self._start_dialling(self._tasks, address)

    def _start_dialling(self, tasks: asyncio.TaskGroup, address: PeerAddress) -> None:
        self._dialling[address] = [
            tasks.create_task(self._dialer(address, lane).run()) for lane in Lane
        ]

    def _dialer(self, address: PeerAddress, lane: Lane) -> Dialer:
        return Dialer(
            address=address,
            lane=lane,
            book=self._book,
            dial=self._handshaker.dial,
            serve=self._serve,
            limits=self._limits,
            clock=self._clock,
            draw=self._draw,
            observer=self._observer,
        )

    async def _accept_all(self, listening: socket.socket) -> None:
        await accept_forever(
            listening,
            gate=self._gate,
            limits=self._limits,
            clock=self._clock,
            observer=self._observer,
            welcome=self._welcome,
        )

    def _welcome(self, connection: socket.socket, address: str) -> None:
        """Introduce a stranger in a task of its own."""
        task = self._group().create_task(self._introduce(connection))

        def leave(_: asyncio.Task[None]) -> None:
            self._gate.leave(address)
            # Only needed if the task was cancelled before it could begin.
            if connection.fileno() != -1 and task.cancelled():
                connection.close()

        task.add_done_callback(leave)

    async def _introduce(self, connection: socket.socket) -> None:
        try:
            introduction = await self._handshaker.accept(connection)
        except HandshakeError as error:
            self._observer.dropped(error.reason)
        else:
            self._serve(introduction)

    def _serve(self, introduction: Introduction) -> None:
        """Make an introduced peer's connection a link of its lane, in a task of its own."""
        peer = self._book.enter(introduction.peer)
        link = Link(
            introduction,
            queue=peer.queues[introduction.lane],
            rates=peer.rates,
            table=self._tables[introduction.lane],
            limits=self._limits,
            clock=self._clock,
            observer=self._observer,
            on_frame=self._on_frame,
        )
        if self._book.duplicate(introduction):
            self._book.attach_retired(link)
        else:
            self._book.attach(link)
        task = self._group().create_task(self._run_link(peer, link))
        # A task that is cancelled before it could begin closes nothing.
        task.add_done_callback(lambda _: link.abort())

    async def _run_link(self, peer: Peer, link: Link) -> None:
        ended = LinkEndedError(Reason.SHUTTING_DOWN)
        try:
            ended = await link.run()
            self._note_end(peer, ended)
        finally:
            # Closing takes its time, and meanwhile nobody shall send to a link that has ended.
            self._book.detach(link)
            await link.close(ended)

    def _note_end(self, peer: Peer, ended: LinkEndedError) -> None:
        self._observer.dropped(ended.reason)
        if ended.reason is Reason.SUPERSEDED:
            return
        peer.last_reason = str(ended)
        if ended.reason.is_violation and not ended.told_by_peer:
            self._book.ban(peer, ended.reason)
            self._book.end(peer, Reason.BANNED)

    def _push(self, peer: Peer, lane: Lane, frame: bytes) -> bool:
        dropped = peer.queues[lane].push(frame)
        for reason in dropped:
            self._observer.dropped(reason)
        return lane is Lane.CONSENSUS or len(dropped) == 0

    def _check_message(self, lane: Lane, kind: int, payload: bytes) -> None:
        limit = self._kinds.get(kind)
        if limit is None or limit.lane is not lane or len(payload) > limit.bytes_max:
            # Asked first, so that the words are put together only when they are needed.
            require(False, f"kind {kind} does not carry {len(payload)} bytes on {lane!r}")

    def _group(self) -> asyncio.TaskGroup:
        tasks = self._tasks
        if tasks is None:
            raise RuntimeError("the transport is not running")
        return tasks


def _check_kinds(kinds: Mapping[int, KindLimit], limits: Limits) -> None:
    """Each payload must fit its queue, or it could never be sent."""
    for kind, limit in kinds.items():
        match limit.lane:
            case Lane.CONSENSUS:
                room = limits.consensus_queue_bytes_max
            case Lane.BULK:
                room = limits.bulk_queue_bytes_max
        require(
            limit.bytes_max + FRAME_HEADER_BYTES <= room,
            f"kind {kind} ({limit.name}) does not fit into the queue of its lane",
        )

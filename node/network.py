"""Between the transport, which knows bytes and node keys, and the parts of the node, which know
messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from consensus.engine import Received
from consensus.messages import Message, SignedMessage, decode_message, encode_message
from medquorum.codec import Wire, encode
from medquorum.errors import DecodeError
from medquorum.keys import verify
from node.inbox import Inbox
from node.limits import GOSSIP_BATCH_BYTES, GOSSIP_BATCH_TXS
from node.roster import Roster
from node.wire import FrameKind, TxBatch
from p2p.model import Frame, Lane

FROM_STRANGERS: Final = frozenset(
    {FrameKind.TIP, FrameKind.BLOCKS, FrameKind.SNAPSHOTS, FrameKind.SNAPSHOT, FrameKind.CHUNK}
)
"""What a daemon that the operator named and the chain does not (yet) may say: how far it is, and
certified blocks and snapshots that it was asked for. It is told our height and asked for these, and
no more.
"""

Handler = Callable[[bytes, bytes], Awaitable[None]]
"""Takes the peer's node key and the payload.

May raise DecodeError: the peer is then disconnected.
"""


class Links(Protocol):
    """The transport, as the node needs it."""

    def send(self, peer: bytes, lane: Lane, kind: int, payload: bytes) -> bool:
        """Queue without waiting; False if it was dropped."""
        ...

    def connected(self) -> tuple[bytes, ...]:
        """Node keys of the peers with both lanes up."""
        ...

    def disconnect(self, peer: bytes, reason: str) -> None:
        """Drop a peer that misbehaved, for a while."""
        ...


class Counters(Protocol):
    """Counts what is dropped."""

    def dropped(self, reason: str) -> None:
        """One more of this reason."""
        ...


class Network:
    """Sends and dispatches. Handlers are registered once, by app.py, before the transport runs."""

    def __init__(self, own_key: bytes, roster: Roster, counters: Counters) -> None:
        self._own_key = own_key
        self._roster = roster
        self._counters = counters
        self._handlers: dict[int, Handler] = {}
        self._links: Links | None = None

    def attach(self, links: Links) -> None:
        """Give it the transport."""
        self._links = links

    def handle(self, kind: FrameKind, handler: Handler) -> None:
        """Have frames of `kind` handled."""
        self._handlers[kind] = handler

    async def on_frame(self, frame: Frame) -> None:
        """Dispatch one frame. A payload that does not decode costs the peer its connection."""
        if frame.kind not in FROM_STRANGERS and not self._roster.is_member(frame.peer):
            self._counters.dropped("from_stranger")
            return
        handler = self._handlers.get(frame.kind)
        if handler is None:
            self._counters.dropped("unhandled_kind")
            return
        try:
            await handler(frame.peer, frame.payload)
        except DecodeError as error:
            self.punish(frame.peer, f"bad_payload_{error.code}")

    def punish(self, peer: bytes, reason: str) -> None:
        """Disconnect a peer that did what no correct node does, and count it by name."""
        self._counters.dropped(reason)
        if self._links is not None:
            self._links.disconnect(peer, reason)

    def dropped(self, reason: str) -> None:
        """Count what a correct peer may have sent, and nobody here needs."""
        self._counters.dropped(reason)

    def connected(self) -> tuple[bytes, ...]:
        """Node keys of the connected peers, strangers included."""
        return () if self._links is None else self._links.connected()

    def members(self) -> tuple[bytes, ...]:
        """Node keys of the connected peers that the chain admits."""
        return tuple(peer for peer in self.connected() if self._roster.is_member(peer))

    def onlookers(self) -> tuple[bytes, ...]:
        """Node keys of the connected peers that have no vote, strangers included."""
        return tuple(peer for peer in self.connected() if self._roster.validator_of(peer) is None)

    @property
    def votes(self) -> bool:
        """Whether this node is a validator's, as far as the chain here goes."""
        return self._roster.validator_of(self._own_key) is not None

    def send(self, peer: bytes, kind: FrameKind, message: Wire) -> bool:
        """Send a structure on the bulk lane."""
        return self._links is not None and self._links.send(peer, Lane.BULK, kind, encode(message))

    def broadcast(self, kind: FrameKind, message: Wire) -> None:
        """Send a structure to all connected peers on the bulk lane."""
        payload = encode(message)
        for peer in self.connected():
            if self._links is not None:
                self._links.send(peer, Lane.BULK, kind, payload)

    def send_votes(self, to: bytes | None, message: Message) -> None:
        """Send an engine's message to one validator, or to all, on the consensus lane."""
        if self._links is None:
            return
        payload = encode_message(message)
        if to is None:
            peers: Sequence[bytes] = [
                node for node in self._roster.validator_nodes() if node != self._own_key
            ]
        else:
            node = self._roster.node_of(to)
            peers = () if node is None or node == self._own_key else (node,)
        for peer in peers:
            self._links.send(peer, Lane.CONSENSUS, FrameKind.CONSENSUS, payload)

    def gossip(self, raws: Sequence[bytes], peers: Sequence[bytes] | None = None) -> None:
        """Send transactions once, in batches, to every connected member (or to those of `peers`):
        what is to be in a block is for members only.
        """
        targets = self.members()
        if peers is not None:
            targets = tuple(peer for peer in targets if peer in peers)
        for batch in batches(raws):
            payload = encode(TxBatch(batch))
            for peer in targets:
                if self._links is not None:
                    self._links.send(peer, Lane.BULK, FrameKind.TX_BATCH, payload)


def batches(raws: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Split into batches of at most GOSSIP_BATCH_TXS transactions and about GOSSIP_BATCH_BYTES
    bytes.
    """
    found: list[tuple[bytes, ...]] = []
    current: list[bytes] = []
    size = 0
    for raw in raws:
        if len(current) == GOSSIP_BATCH_TXS or (current and size + len(raw) > GOSSIP_BATCH_BYTES):
            found.append(tuple(current))
            current, size = [], 0
        current.append(raw)
        size += len(raw)
    if current:
        found.append(tuple(current))
    return found


class VoteGate:
    """Lets votes of validators into the engine's inbox once their signature is checked."""

    def __init__(
        self, chain_id: bytes, roster: Roster, inbox: Inbox, network: Network, counters: Counters
    ) -> None:
        self._chain_id = chain_id
        self._roster = roster
        self._inbox = inbox
        self._network = network
        self._counters = counters

    async def on_frame(self, peer: bytes, payload: bytes) -> None:
        """Handle a CONSENSUS frame. One Ed25519 check, about 50 microseconds, on the event loop."""
        validator = self._roster.validator_of(peer)
        if validator is None:
            self._counters.dropped("vote_from_observer")
            return
        message = decode_message(payload)
        if isinstance(message, SignedMessage) and not verify(
            message.signer, message.signed_bytes(self._chain_id), message.signature
        ):
            self._network.punish(peer, "bad_vote_signature")
            return
        if not self._inbox.post_received(Received(validator, message), len(payload)):
            self._counters.dropped("inbox_full")

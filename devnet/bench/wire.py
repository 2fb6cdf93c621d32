"""What it costs to bring transactions from one validator to another: two transports with TLS on the
loopback, and nothing behind them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Final

from devnet.errors import StateError
from devnet.ports import HOST
from medquorum.codec import encode
from medquorum.keys import SigningKey
from node.network import batches
from node.wire import KINDS, FrameKind, TxBatch
from p2p.model import Frame, Lane, PeerAddress
from p2p.transport import Transport

CHAIN_ID: Final = sha256(b"bench of the wire").digest()
PATIENCE_S: Final = 60.0
_EACH_ROUND: Final = 8
"""Batches under way at once: fewer than a lane's queue holds."""


class _End:
    """One of two transports: counts what arrives."""

    def __init__(self, name: str, peers: Sequence[PeerAddress]) -> None:
        self.key = SigningKey(sha256(name.encode()).digest())
        self.transactions = 0
        self.connected = asyncio.Event()
        self._goal = 0
        self._reached = asyncio.Event()
        self.transport = Transport(
            node_key=self.key,
            chain_id=CHAIN_ID,
            host=HOST,
            port=0,
            peers=peers,
            is_member=lambda _key: True,
            on_frame=self._on_frame,
            on_peer=self._on_peer,
            kinds=KINDS,
            observer=self,
        )

    @property
    def address(self) -> PeerAddress:
        """Where it listens."""
        return PeerAddress(self.key.public, HOST, self.transport.port)

    async def until(self, transactions: int) -> None:
        """Until so many have arrived. Raises StateError."""
        self._goal = transactions
        self._reached.clear()
        if self.transactions >= transactions:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._reached.wait()
        except TimeoutError:
            raise StateError(f"{self.transactions} of {transactions} came over the wire") from None

    async def _on_frame(self, frame: Frame) -> None:
        # Only the length: to decode it is what the node does, and is measured there.
        self.transactions += int.from_bytes(frame.payload[:2], "big")
        if self.transactions >= self._goal:
            self._reached.set()

    def _on_peer(self, _peer: bytes, connected: bool) -> None:
        if connected:
            self.connected.set()

    def sent(self, kind: int, size: int) -> None:
        """For the transport."""

    def received(self, kind: int, size: int) -> None:
        """For the transport."""

    def dropped(self, reason: str) -> None:
        """For the transport."""

    def peer_changed(self, peer: bytes, connected: bool) -> None:
        """For the transport."""


@asynccontextmanager
async def _running(end: _End) -> AsyncIterator[None]:
    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(end.transport.run(started))
        await started.wait()
        yield
        task.cancel()


async def transfer_us(raws: Sequence[bytes]) -> float:
    """Microseconds of one core to encode, send and receive one of these transactions, once, both
    ends together. Raises StateError if some did not arrive.
    """
    sending = batches(raws)
    receiver = _End("receiver", ())
    async with _running(receiver):
        sender = _End("sender", (receiver.address,))
        async with _running(sender):
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await asyncio.gather(sender.connected.wait(), receiver.connected.wait())
            except TimeoutError:
                raise StateError("two transports on the loopback did not connect") from None
            began = time.process_time_ns()
            gone = 0
            for first in range(0, len(sending), _EACH_ROUND):
                for batch in sending[first : first + _EACH_ROUND]:
                    payload = len(batch).to_bytes(2, "big") + encode(TxBatch(batch))
                    kind = FrameKind.TX_BATCH
                    sender.transport.send(receiver.key.public, Lane.BULK, kind, payload)
                    gone += len(batch)
                await receiver.until(gone)
            spent = time.process_time_ns() - began
    return spent / 1_000 / len(raws)

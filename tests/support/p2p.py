"""Real transports on the loopback, and a way to wait for what they do without sleeping."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from medquorum.keys import SigningKey
from p2p import tls
from p2p.frames import Control, encode_frame
from p2p.hello import Hello, encode_hello
from p2p.limits import Limits
from p2p.reasons import Reason
from p2p.transport import Frame, KindLimit, Lane, PeerAddress, Transport

CHAIN = bytes(range(32))
VOTE, BLOCK, RARE = 1, 2, 3
KINDS: Mapping[int, KindLimit] = {
    VOTE: KindLimit("vote", Lane.CONSENSUS, bytes_max=1_000, per_second=1e6, burst=10**6),
    BLOCK: KindLimit("block", Lane.BULK, bytes_max=1_000_000, per_second=1e6, burst=10**6),
    RARE: KindLimit("rare", Lane.BULK, bytes_max=100, per_second=1e-6, burst=2),
}
LIMITS = replace(Limits(), backoff_s_min=0.01, backoff_s_max=0.05)
PATIENCE_S = 20.0
"""How long a test waits for what must happen; it is reached only when it does not."""


class Watch:
    """Counts what a transport reports, and wakes whoever waits for a certain state of it."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.frames: list[Frame] = []
        self.changes: list[tuple[bytes, bool]] = []
        self.sent_bytes = 0
        self.received_bytes = 0
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def sent(self, kind: int, size: int) -> None:
        assert kind in KINDS
        self.sent_bytes += size

    def received(self, kind: int, size: int) -> None:
        assert kind in KINDS
        self.received_bytes += size

    def dropped(self, reason: str) -> None:
        self.drops[reason] += 1
        self.wake()

    def peer_changed(self, peer: bytes, connected: bool) -> None:
        assert (peer, connected) not in self.changes[-1:], "told twice of one change"
        self.wake()

    def on_peer(self, peer: bytes, connected: bool) -> None:
        self.changes.append((peer, connected))
        self.wake()

    async def on_frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.wake()

    def wake(self) -> None:
        """Look again at what is waited for."""
        for condition, future in self._waiting:
            if not future.done() and condition():
                future.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; it is looked at after every report."""
        if condition():
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((condition, future))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await future
        except TimeoutError:
            raise AssertionError(f"never came: {self.drops} {self.changes}") from None


class Node:
    """One transport that runs, with its key and its watch."""

    def __init__(self, key: SigningKey, transport: Transport, watch: Watch) -> None:
        self.key = key.public
        self.transport = transport
        self.watch = watch

    @property
    def address(self) -> PeerAddress:
        return PeerAddress(self.key, "127.0.0.1", self.transport.port)

    async def until_connected(self, *peers: bytes) -> None:
        await self.watch.until(lambda: set(peers) <= set(self.transport.connected()))

    async def until_dropped(self, reason: str, count: int = 1) -> None:
        await self.watch.until(lambda: self.watch.drops[reason] >= count)

    async def until_received(self, count: int) -> list[Frame]:
        await self.watch.until(lambda: len(self.watch.frames) >= count)
        return self.watch.frames


@asynccontextmanager
async def running(
    key: SigningKey,
    *,
    peers: Sequence[PeerAddress] = (),
    chain_id: bytes = CHAIN,
    is_member: Callable[[bytes], bool] = lambda key: len(key) == 33,
    on_frame: Callable[[Frame], Awaitable[None]] | None = None,
    limits: Limits = LIMITS,
    port: int = 0,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Node]:
    """A transport on the loopback for the time of the block; everybody is a member by default."""
    watch = Watch()
    # In a thread, as the node does it: making the TLS contexts touches the disk.
    transport = await asyncio.to_thread(
        Transport,
        node_key=key,
        chain_id=chain_id,
        host="127.0.0.1",
        port=port,
        peers=peers,
        is_member=is_member,
        on_frame=watch.on_frame if on_frame is None else on_frame,
        on_peer=watch.on_peer,
        kinds=KINDS,
        observer=watch,
        limits=limits,
        clock=asyncio.get_running_loop().time if clock is None else clock,
    )
    started = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(transport.run(started))
        await started.wait()
        try:
            yield Node(key, transport, watch)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def keys_in_order(count: int) -> list[SigningKey]:
    """Fresh keys, smallest public key first: the smaller one wins when two dial at once."""
    return sorted((SigningKey.generate() for _ in range(count)), key=lambda key: key.public)


async def dial_by_hand(
    port: int, key: SigningKey, chain_id: bytes = CHAIN
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = tls.contexts_for(key, chain_id).client
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="")


async def goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Reason:
    """Read up to the end and return what the last frame, a goodbye, says."""
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    reason = Reason(data.rpartition(bytes([Control.GOODBYE]))[2].decode())
    assert data.endswith(encode_frame(Control.GOODBYE, reason.encode()))
    return reason


@asynccontextmanager
async def introduced(
    node: Node, key: SigningKey, lane: Lane, *, instance: bytes = bytes(16)
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A peer made by hand, past the hello on one lane, which may say whatever it likes."""
    reader, writer = await dial_by_hand(node.transport.port, key)
    try:
        writer.write(encode_hello(Hello(1, 1, CHAIN, lane, instance, "by hand")))
        header = await reader.readexactly(5)
        await reader.readexactly(int.from_bytes(header[:4], "big") - 1)
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()

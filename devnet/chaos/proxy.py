"""Bad weather between the nodes, in user space: every connection of a proxied network runs through
here.

    async with Proxy(ports, random.Random(seed)) as proxy:
        proxy.weather.separate([0], [1, 2, 3])
        proxy.weather.clear()

What TCP promises holds here too: bytes are never lost, doubled or reordered within a connection. So
a lost packet shows as what it costs TCP, a pause of everything behind it until it is sent again; a
path that delivers nothing stalls, and delivers what it held when it heals; and a firewall that cuts
resets connections and refuses new ones. Each direction between two nodes has a weather of its own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

from devnet.chaos.errors import ProxyError
from devnet.chaos.limits import (
    CHUNK_BYTES,
    CHUNKS_HELD,
    CONNECT_S,
    CONNECTIONS_MAX,
    RETRANSMIT_MS,
    RETRANSMITS_MAX,
)
from devnet.ports import HOST, proxied_host


class Cut(Enum):
    """How a path does not deliver."""

    STALL = "stall"
    """Bytes vanish on the way until the path heals; nobody is told."""
    RESET = "reset"
    """Connections end at once, and new ones are refused."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How a path delivers: each chunk after `delay_ms` and up to `jitter_ms` more, at most
    `bytes_per_s` (0: no limit); with probability `loss` a chunk has to be sent again.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    bytes_per_s: float = 0.0

    def sending_s(self, size: int) -> float:
        """How long the path is busy with a chunk of this size."""
        return size / self.bytes_per_s if self.bytes_per_s else 0.0

    def late_s(self, rng: random.Random) -> float:
        """How long a chunk is under way, drawn."""
        late_ms = self.delay_ms + rng.uniform(0.0, self.jitter_ms)
        again = 0
        while again < RETRANSMITS_MAX and rng.uniform(0.0, 1.0) < self.loss:
            late_ms += RETRANSMIT_MS * 2**again
            again += 1
        return late_ms / 1_000


FAIR = Quality()
Path = tuple[int, int]
"""From a node to another."""


@dataclass(slots=True)
class Weather:
    """The state of every path. Changes take effect at once, on standing connections too."""

    nodes: int
    _quality: dict[Path, Quality] = field(default_factory=dict)
    _cut: dict[Path, Cut] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def quality(self, path: Path) -> Quality:
        """How the path delivers while it does."""
        return self._quality.get(path, FAIR)

    def cut(self, path: Path) -> Cut | None:
        """Why the path does not deliver, None if it does."""
        return self._cut.get(path)

    def refuses(self, one: int, other: int) -> bool:
        """Whether no connection between two nodes can stand: it needs both directions."""
        return Cut.RESET in (self.cut((one, other)), self.cut((other, one)))

    def set_quality(self, paths: Iterable[Path], quality: Quality) -> None:
        """Let these paths deliver like this from now on; what is under way comes as it was."""
        self._quality.update(dict.fromkeys(paths, quality))
        self._notify()

    def close(self, paths: Iterable[Path], cut: Cut) -> None:
        """Let these paths deliver nothing."""
        self._cut.update(dict.fromkeys(paths, cut))
        self._notify()

    def open(self, paths: Iterable[Path]) -> None:
        """Let these paths deliver again."""
        for path in paths:
            self._cut.pop(path, None)
        self._notify()

    def separate(self, groups: Sequence[Sequence[int]], cut: Cut) -> None:
        """Cut all paths between nodes of different groups. Who is in no group is alone."""
        group = {node: number for number, nodes in enumerate(groups) for node in nodes}
        apart = [
            (one, other)
            for one, other in self.paths()
            if one not in group or group[one] != group.get(other)
        ]
        self.close(apart, cut)

    def clear(self) -> None:
        """Everything is fair again."""
        self._quality.clear()
        self._cut.clear()
        self._notify()

    def paths(self, nodes: Iterable[int] | None = None) -> list[Path]:
        """All paths, or those from and to these nodes."""
        chosen = set(range(self.nodes) if nodes is None else nodes)
        return [
            (one, other)
            for one in range(self.nodes)
            for other in range(self.nodes)
            if one != other and (one in chosen or other in chosen)
        ]

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Proxy:
    """Listens for every ordered pair of nodes, as a context manager. `ports` are those at which the
    nodes listen for members, by index. Raises ProxyError on entering.
    """

    def __init__(self, ports: Sequence[int], rng: random.Random) -> None:
        self.weather = Weather(len(ports))
        self._ports = list(ports)
        self._rng = rng
        self._group = asyncio.TaskGroup()
        self._servers: list[asyncio.Server] = []
        self._standing: dict[Path, set[asyncio.Task[None]]] = {}
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        try:
            for path in self.weather.paths():
                await self._listen(path)
        except OSError as error:
            await self.__aexit__(None, None, None)
            raise ProxyError(f"the proxy cannot listen: {error}") from None
        self._watch = self._group.create_task(self._enforce())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        for server in self._servers:
            server.close()
        if self._watch is not None:
            self._watch.cancel()
        for path in self.weather.paths():
            self.reset(path)
        # What ended the caller is the caller's; only what ended the proxy comes in a group.
        await self._group.__aexit__(None, None, None)

    async def add(self, port: int) -> None:
        """Listen for the next node, too. Raises ProxyError."""
        self._ports.append(port)
        self.weather.nodes += 1
        try:
            for path in self.weather.paths([self.weather.nodes - 1]):
                await self._listen(path)
        except OSError as error:
            raise ProxyError(f"the proxy cannot listen: {error}") from None

    def reset(self, path: Path) -> int:
        """End all connections that the first of two nodes made to the second; how many."""
        ended = list(self._standing.get(path, ()))
        for task in ended:
            task.cancel()
        return len(ended)

    async def _listen(self, path: Path) -> None:
        dialler, target = path

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            standing = self._standing.setdefault(path, set())
            if self.weather.refuses(dialler, target) or len(standing) >= CONNECTIONS_MAX:
                writer.transport.abort()
                return
            task = self._group.create_task(self._carry(path, reader, writer))
            standing.add(task)
            task.add_done_callback(standing.discard)

        server = await asyncio.start_server(
            accepted,
            proxied_host(dialler, target),
            self._ports[target],
            limit=CHUNK_BYTES,
            reuse_address=True,
        )
        self._servers.append(server)

    async def _enforce(self) -> None:
        """End what stands where nothing may stand."""
        while True:
            for path in self.weather.paths():
                if self.weather.refuses(*path):
                    self.reset(path)
            await self.weather.changed()

    async def _carry(
        self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection, until either end closes it or the weather does."""
        dialler, target = path
        far: asyncio.StreamWriter | None = None
        whole = False
        try:
            # Neither does the request to connect arrive while the path delivers nothing.
            await self._passable(path)
            async with asyncio.timeout(CONNECT_S):
                back, far = await asyncio.open_connection(
                    HOST, self._ports[target], limit=CHUNK_BYTES
                )
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump((dialler, target), reader, far))
                pumps.create_task(self._pump((target, dialler), back, writer))
            whole = True
        except* OSError:
            # The far end is down, or one of the two closed: the other one sees a reset.
            pass
        finally:
            for end in (writer, far):
                if end is not None and whole:
                    end.close()
                elif end is not None:
                    end.transport.abort()

    async def _passable(self, path: Path) -> None:
        while self.weather.cut(path) is not None:
            await self.weather.changed()

    async def _pump(
        self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Bytes of one direction of one connection, late by as much as the weather says."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_HELD)
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(self._deliver(path, held, writer))
            free = due = 0.0
            while data := await reader.read(CHUNK_BYTES):
                quality = self.weather.quality(path)
                free = max(free, _now()) + quality.sending_s(len(data))
                due = max(due, free + quality.late_s(self._rng))
                await held.put((due, data))
            await held.put((due, b""))
            await delivering

    async def _deliver(
        self, path: Path, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        """In order, each chunk when it is due and the path delivers; then the end."""
        while True:
            due, data = await held.get()
            if due > _now():
                await asyncio.sleep(due - _now())
            await self._passable(path)
            if not data:
                with suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()


def _now() -> float:
    return asyncio.get_running_loop().time()

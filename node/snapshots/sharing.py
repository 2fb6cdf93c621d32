"""What a node does about snapshots, put together: it makes them, hands them out, and may begin with
one of its peers'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from node.config.schema import Config
from node.home import Home
from node.network import Network
from node.ops.diskguard import lines_of, room_above
from node.snapshots.beginning import build_ready
from node.snapshots.fetching import StateSync
from node.snapshots.format import SnapshotHead
from node.snapshots.making import SnapshotMaker
from node.snapshots.serving import SnapshotServer
from node.stores import Stores, open_database
from node.threads import Worker
from node.wire import FrameKind
from storage.errors import DiskFullError
from storage.kv import KV


class Sharing:
    """The three parts, joined to the network and the chain. Whoever has it runs `fetching`, and
    tells it who comes and goes.
    """

    def __init__(
        self,
        home: Home,
        config: Config,
        *,
        stores: Stores,
        network: Network,
        worker: Worker,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        log: FilteringBoundLogger,
    ) -> None:
        self._home = home
        self._config = config
        self._chain = chain = stores.chain
        self._files = stores.snapshots
        self.making = SnapshotMaker(
            chain,
            stores.kv,
            self._files,
            interval=config.snapshots.interval_heights,
            keep=config.snapshots.keep,
            worker=worker,
            spawn=spawn,
            log=log,
        )
        self.fetching = StateSync(
            chain.genesis,
            network,
            self._files,
            enabled=config.sync.mode == "auto",
            height=self._height,
            build=self._build,
            room=self._room,
            worker=worker,
            log=log,
        )
        chain.on_commit(self.making.on_commit)
        server = SnapshotServer(
            self._files, height=self._height, send=network.send, worker=worker, log=log
        )
        questions = self.fetching.questions
        network.handle(FrameKind.GET_SNAPSHOTS, server.on_get_snapshots)
        network.handle(FrameKind.GET_SNAPSHOT, server.on_get_snapshot)
        network.handle(FrameKind.GET_CHUNK, server.on_get_chunk)
        network.handle(FrameKind.SNAPSHOTS, questions.on_snapshots)
        network.handle(FrameKind.SNAPSHOT, questions.on_snapshot)
        network.handle(FrameKind.CHUNK, questions.on_chunk)

    def _height(self) -> int:
        return self._chain.tip.height

    def _room(self) -> int:
        """What the disk has left above the line at which new work is refused."""
        return room_above(self._home.data, lines_of(self._config.disk).refuse)

    def _require_room(self) -> None:
        """Raise DiskFullError long before the disk is full: the node has to go on without it."""
        if self._room() == 0:
            raise DiskFullError(self._home.data, "build", "the rest is for what the node does else")

    def _build(self, head: SnapshotHead) -> None:
        build_ready(
            self._home,
            head,
            self._files,
            genesis=self._chain.genesis,
            registry=self._chain.registry,
            open_kv=self._open,
            require_room=self._require_room,
        )

    def _open(self, path: Path) -> KV:
        return open_database(path, self._config)

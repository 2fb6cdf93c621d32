"""Where a development network keeps its things.

<root>/<name>/
    manifest.json        the manifest that it was made from
    net.json             chain id, nodes and their ports
    lock                 held by the command that is changing something
    pids/node0.json      which process runs a node
    node0/{config,keys,data,log}
    demo/                what the demonstration left
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet.errors import BusyError
from node.home import Home

CHECKOUT: Final = Path(__file__).resolve().parents[1]
ROOT_DEFAULT: Final = CHECKOUT / "devnet" / ".run"


@dataclass(frozen=True, slots=True)
class NetworkDir:
    """The directory of one network. Nothing is created or checked here, but by `locked`."""

    path: Path

    @property
    def net_file(self) -> Path:
        """Written last when a network is made: what has none is no network."""
        return self.path / "net.json"

    @property
    def manifest_file(self) -> Path:
        """The manifest with what the command line changed."""
        return self.path / "manifest.json"

    @property
    def demo(self) -> Path:
        """What the demonstration left: receipts, its import journal."""
        return self.path / "demo"

    def node(self, index: int) -> Home:
        """The home of a node."""
        return Home(self.path / f"node{index}")

    def log_file(self, index: int) -> Path:
        """What a node wrote."""
        return self.node(index).log / "node.log"

    def pid_file(self, index: int) -> Path:
        """Which process runs a node."""
        return self.path / "pids" / f"node{index}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this network. Raises BusyError that names the holder."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
                raise BusyError(
                    f"process {holder or '?'} is changing this network; try again when it is done"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

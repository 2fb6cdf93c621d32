"""A disk that loses power, lies, fills up and rots, as the node's files and its key-value store.

It keeps two worlds: what the process sees, and what is on the platter. A power cut makes the second
the first, and is as mean as POSIX allows: of a file that was not synced any part of the new bytes
may be there, the last of them wrong; a name that was not synced may be the old one or the new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from devnet.sim.dice import Dice
from devnet.sim.loop import PowerCutError
from storage.errors import DiskFailedError, DiskFullError
from storage.files import OpenFile
from storage.kv import Batch, Snapshot
from storage.memory import MemoryKV


@dataclass(slots=True)
class DiskFaults:
    """Probabilities per operation. All zero is a disk that only loses what was not synced."""

    sync_fails: float = 0.0
    full: float = 0.0
    rot: float = 0.0
    """Per file read: one bit is another one."""


class Tail(StrEnum):
    """What a power cut leaves of bytes that were written and not synced."""

    LOST = "lost"
    TORN = "torn"
    """The first part of them."""
    FLIPPED = "flipped"
    """A part whose last byte is another one."""


@dataclass(slots=True)
class _Node:
    """One file: what was written, and how much of it would survive."""

    content: bytes = b""
    durable: bytes = b""
    refused: int = 0
    """How much of the end of `content` belongs to a write that failed: nobody vouches for that."""


Names = dict[Path, _Node]


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of all that was durable at one time."""

    files: dict[Path, bytes]
    pairs: tuple[tuple[bytes, bytes], ...]


class SimDisk:
    """The disk of one machine. Outlives the processes that use it through `mount`: what a process
    wrote is there for the next one, and without a sync by either a power cut still takes it.
    """

    def __init__(self, rng: Dice) -> None:
        self.rng = rng
        self.faults = DiskFaults()
        self.tail: Tail | None = None
        """What power cuts leave; None draws it each time."""
        self.store = MemoryKV()
        self.misread: Counter[Path] = Counter()
        """How often a file of a directory was read with a bit changed."""
        self._seen: Names = {}
        self._platter: Names = {}

    def power_cut(self) -> None:
        """Lose what is not on the platter, or most of it."""
        lost = self.tail is Tail.LOST
        keep_new_names = not lost and self.rng.chance(0.5)
        names = dict(self._seen) if keep_new_names else dict(self._platter)
        for node in names.values():
            node.content = node.durable = self._torn(node)
        self._seen, self._platter = names, dict(names)
        if lost or self.rng.chance(0.5):
            self.store.crash()

    def backup(self, leave_out: Path) -> Backup:
        """What is on the platter now, but one file."""
        files = {p: n.durable for p, n in self._platter.items() if p != leave_out}
        return Backup(files, tuple(self.store.scan(b"\0", b"\xff" * 64)))

    def restore(self, backup: Backup, keep: Path) -> None:
        """Become what the backup holds; the file `keep` stays as it is."""
        kept = self._platter.get(keep)
        names = {path: _Node(data, data) for path, data in backup.files.items()}
        if kept is not None:
            names[keep] = kept
        self._seen, self._platter = names, dict(names)
        self.store = MemoryKV()
        batch = Batch()
        for key, value in backup.pairs:
            batch.put(key, value)
        self.store.write(batch, sync=True)

    def is_synced(self, path: Path) -> bool:
        """Whether all that was written to a file would survive, and its name too."""
        node = self._seen.get(path)
        return node is None or (
            len(node.content) - node.refused <= len(node.durable)
            and self._platter.get(path) is node
        )

    def would_survive(self, directory: Path, data: bytes) -> bool:
        """Whether some file of a directory holds these bytes on the platter."""
        nodes = [node for path, node in self._platter.items() if path.parent == directory]
        return any(data in node.durable for node in nodes)

    def mount(self, boundary: Callable[[str], None]) -> SimFiles:
        """The files for a process. `boundary` is asked before each operation that changes them."""
        return SimFiles(self, boundary)

    def open_store(self, boundary: Callable[[str], None]) -> SimKV:
        """The key-value store for a process.

        Opening makes durable what it finds. LevelDB does: it writes its log into a synced table.
        """
        self.store.write(Batch(), sync=True)
        return SimKV(self, boundary)

    def _torn(self, node: _Node) -> bytes:
        if node.content == node.durable or not node.content.startswith(node.durable):
            return node.durable
        if self.tail is Tail.LOST:
            return node.durable
        extra = node.content[len(node.durable) :]
        kept = extra[: self.rng.randint(0, len(extra))]
        is_flipped = self.rng.chance(0.3) if self.tail is None else self.tail is Tail.FLIPPED
        if len(kept) > 0 and is_flipped:
            kept = kept[:-1] + bytes([kept[-1] ^ (1 << self.rng.randrange(8))])
        return node.durable + kept


class SimFiles:
    """Implements storage.files.Files for one process; useless once that process is gone."""

    def __init__(self, disk: SimDisk, boundary: Callable[[str], None]) -> None:
        self._disk = disk
        self._boundary = boundary
        self.gone = False

    def read(self, path: Path) -> bytes | None:
        """See Files.read."""
        self.step("read")
        node = self._disk._seen.get(path)
        if node is None:
            return None
        data, rng = node.content, self._disk.rng
        if len(data) > 0 and rng.chance(self._disk.faults.rot):
            self._disk.misread[path.parent] += 1
            place = rng.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
        return data

    def size(self, path: Path) -> int | None:
        """See Files.size."""
        node = self._disk._seen.get(path)
        return None if node is None else len(node.content)

    def names(self, directory: Path) -> list[str]:
        """See Files.names."""
        return sorted(path.name for path in self._disk._seen if path.parent == directory)

    def make_directory(self, path: Path) -> None:
        """See Files.make_directory. Directories are not modelled: only what is in them."""

    def create(self, path: Path) -> OpenFile:
        """See Files.create."""
        self.step("create")
        self.refuse_if_full(path, "create")
        node = self._disk._seen[path] = _Node()
        return SimFile(self, path, node)

    def open_append(self, path: Path) -> OpenFile:
        """See Files.open_append."""
        self.step("open")
        node = self._disk._seen.get(path)
        if node is None:
            raise DiskFailedError(path, "open", "no such file")
        return SimFile(self, path, node)

    def rename(self, source: Path, target: Path) -> None:
        """See Files.rename."""
        self.step("rename")
        self._disk._seen[target] = self._disk._seen.pop(source)

    def remove(self, path: Path) -> bool:
        """See Files.remove."""
        self.step("remove")
        return self._disk._seen.pop(path, None) is not None

    def sync_directory(self, path: Path) -> None:
        """See Files.sync_directory."""
        self.step("sync")
        self.fail_sometimes(path)
        disk = self._disk
        disk._platter = {p: n for p, n in disk._platter.items() if p.parent != path}
        disk._platter |= {p: n for p, n in disk._seen.items() if p.parent == path}

    def random_bytes(self, count: int) -> bytes:
        """See Files.random_bytes."""
        return self._disk.rng.randbytes(count)

    def step(self, operation: str) -> None:
        """Before every operation: the machine may go dark now."""
        if self.gone:
            raise PowerCutError
        self._boundary(operation)

    def refuse_if_full(self, path: Path, operation: str) -> None:
        """Raise DiskFullError now and then."""
        faults = self._disk.faults
        if self._disk.rng.chance(faults.full):
            raise DiskFullError(path, operation, "no space left on device")

    def fail_sometimes(self, path: Path) -> None:
        """Raise DiskFailedError now and then."""
        faults = self._disk.faults
        if self._disk.rng.chance(faults.sync_fails):
            raise DiskFailedError(path, "sync", "input/output error")


class SimFile:
    """Implements storage.files.OpenFile."""

    def __init__(self, files: SimFiles, path: Path, node: _Node) -> None:
        self._files = files
        self._path = path
        self._node = node

    def write(self, data: bytes) -> None:
        """See OpenFile.write. A nearly full disk takes a part first."""
        self._files.step("write")
        try:
            self._files.refuse_if_full(self._path, "write")
        except DiskFullError:
            taken = data[: len(data) // 2]
            self._node.content += taken
            self._node.refused += len(taken)
            raise
        self._node.content += data

    def sync(self) -> None:
        """See OpenFile.sync."""
        self._files.step("sync")
        self._files.fail_sometimes(self._path)
        self._node.durable = self._node.content
        self._node.refused = 0

    def truncate(self, size: int) -> None:
        """See OpenFile.truncate."""
        self._files.step("truncate")
        self._node.content = self._node.content[:size]
        self._node.refused = 0

    def close(self) -> None:
        """Nothing to release."""


class SimKV:
    """Implements storage.kv.KV for one process."""

    def __init__(self, disk: SimDisk, boundary: Callable[[str], None]) -> None:
        self._disk = disk
        self._store = disk.store
        self._boundary = boundary
        self._failed: DiskFailedError | DiskFullError | None = None
        self.gone = False

    def get(self, key: bytes) -> bytes | None:
        """See Reader.get."""
        return self._store.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See Reader.scan."""
        return self._store.scan(start, stop, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """See KV.write. A failed write is wholly there or wholly not, and nobody knows which."""
        if self.gone:
            raise PowerCutError
        if self._failed is not None:
            raise self._failed
        self._boundary("kv write")
        faults, rng = self._disk.faults, self._disk.rng
        if rng.chance(faults.full):
            self._failed = DiskFullError("chain", "write", "no space left on device")
        elif sync and rng.chance(faults.sync_fails):
            self._failed = DiskFailedError("chain", "sync", "input/output error")
        if self._failed is not None:
            if rng.chance(0.5):
                self._store.write(batch, sync=False)
            raise self._failed
        self._store.write(batch, sync=sync)

    def snapshot(self) -> Snapshot:
        """See KV.snapshot."""
        return self._store.snapshot()

    def close(self) -> None:
        """The store outlives the process."""

    def bytes_on_disk(self) -> int:
        """See KV.bytes_on_disk."""
        return self._store.bytes_on_disk()

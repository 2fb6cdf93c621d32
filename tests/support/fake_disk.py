"""A disk in memory that can lose power: what was not synced is gone, names as well as content.

It keeps two worlds: what the process sees, and what is on the platter. `crash` makes the second the
first. Between the two it is as mean as POSIX allows: a rename whose directory was not synced is
undone, an unsynced file is empty.
"""

from __future__ import annotations

from pathlib import Path

from storage.errors import DiskError, DiskFailedError


class PowerCutError(BaseException):
    """The machine went dark during an operation. Not an Exception: no code may handle it."""


class _Node:
    """One file: what was written, and how much of it would survive."""

    def __init__(self) -> None:
        self.content = b""
        self.durable = b""


class FakeDisk:
    """Implements storage.files.Files.

    `log` holds the operations that matter for durability, in order.
    """

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.fail_at: dict[str, DiskError] = {}
        self.power_cut_after: int | None = None
        self._seen: dict[Path, _Node] = {}
        self._platter: dict[Path, _Node] = {}
        self._salts = 0

    def crash(self) -> None:
        """Lose what is not on the platter."""
        self.power_cut_after = None
        self.fail_at = {}
        self._seen = dict(self._platter)
        for node in self._seen.values():
            node.content = node.durable

    def read(self, path: Path) -> bytes | None:
        node = self._seen.get(path)
        return None if node is None else node.content

    def overwrite(self, path: Path, data: bytes) -> None:
        """Damage a file behind the back of the code under test."""
        self._seen[path].content = self._seen[path].durable = data

    def size(self, path: Path) -> int | None:
        data = self.read(path)
        return None if data is None else len(data)

    def names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in self._seen if path.parent == directory)

    def make_directory(self, path: Path) -> None:
        del path

    def create(self, path: Path) -> FakeFile:
        self.step("create", path)
        node = self._seen[path] = _Node()
        return FakeFile(self, path, node)

    def open_append(self, path: Path) -> FakeFile:
        if path not in self._seen:
            raise DiskFailedError(path, "open", "no such file")
        return FakeFile(self, path, self._seen[path])

    def rename(self, source: Path, target: Path) -> None:
        self.step("rename", target)
        self._seen[target] = self._seen.pop(source)

    def remove(self, path: Path) -> bool:
        if path not in self._seen:
            return False
        self.step("remove", path)
        del self._seen[path]
        return True

    def sync_directory(self, path: Path) -> None:
        self.step("sync_directory", path)
        self._platter = {p: n for p, n in self._platter.items() if p.parent != path}
        self._platter |= {p: n for p, n in self._seen.items() if p.parent == path}

    def random_bytes(self, count: int) -> bytes:
        self._salts += 1
        return self._salts.to_bytes(count, "big")

    def step(self, operation: str, path: Path) -> None:
        """Count one operation; fail or go dark where the test said so."""
        if self.power_cut_after is not None:
            if self.power_cut_after == 0:
                raise PowerCutError
            self.power_cut_after -= 1
        self.log.append((operation, path.name))
        if operation in self.fail_at:
            raise self.fail_at[operation]


class FakeFile:
    """Implements storage.files.OpenFile."""

    def __init__(self, disk: FakeDisk, path: Path, node: _Node) -> None:
        self._disk = disk
        self._path = path
        self._node = node

    def write(self, data: bytes) -> None:
        # A refused write leaves half of its data behind, as a nearly full disk does.
        try:
            self._disk.step("write", self._path)
        except DiskError:
            self._node.content += data[: len(data) // 2]
            raise
        self._node.content += data

    def sync(self) -> None:
        self._disk.step("sync", self._path)
        self._node.durable = self._node.content

    def truncate(self, size: int) -> None:
        self._disk.step("truncate", self._path)
        self._node.content = self._node.content[:size]

    def close(self) -> None:
        """Nothing to release."""

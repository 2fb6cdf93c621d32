"""Damages files of a recorded directory, one change at a time, and counts what became of it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

FLIPS = (0x01, 0x80, 0xFF)


def changes(data: bytes, *, step: int = 1, flips: tuple[int, ...] = FLIPS) -> Iterator[bytes]:
    """`data` with one byte changed, and cut, at every `step`-th offset and at the last ones."""
    for at in sorted({*range(0, len(data), step), *range(max(0, len(data) - 8), len(data))}):
        for flip in flips:
            yield data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
        yield data[:at]


class Recorded:
    """A directory as it was recorded, and a place where damaged copies of it are looked at."""

    def __init__(self, source: Path, scratch: Path) -> None:
        self._scratch = scratch
        self.files = {
            path.relative_to(source): path.read_bytes()
            for path in sorted(source.rglob("*"))
            if path.is_file()
        }
        self.tally: Counter[str] = Counter()

    def copy(self, name: Path, data: bytes | None) -> Path:
        """A fresh copy in which the file `name` holds `data`, or is absent."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        for path, content in self.files.items():
            damaged = data if path == name else content
            if damaged is not None:
                target = self._scratch / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(damaged)
        return self._scratch

    def damage(
        self, name: Path, look: Callable[[Path], str], *, step: int = 1, absent: bool = True
    ) -> None:
        """Have `look` see every damaged copy of one file; it says what came of it, or fails."""
        if absent:
            self.tally[f"{name.name} absent: {look(self.copy(name, None))}"] += 1
        for data in changes(self.files[name], step=step):
            self.tally[f"{name.name}: {look(self.copy(name, data))}"] += 1

    @property
    def tried(self) -> int:
        """How many damaged copies were looked at."""
        return self.tally.total()

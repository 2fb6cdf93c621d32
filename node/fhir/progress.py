"""How far an import is: a bar on a terminal, lines elsewhere, nothing for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from node.fhir.limits import PROGRESS_SECONDS


class Progress(Protocol):
    """Told how far an import is. Never awaits, never raises."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` bytes begins."""
        ...

    def at(self, done: int, records: int) -> None:
        """`done` bytes are read; `records` are on the chain."""
        ...


class NoProgress:
    """Tells nobody."""

    def stage(self, name: str, total: int) -> None:
        """Nothing."""

    def at(self, done: int, records: int) -> None:
        """Nothing."""


class LineProgress:
    """One line a second at most, for logs."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], float] = monotonic) -> None:
        self._write = write
        self._now = now
        self._name = ""
        self._total = 0
        self._next = 0.0

    def stage(self, name: str, total: int) -> None:
        """Begin."""
        self._name, self._total = name, total
        self._next = self._now() + PROGRESS_SECONDS
        self._write(f"{name}: {total / 1e6:.1f} MB")

    def at(self, done: int, records: int) -> None:
        """Write if it is time."""
        if self._now() >= self._next:
            self._next = self._now() + PROGRESS_SECONDS
            share = 100 * done // self._total if self._total else 100
            self._write(f"{self._name}: {share} %, {records} records")


@contextmanager
def bar() -> Iterator[Progress]:
    """A bar on the terminal of standard error."""
    # Imported here: only a person at a terminal waits for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as RichProgress  # noqa: PLC0415

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[records]} records"),
        TimeElapsedColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("", total=None, records=0)

        class Bar:
            def stage(self, name: str, total: int) -> None:
                shown.reset(task, total=total, description=name, records=0)

            def at(self, done: int, records: int) -> None:
                shown.update(task, completed=done, records=records)

        yield Bar()

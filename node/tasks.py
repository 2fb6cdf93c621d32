"""Starting tasks from parts that are built before anything runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from medquorum.invariants import InvariantBroken


class Spawner:
    """Starts tasks in the node's one task group: a failure in any of them stops the node."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None

    def open(self, group: asyncio.TaskGroup) -> None:
        """From now on tasks can be started."""
        self._group = group

    def __call__(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Start a task."""
        if self._group is None:
            work.close()
            raise InvariantBroken("a task was started before the node runs")
        return self._group.create_task(work)

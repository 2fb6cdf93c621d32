"""Work that may take long, or for ever: a call into a file system whose server is gone does not
return, and nothing in the process can end it.

While the node runs it waits for such work as for any other. Once it stops, it waits LONG_WORK_S and
then leaves the work where it is: whoever waits for it is let go, and the thread ends with the
process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import ParamSpec, TypeVar

from typing_extensions import override

from node.limits import LONG_WORK_S
from node.threads import Worker

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class LeftWork:
    """What a thread was doing when it was left, and where in the code it was."""

    worker: str
    call: str
    place: str


class LongWorker(Worker):
    """A worker of one thread that can be left."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._name = name
        # How those who wait are let go.
        self._waiting: set[Callable[..., bool]] = set()
        # What runs, and on which thread. Written by that thread, read once it is left.
        self._call = ""
        self._thread = 0
        self._is_left = False
        self._left: LeftWork | None = None

    @property
    def left(self) -> LeftWork | None:
        """The work that was left, or None if there was none."""
        return self._left

    @override
    async def run(self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See Worker.run. Once the work is left, whoever waits for it or asks for more is
        cancelled: that happens at the end of the node only, when everybody is.
        """
        if self._is_left:
            raise asyncio.CancelledError
        work = partial(self._noted, partial(call, *args, **kwargs), _name_of(call))
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self._waiting.add(future.cancel)
        try:
            return await future
        finally:
            self._waiting.discard(future.cancel)

    async def idle(self) -> None:
        """Return once nothing runs here that was asked for before."""
        await self.run(_nothing)

    def leave(self) -> None:
        """Wait no longer for what runs, and begin nothing any more."""
        self._is_left = True
        if self._call:
            self._left = LeftWork(self._name, self._call, _place_of(self._thread))
        for cancel in self._waiting:
            cancel()

    @override
    def close(self) -> None:
        """Wait for what runs, unless it was left; nothing new is accepted."""
        self._pool.shutdown(wait=self._left is None, cancel_futures=self._is_left)

    def _noted(self, work: Callable[[], R], name: str) -> R:
        self._call, self._thread = name, get_ident()
        try:
            return work()
        finally:
            self._call = ""


class LongWork:
    """Makes the workers of a node that can be left, and ends them within `wait_s` of its stop.

    `watch` runs beside whoever waits for the workers, and is cancelled with them; `finish` follows.
    """

    def __init__(self, *, wait_s: float = LONG_WORK_S) -> None:
        self._workers: list[LongWorker] = []
        self._wait_s = wait_s
        self._timer: asyncio.TimerHandle | None = None

    def worker(self, name: str) -> LongWorker:
        """One more of them."""
        self._workers.append(LongWorker(name))
        return self._workers[-1]

    def left(self) -> tuple[LeftWork, ...]:
        """What did not end, and goes on in threads of this process."""
        return tuple(worker.left for worker in self._workers if worker.left is not None)

    async def watch(self) -> None:
        """Run until cancelled. From then on the time is counted."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._begin()

    async def finish(self) -> None:
        """Return once every worker has ended its work, or was left."""
        timer = self._begin()
        await asyncio.gather(*(worker.idle() for worker in self._workers), return_exceptions=True)
        timer.cancel()

    def _begin(self) -> asyncio.TimerHandle:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._leave)
        return self._timer

    def _leave(self) -> None:
        for worker in self._workers:
            worker.leave()


def _nothing() -> None:
    """What an idle thread does at once."""


def _name_of(call: Callable[..., object]) -> str:
    return getattr(call, "__qualname__", type(call).__name__)


def _place_of(thread: int) -> str:
    """The innermost line of Python that a thread is in."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    code = frame.f_code
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{frame.f_lineno} {code.co_name}"

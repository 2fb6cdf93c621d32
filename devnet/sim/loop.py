"""An asyncio event loop in virtual time: the process of one node.

All loops of a run take turns in one real thread. Calls to executors do not reach a thread: they are
carried out at the time at which a thread would have finished, one after the other for each pool. A
killed loop does nothing any more, whatever still refers to it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from typing import Any, TypeVar
from weakref import WeakSet

from typing_extensions import TypeVarTuple, Unpack, override

from devnet.sim.world import US_PER_S, World

Args = TypeVarTuple("Args")
T = TypeVar("T")


class PowerCutError(BaseException):
    """The machine went dark during an operation. Not an Exception: no code may handle it."""


class Soon(asyncio.Handle):
    """A handle that costs less to make: a run makes a few for each event. It keeps no traceback."""

    __slots__ = ()

    def __init__(  # a leaner one on purpose: the base looks for debug mode  # pylint: disable=W0231
        self,
        callback: Callable[..., object],
        args: Any,
        loop: asyncio.AbstractEventLoop,
        context: Context,
    ) -> None:
        self._callback, self._args, self._loop, self._context = callback, args, loop, context
        self._cancelled = False
        self._repr, self._source_traceback = None, None


class SimLoop(asyncio.BaseEventLoop):
    """`rate` is how fast its clock runs; `work_us` draws how long a call on a named pool takes.

    `boundary` is asked around each call on a pool, and may kill the loop; `failed` is told what
    nobody caught.
    """

    def __init__(
        self,
        world: World,
        *,
        rate: float,
        work_us: Callable[[str], int],
        boundary: Callable[[str], None],
        failed: Callable[[BaseException | None, str], None],
    ) -> None:
        super().__init__()
        self.set_debug(False)
        self.dead = False
        self._world = world
        self._rate = rate
        self._work_us = work_us
        self._boundary = boundary
        self._failed = failed
        self._queue: deque[asyncio.Handle] = deque()
        self._planned = False
        self._resume_us = 0
        self._busy_until: dict[str, int] = {}
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

    def kill(self) -> None:
        """Do nothing from now on. What tasks still clean up, they do now, to no effect."""
        self.dead = True
        self._queue.clear()
        for task in list(self._tasks):
            # The one that is running, if any, ends by the exception that its caller raises.
            with suppress(ValueError, RuntimeError):
                task.get_coro().close()

    @override
    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task = super().create_task(coro, name=name, context=context)
        self._tasks.add(task)
        return task

    def pause(self, until_us: int) -> None:
        """Stand still, as a stopped process does: what comes in the meantime waits."""
        self._resume_us = max(self._resume_us, until_us)

    @override
    def time(self) -> float:
        return self._world.now_us * self._rate / US_PER_S

    @override
    def call_soon(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = Soon(callback, args, self, copy_context() if context is None else context)
        if not self.dead:
            self._queue.append(handle)
            if not self._planned:
                self._plan()
        return handle

    @override
    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    @override
    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)

        def due() -> None:
            if not (self.dead or handle.cancelled()):
                self._queue.append(handle)
                if not self._planned:
                    self._plan()

        if not self.dead:
            self._world.at(int(when / self._rate * US_PER_S), due)
        return handle

    @override
    def run_in_executor(  # type: ignore[override]  # a plain method is all that asyncio calls
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        pool = str(getattr(executor, "_thread_name_prefix", "default"))
        future: asyncio.Future[T] = self.create_future()
        start = max(self._world.now_us, self._busy_until.get(pool, 0))
        end = self._busy_until[pool] = start + self._work_us(pool)

        def work() -> None:
            if self.dead:
                return
            if self._world.now_us < self._resume_us:
                self._world.at(self._resume_us, work)
                return
            try:
                self._boundary(f"before {pool}")
                result = func(*args)
                self._boundary(f"after {pool}")
            except PowerCutError:
                return
            except Exception as error:  # whatever it is, the waiter gets it, as from a thread
                if not future.cancelled():
                    future.set_exception(error)
                return
            if not future.cancelled():
                future.set_result(result)

        self._world.at(end, work)
        return future

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self._failed(context.get("exception"), str(context.get("message")))

    @override
    def is_closed(self) -> bool:
        # Closing would make what is left of a killed node raise while it is collected.
        return False

    @override
    def __del__(self, _warn: object = None) -> None:
        """Nothing to release: no file, no socket, no thread."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop of this thread."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    def _plan(self) -> None:
        self._planned = True
        self._world.at(self._resume_us, self._turn)

    def _turn(self) -> None:
        self._planned = False
        queue = self._queue
        if self._world.now_us < self._resume_us and len(queue) > 0:
            self._plan()
            return
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while queue:
                handle = queue.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            asyncio._set_running_loop(before)


class Crew(asyncio.TaskGroup):
    """The tasks of a node. Unlike its base it outlives no block: a killed node ends in mid-air."""

    def __init__(self, loop: SimLoop, ended: Callable[[asyncio.Task[Any]], None]) -> None:
        super().__init__()
        self._sim_loop = loop
        self._ended = ended
        self._alive: dict[asyncio.Task[Any], None] = {}

    @override
    def create_task(self, coro: Any, **_options: Any) -> asyncio.Task[Any]:
        task = self._sim_loop.create_task(coro)
        self._alive[task] = None
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._alive.pop(task, None)
        if not self._sim_loop.dead and not task.cancelled() and task.exception() is not None:
            self._ended(task)

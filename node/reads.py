"""Reads that see everything decided before they were asked for: up to which height that is.

All who wait share one question to the engine: it asks once, and those who come while the answer is
under way are in the next question. So a thousand readers cost the leader as much as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from consensus.wishes import ReadAnswered, ReadAsked
from medquorum.quorum import EngineName
from node.errors import RefusedError

ASK_AGAIN_MS: Final = 50
"""After a refusal: a leader that was just elected, or began a height, says so within heartbeats."""
CONTEXT_BITS: Final = 32
_CONTEXTS: Final = 1 << CONTEXT_BITS

NO_LEADER: Final = "no leader has confirmed within the time that it leads; ask again"


class ReadIndex:
    """Lives on the event loop. `ask` gives the engine an event, `answered` is told its answers.

    `first_context` must differ from one start of the node to the next, so that no answer to a
    question from before a crash is taken for one to a question after it. An attempt is given up
    after `attempt_ms`: its leader may be gone, and the engine knows another one by then.
    """

    def __init__(
        self,
        engine: EngineName,
        ask: Callable[[ReadAsked], None],
        *,
        votes: Callable[[], bool],
        halted: Callable[[], bool],
        first_context: int,
        attempt_ms: int,
    ) -> None:
        self._engine = engine
        self._ask = ask
        self._votes = votes
        self._halted = halted
        self._context = first_context % _CONTEXTS
        self._attempt_s = attempt_ms / 1_000
        self._waiting: list[asyncio.Future[int]] = []
        self._asked: list[asyncio.Future[int]] = []
        self._is_open = False
        self._timer: asyncio.TimerHandle | None = None

    async def height(self, timeout_s: float) -> int:
        """A height at or above all that was decided, anywhere, when this was called.

        Raises RefusedError: `not_offered` by an engine or a node that cannot know it, `halted`, and
        `no_leader` if nobody could confirm it in time.
        """
        self._refuse()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if not self._is_open:
            self._begin()
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            raise RefusedError("no_leader", NO_LEADER, retry_after_ms=1_000) from None

    def answered(self, answer: ReadAnswered) -> None:
        """The engine's answer, which may be to a question that was given up."""
        if not self._is_open or answer.context != self._context:
            return
        if answer.height is None:
            self._again(ASK_AGAIN_MS / 1_000)
            return
        asked, self._asked = self._asked, []
        for done in asked:
            if not done.done():
                done.set_result(answer.height)
        self._again(0)

    def _refuse(self) -> None:
        if self._engine != "raft":
            raise RefusedError(
                "not_offered",
                "on this chain no single node can know what was decided last: commit a transaction"
                " and pass its height as min_height",
            )
        if not self._votes():
            raise RefusedError("not_offered", "this node does not vote; ask one that does")
        if self._halted():
            raise RefusedError("halted", "this node has stopped taking part")

    def _begin(self) -> None:
        """Ask for everybody who waits by now, with a context of its own."""
        self._timer = None
        self._asked = [done for done in (*self._asked, *self._waiting) if not done.done()]
        self._waiting = []
        self._is_open = len(self._asked) > 0
        if self._is_open:
            self._context = (self._context + 1) % _CONTEXTS
            self._set_timer(self._attempt_s)
            self._ask(ReadAsked(self._context))

    def _again(self, delay_s: float) -> None:
        """Close this question, and ask the next one after a moment."""
        if delay_s == 0:
            self._cancel_timer()
            self._begin()
        else:
            self._set_timer(delay_s)

    def _set_timer(self, delay_s: float) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""A validator that has forgotten what it voted observes until it is past its last vote.

The sign state remembers the highest vote. If the chain or the consensus log here do not reach so
far (they were wiped, or restored from a backup), the engine could vote again where it voted before,
and the guard would have to refuse it. So it takes no part up to that height, and votes from the
next one on: there it never did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consensus.engine import Effects, Engine, EngineStatus, Event, HeightStarted
from consensus.messages import LogRecord


def voting_from(last_vote_height: int | None, tip_height: int, records: Sequence[LogRecord]) -> int:
    """The first height at which a validator may vote after a start.

    `last_vote_height` is the sign state's, `records` are the consensus log's.
    """
    if last_vote_height is None or last_vote_height <= tip_height:
        return tip_height + 1
    remembered = any(record.height == last_vote_height for record in records)
    if last_vote_height == tip_height + 1 and remembered:
        return last_vote_height
    return last_vote_height + 1


class Probation:
    """An Engine: `observer` until the first voting height starts, then what `admit` makes."""

    def __init__(
        self, observer: Engine, first_height: int, admit: Callable[[HeightStarted], Engine]
    ) -> None:
        self._engine = observer
        self._first_height = first_height
        self._admit = admit
        self._admitted = False

    def start(self) -> Effects:
        """The observer's."""
        return self._engine.start()

    def step(self, event: Event) -> Effects:
        """Pass the event on; the start of the first voting height ends the probation."""
        if (
            not self._admitted
            and isinstance(event, HeightStarted)
            and event.height >= self._first_height
        ):
            self._admitted = True
            self._engine = self._admit(event)
            return self._engine.start()
        return self._engine.step(event)

    def status(self) -> EngineStatus:
        """Of the engine in charge."""
        return self._engine.status()

    def check_invariants(self) -> None:
        """Of the engine in charge."""
        self._engine.check_invariants()

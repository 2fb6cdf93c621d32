"""A validator that has forgotten what it voted observes until it is past its last vote.

The sign state remembers the highest vote. If the chain or the consensus log here do not reach so
far (they were wiped, or restored from a backup), the engine could vote again where it voted before,
and the guard would have to refuse it. So it takes no part up to that height, and votes from the
next one on: there it never did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from consensus.checkpoints import CheckpointedRecord, SaidRecord
from consensus.engine import Effects, Engine, EngineStatus, Event, HeightStarted
from consensus.messages import (
    AcceptedRecord,
    CommittedRecord,
    LogRecord,
    ProposedRecord,
    RoundChangedRecord,
)
from consensus.raft.messages import (
    ACK_PHASE,
    APPEND_PHASE,
    BALLOT_PHASE,
    AckedRecord,
    AppendedRecord,
    TermRecord,
)
from node.halts import standing

NO_PHASE: Final = -1


def voting_from(
    last_vote: tuple[int, int, int] | None, tip_height: int, records: Sequence[LogRecord]
) -> int:
    """The first height at which a validator may vote after a start.

    `last_vote` is the sign state's: height, round and phase. `records` are the consensus log's.
    """
    if last_vote is None or last_vote[0] <= tip_height:
        return tip_height + 1
    if last_vote[0] == tip_height + 1 and _remembers(records, last_vote):
        return last_vote[0]
    return last_vote[0] + 1


def _remembers(records: Sequence[LogRecord], vote: tuple[int, int, int]) -> bool:
    """Whether the log reaches as far as this vote.

    That it holds something of the height is not enough: an older copy of it does too, and one
    whose end was cut off. The record of a vote is durable before the sign state is. A checkpoint
    counts as a whole only: what was cut off it may name the vote and no longer say what binds us.
    What is left of earlier heights stays in the log for a while, and says nothing of this one.
    """
    of_height = [record for record in records if record.height == vote[0]]
    begun = any(isinstance(record, SaidRecord) for record in of_height)
    if begun and not any(isinstance(record, CheckpointedRecord) for record in of_height):
        return False
    return any(_announced(record) == vote for record in of_height)


def _announced(record: LogRecord) -> tuple[int, int, int] | None:
    """Height, round and phase of the vote that this record precedes (messages.vote_position)."""
    match record:
        case TermRecord():
            # Without a vote it announces none; but it shows a log in which every vote is recorded.
            phase = BALLOT_PHASE if len(record.ballot) > 0 else NO_PHASE
            return (record.height, record.term, phase)
        case AppendedRecord():
            return (record.height, record.term, APPEND_PHASE)
        case AckedRecord():
            return (record.height, record.term, ACK_PHASE)
        case RoundChangedRecord():
            return (record.height, record.round, 0)
        case ProposedRecord():
            return (record.height, record.round, 1)
        case AcceptedRecord():
            return (record.height, record.round, 2)
        case CommittedRecord():
            return (record.height, record.round, 3)
        case SaidRecord():
            return (record.height, record.round, record.phase)
        case _:
            return None


Recover: TypeAlias = Callable[[HeightStarted, bool, Sequence[LogRecord]], Engine]
"""Makes an engine at a height: whether it votes, and from which log."""


def engine_to_start(
    last_vote: tuple[int, int, int] | None,
    started: HeightStarted,
    records: Sequence[LogRecord],
    recover: Recover,
) -> Engine:
    """What a validator starts with, given its sign state's last vote and its log.

    A halt that nobody has released holds (docs/spec/pbft.md, section 8), whatever else is lost.
    """
    first = voting_from(last_vote, started.height - 1, records)
    if first == started.height:
        return recover(started, True, records)
    halt = standing(records).halt
    if halt is not None:
        return recover(started, True, (halt,))
    return Probation(recover(started, False, ()), first, lambda at: recover(at, True, ()))


class Probation:
    """An Engine: `observer` until the first voting height starts, then what `admit` makes."""

    def __init__(
        self, observer: Engine, first_height: int, admit: Callable[[HeightStarted], Engine]
    ) -> None:
        self._engine = observer
        self._first_height = first_height
        self._admit = admit
        self._admitted = False

    @property
    def first_height(self) -> int:
        """Where it ends."""
        return self._first_height

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

    def checkpoint(self) -> tuple[LogRecord, ...] | None:
        """Of the engine in charge."""
        return self._engine.checkpoint()

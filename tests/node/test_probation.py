"""When a validator may vote after a start, and that it does not before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from consensus.checkpoints import CheckpointedRecord, SaidRecord
from consensus.engine import Effects, EngineStatus, Event, HeightStarted, WorkAvailable
from consensus.messages import (
    AcceptedRecord,
    CommittedRecord,
    HaltedRecord,
    LogRecord,
    PreparedCertificate,
    PreparedRecord,
    ReleasedRecord,
    RoundChangedRecord,
)
from consensus.raft.messages import AckedRecord, AppendedRecord, TermRecord
from medquorum.block import ValidatorSet
from node.probation import Probation, engine_to_start, voting_from

HASH = bytes(32)


def record(height: int) -> LogRecord:
    """A record of that height."""
    return AcceptedRecord(height, 0, HASH)


@pytest.mark.parametrize(
    ("last_vote", "tip", "records", "first"),
    [
        (None, 0, [], 1),  # a new validator
        (5, 5, [], 6),  # stopped right after a commit
        (5, 9, [], 10),  # others went on, and it caught up
        (6, 5, [6], 6),  # stopped in the middle of a height that it remembers
        (6, 5, [], 7),  # the log was lost
        (6, 5, [5], 7),  # the log is of an older height
        (6, 2, [6], 7),  # the chain is an old copy
        (6, 0, [], 7),  # the chain was wiped
    ],
)
def test_a_validator_votes_only_where_it_knows_what_it_voted(
    last_vote: int | None, tip: int, records: list[int], first: int
) -> None:
    """Rule F3 of raft.md."""
    vote = None if last_vote is None else (last_vote, 0, 2)
    assert voting_from(vote, tip, [record(height) for height in records]) == first


@pytest.mark.parametrize(
    ("last_vote", "first"),
    [((6, 1, 3), 6), ((6, 1, 0), 6), ((6, 2, 0), 7), ((6, 1, 2), 7)],
)
def test_an_older_copy_of_the_log_does_not_remember_the_votes_after_it(
    last_vote: tuple[int, int, int], first: int
) -> None:
    log = [record(6), RoundChangedRecord(6, 1), CommittedRecord(6, 1, HASH, HASH)]
    assert voting_from(last_vote, 5, log) == first


def test_a_log_that_lost_its_votes_and_kept_something_else_remembers_none() -> None:
    """Rule V3: what is left of a log whose end was cut off may hold no vote at all."""
    left = PreparedRecord(6, PreparedCertificate(0, HASH, b"", ()))
    assert voting_from((6, 0, 2), 5, [left]) == 7


@pytest.mark.parametrize(
    ("last_vote", "first"),
    [
        ((6, 0, 1), 6),
        ((6, 0, 2), 6),
        ((6, 2, 0), 6),
        ((6, 1, 0), 7),
        ((6, 2, 2), 7),
        ((6, 3, 0), 7),
    ],
)
def test_a_raft_log_remembers_the_votes_that_it_announces(
    last_vote: tuple[int, int, int], first: int
) -> None:
    log: list[LogRecord] = [
        AppendedRecord(6, 0, HASH),
        AckedRecord(6, 0, HASH, HASH),
        TermRecord(6, 1, ()),
        TermRecord(6, 2, (b"\x01" + HASH,)),
    ]
    assert voting_from(last_vote, 5, log) == first


def test_a_raft_log_that_knows_of_a_term_only_remembers_no_vote() -> None:
    assert voting_from((6, 1, 0), 5, [TermRecord(6, 1, ())]) == 7


class Named:
    """An engine that only says its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self) -> Effects:
        """Its name, where the driver counts reasons."""
        return Effects(dropped=(f"{self.name} started",))

    def step(self, _event: Event) -> Effects:
        """Its name again."""
        return Effects(dropped=(self.name,))

    def status(self) -> EngineStatus:
        """Never asked here."""
        raise NotImplementedError

    def check_invariants(self) -> None:
        """None."""

    def checkpoint(self) -> tuple[LogRecord, ...] | None:
        """None that says more than its name."""
        return ()


def started(height: int) -> HeightStarted:
    """The event that a height starts."""
    return HeightStarted(height, ValidatorSet(()), HASH, HASH, 0, 0)


def test_the_voter_takes_over_at_the_first_voting_height_and_stays() -> None:
    engine = Probation(Named("observer"), 7, lambda _: Named("voter"))
    events = (started(5), WorkAvailable(), started(7), WorkAvailable(), started(8))
    answers = [engine.start(), *(engine.step(event) for event in events)]
    names = [effects.dropped[0] for effects in answers]
    assert names == ["observer started", "observer", "observer", "voter started", "voter", "voter"]


def test_a_catch_up_that_jumps_over_the_first_voting_height_ends_the_probation() -> None:
    engine = Probation(Named("observer"), 7, lambda _: Named("voter"))
    assert engine.step(started(20)).dropped == ("voter started",)


def test_a_checkpoint_remembers_every_vote_that_it_names() -> None:
    log: list[LogRecord] = [
        SaidRecord(6, 1, 2, (HASH,)),
        SaidRecord(6, 2, 0, ()),
        CheckpointedRecord(6),
    ]
    assert [voting_from((6, *vote), 5, log) for vote in ((1, 2), (2, 0), (2, 1))] == [6, 6, 7]


@pytest.mark.parametrize("left", [1, 2, 3])
def test_what_a_changed_bit_left_of_a_checkpoint_remembers_nothing(left: int) -> None:
    whole: list[LogRecord] = [
        SaidRecord(6, 1, 2, (HASH,)),
        SaidRecord(6, 2, 0, ()),
        RoundChangedRecord(6, 2),
    ]
    assert voting_from((6, 2, 0), 5, whole[:left]) == 7


def test_what_is_left_of_an_earlier_checkpoint_says_nothing_of_this_height() -> None:
    left: list[LogRecord] = [SaidRecord(5, 1, 2, (HASH,)), RoundChangedRecord(6, 1)]
    assert voting_from((6, 1, 0), 5, left) == 6


def test_a_checkpoint_of_an_earlier_height_does_not_make_this_one_whole() -> None:
    log: list[LogRecord] = [CheckpointedRecord(5), SaidRecord(6, 1, 0, ())]
    assert voting_from((6, 1, 0), 5, log) == 7


def test_a_halt_that_nobody_released_holds_although_the_chain_was_put_back() -> None:
    """It would observe up to height 6 otherwise, and vote again."""
    made: list[tuple[int, bool, Sequence[LogRecord]]] = []

    def recover(at: HeightStarted, votes: bool, records: Sequence[LogRecord]) -> Named:
        made.append((at.height, votes, records))
        return Named("")

    halt = HaltedRecord(6, "twin", "")
    log: list[LogRecord] = [AcceptedRecord(6, 0, HASH), halt]
    assert not isinstance(engine_to_start((6, 0, 2), started(4), log, recover), Probation)
    assert made == [(4, True, (halt,))]
    made.clear()
    log.append(ReleasedRecord(6))
    engine = engine_to_start((6, 0, 2), started(4), log, recover)
    assert isinstance(engine, Probation)
    assert engine.first_height == 7
    assert made == [(4, False, ())]

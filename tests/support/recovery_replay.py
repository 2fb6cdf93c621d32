"""Brings a validator along its tape, and keeps each state in which a crash can leave its disk.

From there, whatever is done to the disk, it may be started again (recovery_restarts.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from consensus.engine import Event, HeightStarted
from consensus.messages import ReleasedRecord, SignedMessage, encode_record
from node.driver import Round
from storage.signstate import SignState
from tests.support.engine_world import CHAIN_ID
from tests.support.fake_disk import FakeDisk
from tests.support.recovery_tapes import Released, Tape
from tests.support.recovery_validator import PLACE, Answer, Moment, Validator, own_votes


@dataclass(slots=True)
class Past:
    """All the states of the disk that a tape leads to."""

    tape: Tape
    moments: list[Moment] = field(default_factory=list)
    votes: list[SignedMessage] = field(default_factory=list)
    """What left, in order. Of a moment, the first `said` of them."""

    def before(self, moment: Moment) -> list[SignedMessage]:
        """What had left by then."""
        return self.votes[: moment.said]


def batches(tape: Tape, size: int) -> Iterator[tuple[int, list[Event] | Released]]:
    """The steps in rounds of at most so many, each with the index behind it.

    An answer to the validator's own request begins a round, for it was asked for in one before.
    """
    waiting: list[Event] = []
    for index, step in enumerate(tape.steps):
        begins = isinstance(step, Answer | Released)
        if len(waiting) > 0 and (begins or len(waiting) == size):
            yield index, waiting
            waiting = []
        if isinstance(step, Released):
            yield index + 1, step
        else:
            waiting.append(step)
    if len(waiting) > 0:
        yield len(tape.steps), waiting


class Player:
    """Brings a validator along its tape, and keeps each state in which it may crash."""

    def __init__(self, tape: Tape, *, batch: int, compact_every: int, forgets: bool) -> None:
        """`compact_every`: rounds between two checkpoints, 0 for none. `forgets`: the log is
        emptied at each commit; else it keeps earlier heights.
        """
        disk = FakeDisk()
        SignState.create(PLACE, CHAIN_ID, tape.victim.key, files=disk)
        sign = disk.read(PLACE)
        assert sign is not None
        self.past = Past(tape)
        self._batch, self._compact_every, self._forgets = batch, compact_every, forgets
        self._known = 0
        self._validator = Validator(tape, Moment(0, (), sign, tape.chain[0], 0, 0))

    def play(self) -> Past:
        """The whole tape."""
        index, count = 0, 0
        self._round(0, 0, self._validator.driver.start())
        for end, events in batches(self.past.tape, self._batch):
            if isinstance(events, Released):
                self._release(end, events)
            else:
                if isinstance(events[0], HeightStarted):
                    self._reach(index, events[0])
                self._round(index, end, self._validator.driver.step(events))
            index, count = end, count + 1
            if self._compact_every > 0 and count % self._compact_every == 0:
                self._compact(index)
        return self.past

    def _release(self, index: int, step: Released) -> None:
        log = (*self._validator.log.records, encode_record(ReleasedRecord(step.height)))
        moment = replace(self._moment(index), log=log)
        self._validator = Validator(self.past.tape, moment)
        self._round(index, index, self._validator.driver.start())

    def _round(self, begin: int, end: int, round_: Round) -> None:
        """One round, with what a crash leaves at each of its boundaries."""
        self._keep(self._moment(begin))
        before = self._validator.log.records
        for count in range(1, len(round_.records) + 1):
            records = tuple(round_.records[:count])
            self._keep(replace(self._moment(begin), log=before + records, torn=True))
        self._validator.driver.make_durable(round_)
        if len(round_.votes) > 0:
            self._known = len(self._validator.log.records)
        self._keep(replace(self._moment(begin), torn=True))
        self._validator.finish(round_)
        self._keep(self._moment(end))
        started = self._validator.commit()
        if started is not None:
            self._reach(end, started)

    def _reach(self, index: int, started: HeightStarted) -> None:
        """The chain is durable up to the height below this one."""
        self._validator.started = started
        if self._forgets and len(self._validator.ports.halts) == 0:
            self._validator.log.replace(())
            self._known = 0
        self._keep(self._moment(index))

    def _compact(self, index: int) -> None:
        before = self._validator.log.records
        self._validator.compact()
        if self._validator.log.records != before:
            self._known = len(self._validator.log.records)
            self._keep(self._moment(index))

    def _moment(self, index: int) -> Moment:
        validator = self._validator
        votes = own_votes(self.past.tape, validator.ports.sent)
        self.past.votes.extend(votes)
        validator.ports.sent.clear()
        return Moment(
            index,
            validator.log.records,
            validator.sign,
            validator.started,
            len(self.past.votes),
            self._known,
        )

    def _keep(self, moment: Moment) -> None:
        self.past.moments.append(moment)

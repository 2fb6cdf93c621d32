"""Starts a validator again from a moment of its past, and lets history go on in other orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Final, TypeAlias

from consensus.engine import (
    BlockBuilt,
    Event,
    Executed,
    HeightStarted,
    Received,
    TimerFired,
    Validated,
)
from consensus.messages import (
    Commit,
    DecidedMessage,
    Message,
    Proposal,
    ReleasedRecord,
    RoundChange,
    RoundProof,
    SignedMessage,
    encode_record,
)
from consensus.raft.messages import Decision
from node.driver import Round
from tests.support.engine_checks import Violation
from tests.support.recovery_replay import Past
from tests.support.recovery_tapes import Released, Step
from tests.support.recovery_validator import (
    Answer,
    Moment,
    Validator,
    answer,
    own_votes,
    position,
    results_of,
)

DIFFERS: Final = ("divergence", "nondeterminism")
"""Why a validator halts that computes something else than the others."""


FIRES: Final = 4
"""So many times all timers fire, until a lease is over, and votes were asked for and again."""


class Cue(Enum):
    """What a continuation asks of the world, beside the steps of the tape."""

    FIRE = auto()
    """Every timer that is armed fires."""

    LATE = auto()
    """From now on requests are answered when the next timer fires."""

    TEAR = auto()
    """The next round with a vote gets its records onto the disk, and no further."""


Turn: TypeAlias = Step | Cue
Continuation: TypeAlias = Callable[[Past, Moment], Sequence[Turn]]


class Restarted:
    """A validator that was started again, and the promises that it keeps."""

    def __init__(self, past: Past, moment: Moment) -> None:
        """Starts it. Raises Violation, and whatever the code under test does."""
        self._past = past
        self._results = results_of(past.tape)
        before = past.before(moment)
        self._said = dict(position(vote) for vote in before)
        self._signed = {vote.signature for vote in before}
        self._ever = {vote.signature for vote in past.votes}
        self._late = self._tears = False
        self._place = moment
        self.voted: set[int] = set()
        """Heights at which it said something since."""

        self.validator = Validator(past.tape, moment)
        self.observes = self.validator.observes
        self.last = self.validator.guard.last
        self._begin()

    def _begin(self) -> None:
        self._finish(self.validator.driver.start())
        self._settle()

    def restart(self, *, release: int = 0) -> None:
        """Crash, and come back; with an operator's release of that height, if one is named."""
        old = self.validator
        log = old.log.records
        if release > 0:
            log = (*log, encode_record(ReleasedRecord(release)))
        moment = replace(self._place, log=log, sign=old.sign, started=old.started)
        self.validator = Validator(self._past.tape, moment)
        if self.validator.observes and not (old.on_probation or old.is_halted):
            raise Violation("a voter that lost nothing observes")
        self._begin()

    def play(self, turns: Sequence[Turn]) -> None:
        """Take these in, one after the other."""
        for turn in turns:
            match turn:
                case Cue.FIRE:
                    self._fire()
                case Cue.LATE:
                    self._late = True
                case Cue.TEAR:
                    self._tears = True
                case Released():
                    if self.validator.is_halted or len(self.validator.ports.halts) > 0:
                        self.restart(release=turn.height)
                case HeightStarted():
                    if turn.height > self.validator.started.height:
                        self.validator.started = turn
                        self._step(turn)
                case BlockBuilt() | Validated() | Executed():
                    continue
                case Received() if self._is_of_another_future(turn.message):
                    continue
                case _:
                    self._step(turn)

    def _is_of_another_future(self, message: Message) -> bool:
        """Whether it shows a vote of ours that, this time, we have not cast."""
        return any(known in self._ever - self._signed for known in shown_signatures(message))

    def _fire(self) -> None:
        late, self._late = self._late, False
        self._settle()
        timers = list(self.validator.ports.timers.values())
        for timer in timers:
            if self.validator.ports.timers.get(timer.kind) == timer:
                del self.validator.ports.timers[timer.kind]
                self._step(TimerFired(timer))
        self._late = late

    def _step(self, event: Event) -> None:
        round_ = self.validator.driver.step([event])
        if self._tears and len(round_.votes) > 0 and len(round_.records) > 0:
            self._tears = False
            self.validator.log.append(round_.records)
            self.restart()
            return
        self._finish(round_)
        self._settle()

    def _finish(self, round_: Round) -> None:
        self.validator.play(round_)
        self._check()

    def _settle(self) -> None:
        """Answer what was asked for, and make decisions durable."""
        while True:
            validator = self.validator
            started = validator.commit()
            if started is not None:
                self._compare(started)
                self._finish(validator.driver.step([started]))
            elif len(validator.ports.requests) > 0 and not self._late:
                request = validator.ports.requests.pop(0)
                event = answer(self._past.tape, self._results, request)
                self._finish(validator.driver.step([event]))
            else:
                return

    def _compare(self, started: HeightStarted) -> None:
        """Others decided as the tape has it. Who is alone may build another block."""
        tape = self._past.tape
        if tape.others and started.parent_hash != tape.chain[started.height - 1].parent_hash:
            raise Violation(f"another decision at height {started.height - 1}")

    def _check(self) -> None:
        ports = self.validator.ports
        for vote in own_votes(self._past.tape, ports.sent):
            if self.validator.is_halted:
                raise Violation("a halted validator votes")
            place, digest = position(vote)
            if self._said.setdefault(place, digest) != digest:
                raise Violation(f"two votes at {place}")
            self._signed.add(vote.signature)
            self.voted.add(vote.height)
        ports.sent.clear()
        for decided in ports.decided:
            ours = self.validator.place_in(decided.certificate)
            if ours is not None and ours > (self.validator.guard.last or (0, 0, 0)):
                raise Violation(f"a certificate with a vote at {ours} that the guard has not seen")
        for halt in ports.halts:
            if not (self._past.tape.may_halt and halt.reason in DIFFERS):
                raise Violation(f"it halted: {halt.reason}: {halt.detail}")


def shown_signatures(message: Message) -> Iterator[bytes]:
    """Signatures of others' votes inside a message."""
    match message:
        case Proposal() | RoundProof():
            for entry in message.justification.entries:
                yield entry.signature
            for certificate in message.justification.certificate:
                yield from certificate.signatures
        case RoundChange():
            for certificate in message.certificate:
                yield from certificate.signatures
        case DecidedMessage() | Decision():
            yield from message.certificate.signatures
        case _:
            return


def _rest(past: Past, moment: Moment) -> list[Turn]:
    """What the tape has after this, up to the end of the height behind the next."""
    found: list[Turn] = []
    for step in past.tape.steps[moment.index :]:
        if isinstance(step, HeightStarted) and step.height > moment.started.height + 2:
            break
        if not isinstance(step, Answer) or isinstance(step, HeightStarted):
            found.append(step)
    return found


def _heard(past: Past, moment: Moment) -> list[Turn]:
    """What was heard of this height before."""
    return [
        step
        for step in past.tape.steps[: moment.index]
        if isinstance(step, Received) and step.message.height == moment.started.height
    ]


def _split(past: Past, moment: Moment) -> tuple[list[Turn], list[Turn]]:
    """The rest of this height, and what is after it."""
    rest = _rest(past, moment)
    for place, step in enumerate(rest):
        if isinstance(step, HeightStarted) and step.height > moment.started.height:
            return rest[:place], rest[place:]
    return rest, []


def on(past: Past, moment: Moment) -> Sequence[Turn]:
    """As it was."""
    return _rest(past, moment)


def resent(past: Past, moment: Moment) -> Sequence[Turn]:
    """Everybody says everything again first."""
    return [*_heard(past, moment), *_rest(past, moment)]


def torn(past: Past, moment: Moment) -> Sequence[Turn]:
    """The same, with a crash after the first records of a vote."""
    return [Cue.TEAR, *resent(past, moment)]


def newest_first(past: Past, moment: Moment) -> Sequence[Turn]:
    """What is said later comes first."""
    soon, later = _split(past, moment)
    received = [step for step in (*_heard(past, moment), *soon) if isinstance(step, Received)]
    return [*reversed(received), Cue.FIRE, *received, *later]


def timers_first(past: Past, moment: Moment) -> Sequence[Turn]:
    """Timers fire before anything is heard, and again and again; all requests take long."""
    turns: list[Turn] = [Cue.FIRE, Cue.FIRE, Cue.LATE]
    for count, step in enumerate((*_heard(past, moment), *_rest(past, moment))):
        turns.append(step)
        if count % 4 == 3:
            turns.append(Cue.FIRE)
    return turns


def shown(past: Past, moment: Moment) -> Sequence[Turn]:
    """It is shown its own votes. With Raft, nobody but a twin would."""
    others = past.tape.others if past.tape.engine == "pbft" else ()
    peer = next(iter(others), past.tape.victim.key)
    own: list[Turn] = [Received(peer, vote) for vote in _own(past, moment)]
    soon, later = _split(past, moment)
    return [*own, *soon, *own, Cue.FIRE, *later]


def _own(past: Past, moment: Moment) -> Iterator[SignedMessage]:
    """Its votes of the height."""
    for vote in past.before(moment):
        if vote.height == moment.started.height:
            yield vote


def one_by_one(past: Past, moment: Moment) -> Sequence[Turn]:
    """One peer after the other is heard, all that it says of this height, and timers between."""
    soon, later = _split(past, moment)
    turns: list[Turn] = []
    for peer in reversed(past.tape.others):
        received = [step for step in (*_heard(past, moment), *soon) if isinstance(step, Received)]
        turns += [*(step for step in received if step.peer == peer), Cue.FIRE]
    return [*turns, *later]


def undecided(past: Past, moment: Moment) -> Sequence[Turn]:
    """All that is said of this height but what decides it; then everybody falls silent."""
    soon, later = _split(past, moment)
    turns = [
        step
        for step in (*_heard(past, moment), *soon)
        if not isinstance(step, Received)
        or not isinstance(step.message, Commit | DecidedMessage | Decision)
    ]
    return [*turns, *[Cue.FIRE] * FIRES, *later]


CONTINUATIONS: Final[tuple[Continuation, ...]] = (
    on,
    resent,
    torn,
    newest_first,
    timers_first,
    shown,
    one_by_one,
    undecided,
)


def live_on(past: Past, moment: Moment, continuation: Continuation) -> Restarted:
    """Start from a moment, go on, crash once more, and come back to one's own votes."""
    restarted = Restarted(past, moment)
    restarted.play([*continuation(past, moment), *[Cue.FIRE] * FIRES])
    restarted.restart()
    restarted.play([*shown(past, moment), Cue.FIRE])
    return restarted

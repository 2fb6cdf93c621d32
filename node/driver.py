"""The driver: obeys an engine's effects in their order.

Synchronous, so that production and simulator run the same lines:

    step(events)         pure work: the engine steps, the effects are collected
    begin(round)         starts the work that says nothing: blocks are built, checked and executed
                         while the disk is waited for
    make_durable(round)  blocks: one append and fsync for all records, then the sign-state guard;
                         runs on the writer thread
    obey(round)          everything else, through the ports
    checkpoint()         between two rounds, if the log has grown large: what may replace it
    compact(records)     blocks: replaces it, on the writer thread

Nothing of a round of events leaves the node before make_durable has returned (docs/spec/pbft.md,
persistence rules). What `begin` has started answers with events, and the engine steps through those
in a later round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from consensus.engine import (
    Build,
    CatchUp,
    Decided,
    Effects,
    Engine,
    Event,
    Evidence,
    Execute,
    Halt,
    PeerFault,
    Request,
    SetTimer,
    Validate,
)
from consensus.messages import Message, encode_record, vote_position
from consensus.wishes import ReadAnswered
from medquorum.invariants import InvariantBroken
from storage.signstate import SignedVote


class Log(Protocol):
    """The consensus log, as the driver needs it."""

    def append(self, records: Sequence[bytes]) -> None:
        """Returns when the records are durable."""
        ...

    @property
    def size_bytes(self) -> int:
        """How much is in it."""
        ...

    def replace(self, records: Sequence[bytes]) -> None:
        """Make these the only records, durably and in one step."""
        ...


class Guard(Protocol):
    """The sign-state guard, as the driver needs it."""

    def save_all(self, votes: Sequence[SignedVote]) -> None:
        """Returns when the positions are durable; raises DoubleSignRefusedError if one contradicts
        an earlier vote.
        """
        ...


class Ports(Protocol):
    """What the world does for an engine.

    Every call returns at once; answers come back as events.
    """

    def send(self, to: bytes | None, message: Message) -> None:
        """Send to one validator, or to all others."""
        ...

    def set_timer(self, timer: SetTimer) -> None:
        """Replace the timer of the same name."""
        ...

    def build(self, request: Build) -> None:
        """Make a block; answer BlockBuilt."""
        ...

    def validate(self, request: Validate) -> None:
        """Fetch and check a block; answer Validated."""
        ...

    def execute(self, request: Execute) -> None:
        """Execute a block; answer Executed."""
        ...

    def catch_up(self, request: CatchUp) -> None:
        """Fetch certified blocks; report with HeightStarted."""
        ...

    def commit(self, decided: Decided) -> None:
        """Make a decision durable; answer HeightStarted."""
        ...

    def evidence(self, evidence: Evidence) -> None:
        """Keep and show proof of misbehaviour."""
        ...

    def fault(self, fault: PeerFault) -> None:
        """Count it and drop the peer."""
        ...

    def dropped(self, reason: str) -> None:
        """Count ignored input."""
        ...

    def halt(self, halt: Halt) -> None:
        """Stop voting and say why."""
        ...

    def diverges(self, validator: bytes) -> None:
        """Tell people that this validator computed another result than the certified one."""
        ...

    def read(self, answer: ReadAnswered) -> None:
        """Tell whoever asked up to which height a read must see everything."""
        ...


@dataclass(slots=True)
class Round:
    """The effects of a handful of events, between step and obey."""

    effects: list[Effects] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    votes: list[SignedVote] = field(default_factory=list)
    begun: bool = False
    """Whether its work is under way already."""

    @property
    def needs_disk(self) -> bool:
        """Whether make_durable has anything to do."""
        return len(self.records) > 0 or len(self.votes) > 0


class Driver:
    """Drives one engine. `guard` is None for an observer, which signs nothing."""

    def __init__(
        self,
        engine: Engine,
        log: Log,
        guard: Guard | None,
        ports: Ports,
        *,
        log_bytes_max: int,
    ) -> None:
        self._engine = engine
        self._log = log
        self._guard = guard
        self._ports = ports
        self._guarded: set[SignedVote] = set()
        self._log_bytes_max = log_bytes_max
        self._compact_above = log_bytes_max

    @property
    def engine(self) -> Engine:
        """For status and for reading only."""
        return self._engine

    def start(self) -> Round:
        """The effects of recovery."""
        return self._collect([self._engine.start()])

    def step(self, events: Iterable[Event]) -> Round:
        """Step the engine through `events`. After a halt the remaining events are not looked at."""
        effects: list[Effects] = []
        for event in events:
            effects.append(self._engine.step(event))
            if effects[-1].halt is not None:
                break
        return self._collect(effects)

    def begin(self, round_: Round) -> None:
        """Start the work of a round, before `make_durable`; without this call, `obey` does."""
        round_.begun = True
        for effects in round_.effects:
            for request in effects.requests:
                self._start(request)

    def make_durable(self, round_: Round) -> None:
        """Append the log records and save the vote positions.

        Blocks on the disk; a failure must stop the node.
        """
        if round_.records:
            self._log.append(round_.records)
        if round_.votes:
            if self._guard is None:
                raise InvariantBroken("an observer's engine asked to send a vote")
            self._guard.save_all(round_.votes)

    def obey(self, round_: Round) -> None:
        """Carry out the rest of the effects, each step's in the order of the fields of Effects."""
        for effects in round_.effects:
            self._obey_one(effects, begun=round_.begun)

    def checkpoint(self) -> list[bytes] | None:
        """What may replace the log now, if a height that stays undecided has made it large.

        Between rounds only: everything so far is durable and obeyed. No step before `compact`.
        """
        if self._log.size_bytes <= self._compact_above:
            return None
        records = self._engine.checkpoint()
        return None if records is None else [encode_record(record) for record in records]

    def compact(self, records: Sequence[bytes]) -> None:
        """Replace the log by a checkpoint. Blocks on the disk; a failure must stop the node."""
        self._log.replace(records)
        # What has to be kept may itself be large: never do this for little gain.
        self._compact_above = max(self._log_bytes_max, 2 * self._log.size_bytes)

    def _collect(self, effects: list[Effects]) -> Round:
        round_ = Round(effects=effects)
        for step in effects:
            round_.records.extend(encode_record(record) for record in step.persist)
            for send in step.send:
                if not send.passed_on:
                    self._note_vote(send.message, round_.votes)
        return round_

    def _note_vote(self, message: Message, votes: list[SignedVote]) -> None:
        """Every own vote passes the guard once; a re-sent one, with the same bytes, need not pass
        it again.
        """
        position = vote_position(message)
        if position is None:
            return
        vote = SignedVote(*position)
        if vote not in self._guarded:
            self._guarded = {v for v in self._guarded if v.height >= vote.height - 1}
            self._guarded.add(vote)
            votes.append(vote)

    def _start(self, request: Request) -> None:
        """Hand a request for work to whoever answers it."""
        match request:
            case Build():
                self._ports.build(request)
            case Validate():
                self._ports.validate(request)
            case Execute():
                self._ports.execute(request)
            case CatchUp():
                pass
            case _:
                assert_never(request)

    def _obey_one(self, effects: Effects, *, begun: bool) -> None:
        for send in effects.send:
            self._ports.send(send.to, send.message)
        for timer in effects.timers:
            self._ports.set_timer(timer)
        for request in effects.requests:
            if isinstance(request, CatchUp):
                self._ports.catch_up(request)
            elif not begun:
                self._start(request)
        if effects.decided is not None:
            self._ports.commit(effects.decided)
        for evidence in effects.evidence:
            self._ports.evidence(evidence)
        for fault in effects.faults:
            self._ports.fault(fault)
        for reason in effects.dropped:
            self._ports.dropped(reason)
        if effects.halt is not None:
            self._ports.halt(effects.halt)
        for answer in effects.reads:
            self._ports.read(answer)
        for validator in effects.diverging:
            self._ports.diverges(validator)

"""An engine as a table: local states and messages are numbers, and each step is made only once.

A search meets the same validator in the same state in a great many surroundings. So local states
are compared by their fingerprints and numbered; what an event does to one of them is worked out by
the production engine the first time, and looked up ever after. Messages are numbered, too, and a
set of them is an integer with a bit for each.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, assert_never

from consensus.engine import (
    BlockBuilt,
    Build,
    CatchUp,
    Effects,
    Event,
    Execute,
    Executed,
    HeightStarted,
    Received,
    RecoverableEngine,
    SetTimer,
    TimerFired,
    TimerKind,
    Timing,
    Validate,
    Validated,
    WorkAvailable,
)
from consensus.engines import engine_of
from consensus.messages import LogRecord, Message
from consensus.pbft.core import Core as PbftCore
from consensus.pbft.engine import PbftEngine
from consensus.pbft.state import HeightState as PbftHeight
from consensus.pbft.turns import Turns
from consensus.raft.core import Core as RaftCore
from consensus.raft.engine import RaftEngine
from devnet.model.forking import fingerprint, fork
from devnet.model.promises import Ledger, Violation, check_decided, check_effects
from devnet.model.world import (
    CHAIN_ID,
    PretendedSigner,
    first_height,
    make_header,
    make_result,
    validator_set,
    verify,
)
from medquorum.invariants import InvariantBroken
from medquorum.quorum import EngineName

WORK: Final = -1
EXECUTED: Final = -2
CRASH: Final = -3
TIMERS: Final = {kind: -10 - kind for kind in TimerKind}
"""Events by number; those from 0 on are arrivals of the parcel of that number."""

KINDS: Final = {number: kind for kind, number in TIMERS.items()}
ROUNDS_AFTER: Final = 16
"""How often all take their turns after the rounds whose proposers are appointed."""

TIMING: Final = Timing(round_ms=100, round_ms_max=1_600, resend_ms=50)


class Parcel(NamedTuple):
    """A message on the wire; `to` is None if it goes to everybody."""

    sender: int
    to: int | None
    message: Message


@dataclass(slots=True)
class Local:
    """One validator: its engine, what its host waits for, what it has said."""

    number: int
    engine: RecoverableEngine
    copy: int = 0
    """Tells processes with one key apart."""

    log: tuple[LogRecord, ...] = ()
    timers: dict[TimerKind, SetTimer] = field(default_factory=dict)
    running: tuple[Execute, ...] = ()
    """The execution that has not ended; at most one."""

    ledger: Ledger = field(default_factory=Ledger)
    decided: tuple[bytes, bytes] = (b"", b"")
    """The block and the result that it handed out as decided; empty before."""

    crashes: int = 0


class Move(NamedTuple):
    """What a step leads to."""

    local: int
    sent: int
    """A set of parcels."""

    armed: tuple[SetTimer, ...]
    """The timers that were set, in order."""


@dataclass(slots=True)
class Setting:
    """What all validators of a search have in common."""

    engine: EngineName
    keys: tuple[bytes, ...]
    byzantine: frozenset[int] = frozenset()
    """By number: their promises are not checked."""

    slow_execution: bool = False
    """Executions end when EXECUTED says so, not at once."""

    endless_replies: bool = False
    """Peers are answered as often as they ask (rule H4 is a matter of time)."""

    with_log: bool = False
    """What is in the log tells local states apart: needed if they may crash."""


class Automaton:
    """The local states that were met, the messages that were said, and the steps between."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.locals: list[Local] = []
        self.parcels: list[Parcel] = []
        self.steps = 0
        """Steps that engines really made."""

        self.honest = frozenset(
            key for place, key in enumerate(setting.keys) if place not in setting.byzantine
        )
        self.validators = validator_set(setting.keys)
        self.started = first_height(self.validators)
        self._place = {key: place for place, key in enumerate(setting.keys)}
        self._known: dict[Hashable, int] = {}
        self._numbers: dict[Parcel, int] = {}
        self._moves: dict[tuple[int, int], Move] = {}

    def boot(self, number: int, copy: int = 0, leaders: tuple[int, ...] = ()) -> Move:
        """A validator that ends the height before, and has something to propose at this one."""
        below = replace(self.started, height=self.started.height - 1)
        local = Local(number, self._recover(number, (), below), copy)
        local.engine.start()
        effects = local.engine.step(self.started)
        self._lead(local, leaders)
        return self._finish(local, effects, WorkAvailable())

    def appoint(self, local: int, leaders: tuple[int, ...]) -> int:
        """The same state, with these proposers in the first rounds (PBFT)."""
        appointed = fork(self.locals[local])
        self._lead(appointed, leaders)
        return self.number_of_local(appointed)

    def _lead(self, local: Local, leaders: tuple[int, ...]) -> None:
        state, keys = core_of(local).state, self.setting.keys
        if len(leaders) > 0 and isinstance(state, PbftHeight):
            order = tuple(keys[leader] for leader in leaders)
            state.turns = Turns(order + ROUNDS_AFTER * keys, ())

    def number_of(self, parcel: Parcel) -> int:
        """The number of a parcel, a new one if it is new."""
        known = self._numbers.get(parcel)
        if known is None:
            known = self._numbers[parcel] = len(self.parcels)
            self.parcels.append(parcel)
        return known

    def move(self, local: int, event: int) -> Move:
        """What an event does to a local state."""
        place = (local, event)
        known = self._moves.get(place)
        if known is None:
            known = self._moves[place] = self._step(local, event)
        return known

    def parcels_in(self, bits: int) -> Iterator[Parcel]:
        """The parcels of a set."""
        return (self.parcels[number] for number in bits_of(bits))

    def _step(self, before: int, event: int) -> Move:
        self.steps += 1
        local = fork(self.locals[before])
        try:
            if event == CRASH:
                local.engine = self._recover(local.number, local.log, self.started)
                local.timers, local.running = {}, ()
                local.crashes += 1
                return self._finish(local, local.engine.start(), WorkAvailable())
            return self._finish(local, local.engine.step(self._event(local, event)))
        except InvariantBroken as broken:
            raise Violation(f"an invariant is broken: {broken}") from broken

    def _event(self, local: Local, event: int) -> Event:
        if event >= 0:
            sender, _, message = self.parcels[event]
            return Received(self.setting.keys[sender], message)
        if event == WORK:
            return WorkAvailable()
        if event == EXECUTED:
            [execute] = local.running
            local.running = ()
            block_hash = execute.header.hash()
            return Executed(block_hash, make_result(block_hash, self.validators.hash()))
        return TimerFired(local.timers.pop(KINDS[event]).timer)

    def _recover(
        self, number: int, log: tuple[LogRecord, ...], started: HeightStarted
    ) -> RecoverableEngine:
        return engine_of(self.setting.engine).recover(
            chain_id=CHAIN_ID,
            signer=PretendedSigner(self.setting.keys[number]),
            verify=verify,
            timing=TIMING,
            started=started,
            records=log,
        )

    def _finish(self, local: Local, effects: Effects, *events: Event) -> Move:
        """Obey effects, answer requests at once, and give the state that is reached its number."""
        sent, armed = 0, list[SetTimer]()
        waiting = list(events)
        while True:
            local.engine.check_invariants()
            sent |= self._obey(local, effects)
            armed.extend(effects.timers)
            answers = [self._answer(local, request) for request in effects.requests]
            waiting.extend(answer for answer in answers if answer is not None)
            if len(waiting) == 0:
                break
            effects = local.engine.step(waiting.pop(0))
        if self.setting.endless_replies:
            core_of(local).replies.refill()
        return Move(self.number_of_local(local), sent, tuple(armed))

    def _obey(self, local: Local, effects: Effects) -> int:
        honest = local.number not in self.setting.byzantine
        check_effects(effects, self.honest, by_honest=honest)
        sent = 0
        if self.setting.with_log:
            local.log += effects.persist
        if honest:
            for record in effects.persist:
                local.ledger.write(record)
        for send in effects.send:
            if honest:
                local.ledger.say(send, self.validators)
            to = None if send.to is None else self._place[send.to]
            sent |= 1 << self.number_of(Parcel(local.number, to, send.message))
        for wanted in effects.timers:
            local.timers[wanted.timer.kind] = wanted
        if effects.decided is not None:
            if honest:
                check_decided(self.setting.engine, effects.decided, self.setting.keys)
            decided = effects.decided
            local.decided = (decided.header.hash(), decided.result.hash())
        return sent

    def _answer(self, local: Local, request: Build | Validate | Execute | CatchUp) -> Event | None:
        match request:
            case Build():
                body = b"made by %d'%d in %d" % (local.number, local.copy, request.round)
                return BlockBuilt(request.height, request.round, make_header(request, body), body)
            case Validate():
                return Validated(request.header.hash(), "")
            case Execute() if self.setting.slow_execution:
                local.running = (request,)
                return None
            case Execute():
                block_hash = request.header.hash()
                return Executed(block_hash, make_result(block_hash, self.validators.hash()))
            case CatchUp():
                return None
            case _:
                assert_never(request)

    def number_of_local(self, local: Local) -> int:
        """The number of a local state, a new one if it is new. It must not change any more."""
        identity = (
            (local.number, local.copy),
            fingerprint(local.engine),
            local.log,
            frozenset(known.timer for known in local.timers.values()),
            frozenset(known.header.hash() for known in local.running),
            fingerprint(local.ledger),
            local.decided,
            local.crashes,
        )
        known = self._known.get(identity)
        if known is None:
            known = self._known[identity] = len(self.locals)
            self.locals.append(local)
        return known


def core_of(local: Local) -> PbftCore | RaftCore:
    """The memory of an engine."""
    engine = local.engine
    if not isinstance(engine, PbftEngine | RaftEngine):
        raise TypeError(type(engine).__name__)
    return engine._core


def bits_of(bits: int) -> Iterator[int]:
    """The numbers in a set, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low

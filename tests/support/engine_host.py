"""Drives one engine as a daemon would: log, timers, blocks, crashes at every effect boundary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias, assert_never

from consensus.engine import (
    BlockBuilt,
    Build,
    CatchUp,
    Decided,
    Effects,
    Engine,
    Event,
    Execute,
    Executed,
    Halt,
    HeightStarted,
    Request,
    Send,
    Timer,
    TimerFired,
    Timing,
    Validate,
    Validated,
    WorkAvailable,
)
from consensus.engines import engine_of
from consensus.messages import HaltedRecord, LogRecord, ReleasedRecord
from consensus.raft.engine import RaftEngine
from consensus.signing import Verify, VoteSigner
from consensus.wishes import ReadAsked, TransferAsked
from medquorum.block import ValidatorSet
from medquorum.quorum import EngineName
from tests.support.engine_world import (
    CHAIN_ID,
    after,
    make_header,
    make_result,
    validate,
)

Later: TypeAlias = Callable[[float, Callable[[], None]], None]
"""Calls a function after so many milliseconds of virtual time."""


@dataclass(slots=True)
class Faults:
    """What may happen to a host. Zero everywhere is a healthy one."""

    crash: float = 0.0
    """Probability at each boundary between two effects."""

    crash_at: int = 0
    """The one boundary, counted from 1, at which it crashes for certain; 0 for none."""

    execution_ms: tuple[float, float] = (0.0, 5.0)
    random_results: float = 0.0
    """Probability that an execution gives a result of its own."""


@dataclass(slots=True)
class Hooks:
    """Where a host's effects go."""

    later: Later
    now: Callable[[], float]
    sent: Callable[[Host, Send], None]
    persisted: Callable[[Host, LogRecord], None]
    decided: Callable[[Host, Decided], None]
    effects: Callable[[Host, Effects], None]
    chain_of_others: Callable[[bytes, int], list[tuple[HeightStarted, Decided]]]


@dataclass(slots=True)
class Host:
    """One daemon. What survives a crash is `log` and `chain`."""

    name: str
    key: bytes
    timing: Timing
    genesis: HeightStarted
    rng: Random
    hooks: Hooks
    signer: VoteSigner
    verify: Verify
    validators_at: Callable[[int], ValidatorSet]
    faults: Faults = field(default_factory=Faults)
    log: list[LogRecord] = field(default_factory=list)
    chain: list[tuple[HeightStarted, Decided]] = field(default_factory=list)
    engine: Engine | None = None
    kind: EngineName = "pbft"
    epoch: int = 0
    timers: dict[Timer, int] = field(default_factory=dict)
    halts: list[Halt] = field(default_factory=list)
    restart_ms: float = 200.0
    has_work: bool = True
    timer_count: int = 0
    execution: int = 0
    boundaries: int = 0
    compacts: float = 0.0
    """Probability that the log is replaced by a checkpoint after an event."""

    compacted: Callable[[Host, tuple[LogRecord, ...]], None] | None = None
    """Told of a checkpoint before it replaces the log."""
    syncing: bool = False
    computed: set[tuple[bytes, bytes]] = field(default_factory=set)
    """(block, result) that this daemon's executor gave, crashes included."""

    def started(self) -> HeightStarted:
        """What the next height starts from, according to the durable chain."""
        if len(self.chain) == 0:
            return self.genesis
        started, decided = self.chain[-1]
        round_ = decided.certificate.round
        validators = self.validators_at(started.height + 1)
        return after(started, decided.header, decided.result, round_, validators)

    def boot(self) -> None:
        """Start or restart the daemon from what is durable."""
        self.epoch += 1
        self.timers.clear()
        self.syncing = False
        self.engine = self.recovered(tuple(self.log))
        self._obey(self.engine.start())
        self._offer_work()

    def crash(self) -> None:
        """Lose everything that is not durable; come back later."""
        self.engine = None
        self.epoch += 1
        epoch = self.epoch
        self.hooks.later(self.restart_ms, lambda: self.boot() if self.epoch == epoch else None)

    def feed(self, event: Event) -> None:
        """Give the engine an event, if the daemon runs."""
        if self.engine is not None:
            effects = self.engine.step(event)
            self.engine.check_invariants()
            self._obey(effects)
            self._compact()

    def ask(self, event: ReadAsked | TransferAsked) -> None:
        """Give a Raft engine what only Raft knows, if the daemon runs."""
        if isinstance(self.engine, RaftEngine):
            self._obey(self.engine.step(event))

    def _compact(self) -> None:
        """What a daemon does between two rounds of events when its log has grown."""
        if self.compacts == 0 or self.engine is None or self.rng.random() >= self.compacts:
            return
        records = self.engine.checkpoint()
        if records is not None:
            # While a decision is being made durable, the records are of a height that is over.
            if self.compacted is not None and len(self.chain) < self.engine.status().height:
                self.compacted(self, records)
            self.log[:] = records

    def recovered(self, records: Iterable[LogRecord]) -> Engine:
        """The engine that a start would make of these records."""
        return engine_of(self.kind).recover(
            chain_id=CHAIN_ID,
            signer=self.signer,
            verify=self.verify,
            timing=self.timing,
            started=self.started(),
            records=records,
        )

    def feed_later(self, delay_ms: float, event: Event) -> None:
        """The same after a while, unless the daemon crashed in between."""
        epoch = self.epoch
        self.hooks.later(delay_ms, lambda: self.feed(event) if self.epoch == epoch else None)

    def offer_work(self) -> None:
        """There is something to propose from now on."""
        self.has_work = True
        self._offer_work()

    def _offer_work(self) -> None:
        if self.has_work:
            self.feed_later(1.0, WorkAvailable())

    def _crashes(self) -> bool:
        self.boundaries += 1
        if self.boundaries == self.faults.crash_at:
            self.crash()
            return True
        if self.faults.crash > 0 and self.rng.random() < self.faults.crash:
            self.crash()
            return True
        return False

    def _obey(self, effects: Effects) -> None:
        self.hooks.effects(self, effects)
        for record in effects.persist:
            if self._crashes():
                return
            self.log.append(record)
            self.hooks.persisted(self, record)
        for send in effects.send:
            if self._crashes():
                return
            self.hooks.sent(self, send)
        for wanted in effects.timers:
            self._set_timer(wanted.timer, wanted.delay_ms)
        for request in effects.requests:
            self._answer(request)
        if effects.halt is not None:
            self.halts.append(effects.halt)
        if effects.decided is not None and not self._crashes():
            self._commit(effects.decided)

    def _set_timer(self, timer: Timer, delay_ms: int) -> None:
        self.timer_count += 1
        token, epoch = self.timer_count, self.epoch
        self.timers[timer] = token

        def fire() -> None:
            if self.epoch == epoch and self.timers.get(timer) == token:
                del self.timers[timer]
                self.feed(TimerFired(timer))

        self.hooks.later(delay_ms, fire)

    def _answer(self, request: Request) -> None:
        match request:
            case Build():
                body = f"{self.name} {request.height} {request.round} {self.rng.random()}".encode()
                time_ms = self.genesis.parent_time_ms + int(self.hooks.now())
                header = make_header(request, body, time_ms)
                built = BlockBuilt(request.height, request.round, header, body)
                self.feed_later(1.0, built)
            case Validate():
                reason = validate(request.header, request.body)
                self.feed_later(self.rng.uniform(0, 4), Validated(request.header.hash(), reason))
            case Execute():
                self._execute(request)
            case CatchUp():
                self._catch_up(request)
            case _:
                assert_never(request)

    def _execute(self, request: Execute) -> None:
        self.execution += 1
        number, epoch, block_hash = self.execution, self.epoch, request.header.hash()
        differs = self.rng.random() < self.faults.random_results
        salt = str(self.rng.random()).encode() if differs else b""
        result = make_result(block_hash, self.validators_at(request.header.height + 1), salt)
        self.computed.add((block_hash, result.hash()))

        def done() -> None:
            if (self.epoch, self.execution) == (epoch, number):
                self.feed(Executed(block_hash, result))

        self.hooks.later(self.rng.uniform(*self.faults.execution_ms), done)

    def _catch_up(self, request: CatchUp) -> None:
        if self.syncing:
            return
        self.syncing = True
        epoch = self.epoch

        def fetched() -> None:
            if self.epoch != epoch:
                return
            self.syncing = False
            self._adopt(self.hooks.chain_of_others(request.peer, request.height))

        self.hooks.later(20.0, fetched)

    def _adopt(self, chain: list[tuple[HeightStarted, Decided]]) -> None:
        missing = chain[len(self.chain) :]
        if len(missing) > 0 and not self.is_halted:
            self.chain.extend(missing)
            self._start_height()

    def _commit(self, decided: Decided) -> None:
        self.chain.append((self.started(), decided))
        self.hooks.decided(self, decided)
        if not self._crashes():
            epoch = self.epoch
            self.hooks.later(
                self.rng.uniform(0, 3),
                lambda: self._start_height() if self.epoch == epoch else None,
            )

    def _start_height(self) -> None:
        started = self.started()
        self.log = [record for record in self.log if record.height >= started.height]
        self.feed(started)
        self._offer_work()

    @property
    def is_halted(self) -> bool:
        """Whether the engine stopped for good."""
        last = [record for record in self.log if isinstance(record, HaltedRecord | ReleasedRecord)]
        return len(last) > 0 and isinstance(last[-1], HaltedRecord)

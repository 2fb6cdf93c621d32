"""A validator as the node runs it (driver, guard, probation), on a disk that can be put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from consensus.engine import (
    BlockBuilt,
    Build,
    CatchUp,
    Decided,
    Engine,
    Evidence,
    Execute,
    Executed,
    Halt,
    HeightStarted,
    PeerFault,
    SetTimer,
    Timer,
    TimerKind,
    Validate,
    Validated,
)
from consensus.engines import engine_of
from consensus.messages import (
    HaltedRecord,
    LogRecord,
    Message,
    ReleasedRecord,
    SignedMessage,
    commit_bytes,
    decode_record,
    encode_record,
    vote_position,
)
from consensus.pbft.twin import COMMIT_PHASE
from consensus.raft.messages import ACK_PHASE, ack_bytes
from consensus.wishes import ReadAnswered
from medquorum.block import Result
from medquorum.certificate import CommitCertificate
from node.driver import Driver, Round
from node.probation import Probation, engine_to_start
from storage.signstate import SignedVote, SignState
from tests.support.engine_checks import Violation
from tests.support.engine_world import CHAIN_ID, after, make_header, make_result, validate
from tests.support.fake_disk import FakeDisk
from tests.support.recovery_tapes import Tape

Answer: TypeAlias = BlockBuilt | Validated | Executed | HeightStarted
PLACE: Final = Path("/home/sign_state.bin")
LOG_BYTES_MAX: Final = 1 << 60
"""Checkpoints are taken when the test says so."""


@dataclass(slots=True)
class MemoryLog:
    """Implements node.driver.Log."""

    records: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        """How much is in it."""
        return sum(len(record) for record in self.records)

    def append(self, records: Sequence[bytes]) -> None:
        """All of them."""
        self.records += tuple(records)

    def replace(self, records: Sequence[bytes]) -> None:
        """Only these."""
        self.records = tuple(records)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a crash leaves, and what others know of us."""

    index: int
    """The first step of the tape that was not taken in."""

    log: tuple[bytes, ...]
    sign: bytes
    """The file of the sign state."""

    started: HeightStarted
    """The height that begins above the durable chain."""

    said: int
    """How many votes had left."""

    known: int
    """So many records of `log` were there when the guard saw the last vote: with them the memory is
    whole."""

    torn: bool = False
    """The crash came within the writing of a round."""


@dataclass(slots=True)
class Ports:
    """Implements node.driver.Ports: notes what is to be done."""

    sent: list[tuple[bytes | None, Message]] = field(default_factory=list)
    timers: dict[TimerKind, Timer] = field(default_factory=dict)
    requests: list[Build | Validate | Execute] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)
    caught: list[CatchUp] = field(default_factory=list)

    def send(self, to: bytes | None, message: Message) -> None:
        """Note it."""
        self.sent.append((to, message))

    def set_timer(self, timer: SetTimer) -> None:
        """Of each kind there is one."""
        self.timers[timer.timer.kind] = timer.timer

    def build(self, request: Build) -> None:
        """Note it."""
        self.requests.append(request)

    def validate(self, request: Validate) -> None:
        """Note it."""
        self.requests.append(request)

    def execute(self, request: Execute) -> None:
        """Note it."""
        self.requests.append(request)

    def catch_up(self, request: CatchUp) -> None:
        """Note it."""
        self.caught.append(request)

    def commit(self, decided: Decided) -> None:
        """Note it."""
        self.decided.append(decided)

    def evidence(self, evidence: Evidence) -> None:
        """Nobody here lies."""
        raise Violation(f"an honest validator is convicted: {evidence.kind}")

    def fault(self, fault: PeerFault) -> None:
        """Nobody here lies."""
        raise Violation(f"an honest validator is blamed: {fault.reason}")

    def dropped(self, reason: str) -> None:
        """Of no interest."""

    def halt(self, halt: Halt) -> None:
        """Note it."""
        self.halts.append(halt)

    def diverges(self, validator: bytes) -> None:
        """Of no interest."""

    def read(self, answer: ReadAnswered) -> None:
        """Of no interest."""


class Validator:
    """One validator, from a start on. Everything it does goes through the production driver."""

    def __init__(self, tape: Tape, moment: Moment) -> None:
        self.tape = tape
        self.ports = Ports()
        self.log = MemoryLog(moment.log)
        self.started = moment.started
        self._disk = FakeDisk()
        SignState.create(PLACE, CHAIN_ID, tape.victim.key, files=self._disk)
        self._disk.overwrite(PLACE, moment.sign)
        self.guard = SignState.open(PLACE, files=self._disk)
        self.guarded: list[SignedVote] = []
        self.observes = False
        self.is_halted = False
        self.driver = Driver(
            self._make_engine(), self.log, self, self.ports, log_bytes_max=LOG_BYTES_MAX
        )

    @property
    def sign(self) -> bytes:
        """The file of the sign state."""
        data = self._disk.read(PLACE)
        assert data is not None
        return data

    @property
    def on_probation(self) -> bool:
        """Whether it does not vote yet."""
        engine = self.driver.engine
        return isinstance(engine, Probation) and not engine._admitted

    def place_in(self, known: CommitCertificate) -> tuple[int, int, int] | None:
        """Where our vote in a certificate stands, if it has one."""
        is_raft = self.tape.engine == "raft"
        what = (CHAIN_ID, known.height, known.round, known.block_hash, known.result_hash)
        message = ack_bytes(*what) if is_raft else commit_bytes(*what)
        if self.tape.victim.signer.sign(message) not in known.signatures:
            return None
        return (known.height, known.round, ACK_PHASE if is_raft else COMMIT_PHASE)

    def save_all(self, votes: Sequence[SignedVote]) -> None:
        """What the driver has the guard do."""
        self.guard.save_all(votes)
        self.guarded.extend(votes)

    def _make_engine(self) -> Engine:
        """As node/app.py makes it."""
        records = tuple(decode_record(record) for record in self.log.records)
        self.is_halted = stands_halted(records)
        engine = engine_to_start(self.guard.last, self.started, records, self._recover)
        self.observes = isinstance(engine, Probation)
        return engine

    def _recover(self, started: HeightStarted, votes: bool, records: Sequence[LogRecord]) -> Engine:
        host = self.tape.victim
        return engine_of(self.tape.engine).recover(
            chain_id=CHAIN_ID,
            signer=host.signer if votes else None,
            verify=host.verify,
            timing=host.timing,
            started=started,
            records=records,
        )

    def finish(self, round_: Round) -> None:
        """The rest of a round that is durable."""
        self.driver.obey(round_)
        self.driver.engine.check_invariants()

    def play(self, round_: Round) -> None:
        """A whole round."""
        self.driver.make_durable(round_)
        self.finish(round_)

    def commit(self) -> HeightStarted | None:
        """Make a decision durable, if there is one; answers with the start of the next height."""
        if len(self.ports.decided) == 0:
            return None
        decided = self.ports.decided.pop()
        if decided.header.height == self.started.height:
            round_ = decided.certificate.round
            validators = self.tape.victim.validators_at(self.started.height + 1)
            self.started = after(self.started, decided.header, decided.result, round_, validators)
        return self.started

    def compact(self) -> None:
        """Replace the log by a checkpoint, as the node does when it has grown."""
        records = self.driver.engine.checkpoint()
        if records is not None:
            self.driver.compact([encode_record(record) for record in records])


def stands_halted(records: Sequence[LogRecord]) -> bool:
    """Whether a halt was written down that nobody has released."""
    words = [record for record in records if isinstance(record, HaltedRecord | ReleasedRecord)]
    return len(words) > 0 and isinstance(words[-1], HaltedRecord)


def own_votes(tape: Tape, sent: Sequence[tuple[bytes | None, Message]]) -> list[SignedMessage]:
    """What left of it with its signature; what it says to itself stays with it."""
    key = tape.victim.key
    return [
        message
        for to, message in sent
        if isinstance(message, SignedMessage) and message.signer == key and to != key
    ]


def results_of(tape: Tape) -> dict[bytes, Result]:
    """What executing a block gave last."""
    return {step.block_hash: step.result for step in tape.steps if isinstance(step, Executed)}


def answer(tape: Tape, results: dict[bytes, Result], request: Build | Validate | Execute) -> Answer:
    """What the world makes of a request after a start: a block is built anew, and is another."""
    match request:
        case Build():
            body = f"again {request.height} {request.round}".encode()
            header = make_header(request, body, request.not_before_ms)
            return BlockBuilt(request.height, request.round, header, body)
        case Validate():
            return Validated(request.header.hash(), validate(request.header, request.body))
        case Execute():
            block_hash = request.header.hash()
            validators = tape.victim.validators_at(request.header.height + 1)
            known = results.get(block_hash)
            return Executed(
                block_hash, make_result(block_hash, validators) if known is None else known
            )


def position(vote: SignedMessage) -> tuple[tuple[int, int, int], bytes]:
    """Where a vote stands, and what it says there."""
    found = vote_position(vote)
    assert found is not None
    return found[:3], found[3]

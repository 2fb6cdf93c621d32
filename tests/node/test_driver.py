"""The driver's promises: durable before it leaves, guarded, and over after a halt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from consensus.engine import (
    CatchUp,
    Effects,
    EngineStatus,
    Event,
    Execute,
    Halt,
    PeerFault,
    Send,
    SetTimer,
    Timer,
    TimerKind,
    WorkAvailable,
)
from consensus.messages import (
    AcceptedRecord,
    Commit,
    LogRecord,
    Prepare,
    Status,
    encode_record,
    vote_position,
)
from consensus.wishes import ReadAnswered
from medquorum.block import Header
from medquorum.invariants import InvariantBroken
from node.driver import Driver
from storage.signstate import SignedVote

KEY = b"\x01" + bytes(32)
HASH = bytes([7]) * 32
SIGNATURE = b"\x01" + bytes(64)
HEADER = Header(1, HASH, 5, 1, KEY, HASH, HASH, HASH, HASH, 0)
RECORD = AcceptedRecord(5, 0, HASH)
PREPARE = Prepare(5, 0, KEY, HASH, SIGNATURE)
COMMIT = Commit(5, 0, KEY, HASH, HASH, SIGNATURE)


@dataclass
class Scripted:
    """An engine that answers each event with the next effects of a list."""

    script: list[Effects]
    stepped: list[Event] = field(default_factory=list)
    kept: tuple[LogRecord, ...] | None = None

    def start(self) -> Effects:
        """Recovery asks for nothing."""
        return Effects()

    def step(self, event: Event) -> Effects:
        """The next line of the script."""
        self.stepped.append(event)
        return self.script.pop(0)

    def status(self) -> EngineStatus:
        """Never asked here."""
        raise NotImplementedError

    def check_invariants(self) -> None:
        """A script has none."""

    def checkpoint(self) -> tuple[LogRecord, ...] | None:
        """All that this engine would say again."""
        return self.kept


@dataclass
class World:
    """Log, guard and ports in one, so that the order across them can be read off `happened`."""

    happened: list[str] = field(default_factory=list)
    appended: list[bytes] = field(default_factory=list)
    voted: list[SignedVote] = field(default_factory=list)

    def append(self, records: Sequence[bytes]) -> None:
        """Log.append."""
        self.happened.append("append")
        self.appended.extend(records)

    @property
    def size_bytes(self) -> int:
        """Log.size_bytes."""
        return sum(map(len, self.appended))

    def replace(self, records: Sequence[bytes]) -> None:
        """Log.replace."""
        self.happened.append("replace")
        self.appended = list(records)

    def save_all(self, votes: Sequence[SignedVote]) -> None:
        """Guard.save_all."""
        self.happened.append("guard")
        self.voted.extend(votes)

    def __getattr__(self, name: str) -> object:
        """Every port writes down that it was called."""
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_: self.happened.append(name)


def driver_of(
    engine: Scripted, world: World, *, guard: World | None, log_bytes_max: int = 1_000_000
) -> Driver:
    """A driver of an engine in `world`."""
    everything: Any = world
    return Driver(engine, world, guard, everything, log_bytes_max=log_bytes_max)


def drive(world: World, *script: Effects, guard: bool = True) -> Driver:
    """A driver of a scripted engine in `world`."""
    return driver_of(Scripted(list(script)), world, guard=world if guard else None)


def run(driver: Driver, count: int) -> None:
    """Let the driver handle `count` events together."""
    round_ = driver.step([WorkAvailable()] * count)
    if round_.needs_disk:
        driver.make_durable(round_)
    driver.obey(round_)


def persist_and_send(record: LogRecord, message: Prepare | Commit | Status) -> Effects:
    """The effects of a vote."""
    return Effects(persist=(record,), send=(Send(None, message),))


def test_votes_are_durable_before_they_leave() -> None:
    world = World()
    run(drive(world, persist_and_send(RECORD, PREPARE)), 1)
    assert world.happened == ["append", "guard", "send"]
    assert world.appended == [encode_record(RECORD)]
    assert [vote.step for vote in world.voted] == [(5, 0, 2)]


def test_work_begins_before_the_disk_is_waited_for_and_only_once() -> None:
    world = World()
    asked = (Execute(HEADER, b""), CatchUp(KEY, 9))
    driver = drive(world, Effects(persist=(RECORD,), send=(Send(None, PREPARE),), requests=asked))
    round_ = driver.step([WorkAvailable()])
    driver.begin(round_)
    assert world.happened == ["execute"]
    driver.make_durable(round_)
    driver.obey(round_)
    # What others hear of waits: a catch-up asks them for blocks.
    assert world.happened == ["execute", "append", "guard", "send", "catch_up"]


def test_work_that_was_not_begun_is_obeyed_behind_what_is_said() -> None:
    world = World()
    asked = (Execute(HEADER, b""), CatchUp(KEY, 9))
    run(drive(world, Effects(send=(Send(None, Status(5, 0)),), requests=asked)), 1)
    assert world.happened == ["send", "execute", "catch_up"]


def test_events_handled_together_share_one_write() -> None:
    world = World()
    run(drive(world, persist_and_send(RECORD, PREPARE), persist_and_send(RECORD, COMMIT)), 2)
    assert world.happened == ["append", "guard", "send", "send"]
    assert len(world.appended) == 2
    assert [vote.step for vote in world.voted] == [(5, 0, 2), (5, 0, 3)]


def test_a_vote_that_is_sent_again_passes_the_guard_once() -> None:
    world = World()
    driver = drive(world, persist_and_send(RECORD, PREPARE), Effects(send=(Send(None, PREPARE),)))
    run(driver, 1)
    run(driver, 1)
    assert world.happened == ["append", "guard", "send", "send"]


def test_messages_that_are_no_votes_do_not_pass_the_guard() -> None:
    world = World()
    run(drive(world, Effects(send=(Send(KEY, Status(5, 0)),))), 1)
    assert world.happened == ["send"]


def test_a_vote_of_somebody_else_that_is_passed_on_is_not_taken_for_ours() -> None:
    world = World()
    theirs = Prepare(5, 0, b"\x01" + bytes([9]) * 32, bytes([8]) * 32, SIGNATURE)
    own = persist_and_send(RECORD, PREPARE)
    run(drive(world, own, Effects(send=(Send(KEY, theirs, passed_on=True),))), 2)
    assert world.happened == ["append", "guard", "send", "send"]
    position = vote_position(PREPARE)
    assert position is not None
    assert [vote.digest for vote in world.voted] == [position.digest]


def test_after_a_halt_no_event_is_looked_at() -> None:
    world = World()
    engine = Scripted([Effects(halt=Halt("divergence", "")), Effects()])
    driver = driver_of(engine, world, guard=world)
    run(driver, 2)
    assert len(engine.stepped) == 1
    assert world.happened == ["halt"]


def test_effects_are_obeyed_in_the_order_of_their_fields() -> None:
    world = World()
    effects = Effects(
        send=(Send(None, Status(5, 0)),),
        timers=(SetTimer(Timer(TimerKind.ROUND, 5, 0), 10),),
        faults=(PeerFault(KEY, "lied"),),
        dropped=("late",),
        halt=Halt("x", ""),
        reads=(ReadAnswered(1, 4),),
        diverging=(KEY,),
    )
    run(drive(world, effects), 1)
    assert world.happened == ["send", "set_timer", "fault", "dropped", "halt", "read", "diverges"]


def test_an_observer_never_votes() -> None:
    world = World()
    driver = drive(world, persist_and_send(RECORD, PREPARE), guard=False)
    with pytest.raises(InvariantBroken):
        run(driver, 1)
    assert "send" not in world.happened


def test_a_log_that_has_grown_large_is_replaced_by_what_the_engine_still_needs() -> None:
    world = World()
    grown = [persist_and_send(RECORD, PREPARE) for _ in range(6)]
    engine = Scripted(list(grown), kept=(RECORD, RECORD))
    size = len(encode_record(RECORD))
    driver = driver_of(engine, world, guard=world, log_bytes_max=3 * size)
    run(driver, 3)
    assert driver.checkpoint() is None
    run(driver, 1)
    checkpoint = driver.checkpoint()
    assert checkpoint == [encode_record(RECORD)] * 2
    driver.compact(checkpoint)
    assert world.appended == checkpoint
    # Twice as much as what has to be kept anyway must be there before it is done again.
    run(driver, 2)
    assert driver.checkpoint() is None
    assert "replace" in world.happened


def test_an_engine_that_does_not_vote_keeps_its_log() -> None:
    world = World()
    engine = Scripted([persist_and_send(RECORD, PREPARE)])
    driver = driver_of(engine, world, guard=world, log_bytes_max=0)
    run(driver, 1)
    assert driver.checkpoint() is None

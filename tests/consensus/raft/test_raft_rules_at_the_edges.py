"""Single engines at the edges of the rules: other heights, lost blocks, second results, reads."""

from __future__ import annotations

import msgspec
import pytest

from consensus.engine import (
    BlockBuilt,
    CatchUp,
    Effects,
    Execute,
    Executed,
    TimerKind,
    Validate,
    Validated,
    WorkAvailable,
)
from consensus.limits import IDLE_RESEND_FACTOR, REPLIES_PER_PEER_MAX
from consensus.messages import BlockRecord, DecidedMessage, Status
from consensus.raft.engine import RaftEngine
from consensus.raft.messages import (
    Ack,
    AckedRecord,
    Append,
    Decision,
    Heartbeat,
    HeartbeatReply,
    PreVoteReply,
    PreVoteRequest,
    TermRecord,
    append_bytes,
)
from consensus.wishes import ReadAsked
from tests.support.engine_world import (
    CHAIN_ID,
    sign,
)
from tests.support.lone_raft import (
    BLOCK,
    BODY,
    HASH,
    KEYS,
    LEADER,
    OTHER_RESULT,
    RESULT,
    STARTED,
    TIMING,
    ack,
    append,
    certificate,
    elected,
    engine_of,
    fired,
    header_for,
    next_height,
    said,
    tell,
)


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("chain_id", bytes(32), "header_chain"),
        ("height", 2, "header_height"),
        ("parent", bytes(32), "header_parent"),
        ("parent_result", b"\x01" * 32, "header_parent_result"),
        ("validators_hash", bytes(32), "header_validators"),
        ("time_ms", STARTED.parent_time_ms, "header_time"),
        ("proposer", b"\x01" + bytes(32), "header_proposer"),
    ],
)
def test_an_entry_that_does_not_belong_to_the_height_is_blamed(
    field: str, value: object, fault: str
) -> None:
    """Rule A2."""
    header = msgspec.structs.replace(BLOCK, **{field: value})
    signature = sign(LEADER, append_bytes(CHAIN_ID, 1, 0, header.hash()))
    effects = tell(engine_of(0), LEADER, Append(1, 0, LEADER, header, BODY, signature))
    assert [blamed.reason for blamed in effects.faults] == [fault]
    assert effects.requests == ()


def test_who_speaks_in_a_lower_term_is_told_ours_and_a_leader_gives_up_for_a_higher_one() -> None:
    """Rules V6, V8."""
    effects = tell(engine_of(0, TermRecord(1, 5, ())), LEADER, Heartbeat(1, 1, 1, ()))
    assert [send.message for send in effects.send] == [Status(1, 5)]
    leader = elected()
    effects = tell(leader, KEYS[2], Status(1, 9))
    assert effects.persist == (TermRecord(1, 9, ()),)
    assert leader.status().phase == "following"
    follower = engine_of(0)
    tell(follower, LEADER, Heartbeat(1, 0, 1, ()))
    assert tell(follower, KEYS[2], Status(1, 9)).persist == ()


def test_answers_are_counted_until_the_next_tick_which_is_slow_while_nothing_is_to_decide() -> None:
    """Rules T4, H4."""
    engine = engine_of(0)
    tell(engine, KEYS[2], Status(1, 5))
    stale = Heartbeat(1, 1, 1, ())
    counts = [len(tell(engine, LEADER, stale).send) for _ in range(REPLIES_PER_PEER_MAX + 2)]
    assert counts == [1] * REPLIES_PER_PEER_MAX + [0, 0]
    effects = fired(engine, TimerKind.RESEND)
    assert said(effects, Status) == [None]
    [timer] = effects.timers
    assert timer.delay_ms == TIMING.resend_ms * IDLE_RESEND_FACTOR
    assert len(tell(engine, LEADER, stale).send) == 1
    pre_votes = [
        len(said(tell(engine, LEADER, PreVoteRequest(1, 6, ())), PreVoteReply)) for _ in range(5)
    ]
    assert pre_votes == [1] * 5


def test_an_entry_of_the_next_height_waits_for_it() -> None:
    """Rule H2."""
    engine = engine_of(0)
    early = msgspec.structs.replace(header_for(2), parent=HASH, time_ms=BLOCK.time_ms + 1)
    assert tell(engine, LEADER, append(0, early)).requests == ()
    effects = engine.step(next_height())
    assert [type(request) for request in effects.requests] == [Validate]


def test_a_peer_one_height_ahead_is_asked_and_one_further_ahead_is_followed() -> None:
    """Rules H2, H3."""
    engine = engine_of(0)
    assert said(tell(engine, LEADER, Heartbeat(2, 0, 1, ())), Status) == [LEADER]
    assert LEADER in said(fired(engine, TimerKind.RESEND), Status)
    tell(engine, LEADER, Heartbeat(2, 0, 2, ()))
    assert fired(engine, TimerKind.RESEND).requests == (CatchUp(LEADER, 1),)
    assert tell(engine_of(0), LEADER, Heartbeat(4, 0, 1, ())).requests == (CatchUp(LEADER, 3),)


def test_a_decided_block_that_we_lack_is_asked_of_those_who_acknowledged_it() -> None:
    """Rules D1, D3."""
    engine = engine_of(0)
    effects = tell(engine, LEADER, Decision(1, certificate(1, 2)))
    [asked] = said(effects, Status)
    assert asked in KEYS[1:]
    # Whoever acknowledged it has it: another one is asked each time.
    [again] = [one for one in said(fired(engine, TimerKind.RESEND), Status) if one is not None]
    assert {asked, again} == set(KEYS[1:])
    effects = tell(engine, KEYS[2], DecidedMessage(1, BLOCK, BODY, certificate(1, 2)))
    [request] = effects.requests
    assert isinstance(request, Validate)
    assert request.certified


def test_a_certified_block_that_we_refuse_stops_us() -> None:
    """Rules D3, X3."""
    engine = engine_of(0)
    tell(engine, LEADER, DecidedMessage(1, BLOCK, BODY, certificate(1, 2)))
    effects = engine.step(Validated(HASH, "refused"))
    assert effects.halt is not None
    assert effects.halt.reason == "certified_block_refused"
    assert engine.step(WorkAvailable()).dropped == ("halted",)


def test_a_second_result_after_a_restart_stops_us_before_it_is_signed() -> None:
    """Rules A4, X2."""
    engine = engine_of(0, BlockRecord(1, BLOCK, BODY), AckedRecord(1, 0, HASH, RESULT.hash()))
    effects = tell(engine, LEADER, append(0))
    assert [type(request) for request in effects.requests] == [Execute]
    effects = engine.step(Executed(HASH, OTHER_RESULT))
    assert effects.halt is not None
    assert effects.halt.reason == "nondeterminism"
    assert effects.send == ()


def test_who_led_a_height_and_is_not_named_by_the_chain_seeks_votes_at_once() -> None:
    """Rule L7."""
    assert said(elected().step(next_height(KEYS[0])), PreVoteRequest) == [None]
    assert said(elected().step(next_height(LEADER)), PreVoteRequest) == []


def proposing(engine: RaftEngine, term: int) -> None:
    engine.step(WorkAvailable())
    engine.step(BlockBuilt(1, term, BLOCK, BODY))


def test_a_leader_with_an_inherited_entry_answers_no_read_before_the_next_height() -> None:
    """Rule Q2."""
    records = (
        BlockRecord(1, BLOCK, BODY),
        TermRecord(1, 1, ()),
        AckedRecord(1, 1, HASH, RESULT.hash()),
    )
    inherited, plain = elected(*records, term=2), elected()
    for engine, term in ((inherited, 2), (plain, 1)):
        engine.step(ReadAsked(7))
        answered = tell(engine, KEYS[0], HeartbeatReply(1, term, 1, ())).reads
        assert [read.height for read in answered] == ([] if engine is inherited else [0])


def test_acks_of_an_entry_that_left_after_the_read_was_asked_for_answer_it_with_its_height() -> (
    None
):
    """Rule Q3."""

    def decided(engine: RaftEngine) -> Effects:
        engine.step(Validated(HASH, ""))
        engine.step(Executed(HASH, RESULT))
        return tell(engine, KEYS[0], ack(KEYS[0], 1))

    before = elected()
    before.step(ReadAsked(7))
    proposing(before, 1)
    assert [read.height for read in decided(before).reads] == [1]
    after = elected()
    proposing(after, 1)
    after.step(ReadAsked(7))
    assert decided(after).reads == ()


def test_an_entry_that_is_refused_is_neither_executed_nor_acknowledged() -> None:
    """Rules A3, A5."""
    engine = engine_of(0)
    tell(engine, LEADER, append(0))
    effects = engine.step(Validated(HASH, "refused"))
    assert said(effects, Ack) == []
    assert engine.step(Executed(HASH, RESULT)).dropped == ("execution_replaced",)

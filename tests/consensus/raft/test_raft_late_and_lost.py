"""Single Raft engines: what comes too late, twice, from nobody, or when nothing can come of it."""

from __future__ import annotations

import pytest

from consensus.engine import (
    BlockBuilt,
    CatchUp,
    Executed,
    Received,
    Timer,
    TimerFired,
    TimerKind,
    Validated,
    WorkAvailable,
)
from consensus.limits import (
    REPLIES_PER_PEER_MAX,
)
from consensus.messages import (
    BlockRecord,
    DecidedMessage,
    HaltedRecord,
    ReleasedRecord,
    Status,
)
from consensus.raft.engine import RaftEngine
from consensus.raft.messages import (
    Ack,
    AckedRecord,
    Append,
    AppendedRecord,
    Grant,
    Heartbeat,
    HeartbeatReply,
    PreVoteReply,
    PreVoteRequest,
    ReadReply,
    ReadRequest,
    TermRecord,
    TimeoutNow,
    VoteRequest,
    ack_bytes,
    append_bytes,
    ballot_bytes,
)
from consensus.wishes import ReadAsked, TransferAsked
from medquorum.invariants import InvariantBroken
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    make_result,
    sign,
    verify,
)
from tests.support.lone_raft import (
    BLOCK,
    BODY,
    HASH,
    KEYS,
    LEADER,
    RESULT,
    STARTED,
    TIMING,
    VALIDATORS,
    append,
    certificate,
    decided_engine,
    elected,
    engine_of,
    fired,
    header_for,
    next_height,
    said,
    tell,
)

STRANGER = b"\x01" + bytes(32)


def ballot(by: bytes, term: int, candidate: bytes) -> Grant:
    return Grant(1, term, by, candidate, sign(by, ballot_bytes(CHAIN_ID, 1, term, candidate)))


def candidacy(
    by: bytes, term: int, *, accepted: tuple[int, ...] = (), forced: int = 0
) -> VoteRequest:
    signature = sign(by, ballot_bytes(CHAIN_ID, 1, term, by))
    return VoteRequest(1, term, by, accepted, forced, signature)


def test_a_validation_that_ends_in_a_later_term_refuses_nobody() -> None:
    """Rule A5."""
    engine = engine_of(0)
    tell(engine, LEADER, append(0))
    tell(engine, KEYS[2], Heartbeat(1, 3, 1, ()))
    engine.step(Validated(HASH, "clock"))
    assert said(tell(engine, KEYS[2], Heartbeat(1, 3, 2, ())), HeartbeatReply) == [KEYS[2]]


def test_votes_are_refused_in_a_lease_in_an_old_term_and_once_a_leader_is_known() -> None:
    """Rules V4, V7, V8."""
    engine = engine_of(0)
    tell(engine, LEADER, Heartbeat(1, 0, 1, ()))
    assert tell(engine, KEYS[2], candidacy(KEYS[2], 1)).dropped == ("lease",)
    effects = tell(engine, KEYS[2], candidacy(KEYS[2], 2, forced=1))
    assert said(effects, Grant) == [KEYS[2]]
    again = tell(engine, KEYS[2], candidacy(KEYS[2], 2))
    assert said(again, Grant) == [KEYS[2]]
    assert said(tell(engine, LEADER, candidacy(LEADER, 1)), Status) == [LEADER]
    tell(engine, KEYS[2], Heartbeat(1, 2, 1, ()))
    assert tell(engine, LEADER, candidacy(LEADER, 2, forced=1)).dropped == ("vote_spent",)


def test_whoever_acknowledged_an_entry_of_a_term_has_no_vote_left_in_it() -> None:
    """Rule V4."""
    log = (
        BlockRecord(1, BLOCK, BODY),
        TermRecord(1, 2, ()),
        AckedRecord(1, 2, HASH, RESULT.hash()),
    )
    engine = engine_of(0, *log)
    assert tell(engine, KEYS[2], candidacy(KEYS[2], 2, accepted=(2,))).dropped == ("vote_spent",)


def test_grants_that_come_late_make_no_leader() -> None:
    """Rule V5."""
    engine = engine_of(1)
    fired(engine, TimerKind.ELECTION)
    tell(engine, KEYS[0], PreVoteReply(1, 1, 1))
    tell(engine, KEYS[2], Heartbeat(1, 1, 1, ()))
    assert tell(engine, KEYS[0], ballot(KEYS[0], 1, LEADER)).dropped == ("grant_late",)


def test_candidates_ask_again_those_who_have_not_answered() -> None:
    """Rule T3."""
    engine = engine_of(1)
    fired(engine, TimerKind.ELECTION)
    assert said(fired(engine, TimerKind.HEARTBEAT), PreVoteRequest) == [KEYS[0], KEYS[2]]
    tell(engine, KEYS[0], PreVoteReply(1, 1, 1))
    effects = fired(engine, TimerKind.HEARTBEAT, 1)
    assert said(effects, VoteRequest) == [KEYS[0], KEYS[2]]
    assert said(effects, PreVoteRequest) == []


def test_a_peer_in_a_lower_term_is_shown_ours() -> None:
    """Rule V8."""
    engine = engine_of(0, TermRecord(1, 4, ()))
    for message in (Status(1, 2), append(0), Heartbeat(1, 0, 1, ())):
        fired(engine, TimerKind.RESEND)
        assert said(tell(engine, LEADER, message), Status) == [LEADER]


def test_a_leader_of_term_0_goes_on_with_its_entry_after_a_crash() -> None:
    """Rule F4."""
    log = (
        BlockRecord(1, BLOCK, BODY),
        AppendedRecord(1, 0, HASH),
        AckedRecord(1, 0, HASH, RESULT.hash()),
    )
    engine = RaftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(LEADER),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=log,
    )
    effects = engine.start()
    assert said(effects, Append) == [LEADER, None]
    assert said(effects, Ack) == [LEADER]
    assert engine.status().committed_by == (LEADER,)


def test_a_start_shows_the_guard_every_vote_of_the_log_before_anything_else_is_said() -> None:
    """Rule F6. The crash may have come before the guard had seen the vote for ourselves; asking for
    it after the ack would be refused.
    """
    engine = engine_of(2, TermRecord(1, 2, (KEYS[2],)))
    assert said(engine.start(), VoteRequest) == [KEYS[2]]
    behind = engine_of(2, TermRecord(1, 2, (KEYS[1],)))
    assert said(behind.start(), Grant) == [KEYS[2]]


def test_a_block_that_was_built_for_a_leader_who_hands_over_is_not_sent() -> None:
    """Rule L6."""
    engine = elected()
    engine.step(WorkAvailable())
    engine.step(TransferAsked(KEYS[2]))
    effects = engine.step(BlockBuilt(1, 1, BLOCK, BODY))
    assert effects.dropped == ("build_outdated",)
    assert said(effects, Append) == []


def test_an_operator_may_take_the_wish_back() -> None:
    """Rule L6."""
    engine = elected()
    engine.step(TransferAsked(KEYS[2]))
    engine.step(TransferAsked(b""))
    assert said(fired(engine, TimerKind.HEARTBEAT, 1), TimeoutNow) == []


def test_reads_of_others_are_answered_by_a_leader_only_and_only_validators_are() -> None:
    """Rule Q4."""
    follower = engine_of(0)
    assert said(tell(follower, KEYS[2], ReadRequest(1, 5)), ReadReply) == [KEYS[2]]
    assert said(tell(elected(), STRANGER, ReadRequest(1, 5)), ReadReply) == [STRANGER]
    assert tell(follower, LEADER, ReadReply(1, 5, (1,))).dropped == ("read_not_asked",)


def test_reads_that_wait_start_over_at_the_next_height() -> None:
    """Rule Q2."""
    engine = elected()
    engine.step(ReadAsked(7))
    effects = engine.step(next_height())
    assert said(effects, Heartbeat) == [None]
    assert [read.height for read in tell(engine, KEYS[0], HeartbeatReply(2, 0, 1, ())).reads] == [1]


def test_strangers_are_not_heard() -> None:
    """Rule A1."""
    engine = engine_of(0)
    assert tell(engine, STRANGER, PreVoteReply(1, 1, 1)).dropped == ("not_a_validator",)


def test_a_halt_holds_while_others_vote() -> None:
    """Whoever halted, was voted out, and comes back by another vote is still halted."""
    engine = RaftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(STRANGER),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(TermRecord(1, 1, (STRANGER,)), HaltedRecord(1, "twin", "for a test")),
    )
    assert engine.start().send == ()
    assert (engine.status().halted, engine.status().round) == ("twin", 0)


def test_a_halted_validator_shows_what_is_decided_and_no_more() -> None:
    """Rule D2."""
    engine = engine_of(0, HaltedRecord(1, "divergence", "for a test"))
    assert tell(engine, LEADER, Heartbeat(1, 0, 1, ())).dropped == ("halted",)
    assert engine.status().phase == "halted"
    engine.step(next_height())
    assert engine.status().phase == "halted"
    released = engine_of(0, HaltedRecord(1, "divergence", "for a test"), ReleasedRecord(1))
    assert released.status().phase != "halted"


def test_an_engine_that_halts_on_its_result_still_shows_the_decision() -> None:
    """Rules D4, X1."""
    engine = engine_of(0)
    tell(engine, LEADER, DecidedMessage(1, BLOCK, BODY, certificate(1, 2)))
    engine.step(Validated(HASH, ""))
    effects = engine.step(Executed(HASH, make_result(HASH, VALIDATORS, b"salt")))
    assert effects.halt is not None
    assert effects.halt.reason == "divergence"
    assert said(tell(engine, KEYS[2], Heartbeat(1, 0, 1, ())), DecidedMessage) == [KEYS[2]]


def test_what_is_decided_already_waits_for_nobody_ahead() -> None:
    """Rules H2, H3."""
    engine = decided_engine()
    assert tell(engine, LEADER, Heartbeat(2, 0, 1, ())).send == ()
    tell(engine, LEADER, append(0, header_for(2)))
    assert fired(engine, TimerKind.RESEND).requests == ()
    ahead = engine_of(0)
    counts = [len(tell(ahead, LEADER, Status(5, 0)).requests) for _ in range(4)]
    assert counts == [1] * REPLIES_PER_PEER_MAX + [0] * (4 - REPLIES_PER_PEER_MAX)
    fired(ahead, TimerKind.RESEND)
    assert tell(ahead, LEADER, Status(5, 0)).requests == (CatchUp(LEADER, 4),)


def test_two_results_are_reported_once_a_validator() -> None:
    """Rule E2."""
    engine = elected()
    found = []
    for term, salt in ((1, b""), (2, b"1"), (3, b"2")):
        result = make_result(HASH, VALIDATORS, salt).hash()
        if term > 1:
            engine._core.state.term = term
        signature = sign(KEYS[0], ack_bytes(CHAIN_ID, 1, term, HASH, result))
        effects = engine.step(Received(KEYS[0], Ack(1, term, KEYS[0], HASH, result, signature)))
        found += [one.kind for one in effects.evidence]
    assert found == ["two_results"]


def test_a_timer_of_the_past_is_passed_over() -> None:
    engine = engine_of(0)
    assert engine.step(TimerFired(Timer(TimerKind.ELECTION, 0, 0))).dropped == ("timer_outdated",)


def test_a_loop_in_the_rules_is_a_broken_invariant_and_not_a_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_of(0)
    monkeypatch.setattr("consensus.raft.engine.RULES", (lambda _core: True,))
    with pytest.raises(InvariantBroken):
        engine.step(WorkAvailable())


def test_an_observer_takes_no_part_in_elections() -> None:
    observer = RaftEngine.recover(
        chain_id=CHAIN_ID,
        signer=None,
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(),
    )
    observer.start()
    assert tell(observer, KEYS[2], Heartbeat(1, 3, 1, ())).dropped == ("observing",)
    assert observer.status().round == 0


def test_entries_of_strangers_are_blamed() -> None:
    """Rule A1."""
    signature = sign(STRANGER, append_bytes(CHAIN_ID, 1, 0, HASH))
    effects = tell(engine_of(0), STRANGER, Append(1, 0, STRANGER, BLOCK, BODY, signature))
    assert effects.persist == ()
    assert effects.dropped != ()

"""Messages that no correct validator sends, late answers, and logs that no engine wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.engine import (
    BlockBuilt,
    Build,
    Effects,
    Engine,
    Executed,
    HeightStarted,
    Received,
    Timer,
    TimerFired,
    TimerKind,
    Timing,
    Validate,
    Validated,
    WorkAvailable,
)
from consensus.errors import LogContradictionError
from consensus.limits import READS_MAX, VALIDATIONS_PER_ROUND_MAX
from consensus.messages import (
    AcceptedRecord,
    BlockRecord,
    LogRecord,
    Message,
    Prepare,
    Status,
    prepare_bytes,
)
from consensus.pbft.engine import PbftEngine
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
    ReadRequest,
    TermRecord,
    TimeoutNow,
    VoteRequest,
    ack_bytes,
    append_bytes,
    ballot_bytes,
)
from consensus.wishes import ReadAsked, TransferAsked
from medquorum.block import Header
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    genesis_started,
    make_header,
    make_result,
    sign,
    validator_set,
    verify,
)

VALIDATORS = validator_set(3)
KEYS = tuple(validator.key for validator in VALIDATORS.validators)
STARTED = genesis_started(VALIDATORS)
LEADER = KEYS[1]
"""Height 1 has no block before it: it goes by turns."""

TIMING = Timing()


def made(body: bytes) -> Header:
    request = Build(
        1, 0, LEADER, STARTED.parent_hash, STARTED.parent_result_hash, VALIDATORS.hash(), 1
    )
    return make_header(request, body, STARTED.parent_time_ms + 5)


BLOCK, OTHER = made(b"a block"), made(b"another")
HASH, RESULT = BLOCK.hash(), make_result(BLOCK.hash(), VALIDATORS)


def append(
    term: int, header: Header = BLOCK, body: bytes = b"a block", by: bytes = LEADER
) -> Append:
    signature = sign(by, append_bytes(CHAIN_ID, 1, term, header.hash()))
    return Append(1, term, by, header, body, signature)


def acked(by: bytes, term: int, result: bytes = RESULT.hash()) -> Ack:
    return Ack(1, term, by, HASH, result, sign(by, ack_bytes(CHAIN_ID, 1, term, HASH, result)))


def vote_request(by: bytes, term: int, *, forced: int = 0) -> VoteRequest:
    return VoteRequest(1, term, by, (), forced, sign(by, ballot_bytes(CHAIN_ID, 1, term, by)))


def engine_of(place: int, *records: LogRecord) -> RaftEngine:
    return RaftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(KEYS[place]),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=records,
    )


def follower(*records: LogRecord) -> RaftEngine:
    engine = engine_of(0, *records)
    engine.start()
    return engine


def tell(engine: Engine, peer: bytes, *messages: Message) -> Effects:
    for message in messages:
        effects = engine.step(Received(peer, message))
        engine.check_invariants()
    return effects


def fired(engine: Engine, kind: TimerKind, term: int) -> Effects:
    return engine.step(TimerFired(Timer(kind, 1, term)))


def leader() -> RaftEngine:
    """v1 leads term 1 and has sent its entry."""
    engine = engine_of(1)
    engine.start()
    tell(engine, KEYS[0], PreVoteReply(1, 1, 1))
    grant = Grant(1, 1, KEYS[0], LEADER, sign(KEYS[0], ballot_bytes(CHAIN_ID, 1, 1, LEADER)))
    tell(engine, KEYS[0], grant)
    engine.step(WorkAvailable())
    engine.step(BlockBuilt(1, 1, BLOCK, b"a block"))
    assert engine.status().proposer == LEADER
    return engine


def test_an_engine_refuses_what_belongs_to_the_other_one() -> None:
    signature = sign(LEADER, prepare_bytes(CHAIN_ID, 1, 0, HASH))
    effects = tell(follower(), LEADER, Prepare(1, 0, LEADER, HASH, signature))
    assert [fault.reason for fault in effects.faults] == ["message_of_another_engine"]
    pbft = PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(KEYS[0]),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(),
    )
    effects = tell(pbft, LEADER, append(0))
    assert [fault.reason for fault in effects.faults] == ["message_of_another_engine"]
    assert pbft.step(TimerFired(Timer(TimerKind.ELECTION, 1, 0))).dropped == (
        "timer_of_another_engine",
    )
    assert fired(follower(), TimerKind.ROUND, 0).dropped == ("timer_of_another_engine",)


@pytest.mark.parametrize(
    ("peer", "message", "reason"),
    [
        (KEYS[2], append(0, by=KEYS[2]), "not_the_leader"),
        (KEYS[2], Heartbeat(1, 0, 1, ()), "not_the_leader"),
        (KEYS[2], append(0), "not_the_signer"),
        (KEYS[2], vote_request(KEYS[2], 0), "election_of_term_0"),
    ],
)
def test_what_no_validator_sends_is_blamed_by_name(
    peer: bytes, message: Message, reason: str
) -> None:
    """Rules A1, A2, D1."""
    effects = tell(follower(), peer, message)
    assert [fault.reason for fault in effects.faults] == [reason]


def test_a_second_entry_of_one_term_convicts_its_leader_and_stops_us() -> None:
    """Rules E1, X5."""
    engine = follower()
    effects = tell(engine, LEADER, append(0), append(0, OTHER, b"another"))
    assert [(found.validator, found.kind) for found in effects.evidence] == [
        (LEADER, "equivocation")
    ]
    assert effects.halt is not None and effects.halt.reason == "changed_entry"
    assert engine.status().halted == "changed_entry"
    assert tell(engine, LEADER, append(0)).send == ()


def test_an_entry_that_is_not_the_one_acknowledged_before_a_crash_stops_us() -> None:
    records = (BlockRecord(1, BLOCK, b"a block"), AckedRecord(1, 0, HASH, RESULT.hash()))
    effects = tell(follower(*records), LEADER, append(0, OTHER, b"another"))
    assert effects.halt is not None and effects.halt.reason == "changed_entry"


def test_two_leaders_of_one_term_stop_us() -> None:
    """Rules A1, X5."""
    engine = follower()
    effects = tell(engine, KEYS[2], Heartbeat(1, 3, 1, ()))
    assert effects.halt is None
    effects = tell(engine, LEADER, Heartbeat(1, 3, 1, ()))
    assert effects.halt is not None and effects.halt.reason == "two_leaders"


def test_two_results_by_one_validator_are_evidence_and_count_once() -> None:
    """Rules A4, E2."""
    engine = leader()
    tell(engine, KEYS[0], acked(KEYS[0], 1))
    effects = tell(engine, KEYS[0], acked(KEYS[0], 1, b"x" * 32))
    assert [found.kind for found in effects.evidence] == ["equivocation"]
    assert effects.dropped == ("equivocation",)
    assert engine.status().committed_by == (KEYS[0],)


def test_acks_of_another_term_do_not_count() -> None:
    """Rule L3."""
    engine = leader()
    assert tell(engine, KEYS[0], acked(KEYS[0], 0)).dropped == ("ack_outdated",)
    assert tell(engine, KEYS[0], acked(KEYS[0], 2)).dropped == ("ack_of_another_leader",)
    assert engine.status().committed_by == ()


def test_a_vote_of_our_key_that_we_did_not_say_stops_us() -> None:
    """Rule X4."""
    ours = vote_request(KEYS[0], 4)
    effects = tell(follower(), KEYS[2], ours)
    assert effects.halt is not None and effects.halt.reason == "twin"


def test_a_leader_whose_entry_stays_refused_is_left() -> None:
    """Rule A5."""
    engine = follower()
    effects = tell(engine, LEADER, append(0))
    for _ in range(VALIDATIONS_PER_ROUND_MAX + 3):
        if any(isinstance(request, Validate) for request in effects.requests):
            engine.step(Validated(HASH, "time_ahead"))
        effects = tell(engine, LEADER, append(0))
    effects = tell(engine, LEADER, Heartbeat(1, 0, 5, (HASH,)))
    assert (effects.send, effects.timers) == ((), ())
    fired(engine, TimerKind.ELECTION, 0)
    assert engine.status().phase == "pre_vote"


def test_a_body_that_is_not_the_blocks_is_blamed_on_its_sender() -> None:
    engine = follower()
    tell(engine, LEADER, append(0, body=b"something else"))
    effects = engine.step(Validated(HASH, "body_mismatch"))
    assert [(fault.peer, fault.reason) for fault in effects.faults] == [(LEADER, "body_mismatch")]


def test_answers_to_questions_of_the_past_change_nothing() -> None:
    engine = follower()
    assert engine.step(Validated(HASH, "")).dropped == ("validation_not_asked",)
    assert engine.step(Executed(HASH, RESULT)).dropped == ("execution_replaced",)
    assert engine.step(BlockBuilt(1, 0, BLOCK, b"")).dropped == ("build_outdated",)
    assert engine.step(TransferAsked(LEADER)).dropped == ("transfer_refused",)
    assert fired(engine, TimerKind.HEARTBEAT, 0).dropped == ("timer_outdated",)
    assert fired(engine, TimerKind.ELECTION, 7).dropped == ("timer_outdated",)
    assert engine.step(TimerFired(Timer(TimerKind.RESEND, 9, 0))).dropped == ("timer_outdated",)
    assert engine.step(STARTED).dropped == ("height_not_new",)
    assert tell(engine, LEADER, HeartbeatReply(1, 0, 1, ())).dropped == ("reply_outdated",)
    assert tell(engine, KEYS[2], TimeoutNow(1, 0)).dropped == ("takeover_outdated",)
    assert tell(engine, LEADER, PreVoteReply(1, 1, 1)).dropped == ("pre_vote_outdated",)


def test_reads_that_wait_are_bounded() -> None:
    engine = leader()
    for context in range(READS_MAX):
        assert engine.step(ReadAsked(context)).reads == ()
    [refused] = engine.step(ReadAsked(READS_MAX)).reads
    assert (refused.context, refused.height) == (READS_MAX, None)


def test_a_validator_without_a_leader_answers_no_read() -> None:
    """Rule Q4."""
    [refused] = follower(TermRecord(1, 5, ())).step(ReadAsked(1)).reads
    assert refused.height is None


def test_a_follower_asks_its_leader_from_the_first_moment_of_a_height() -> None:
    """Rule Q4."""
    effects = follower().step(ReadAsked(1))
    assert effects.reads == ()
    assert [(send.to, send.message) for send in effects.send] == [(LEADER, ReadRequest(1, 1))]


def test_a_halted_validator_answers_no_read() -> None:
    for engine in (leader(), follower()):
        engine._core.halt("twin", "")
        [refused] = engine.step(ReadAsked(1)).reads
        assert refused.height is None


def test_terms_end_without_an_error() -> None:
    engine = follower(TermRecord(1, 2**32 - 1, ()))
    assert fired(engine, TimerKind.ELECTION, 2**32 - 1).dropped == ("terms_exhausted",)
    assert tell(engine, LEADER, TimeoutNow(1, 2**32 - 1)).dropped == ("takeover_outdated",)


def test_an_observer_takes_decisions_and_says_no_vote() -> None:
    """Rule D2."""
    engine = RaftEngine.recover(
        chain_id=CHAIN_ID,
        signer=None,
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(),
    )
    engine.start()
    assert tell(engine, LEADER, append(0)).dropped == ("observing",)
    assert engine.step(HeightStarted(3, VALIDATORS, HASH, HASH, 5, 0, LEADER)).send == ()
    assert engine.status().phase == "observing"


BLOCK_LOGGED = BlockRecord(1, BLOCK, b"a block")


@pytest.mark.parametrize(
    "records",
    [
        (AcceptedRecord(1, 0, HASH),),
        (AckedRecord(1, 0, HASH, HASH),),
        (BLOCK_LOGGED, AckedRecord(1, 3, HASH, HASH)),
        (BLOCK_LOGGED, AckedRecord(1, 0, HASH, HASH), AckedRecord(1, 0, HASH, HASH)),
        (
            BLOCK_LOGGED,
            AckedRecord(1, 0, HASH, HASH),
            TermRecord(1, 1, ()),
            AckedRecord(1, 1, HASH, b"x" * 32),
        ),
        (TermRecord(1, 2, (LEADER,)), TermRecord(1, 2, (KEYS[2],))),
        (TermRecord(1, 2, ()), TermRecord(1, 1, ())),
        (BLOCK_LOGGED, AppendedRecord(1, 0, HASH), AppendedRecord(1, 0, HASH)),
    ],
    ids=lambda records: "-".join(type(record).__name__ for record in records),
)
def test_a_log_that_no_raft_engine_wrote_is_refused(records: tuple[LogRecord, ...]) -> None:
    """Rule F2."""
    with pytest.raises(LogContradictionError):
        engine_of(0, *records)


TERMS = st.integers(0, 3)
HEIGHTS = st.integers(0, 4)
PEERS = st.sampled_from(KEYS)
INPUT = st.one_of(
    st.builds(append, TERMS, by=PEERS),
    st.builds(append, TERMS, st.just(OTHER), st.just(b"another"), PEERS),
    st.builds(acked, PEERS, TERMS),
    st.builds(
        lambda by, term, forced: vote_request(by, term, forced=forced),
        PEERS,
        TERMS,
        st.integers(0, 1),
    ),
    st.builds(Heartbeat, HEIGHTS, TERMS, TERMS, st.sampled_from(((), (HASH,)))),
    st.builds(HeartbeatReply, HEIGHTS, TERMS, TERMS, st.sampled_from(((), (HASH,)))),
    st.builds(PreVoteRequest, HEIGHTS, TERMS, st.sampled_from(((), (0,), (2,)))),
    st.builds(PreVoteReply, HEIGHTS, TERMS, st.integers(0, 1)),
    st.builds(TimeoutNow, HEIGHTS, TERMS),
    st.builds(Status, HEIGHTS, TERMS),
)
ANSWERS = st.sampled_from(
    (
        Validated(HASH, ""),
        Validated(HASH, "refused"),
        Executed(HASH, RESULT),
        WorkAvailable(),
        ReadAsked(1),
        TransferAsked(KEYS[2]),
        *(TimerFired(Timer(kind, 1, term)) for kind in TimerKind for term in range(4)),
    )
)


@given(st.integers(0, 2), st.lists(st.tuples(PEERS, INPUT) | ANSWERS, max_size=30))
def test_no_input_makes_an_engine_raise_or_break(place: int, inputs: list[object]) -> None:
    engine = engine_of(place)
    engine.start()
    for item in inputs:
        if isinstance(item, tuple):
            peer, message = item
            effects = engine.step(Received(peer, message))
        else:
            effects = engine.step(item)  # type: ignore[arg-type]  # one of ANSWERS
        engine.check_invariants()
        for request in effects.requests:
            if isinstance(request, Build) and request.proposer == LEADER:
                header = make_header(request, b"built", STARTED.parent_time_ms + 9)
                engine.step(BlockBuilt(request.height, request.round, header, b"built"))

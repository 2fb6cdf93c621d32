"""Decisions that are shown to a Raft engine, and what it shows once it has one."""

from __future__ import annotations

import msgspec
import pytest

from consensus.engine import (
    BODY_MISMATCH,
    Received,
    TimerKind,
    Validate,
    Validated,
)
from consensus.messages import (
    DecidedMessage,
    Message,
)
from consensus.raft.engine import RaftEngine
from consensus.raft.messages import (
    Decision,
    Heartbeat,
    PreVoteRequest,
    TermRecord,
    ack_bytes,
)
from medquorum.certificate import make_certificate
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    genesis_started,
    sign,
    validator_set,
    verify,
)
from tests.support.lone_raft import (
    BLOCK,
    BODY,
    HASH,
    KEYS,
    LEADER,
    RESULT,
    TIMING,
    ack,
    append,
    certificate,
    decided_engine,
    engine_of,
    fired,
    header_for,
    said,
    tell,
)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Decision(1, certificate(1)), "decided_certificate"),
        (DecidedMessage(1, header_for(2), BODY, certificate(1, 2)), "decided_block"),
        (
            Decision(
                1,
                make_certificate(
                    engine="pbft",
                    height=1,
                    round_=0,
                    block_hash=HASH,
                    result_hash=RESULT.hash(),
                    votes={1: bytes(65), 2: bytes(65)},
                    n=3,
                ),
            ),
            "decided_certificate",
        ),
    ],
)
def test_a_certificate_that_does_not_hold_decides_nothing(message: Message, reason: str) -> None:
    """Rule D1."""
    effects = tell(engine_of(0), LEADER, message)
    assert [fault.reason for fault in effects.faults] == [reason]


def test_who_has_decided_shows_it_and_does_nothing_else() -> None:
    """Rule D2."""
    engine = decided_engine()
    assert engine.status().phase == "decided"
    assert fired(engine, TimerKind.ELECTION).dropped == ("decided",)
    assert said(tell(engine, KEYS[2], Heartbeat(1, 0, 1, ())), DecidedMessage) == [KEYS[2]]
    assert tell(engine, KEYS[2], ack(KEYS[2], 0)).send == ()
    assert tell(engine, LEADER, Decision(1, certificate(1, 2))).dropped == ("decided",)


def test_the_block_of_a_decision_may_come_as_an_entry() -> None:
    """Rules D2, D3."""
    engine = engine_of(0)
    tell(engine, LEADER, Decision(1, certificate(1, 2)))
    assert engine.status().phase == "catching_up_execution"
    assert tell(engine, KEYS[2], PreVoteRequest(1, 1, ())).send == ()
    effects = tell(engine, LEADER, append(0))
    assert [type(request) for request in effects.requests] == [Validate]


def test_a_false_body_of_a_decided_block_is_blamed_and_another_one_taken() -> None:
    """Rule D3."""
    engine = engine_of(0)
    shown = DecidedMessage(1, BLOCK, b"false", certificate(1, 2))
    tell(engine, LEADER, shown)
    effects = engine.step(Validated(HASH, BODY_MISMATCH))
    assert [fault.peer for fault in effects.faults] == [LEADER]
    effects = tell(engine, KEYS[2], DecidedMessage(1, BLOCK, BODY, certificate(1, 2)))
    assert [type(request) for request in effects.requests] == [Validate]


def test_an_answer_from_before_the_certificate_stops_nobody() -> None:
    """Rule X3."""
    engine = engine_of(0)
    tell(engine, LEADER, append(0))
    tell(engine, LEADER, Decision(1, certificate(1, 2)))
    effects = engine.step(Validated(HASH, "clock"))
    assert effects.halt is None
    effects = engine.step(Validated(HASH, ""))
    assert effects.halt is None


def test_a_second_leader_of_a_term_is_not_followed() -> None:
    """Rules A1, X5."""
    engine = engine_of(0, TermRecord(1, 2, ()))
    tell(engine, LEADER, Heartbeat(1, 2, 1, ()))
    effects = tell(engine, KEYS[2], append(2, by=KEYS[2]))
    assert effects.halt is not None
    assert effects.halt.reason == "two_leaders"
    assert effects.requests == ()


def test_a_shown_decision_whose_certificate_does_not_hold_brings_no_block() -> None:
    """Rule D1."""
    engine = engine_of(0)
    effects = tell(engine, LEADER, DecidedMessage(1, BLOCK, BODY, certificate(1)))
    assert [fault.reason for fault in effects.faults] == ["decided_certificate"]
    assert effects.requests == ()


def test_an_entry_other_than_the_decided_block_is_answered_with_the_decision() -> None:
    """Rule D2."""
    other = msgspec.structs.replace(BLOCK, time_ms=BLOCK.time_ms + 1)
    effects = tell(decided_engine(), KEYS[2], append(3, other, by=KEYS[2]))
    assert said(effects, DecidedMessage) == [KEYS[2]]


def test_a_validator_alone_that_lost_its_log_stops_and_asks_nobody() -> None:
    """Rule X4."""
    alone = validator_set(1)
    started = genesis_started(alone)
    engine = RaftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(KEYS[0]),
        verify=verify,
        timing=TIMING,
        started=started,
        records=(),
    )
    engine.start()
    signature = sign(KEYS[0], ack_bytes(CHAIN_ID, 1, 0, HASH, RESULT.hash()))
    shown = make_certificate(
        engine="raft",
        height=1,
        round_=0,
        block_hash=HASH,
        result_hash=RESULT.hash(),
        votes={0: signature},
        n=1,
    )
    effects = engine.step(Received(KEYS[2], Decision(1, shown)))
    assert effects.halt is not None
    assert effects.halt.reason == "twin"
    assert effects.send == ()

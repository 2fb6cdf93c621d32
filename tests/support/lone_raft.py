"""One Raft engine at height 1 of three validators, and whatever a test wants it to hear."""

from __future__ import annotations

from dataclasses import replace

from consensus.engine import (
    Build,
    Effects,
    Executed,
    HeightStarted,
    Received,
    Timer,
    TimerFired,
    TimerKind,
    Timing,
    Validated,
)
from consensus.messages import DecidedMessage, LogRecord, Message
from consensus.raft.engine import RaftEngine
from consensus.raft.messages import (
    Ack,
    Append,
    Grant,
    PreVoteReply,
    ack_bytes,
    append_bytes,
    ballot_bytes,
)
from medquorum.block import Header
from medquorum.certificate import CommitCertificate, make_certificate
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
TIMING = Timing()
BODY = b"a block"


def header_for(height: int) -> Header:
    """A header of a height."""
    request = Build(
        height, 0, LEADER, STARTED.parent_hash, STARTED.parent_result_hash, VALIDATORS.hash(), 1
    )
    return make_header(request, BODY, STARTED.parent_time_ms + 5)


BLOCK = header_for(1)
HASH = BLOCK.hash()
RESULT = make_result(HASH, VALIDATORS)
OTHER_RESULT = make_result(HASH, VALIDATORS, b"salt")


def engine_of(place: int, *records: LogRecord) -> RaftEngine:
    """An engine at height 1, with what is in its log, started."""
    engine = RaftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(KEYS[place]),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=records,
    )
    engine.start()
    return engine


def append(term: int, header: Header = BLOCK, by: bytes = LEADER) -> Append:
    """An entry."""
    signature = sign(by, append_bytes(CHAIN_ID, header.height, term, header.hash()))
    return Append(header.height, term, by, header, BODY, signature)


def ack(by: bytes, term: int) -> Ack:
    """An ack with the true result."""
    signature = sign(by, ack_bytes(CHAIN_ID, 1, term, HASH, RESULT.hash()))
    return Ack(1, term, by, HASH, RESULT.hash(), signature)


def certificate(*places: int, term: int = 0) -> CommitCertificate:
    """A certificate of these validators."""
    return make_certificate(
        engine="raft",
        height=1,
        round_=term,
        block_hash=HASH,
        result_hash=RESULT.hash(),
        votes={place: ack(KEYS[place], term).signature for place in places},
        n=len(KEYS),
    )


def tell(engine: RaftEngine, peer: bytes, *messages: Message) -> Effects:
    """The effects of the last of these messages."""
    for message in messages:
        effects = engine.step(Received(peer, message))
        engine.check_invariants()
    return effects


def fired(engine: RaftEngine, kind: TimerKind, term: int = 0) -> Effects:
    """The effects of a timer."""
    return engine.step(TimerFired(Timer(kind, 1, term)))


def said(effects: Effects, kind: type) -> list[bytes | None]:
    """Who was told something of this kind."""
    return [send.to for send in effects.send if isinstance(send.message, kind)]


def elected(*records: LogRecord, term: int = 1) -> RaftEngine:
    """v1, elected with v0's vote."""
    engine = engine_of(1, *records)
    fired(engine, TimerKind.ELECTION, term - 1)
    tell(engine, KEYS[0], PreVoteReply(1, term, 1))
    signature = sign(KEYS[0], ballot_bytes(CHAIN_ID, 1, term, LEADER))
    tell(engine, KEYS[0], Grant(1, term, KEYS[0], LEADER, signature))
    assert engine.status().proposer == LEADER
    return engine


def next_height(proposer: bytes = LEADER) -> HeightStarted:
    """The start of height 2, after a block of this proposer."""
    return replace(
        STARTED, height=2, parent_hash=HASH, parent_time_ms=BLOCK.time_ms, parent_proposer=proposer
    )


def decided_engine() -> RaftEngine:
    """An engine that has handed out the decision of height 1."""
    engine = engine_of(0)
    tell(engine, LEADER, DecidedMessage(1, BLOCK, BODY, certificate(1, 2)))
    engine.step(Validated(HASH, ""))
    effects = engine.step(Executed(HASH, RESULT))
    assert effects.decided is not None
    return engine

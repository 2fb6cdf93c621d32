"""Two ballots in one term, and two certificates of one height, convict whoever signed both."""

from __future__ import annotations

from consensus.engine import Effects, Engine, HeightStarted, Received, Timing
from consensus.messages import Message
from consensus.raft.engine import RaftEngine
from consensus.raft.messages import (
    Decision,
    Grant,
    PreVoteReply,
    VoteRequest,
    ack_bytes,
    ballot_bytes,
)
from consensus.statements import evidence_of
from medquorum.certificate import CommitCertificate, make_certificate
from medquorum.evidence import contradiction
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    genesis_started,
    sign,
    validator_set,
    verify,
)

VALIDATORS = validator_set(3)
KEYS = tuple(validator.key for validator in VALIDATORS.validators)
STARTED: HeightStarted = genesis_started(VALIDATORS)
LEADER = KEYS[1]
HASH, OTHER, RESULT = b"\x11" * 32, b"\x22" * 32, b"\x33" * 32


def engine_of(place: int) -> RaftEngine:
    engine = RaftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(KEYS[place]),
        verify=verify,
        timing=Timing(),
        started=STARTED,
        records=(),
    )
    engine.start()
    return engine


def tell(engine: Engine, peer: bytes, *messages: Message) -> Effects:
    """The effects of the last message. What convicts is checked by the other rules."""
    for message in messages:
        effects = engine.step(Received(peer, message))
        engine.check_invariants()
    for piece in effects.evidence:
        made = evidence_of(piece)
        assert contradiction(made.first, made.second) == piece.kind
    return effects


def vote_request(by: bytes, term: int) -> VoteRequest:
    return VoteRequest(1, term, by, (), 0, sign(by, ballot_bytes(CHAIN_ID, 1, term, by)))


def grant(by: bytes, term: int, candidate: bytes) -> Grant:
    return Grant(1, term, by, candidate, sign(by, ballot_bytes(CHAIN_ID, 1, term, candidate)))


def test_two_ballots_in_one_term_convict_and_the_second_does_not_count() -> None:
    engine = engine_of(1)
    engine.start()
    tell(engine, KEYS[2], PreVoteReply(1, 1, 1))
    effects = tell(engine, KEYS[0], vote_request(KEYS[0], 1), grant(KEYS[0], 1, LEADER))
    assert [(found.validator, found.kind) for found in effects.evidence] == [
        (KEYS[0], "equivocation")
    ]
    assert effects.dropped == ("equivocation",)
    assert engine.status().proposer != LEADER


def test_a_ballot_for_ourselves_and_one_for_another_convict_in_either_order() -> None:
    engine = engine_of(0)
    tell(engine, LEADER, grant(LEADER, 4, KEYS[2]))
    effects = tell(engine, LEADER, vote_request(LEADER, 4))
    assert [found.kind for found in effects.evidence] == ["equivocation"]
    assert effects.send == ()


def test_ballots_of_different_terms_convict_nobody() -> None:
    engine = engine_of(0)
    effects = tell(
        engine, LEADER, vote_request(LEADER, 4), grant(LEADER, 5, KEYS[2]), vote_request(LEADER, 6)
    )
    assert effects.evidence == ()


def certificate(block_hash: bytes, term: int = 0) -> CommitCertificate:
    message = ack_bytes(CHAIN_ID, 1, term, block_hash, RESULT)
    return make_certificate(
        engine="raft",
        height=1,
        round_=term,
        block_hash=block_hash,
        result_hash=RESULT,
        votes={place: sign(KEYS[place], message) for place in (1, 2)},
        n=3,
    )


def test_two_certificates_of_one_height_convict_who_signed_both_and_stop_us() -> None:
    engine = engine_of(0)
    tell(engine, LEADER, Decision(1, certificate(HASH)))
    effects = tell(engine, LEADER, Decision(1, certificate(OTHER)))
    assert {(found.validator, found.kind) for found in effects.evidence} == {
        (KEYS[1], "equivocation"),
        (KEYS[2], "equivocation"),
    }
    assert effects.halt is not None and effects.halt.reason == "two_certificates"

"""Whatever peers send: the engine neither raises, nor grows, nor is talked into a fault."""

from __future__ import annotations

import pytest

from consensus.engine import (
    BODY_MISMATCH,
    CatchUp,
    Effects,
    Event,
    Execute,
    Executed,
    HeightStarted,
    Received,
    Send,
    Timer,
    TimerFired,
    TimerKind,
    Validate,
    Validated,
    WorkAvailable,
)
from consensus.limits import (
    COMMITS_PER_SIGNER_MAX,
    FUTURE_MESSAGES_PER_PEER_MAX,
    REPLIES_PER_PEER_MAX,
    VALIDATIONS_PER_ROUND_MAX,
)
from consensus.messages import (
    NO_JUSTIFICATION,
    BlockRequest,
    BlockResponse,
    Commit,
    DecidedMessage,
    Justification,
    Prepare,
    Prepared,
    Proposal,
    RoundChange,
    RoundChangeEntry,
    RoundProof,
    Status,
    commit_bytes,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft.engine import PbftEngine
from consensus.pbft.future import FutureVotes
from consensus.pbft.members import Members
from consensus.pbft.proofs import make_prepared
from consensus.pbft.tally import CommitTally
from medquorum.certificate import make_certificate
from tests.support.engine_lies import Forger
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    genesis_started,
    make_result,
    sign,
    validator_set,
    verify,
)
from tests.support.engines import TIMING

VALIDATORS = validator_set(4)
MEMBERS = Members.of(VALIDATORS)
STARTED = genesis_started(VALIDATORS)
V0, V1, V2, V3 = MEMBERS.keys


class _Proposer:
    key = V1
    started = STARTED


BODY = b"a body"
HEADER = Forger(MEMBERS, {}).header(_Proposer, 1, 0, BODY)
BLOCK = HEADER.hash()
RESULT = make_result(BLOCK, VALIDATORS)
PROPOSAL = Proposal(
    1,
    0,
    V1,
    HEADER,
    BODY,
    NO_JUSTIFICATION,
    sign(V1, proposal_bytes(CHAIN_ID, 1, 0, BLOCK)),
)


def make_engine(key: bytes | None = V0) -> PbftEngine:
    return PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=None if key is None else TestSigner(key),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(),
    )


def prepare(key: bytes, height: int = 1, round_: int = 0, block: bytes = BLOCK) -> Prepare:
    signature = sign(key, prepare_bytes(CHAIN_ID, height, round_, block))
    return Prepare(height, round_, key, block, signature)


def commit(key: bytes, round_: int = 0, result: bytes = RESULT.hash()) -> Commit:
    signature = sign(key, commit_bytes(CHAIN_ID, 1, round_, BLOCK, result))
    return Commit(1, round_, key, BLOCK, result, signature)


def wish(key: bytes, round_: int) -> RoundChange:
    return RoundChange(
        1, round_, key, (), (), sign(key, round_change_bytes(CHAIN_ID, 1, round_, ()))
    )


def decided(body: bytes = BODY) -> DecidedMessage:
    votes = {MEMBERS.position[key]: commit(key).signature for key in (V1, V2, V3)}
    certificate = make_certificate(
        engine="pbft",
        height=1,
        round_=0,
        block_hash=BLOCK,
        result_hash=RESULT.hash(),
        votes=votes,
        n=4,
    )
    return DecidedMessage(1, HEADER, body, certificate)


def tick(engine: PbftEngine, height: int = 1) -> Effects:
    return engine.step(TimerFired(Timer(TimerKind.RESEND, height, 0)))


def asked(effects: Effects, kind: type) -> list[object]:
    return [request for request in effects.requests if isinstance(request, kind)]


def test_votes_of_strangers_are_blamed_on_who_brings_them() -> None:
    stranger = b"\x01" + bytes(32)
    effects = make_engine().step(Received(V2, prepare(stranger)))
    assert [(fault.peer, fault.reason) for fault in effects.faults] == [(V2, "not_a_validator")]


@pytest.mark.parametrize(
    ("height", "round_"), [(1, 2**32 - 1), (2, 0), (3, 0), (2**53 - 1, 7), (0, 0)]
)
def test_votes_from_far_away_change_nothing(height: int, round_: int) -> None:
    engine = make_engine()
    before = engine.status()
    for key in (V1, V2, V3):
        effects = engine.step(Received(key, prepare(key, height, round_)))
        assert effects.persist == ()
    after = engine.status()
    assert (after.height, after.round, after.phase) == (before.height, before.round, "idle")


def test_a_body_that_is_not_the_headers_is_blamed_and_another_one_taken() -> None:
    """Rule P5."""
    engine = make_engine()
    relayed = Proposal(1, 0, V1, HEADER, b"other", NO_JUSTIFICATION, PROPOSAL.signature)
    engine.step(Received(V2, relayed))
    effects = engine.step(Validated(BLOCK, BODY_MISMATCH))
    assert [(fault.peer, fault.reason) for fault in effects.faults] == [(V2, BODY_MISMATCH)]
    assert len(asked(engine.step(Received(V1, PROPOSAL)), Validate)) == 1
    effects = engine.step(Validated(BLOCK, ""))
    assert isinstance(effects.send[0].message, Prepare)


def test_an_invalid_block_is_not_validated_for_ever() -> None:
    """Rule P5."""
    engine = make_engine()
    count = 0
    for _ in range(3 * VALIDATIONS_PER_ROUND_MAX):
        count += len(asked(engine.step(Received(V1, PROPOSAL)), Validate))
        engine.step(Validated(BLOCK, "time_ahead"))
    assert count == VALIDATIONS_PER_ROUND_MAX


def test_a_false_body_of_a_decided_block_halts_nobody() -> None:
    engine = make_engine()
    assert len(asked(engine.step(Received(V2, decided(b"other"))), Validate)) == 1
    effects = engine.step(Validated(BLOCK, BODY_MISMATCH))
    assert effects.halt is None
    assert [(fault.peer, fault.reason) for fault in effects.faults] == [(V2, BODY_MISMATCH)]
    requests = [send for send in tick(engine).send if isinstance(send.message, BlockRequest)]
    assert len(requests) == 1
    engine.step(Received(V3, BlockResponse(1, HEADER, BODY)))
    engine.step(Validated(BLOCK, ""))
    effects = engine.step(Executed(BLOCK, RESULT))
    assert effects.decided is not None


def test_an_answer_from_before_the_certificate_halts_nobody() -> None:
    """Rule X3."""
    engine = make_engine()
    engine.step(Received(V1, PROPOSAL))
    again = engine.step(Received(V2, decided()))
    assert [getattr(request, "certified", None) for request in again.requests] == [True]
    effects = engine.step(Validated(BLOCK, "time_ahead"))
    assert effects.halt is None
    assert len(asked(effects, Validate)) == 1
    effects = engine.step(Validated(BLOCK, "bad_transaction"))
    assert effects.halt is not None
    assert effects.halt.reason == "certified_block_refused"


def test_a_decision_needs_a_certificate_for_its_block() -> None:
    """Rule C4."""
    honest = decided()
    certificate = honest.certificate
    unsigned = make_certificate(
        engine="pbft",
        height=1,
        round_=0,
        block_hash=BLOCK,
        result_hash=RESULT.hash(),
        votes=dict.fromkeys((1, 2, 3), certificate.signatures[0]),
        n=4,
    )
    engine = make_engine()
    effects = engine.step(Received(V2, DecidedMessage(1, HEADER, BODY, unsigned)))
    assert [fault.reason for fault in effects.faults] == ["decided_certificate"]
    assert engine.status().phase == "idle"


def test_answers_to_a_peer_are_counted_until_the_next_tick() -> None:
    """Rule H4."""
    engine = make_engine()
    engine.step(Received(V2, decided()))
    engine.step(Validated(BLOCK, ""))
    for _ in range(2):
        answers = [engine.step(Received(V3, Status(1, 0))).send for _ in range(50)]
        assert sum(len(sends) for sends in answers) == REPLIES_PER_PEER_MAX
        tick(engine)


def test_a_peer_far_ahead_is_followed_and_one_ahead_by_one_is_asked_first() -> None:
    """Rules H2, H3."""
    engine = make_engine()
    far = engine.step(Received(V3, Status(5, 0)))
    assert far.requests == (CatchUp(V3, 4),)
    engine.step(Received(V2, Status(2, 0)))
    first = tick(engine)
    assert [(send.to, send.message) for send in first.send[:1]] == [(V2, Status(1, 0))]
    assert first.requests == ()
    engine.step(Received(V2, Status(2, 0)))
    assert tick(engine).requests == (CatchUp(V2, 1),)


def test_the_waiting_room_for_the_next_height_is_small() -> None:
    """Rule H2."""
    room = FutureVotes()
    votes = [prepare(V1, 2, round_) for round_ in range(50)]
    assert [room.add(vote) for vote in votes].count(True) == FUTURE_MESSAGES_PER_PEER_MAX
    body = bytes(1 << 20)
    for number in range(200):
        key = b"\x01" + number.to_bytes(32, "big")
        room.add(Proposal(2, 0, key, HEADER, body, NO_JUSTIFICATION, PROPOSAL.signature))
    kept = room.take(2)
    assert sum(len(vote.body) for vote in kept if isinstance(vote, Proposal)) <= 8 << 20
    assert room.take(2) == ()


def test_votes_of_the_next_height_are_counted_when_it_starts() -> None:
    """Rule H2."""
    engine = make_engine()
    for key in (V1, V2, V3):
        assert engine.step(Received(key, prepare(key, height=2))).send == ()
    engine.step(HeightStarted(2, VALIDATORS, BLOCK, RESULT.hash(), HEADER.time_ms, 0))
    assert engine.status().prepared_by == tuple(sorted((V1, V2, V3)))


def test_commits_of_one_signer_are_bounded_and_the_newest_stay() -> None:
    """Rule C3."""
    tally = CommitTally()
    for round_ in range(100):
        assert tally.add(commit(V1, round_))
        assert not tally.add(commit(V1, round_))
    assert not tally.add(commit(V1, 3))
    assert sorted(vote.round for vote in tally.of(V1)) == [96, 97, 98, 99]
    assert len(tally.of(V1)) == COMMITS_PER_SIGNER_MAX
    assert tally.signatures(50, BLOCK, RESULT.hash()) == {}


def test_a_commit_and_a_wish_that_denies_it_convict_in_either_order() -> None:
    """Rule E2."""
    for first, second in ((commit(V1, 2), wish(V1, 3)), (wish(V1, 3), commit(V1, 2))):
        engine = make_engine()
        assert engine.step(Received(V1, first)).evidence == ()
        (evidence,) = engine.step(Received(V1, second)).evidence
        assert (evidence.validator, evidence.kind) == (V1, "amnesia")
        assert evidence.first < evidence.second


def test_two_results_of_one_block_convict_across_rounds() -> None:
    """Rule E3."""
    engine = make_engine()
    engine.step(Received(V1, commit(V1, 0)))
    (evidence,) = engine.step(Received(V1, commit(V1, 1, bytes(32)))).evidence
    assert evidence.kind == "two_results"


def test_whoever_signed_another_result_than_the_certified_one_is_named_once() -> None:
    engine, other = make_engine(), bytes(32)
    assert engine.step(Received(V1, commit(V1, 1, other))).diverging == ()
    assert engine.step(Received(V3, decided())).diverging == (V1,)
    late = [engine.step(Received(V2, commit(V2, round_, other))).diverging for round_ in (1, 2)]
    assert late == [(V2,), ()]
    assert engine.step(Received(V3, commit(V3))).diverging == ()


def test_our_own_vote_in_a_certificate_that_we_never_cast_halts() -> None:
    """Rule X4."""
    engine = make_engine(V1)
    effects = engine.step(Received(V2, decided()))
    assert effects.halt is not None
    assert effects.halt.reason == "twin"
    assert engine.step(WorkAvailable()).dropped == ("halted",)


def test_an_observer_follows_and_says_nothing() -> None:
    engine = make_engine(None)
    said: list[Send] = []
    events: list[Event] = [
        Received(V1, PROPOSAL),
        Validated(BLOCK, ""),
        *(Received(key, prepare(key)) for key in (V1, V2, V3)),
        *(Received(key, wish(key, 1)) for key in (V1, V2, V3)),
        *(Received(key, commit(key)) for key in (V1, V2, V3)),
        Executed(BLOCK, RESULT),
    ]
    for event in events:
        effects = engine.step(event)
        assert effects.persist == ()
        said.extend(effects.send)
    assert said == []
    assert effects.decided is not None


def test_a_decided_block_goes_before_every_other_execution() -> None:
    """Rule C1."""
    engine = make_engine()
    engine.step(Received(V1, PROPOSAL))
    assert len(asked(engine.step(Validated(BLOCK, "")), Execute)) == 1
    assert engine.step(Executed(b"x" * 32, RESULT)).dropped == ("execution_replaced",)
    for key in (V1, V2, V3):
        effects = engine.step(Received(key, commit(key)))
    assert effects.requests == ()
    assert engine.step(Executed(BLOCK, RESULT)).decided is not None


def test_a_proof_whose_block_is_kept_back_does_not_shut_out_another() -> None:
    """V3 claims a block that nobody hands out, then somebody brings a proof without that claim."""
    message = prepare_bytes(CHAIN_ID, 1, 0, BLOCK)
    certificate = make_prepared(
        MEMBERS, 0, BLOCK, {key: sign(key, message) for key in (V1, V2, V3)}
    )
    claims = (Prepared(0, BLOCK),)
    claim = RoundChangeEntry(V3, claims, sign(V3, round_change_bytes(CHAIN_ID, 1, 1, claims)))
    entries = (wish(V1, 1).entry(), wish(V2, 1).entry())
    engine = make_engine()
    held_back = RoundProof(1, 1, Justification((*entries, claim), (certificate,)))
    effects = engine.step(Received(V3, held_back))
    assert [type(send.message) for send in effects.send] == [BlockRequest]
    assert engine.status().round == 0
    open_proof = RoundProof(1, 1, Justification((*entries, wish(V3, 1).entry()), ()))
    engine.step(Received(V2, open_proof))
    assert engine.status().round == 1

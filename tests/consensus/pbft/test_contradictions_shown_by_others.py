"""A liar that tells everybody something else is convicted by what the others make of it."""

from __future__ import annotations

from consensus.engine import Evidence, Executed, HeightStarted, Received, Validated
from consensus.messages import (
    NO_JUSTIFICATION,
    Commit,
    DecidedMessage,
    Justification,
    Message,
    Prepare,
    Prepared,
    Proposal,
    RoundChange,
    RoundProof,
    commit_bytes,
    decode_message,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft.engine import PbftEngine
from consensus.pbft.members import Members
from consensus.pbft.proofs import make_prepared
from consensus.statements import evidence_of
from medquorum.certificate import make_certificate
from medquorum.evidence import contradiction
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
OTHER = b"\x55" * 32


class _Proposer:
    key = V1
    started = STARTED


BODY = b"a body"
HEADER = Forger(MEMBERS, {}).header(_Proposer, 1, 0, BODY)
BLOCK = HEADER.hash()
RESULT = make_result(BLOCK, VALIDATORS).hash()


def engine() -> PbftEngine:
    return PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(V0),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(),
    )


def prepare(key: bytes, block: bytes = BLOCK) -> Prepare:
    return Prepare(1, 0, key, block, sign(key, prepare_bytes(CHAIN_ID, 1, 0, block)))


def commit(key: bytes, block: bytes = BLOCK, result: bytes = RESULT, round_: int = 0) -> Commit:
    signature = sign(key, commit_bytes(CHAIN_ID, 1, round_, block, result))
    return Commit(1, round_, key, block, result, signature)


def wish(key: bytes, round_: int, *claims: Prepared) -> RoundChange:
    signature = sign(key, round_change_bytes(CHAIN_ID, 1, round_, claims))
    return RoundChange(1, round_, key, claims, (), signature)


def decided() -> DecidedMessage:
    votes = {MEMBERS.position[key]: commit(key).signature for key in (V1, V2, V3)}
    certificate = make_certificate(
        engine="pbft",
        height=1,
        round_=0,
        block_hash=BLOCK,
        result_hash=RESULT,
        votes=votes,
        n=4,
    )
    return DecidedMessage(1, HEADER, BODY, certificate)


def told(peer_engine: PbftEngine, *messages: tuple[bytes, Message]) -> list[tuple[bytes, str]]:
    """(who, of what) is convicted by these messages, each conviction checked by the other rules."""
    found: list[Evidence] = []
    for peer, message in messages:
        found += peer_engine.step(Received(peer, message)).evidence
        peer_engine.check_invariants()
    for piece in found:
        made = evidence_of(piece)
        assert contradiction(made.first, made.second) == piece.kind
        assert decode_message(piece.first) != decode_message(piece.second)
    return [(piece.validator, piece.kind) for piece in found]


def test_a_commit_that_the_certificate_contradicts_convicts() -> None:
    lie = commit(V1, OTHER)
    assert told(engine(), (V1, lie), (V2, decided())) == [(V1, "equivocation")]
    another_result = commit(V1, result=OTHER, round_=1)
    assert told(engine(), (V1, another_result), (V2, decided())) == [(V1, "two_results")]


def test_a_commit_that_the_certificate_confirms_convicts_nobody() -> None:
    assert told(engine(), (V1, commit(V1)), (V2, decided())) == []
    assert told(engine(), (V1, commit(V1, round_=1)), (V2, decided())) == []


def test_a_wish_that_denies_a_commit_of_the_certificate_convicts() -> None:
    assert told(engine(), (V3, wish(V3, 1)), (V2, decided())) == [(V3, "amnesia")]


def test_a_prepare_that_a_claim_of_somebody_else_contradicts_convicts() -> None:
    signatures = {key: prepare(key, OTHER).signature for key in (V1, V2, V3)}
    claim = make_prepared(MEMBERS, 0, OTHER, signatures)
    honest = RoundChange(
        1,
        1,
        V2,
        (Prepared(0, OTHER),),
        (claim,),
        sign(V2, round_change_bytes(CHAIN_ID, 1, 1, (Prepared(0, OTHER),))),
    )
    assert told(engine(), (V1, prepare(V1)), (V2, honest)) == [(V1, "equivocation")]


def test_a_wish_that_a_justification_contradicts_convicts() -> None:
    claimed = wish(V1, 1, Prepared(0, OTHER))
    entries = tuple(wish(key, 1).entry() for key in (V1, V2, V3))
    proof = RoundProof(1, 1, Justification(entries, ()))
    signatures = {key: prepare(key, OTHER).signature for key in (V1, V2, V3)}
    certificate = (make_prepared(MEMBERS, 0, OTHER, signatures),)
    claimed = RoundChange(1, 1, V1, claimed.prepared, certificate, claimed.signature)
    assert told(engine(), (V1, claimed), (V2, proof)) == [(V1, "equivocation")]
    assert told(engine(), (V3, commit(V3)), (V2, proof)) == [(V3, "amnesia")]


def test_what_comes_after_the_decision_still_convicts() -> None:
    header = Forger(MEMBERS, {}).header(_Proposer, 1, 1, b"other")
    proposals = [
        Proposal(
            1,
            0,
            V1,
            made,
            body,
            NO_JUSTIFICATION,
            sign(V1, proposal_bytes(CHAIN_ID, 1, 0, made.hash())),
        )
        for made, body in ((HEADER, BODY), (header, b"other"))
    ]
    late = engine()
    before: list[tuple[bytes, Message]] = [
        (V1, proposals[0]),
        (V2, prepare(V2)),
        (V3, commit(V3)),
        (V2, decided()),
    ]
    assert told(late, *before) == []
    after: list[tuple[bytes, Message]] = [
        (V1, proposals[1]),
        (V2, prepare(V2, OTHER)),
        (V3, commit(V3, OTHER)),
    ]
    assert told(late, *after) == [(key, "equivocation") for key in (V1, V2, V3)]
    assert told(late, *after) == []


def test_the_next_height_begins_with_a_clean_slate() -> None:
    peer = engine()
    told(peer, (V3, commit(V3)), (V2, decided()))
    peer.step(Validated(BLOCK, ""))
    peer.step(Executed(BLOCK, make_result(BLOCK, VALIDATORS)))
    peer.step(HeightStarted(2, VALIDATORS, BLOCK, RESULT, HEADER.time_ms, 0))
    assert told(peer, (V3, commit(V3, OTHER))) == []

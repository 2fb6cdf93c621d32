"""One PBFT engine at height 1 of four validators, and whatever a test wants it to hear."""

from __future__ import annotations

from consensus.engine import (
    Build,
    Effects,
    Received,
    Timer,
    TimerFired,
    TimerKind,
)
from consensus.messages import (
    NO_JUSTIFICATION,
    Commit,
    DecidedMessage,
    Justification,
    LogRecord,
    Message,
    Prepare,
    Prepared,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundProof,
    commit_bytes,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft.engine import PbftEngine
from consensus.pbft.members import Members
from consensus.pbft.proofs import make_prepared
from medquorum.block import Header
from medquorum.certificate import make_certificate
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
from tests.support.engines import TIMING

VALIDATORS = validator_set(4)
MEMBERS = Members.of(VALIDATORS)
V0, V1, V2, V3 = MEMBERS.keys
STARTED = genesis_started(VALIDATORS)


def block_of(proposer: bytes, body: bytes) -> Header:
    """A header of height 1."""
    request = Build(
        *(1, 0, proposer, STARTED.parent_hash, STARTED.parent_result_hash, MEMBERS.set_hash),
        STARTED.parent_time_ms + 1,
    )
    return make_header(request, body, 0)


BODY = b"a body"
HEADER = block_of(V1, BODY)
HASH = HEADER.hash()
RESULT = make_result(HASH, VALIDATORS)


def engine_of(key: bytes = V0, *records: LogRecord) -> PbftEngine:
    """An engine at height 1, with what is in its log, started."""
    engine = PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(key),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=records,
    )
    engine.start()
    return engine


def tell(engine: PbftEngine, peer: bytes, *messages: Message) -> Effects:
    """The effects of the last of these messages."""
    for message in messages:
        effects = engine.step(Received(peer, message))
        engine.check_invariants()
    return effects


def fired(engine: PbftEngine, kind: TimerKind, round_: int = 0) -> Effects:
    """The effects of a timer."""
    return engine.step(TimerFired(Timer(kind, 1, round_)))


def proposal(
    round_: int = 0,
    by: bytes = V1,
    header: Header = HEADER,
    proof: Justification = NO_JUSTIFICATION,
) -> Proposal:
    """A proposal."""
    signature = sign(by, proposal_bytes(CHAIN_ID, 1, round_, header.hash()))
    return Proposal(1, round_, by, header, BODY, proof, signature)


def prepare(key: bytes, round_: int = 0, block: bytes = HASH) -> Prepare:
    """A PREPARE."""
    return Prepare(1, round_, key, block, sign(key, prepare_bytes(CHAIN_ID, 1, round_, block)))


def commit(key: bytes, round_: int = 0) -> Commit:
    """A COMMIT on the true result."""
    signature = sign(key, commit_bytes(CHAIN_ID, 1, round_, HASH, RESULT.hash()))
    return Commit(1, round_, key, HASH, RESULT.hash(), signature)


def prepared(round_: int = 0, block: bytes = HASH) -> PreparedCertificate:
    """A prepared certificate that holds."""
    votes = {key: prepare(key, round_, block).signature for key in (V1, V2, V3)}
    return make_prepared(MEMBERS, round_, block, votes)


def wish(key: bytes, round_: int, *known: PreparedCertificate) -> RoundChange:
    """A ROUND_CHANGE that claims what these certificates prove."""
    claims = tuple(Prepared(one.round, one.block_hash) for one in known)
    signature = sign(key, round_change_bytes(CHAIN_ID, 1, round_, claims))
    return RoundChange(1, round_, key, claims, known, signature)


def proof_of(round_: int, *known: PreparedCertificate) -> Justification:
    """Why a round is open."""
    entries = tuple(wish(key, round_, *known).entry() for key in (V1, V2, V3))
    return Justification(entries, known)


def decided(header: Header = HEADER, engine: str = "pbft") -> DecidedMessage:
    """A decision of HASH, with whatever header."""
    certificate = make_certificate(
        engine="pbft" if engine == "pbft" else "raft",
        height=1,
        round_=0,
        block_hash=HASH,
        result_hash=RESULT.hash(),
        votes={MEMBERS.position[key]: commit(key).signature for key in (V1, V2, V3)},
        n=4,
    )
    return DecidedMessage(1, header, BODY, certificate)


def in_round(round_: int, key: bytes = V0) -> PbftEngine:
    """An engine that a proof has brought into a round."""
    engine = engine_of(key)
    tell(engine, V3, RoundProof(1, round_, proof_of(round_)))
    assert engine.status().round == round_
    return engine


def blamed(effects: Effects) -> list[str]:
    """Why peers are blamed."""
    return [fault.reason for fault in effects.faults]

"""What a log can say, and what it cannot."""

from __future__ import annotations

import pytest

from consensus.engine import Effects, Executed, Received, Validated
from consensus.errors import LogContradictionError
from consensus.messages import (
    AcceptedRecord,
    BlockRecord,
    Commit,
    CommittedRecord,
    EnteredRecord,
    HaltedRecord,
    Justification,
    LogRecord,
    Prepare,
    PreparedRecord,
    ProposedRecord,
    ReleasedRecord,
    RoundChange,
    RoundChangedRecord,
    Status,
    commit_bytes,
    prepare_bytes,
)
from consensus.pbft.engine import PbftEngine
from consensus.pbft.members import Members
from consensus.pbft.proofs import make_prepared
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
V0, V1, V2, V3 = MEMBERS.keys


class _Proposer:
    key = V1
    started = genesis_started(VALIDATORS)


class _Alone:
    key = V0
    started = genesis_started(validator_set(1))


HEADER = Forger(MEMBERS, {}).header(_Proposer, 1, 0, b"body")
BLOCK = HEADER.hash()
RESULT, OTHER = make_result(BLOCK, VALIDATORS), make_result(BLOCK, VALIDATORS, b"other")
SIGNED = prepare_bytes(CHAIN_ID, 1, 0, BLOCK)
CERTIFICATE = make_prepared(MEMBERS, 0, BLOCK, {key: sign(key, SIGNED) for key in (V0, V1, V2)})

KNOWN = BlockRecord(1, HEADER, b"body")
ACCEPTED = AcceptedRecord(1, 0, BLOCK)
PREPARED = PreparedRecord(1, CERTIFICATE)
COMMITTED = CommittedRecord(1, 0, BLOCK, RESULT.hash())
NO_ENTRIES = Justification((), ())


def recover(*records: LogRecord, key: bytes = V0) -> tuple[PbftEngine, Effects]:
    engine = PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(key),
        verify=verify,
        timing=TIMING,
        started=genesis_started(VALIDATORS),
        records=records,
    )
    return engine, engine.start()


def said(effects: Effects) -> list[tuple[type, bool]]:
    return [(type(send.message), send.again) for send in effects.send]


def test_what_was_said_is_said_again_and_only_the_last_is_unmarked() -> None:
    """Rules L4, T4."""
    assert said(recover(KNOWN, ACCEPTED)[1]) == [(Prepare, False)]
    assert said(recover(KNOWN, ACCEPTED, PREPARED, COMMITTED)[1]) == [
        (Prepare, True),
        (Commit, False),
    ]
    behind = recover(KNOWN, ACCEPTED, PREPARED, COMMITTED, RoundChangedRecord(1, 1))[1]
    assert said(behind) == [(Commit, True), (RoundChange, False)]


def test_a_commit_behind_many_wishes_is_said_no_more() -> None:
    """Rules L4, T4. The guard, which knows our last votes only, would refuse it."""
    committed = (KNOWN, ACCEPTED, PREPARED, COMMITTED)
    wishes = [RoundChangedRecord(1, 2 * number) for number in range(1, 34)]
    last = recover(*committed, *wishes[:32])[1]
    assert said(last) == [(Commit, True), (RoundChange, False)]
    assert said(recover(*committed, *wishes)[1]) == [(RoundChange, False)]


def test_a_wish_after_a_restart_owns_up_to_what_was_prepared() -> None:
    """Rules L2, R6."""
    effects = recover(KNOWN, ACCEPTED, PREPARED, RoundChangedRecord(1, 1))[1]
    (send,) = effects.send
    assert isinstance(send.message, RoundChange)
    assert send.message.certificate == (CERTIFICATE,)


@pytest.mark.parametrize(
    "records",
    [
        (ACCEPTED,),
        (KNOWN, ACCEPTED, ACCEPTED),
        (KNOWN, AcceptedRecord(1, 1, BLOCK)),
        (KNOWN, PREPARED),
        (KNOWN, ACCEPTED, COMMITTED),
        (KNOWN, ACCEPTED, PREPARED, COMMITTED, CommittedRecord(1, 0, BLOCK, OTHER.hash())),
        (RoundChangedRecord(1, 2), RoundChangedRecord(1, 2)),
        (EnteredRecord(1, 2, NO_ENTRIES), EnteredRecord(1, 1, NO_ENTRIES)),
        (ProposedRecord(1, 0, BLOCK),),
    ],
)
def test_a_log_that_contradicts_itself_is_refused(records: tuple[LogRecord, ...]) -> None:
    """Rule L2."""
    with pytest.raises(LogContradictionError):
        recover(*records)


def test_records_of_other_heights_are_passed_over() -> None:
    engine, effects = recover(AcceptedRecord(7, 0, BLOCK), RoundChangedRecord(3, 1))
    assert engine.status().phase == "idle"
    assert all(not isinstance(send.message, Prepare) for send in effects.send)


def test_a_halt_outlives_restarts_and_heights_until_it_is_released() -> None:
    engine, effects = recover(halt := HaltedRecord(9, "twin", "why"))
    assert (engine.status().halted, effects.send) == ("twin", ())
    engine, _ = recover(halt, ReleasedRecord(9))
    assert engine.status().halted == ""


def test_a_halt_holds_while_others_vote_and_a_log_of_then_says_nothing_of_now() -> None:
    """Whoever halted, was voted out, and comes back by another vote is still halted."""
    stranger = bytes([1]) + bytes(32)
    engine, effects = recover(KNOWN, ACCEPTED, HaltedRecord(1, "twin", "why"), key=stranger)
    assert (engine.status().halted, effects.send) == ("twin", ())
    former, effects = recover(KNOWN, ACCEPTED, key=stranger)
    assert former.status().halted == ""
    assert all(isinstance(send.message, Status) for send in effects.send)


def test_after_a_release_another_result_may_be_signed_but_not_in_the_same_round() -> None:
    halted = HaltedRecord(1, "nondeterminism", "why")
    engine, effects = recover(KNOWN, ACCEPTED, PREPARED, COMMITTED, halted, ReleasedRecord(1))
    assert (Commit, False) not in said(effects)
    effects = engine.step(Executed(BLOCK, OTHER))
    assert effects.halt is None
    assert all(not isinstance(send.message, Commit) for send in effects.send)


def test_a_recorded_result_binds_what_is_computed_again() -> None:
    """Rules C6, L3."""
    engine, effects = recover(KNOWN, ACCEPTED, PREPARED, COMMITTED)
    assert len(effects.requests) == 1
    effects = engine.step(Executed(BLOCK, OTHER))
    assert effects.halt is not None
    assert effects.halt.reason == "nondeterminism"


def test_a_recorded_certificate_counts_without_being_said_again() -> None:
    """Rule L3."""
    engine, _ = recover(KNOWN, ACCEPTED, PREPARED)
    effects = engine.step(Executed(BLOCK, RESULT))
    assert said(effects) == [(Commit, False)]


def test_a_proposal_that_was_recorded_is_said_again_and_no_other_built() -> None:
    """Rules P1, L4."""
    header = Forger(MEMBERS, {}).header(_Proposer, 1, 0, b"ours")
    engine = PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(V1),
        verify=verify,
        timing=TIMING,
        started=genesis_started(VALIDATORS),
        records=(BlockRecord(1, header, b"ours"), ProposedRecord(1, 0, header.hash())),
    )
    effects = engine.start()
    assert {send.to for send in effects.send if not send.again} >= {V0, V2, V3}
    (request,) = effects.requests
    assert type(request).__name__ == "Validate"
    effects = engine.step(Validated(header.hash(), ""))
    assert (Prepare, False) in said(effects)


def test_our_vote_in_a_decision_after_a_restart_is_known_as_ours() -> None:
    engine, _ = recover(KNOWN, ACCEPTED, PREPARED, COMMITTED)
    for key in (V1, V2):
        message = commit_bytes(CHAIN_ID, 1, 0, BLOCK, RESULT.hash())
        vote = Commit(1, 0, key, BLOCK, RESULT.hash(), sign(key, message))
        effects = engine.step(Received(key, vote))
        assert effects.halt is None
    assert engine.step(Executed(BLOCK, RESULT)).decided is not None


def test_a_decision_of_ones_own_commit_alone_is_shown_to_the_guard_first() -> None:
    """Rule L6."""
    alone = validator_set(1)
    members = Members.of(alone)
    header = Forger(members, {}).header(_Alone, 1, 0, b"body")
    block = header.hash()
    signed = prepare_bytes(CHAIN_ID, 1, 0, block)
    engine = PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(V0),
        verify=verify,
        timing=TIMING,
        started=_Alone.started,
        records=(
            BlockRecord(1, header, b"body"),
            AcceptedRecord(1, 0, block),
            PreparedRecord(1, make_prepared(members, 0, block, {V0: sign(V0, signed)})),
            CommittedRecord(1, 0, block, RESULT.hash()),
        ),
    )
    first, then = engine.start().send
    assert isinstance(first.message, Commit)
    assert (first.to, first.again) == (V0, False)
    assert isinstance(then.message, Status)

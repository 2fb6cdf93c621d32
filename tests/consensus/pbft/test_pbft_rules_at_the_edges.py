"""Single engines at the edges of the rules: what comes too late, too early, or does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus.engine import (
    BlockBuilt,
    CatchUp,
    Event,
    Executed,
    HeightStarted,
    Received,
    Timer,
    TimerFired,
    TimerKind,
    Validate,
    Validated,
    WorkAvailable,
)
from consensus.errors import LogContradictionError
from consensus.held import Block
from consensus.limits import (
    BLOCKS_MAX,
    CERTIFICATES_MAX,
    FUTURE_PEERS_MAX,
    REPLIES_PER_PEER_MAX,
    REPLY_PEERS_MAX,
    RESULTS_MAX,
    SAID_ROUNDS_MAX,
)
from consensus.messages import (
    BlockRecord,
    BlockRequest,
    BlockResponse,
    EnteredRecord,
    HaltedRecord,
    Justification,
    Message,
    Prepare,
    Prepared,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundChangedRecord,
    RoundProof,
    Status,
)
from consensus.pbft import blocks
from consensus.pbft.engine import PbftEngine
from consensus.pbft.future import FutureVotes
from consensus.pbft.proofs import signers_of
from consensus.raft.messages import TermRecord
from consensus.replies import ReplyBudget
from consensus.wishes import ReadAsked, TransferAsked
from medquorum.invariants import InvariantBroken
from tests.support.engine_world import (
    CHAIN_ID,
    make_result,
    verify,
)
from tests.support.engines import TIMING
from tests.support.lone_pbft import (
    BODY,
    HASH,
    HEADER,
    MEMBERS,
    RESULT,
    STARTED,
    V0,
    V1,
    V2,
    V3,
    VALIDATORS,
    blamed,
    block_of,
    commit,
    decided,
    engine_of,
    fired,
    in_round,
    prepare,
    prepared,
    proof_of,
    proposal,
    tell,
    wish,
)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (decided(block_of(V1, b"another")), "decided_block"),
        (decided(engine="raft"), "decided_certificate"),
        (proposal(by=V2), "not_the_proposer"),
        (proposal(proof=proof_of(1)), "justification_of_round_0"),
        (
            proposal(1, V2, block_of(V2, b"new"), proof_of(1, prepared())),
            "not_the_highest_prepared",
        ),
        (RoundProof(1, 2, Justification((), ())), "justification_too_small"),
        (wish(V1, 1, prepared(1)), "round_change_claim"),
    ],
)
def test_what_does_not_fit_is_blamed_by_name(message: Message, reason: str) -> None:
    """Rules P2, P3, C4, R4, R7."""
    effects = tell(engine_of(), V1, message)
    assert blamed(effects) == ([reason] if reason else [])
    assert effects.persist == ()


def test_a_claim_needs_a_certificate_for_it_that_holds() -> None:
    """Rule R7."""
    known = prepared()
    foreign = RoundChange(
        1, 1, V1, (Prepared(0, bytes(32)),), (known,), wish(V1, 1, known).signature
    )
    false = PreparedCertificate(0, HASH, known.signers, (known.signatures[0],) * 3)
    for claimed in (foreign, wish(V1, 1, false)):
        assert blamed(tell(engine_of(), V1, claimed)) == ["round_change_claim"]


def test_an_entry_that_its_signer_did_not_sign_opens_no_round() -> None:
    """Rule P3."""
    entries = proof_of(1).entries
    forged = (*entries[:2], wish(V3, 2).entry())
    effects = tell(engine_of(), V1, RoundProof(1, 1, Justification(forged, ())))
    assert blamed(effects) == ["justification_signature"]


def test_two_wishes_for_one_round_convict() -> None:
    """Rule E1."""
    engine = engine_of()
    tell(engine, V1, wish(V1, 1))
    effects = tell(engine, V1, wish(V1, 1, prepared()))
    assert [found.kind for found in effects.evidence] == ["equivocation"]
    assert effects.dropped == ("equivocation",)


def test_what_comes_from_a_lower_round_is_answered_with_the_proof_of_ours() -> None:
    """Rule R8."""
    engine = in_round(2)
    for message in (proposal(), prepare(V1), Status(1, 0)):
        effects = tell(engine, V1, message)
        fired(engine, TimerKind.RESEND)
        assert [(send.to, type(send.message)) for send in effects.send] == [(V1, RoundProof)]
    assert tell(engine_of(), V1, Status(1, 0)).send == ()
    assert tell(engine_of(), V1, wish(V1, 0)).send == ()


def test_commits_of_rounds_that_are_too_old_are_dropped() -> None:
    """Rule C3."""
    engine = engine_of()
    tell(engine, V1, *(commit(V1, round_) for round_ in (5, 6, 7, 8)))
    assert tell(engine, V1, commit(V1, 4)).dropped == ("commit_of_old_round",)


def test_what_a_driver_says_of_the_past_changes_nothing() -> None:
    engine = engine_of(V1)
    built = BlockBuilt(1, 0, HEADER, BODY)
    assert engine.step(built).dropped == ("build_outdated",)
    engine.step(WorkAvailable())
    fired(engine, TimerKind.ROUND)
    assert engine.step(built).dropped == ("build_outdated",)
    assert engine.step(STARTED).dropped == ("height_not_new",)
    assert engine.step(Executed(HASH, RESULT)).dropped == ("execution_replaced",)


def test_wishes_of_operators_that_only_raft_grants_are_refused() -> None:
    engine = engine_of()
    [answer] = engine.step(ReadAsked(3)).reads
    assert (answer.context, answer.height) == (3, None)
    assert engine.step(TransferAsked(V1)).send == ()


def test_a_halted_validator_only_shows_what_is_decided() -> None:
    engine = engine_of(V0, HaltedRecord(1, "divergence", "for a test"))
    events: tuple[Event, ...] = (
        WorkAvailable(),
        Received(V1, proposal()),
        Received(V1, decided()),
        Received(V1, BlockResponse(1, HEADER, BODY)),
        TimerFired(Timer(TimerKind.ROUND, 1, 0)),
    )
    for event in events:
        effects = engine.step(event)
        assert effects.dropped == ("halted",)
        assert (effects.send, effects.persist) == ((), ())
    assert engine.status().phase == "halted"


def test_the_status_says_what_is_waited_for() -> None:
    engine = engine_of()
    phases = [engine.status().phase]

    def then(event: Event) -> None:
        engine.step(event)
        phases.append(engine.status().phase)

    then(WorkAvailable())
    then(Received(V1, proposal()))
    then(Validated(HASH, ""))
    tell(engine, V1, prepare(V1))
    then(Received(V2, prepare(V2)))
    then(Executed(HASH, RESULT))
    tell(engine, V1, commit(V1))
    then(Received(V2, commit(V2)))
    assert phases == [
        *("idle", "proposal", "validating", "prepare", "executing", "commit", "decided"),
    ]


def test_a_block_is_handed_out_once_it_is_checked() -> None:
    """Rule R7."""
    engine = engine_of()
    assert tell(engine, V2, BlockRequest(1, HASH)).dropped == ("block_unknown",)
    tell(engine, V1, proposal())
    engine.step(Validated(HASH, ""))
    effects = tell(engine, V2, BlockRequest(1, HASH))
    assert [type(send.message) for send in effects.send] == [BlockResponse]


def test_a_prepared_block_that_we_find_invalid_is_not_asked_for_again() -> None:
    """Rules P5, R7."""
    engine = engine_of()
    effects = tell(engine, V1, wish(V1, 1, prepared()))
    assert [type(send.message) for send in effects.send] == [BlockRequest]
    effects = tell(engine, V1, BlockResponse(1, HEADER, BODY))
    assert [type(request) for request in effects.requests] == [Validate]
    engine.step(Validated(HASH, "refused"))
    effects = fired(engine, TimerKind.RESEND)
    assert [send for send in effects.send if isinstance(send.message, BlockRequest)] == []


def test_a_peer_is_followed_only_so_often_between_two_ticks() -> None:
    """Rules H3, H4."""
    engine = engine_of()
    counts = [len(tell(engine, V1, Status(5, 0)).requests) for _ in range(4)]
    assert counts == [1] * REPLIES_PER_PEER_MAX + [0] * (4 - REPLIES_PER_PEER_MAX)
    assert tell(engine, V1, BlockRequest(5, HASH)).dropped == ("future_height",)
    assert engine.step(TimerFired(Timer(TimerKind.RESEND, 1, 0))).requests == ()
    assert tell(engine, V1, Status(5, 0)).requests == (CatchUp(V1, 4),)


def test_memory_of_one_height_is_bounded() -> None:
    engine = engine_of()
    core = engine._core
    for number in range(3 * BLOCKS_MAX):
        header = block_of(V1, b"%d" % number)
        blocks.keep(core, Block(header.hash(), header, b"%d" % number, V1))
    assert len(core.state.blocks.seen) <= BLOCKS_MAX + 1
    for number in range(2 * RESULTS_MAX):
        key = b"%032d" % number
        core.state.blocks.executing = key
        blocks.on_executed(core, key, make_result(key, VALIDATORS))
    assert len(core.state.blocks.results) <= RESULTS_MAX
    for round_ in range(2 * CERTIFICATES_MAX):
        core.state.book.add(prepared(round_))
    assert core.state.book.learn(prepared(2 * CERTIFICATES_MAX - 1)) is not None
    for round_ in range(4 * SAID_ROUNDS_MAX + 5):
        core.remember(wish(V0, round_))
    assert len(core.state.said) == 4 * SAID_ROUNDS_MAX


def test_the_waiting_room_has_so_many_places_for_peers() -> None:
    """Rule H2."""
    room = FutureVotes()

    def vote_of(number: int) -> Prepare:
        return Prepare(2, 0, b"\x01" + b"%032d" % number, HASH, bytes(65))

    assert all(room.add(vote_of(number)) for number in range(FUTURE_PEERS_MAX))
    assert not room.add(vote_of(FUTURE_PEERS_MAX))


def test_only_so_many_peers_are_answered_between_two_ticks() -> None:
    """Rule H4."""
    budget = ReplyBudget()
    assert all(budget.take(b"%d" % number, "Status") for number in range(REPLY_PEERS_MAX))
    assert not budget.take(b"one more", "Status")
    budget.refill()
    assert budget.take(b"one more", "Status")


def test_what_is_no_bitmap_over_the_validators_names_nobody() -> None:
    assert signers_of(MEMBERS, b"\xff\xff") == ()
    assert signers_of(MEMBERS, b"\x03") == (V0, V1)


def test_an_observer_wishes_for_nothing_when_the_round_is_over() -> None:
    """Rule R1."""
    observer = PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=None,
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(),
    )
    observer.start()
    assert fired(observer, TimerKind.ROUND).send == ()


def test_a_wish_that_was_recorded_keeps_its_fence() -> None:
    """Rules L2, R6."""
    engine = engine_of(V0, RoundChangedRecord(1, 1))
    effects = tell(engine, V1, proposal())
    assert effects.dropped == ("fenced",)
    assert engine.status().phase == "round_change"


def test_a_height_may_be_jumped_over() -> None:
    """Rule H3."""
    engine = engine_of()
    later: HeightStarted = replace(STARTED, height=9, parent_hash=bytes(32))
    engine.step(later)
    assert engine.status().height == 9
    [answer] = tell(engine, V1, Status(1, 0)).send
    assert answer.message == Status(9, 0)


def test_a_loop_in_the_rules_is_a_broken_invariant_and_not_a_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_of()
    monkeypatch.setattr("consensus.pbft.engine.RULES", (lambda _core: True,))
    with pytest.raises(InvariantBroken):
        engine.step(WorkAvailable())


def test_who_is_shown_a_round_before_it_knows_of_work_arms_the_timer_of_that_round() -> None:
    """Rules R4, T1."""
    engine = engine_of()
    effects = tell(engine, V3, RoundProof(1, 2, proof_of(2)))
    rounds = [known.timer.round for known in effects.timers if known.timer.kind is TimerKind.ROUND]
    assert rounds == [0, 2]


def test_a_twin_of_long_ago_is_not_looked_for() -> None:
    """Rule X4."""
    engine = engine_of(V0, RoundChangedRecord(1, 2 * SAID_ROUNDS_MAX))
    assert tell(engine, V1, prepare(V0, 1)).halt is None
    assert tell(engine, V1, prepare(V0, 2 * SAID_ROUNDS_MAX - 1)).halt is not None


def test_a_proposer_that_comes_back_proposes_what_it_must_once_it_is_checked_again() -> None:
    """Rules P1, L4."""
    proof = proof_of(1, prepared())
    log = (BlockRecord(1, HEADER, BODY), EnteredRecord(1, 1, proof))
    engine = engine_of(V2, *log)
    assert engine.status().proposer == V2
    effects = engine.step(Validated(HASH, ""))
    assert [type(send.message) for send in effects.send] == [Proposal, Prepare]


def test_a_log_of_another_engine_is_refused() -> None:
    """Rule L2."""
    with pytest.raises(LogContradictionError):
        engine_of(V0, TermRecord(1, 1, ()))


def test_a_wish_above_the_round_that_was_entered_keeps_its_fence() -> None:
    """Rules R5, R6, L2."""
    engine = engine_of(V0, RoundChangedRecord(1, 5), EnteredRecord(1, 2, proof_of(2)))
    assert (engine.status().round, engine.status().phase) == (2, "round_change")


def test_a_proposal_of_a_later_round_wakes_an_idle_validator_there() -> None:
    """Rules R4, T1."""
    engine = engine_of()
    fresh = block_of(V2, BODY)
    effects = tell(engine, V2, proposal(1, V2, fresh, proof_of(1)))
    armed = {known.timer.kind: known.timer.round for known in effects.timers}
    assert armed[TimerKind.ROUND] == 1
    assert engine.status().round == 1

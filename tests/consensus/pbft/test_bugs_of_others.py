"""Bugs that other engines had (docs/spec/pbft.md, section 13): each has a test that it is not ours.

Those that other files hold are named in the table there, and looked up here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from consensus.engine import (
    BlockBuilt,
    Build,
    Effects,
    Evidence,
    HeightStarted,
    Received,
    Send,
    SetTimer,
    TimerFired,
    TimerKind,
    Timing,
    WorkAvailable,
)
from consensus.limits import COMMITS_PER_SIGNER_MAX, MESSAGE_BYTES_MAX
from consensus.messages import (
    Commit,
    Justification,
    Message,
    Prepare,
    Prepared,
    RoundChange,
    RoundChangeEntry,
    RoundProof,
    commit_bytes,
    encode_message,
    prepare_bytes,
    proposal_bytes,
    round_change_bytes,
)
from consensus.pbft.engine import PbftEngine
from consensus.pbft.members import Members
from consensus.pbft.proofs import CertificateBook, justification_fault, make_prepared
from consensus.pbft.timers import round_ms
from medquorum.block import Header
from medquorum.quorum import quorum
from tests.support.engine_world import (
    CHAIN_ID,
    TestSigner,
    genesis_started,
    make_header,
    sign,
    validator_set,
    verify,
)
from tests.support.engines import Cluster

ROOT = Path(__file__).resolve().parents[3]
TIMING = Timing(round_ms=1_000, round_ms_max=30_000, resend_ms=500, block_interval_ms=250)
VALIDATORS = validator_set(4)
MEMBERS = Members.of(VALIDATORS)
STARTED = genesis_started(VALIDATORS)
V0, V1, V2, V3 = MEMBERS.keys


def make_engine(key: bytes) -> PbftEngine:
    """An engine at height 1."""
    return PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(key),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=(),
    )


def make_woken(key: bytes) -> tuple[PbftEngine, Effects]:
    """An engine that has something to propose, and what that set off."""
    engine = make_engine(key)
    return engine, engine.step(WorkAvailable())


def round_timers(effects: Effects) -> list[SetTimer]:
    """The timers of rounds that were set."""
    return [wanted for wanted in effects.timers if wanted.timer.kind is TimerKind.ROUND]


def wishes(effects: Effects) -> list[RoundChange]:
    """The wishes among the messages."""
    return [send.message for send in effects.send if isinstance(send.message, RoundChange)]


def prepared_by(keys: list[bytes], round_: int, block: bytes) -> dict[bytes, bytes]:
    """PREPARE signatures."""
    return {key: sign(key, prepare_bytes(CHAIN_ID, 1, round_, block)) for key in keys}


def entry(key: bytes, round_: int, *claims: Prepared) -> RoundChangeEntry:
    """A wish as others pass it on."""
    signature = sign(key, round_change_bytes(CHAIN_ID, 1, round_, claims))
    return RoundChangeEntry(key, claims, signature)


def commit_of(key: bytes, round_: int, block: bytes, result: bytes) -> Message:
    """A COMMIT."""
    signature = sign(key, commit_bytes(CHAIN_ID, 1, round_, block, result))
    return Commit(1, round_, key, block, result, signature)


def test_our_wish_names_each_signer_once_though_every_vote_came_twice() -> None:
    """Besu PR 2459: the certificate of a wish was built with the duplicates that had arrived."""
    cluster = Cluster(seed=4, n=4)
    cluster.network.duplication = 1.0
    claims: list[RoundChange] = []

    def lose(_sender: bytes, _receiver: bytes, message: Message) -> bool:
        return isinstance(message, Commit) and message.round == 0

    def watch(_key: bytes, send: Send) -> None:
        if isinstance(send.message, RoundChange) and len(send.message.certificate) > 0:
            claims.append(send.message)

    cluster.network.lose = lose
    cluster.watchers.append(watch)
    cluster.boot()
    assert cluster.run(lambda: min(cluster.heights()) >= 2, 10_000)
    assert len(claims) > 0
    for wish in claims:
        book = CertificateBook(CHAIN_ID, wish.height, cluster.members, verify)
        assert book.learn(wish.certificate[0]) is not None
        signatures = wish.certificate[0].signatures
        assert len(set(signatures)) == len(signatures) >= cluster.members.quorum
    assert cluster.faults == set(), "nobody refused such a wish"


def test_another_hash_that_is_claimed_for_the_highest_round_spoils_nothing() -> None:
    """Besu PR 1807: 'all claims of the highest round must agree' refuses good proposals."""
    book = CertificateBook(CHAIN_ID, 1, MEMBERS, verify)
    block, other = b"A" * 32, b"B" * 32
    certificate = make_prepared(MEMBERS, 1, block, prepared_by([V0, V1, V2], 1, block))
    entries = (
        entry(V0, 2, Prepared(1, block)),
        entry(V1, 2, Prepared(1, other)),
        entry(V2, 2),
    )
    assert justification_fault(book, 2, Justification(entries, (certificate,)), {}) == ""


def test_the_round_is_not_in_the_hash_of_a_block() -> None:
    """Besu 2134, 7875: a block that is proposed again must be the same block."""
    assert {"round", "certificate", "justification"}.isdisjoint(Header.__struct_fields__)
    request = Build(1, 0, V1, STARTED.parent_hash, STARTED.parent_result_hash, bytes(32), 1)
    again = Build(1, 7, V1, STARTED.parent_hash, STARTED.parent_result_hash, bytes(32), 1)
    assert make_header(request, b"x", 5).hash() == make_header(again, b"x", 5).hash()
    block = make_header(request, b"x", 5).hash()
    assert proposal_bytes(CHAIN_ID, 1, 0, block) != proposal_bytes(CHAIN_ID, 1, 7, block)


def test_rounds_are_capped_for_every_number_and_wishes_are_said_at_one_pace() -> None:
    """Celo 706, Quorum 1664: the shift overflowed after 33 rounds, and a storm followed."""
    assert {round_ms(TIMING, 1_000, round_) for round_ in (5, 33, 64, 1_000, 2**32 - 1)} == {30_000}
    engine, woken = make_woken(V0)
    fired = engine.step(TimerFired(round_timers(woken)[0].timer))
    assert [type(send.message) for send in fired.send] == [RoundChange]
    ticks = [wanted for wanted in fired.timers if wanted.timer.kind is TimerKind.RESEND]
    assert ticks == [], "a wish does not hurry the tick"


def test_the_timer_waits_for_work_and_for_the_block_interval() -> None:
    """Besu 2095: the first round ran out before the proposer was allowed to propose."""
    engine = make_engine(V0)
    assert round_timers(engine.start()) == []
    (wanted,) = round_timers(engine.step(WorkAvailable()))
    assert wanted.delay_ms == TIMING.round_ms + TIMING.block_interval_ms
    build = next(r for r in make_woken(V1)[1].requests if isinstance(r, Build))
    assert build.not_before_ms == STARTED.parent_time_ms + TIMING.block_interval_ms


def test_the_timer_runs_again_after_a_catch_up() -> None:
    """Besu 8307: after a wiped validator had fetched the chain, its rounds did not move on."""
    engine, effects = make_woken(V0)
    assert len(round_timers(effects)) == 1
    jump = HeightStarted(9, VALIDATORS, b"P" * 32, b"R" * 32, STARTED.parent_time_ms + 99, 0)
    assert round_timers(engine.step(jump)) == []
    (wanted,) = round_timers(engine.step(WorkAvailable()))
    assert (wanted.timer.height, wanted.timer.round) == (9, 0)
    fired = engine.step(TimerFired(wanted.timer))
    assert [(m.height, m.round) for m in wishes(fired)] == [(9, 1)]


def test_signing_again_gives_the_same_bytes() -> None:
    """Tendermint 247, 3089, 8739: a validator refused its own vote after a crash, for ever."""
    engine, effects = make_woken(V1)
    build = next(request for request in effects.requests if isinstance(request, Build))
    built = BlockBuilt(1, 0, make_header(build, b"body", 0), b"body")
    said = engine.step(built)
    again = PbftEngine.recover(
        chain_id=CHAIN_ID,
        signer=TestSigner(V1),
        verify=verify,
        timing=TIMING,
        started=STARTED,
        records=said.persist,
    ).start()
    first = {encode_message(send.message) for send in said.send}
    assert first <= {encode_message(send.message) for send in again.send}


def test_whoever_wishes_for_our_round_is_shown_that_it_is_open() -> None:
    """With '<' for '<=' in this rule, four validators, one of them silent, stand still for ever."""
    engine = make_engine(V0)
    proof = Justification(tuple(entry(key, 1) for key in (V1, V2, V3)), ())
    engine.step(Received(V1, RoundProof(1, 1, proof)))
    assert engine.status().round == 1
    late = entry(V3, 1)
    wish = RoundChange(1, 1, V3, (), (), late.signature)
    answers = engine.step(Received(V3, wish)).send
    assert [(send.to, type(send.message)) for send in answers] == [(V3, RoundProof)]


def test_what_a_wish_or_a_justification_can_hold_is_bounded() -> None:
    """PBFT's VIEW-CHANGE grows with the window of its watermarks; ours is one height."""
    block = b"A" * 32
    many = Members.of(validator_set(100))
    votes = {key: sign(key, prepare_bytes(CHAIN_ID, 1, 0, block)) for key in many.keys}
    certificate = make_prepared(many, 0, block, votes)
    claims = (Prepared(0, block),)
    signature = sign(many.keys[0], round_change_bytes(CHAIN_ID, 1, 1, claims))
    wish = RoundChange(1, 1, many.keys[0], claims, (certificate,), signature)
    assert len(encode_message(wish)) < 70 * 100
    entries = tuple(RoundChangeEntry(key, claims, signature) for key in many.keys)
    proof = RoundProof(1, 1, Justification(entries, (certificate,)))
    assert len(encode_message(proof)) < 256 * 100 < MESSAGE_BYTES_MAX


def test_late_commits_of_old_rounds_are_kept_but_not_all_of_them() -> None:
    """Ssv-spec forgets COMMITs of old rounds; keeping all would let one signer fill the memory."""
    engine = make_engine(V0)
    block, result = b"A" * 32, b"R" * 32
    for round_ in range(3 * COMMITS_PER_SIGNER_MAX):
        for key in (V1, V2):
            engine.step(Received(key, commit_of(key, round_, block, result)))
    assert engine.status().phase != "catching_up_execution"
    newest = 3 * COMMITS_PER_SIGNER_MAX - 1
    engine.step(Received(V3, commit_of(V3, newest, block, result)))
    assert engine.status().phase == "catching_up_execution"


def test_evidence_is_the_same_whoever_finds_it_and_in_whatever_order() -> None:
    """CVE-2021-21271: evidence had the finder's time in it; peers took each other's for false."""
    block, result = b"A" * 32, b"R" * 32
    first, second = commit_of(V1, 0, block, result), commit_of(V1, 0, block, bytes(32))
    found: list[Evidence] = []
    for finder in (V0, V2):
        for votes in ((first, second), (second, first)):
            engine = make_engine(finder)
            effects = [engine.step(Received(V3, vote)) for vote in votes]
            found.extend(effects[-1].evidence)
    assert len(found) == 4
    assert len(set(found)) == 1


def test_each_engine_has_a_quorum_of_its_own() -> None:
    """Iroha 1.1.1: the crash fault tolerant mode counted with the Byzantine formula."""
    assert [quorum("pbft", n) for n in range(1, 11)] == [1, 2, 2, 3, 4, 4, 5, 6, 6, 7]
    assert [quorum("raft", n) for n in range(1, 11)] == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


def test_a_prepare_that_is_repeated_counts_once() -> None:
    """Besu 1736: distinct messages of one signer were counted, found by the Dafny proof."""
    engine = make_engine(V0)
    block = b"A" * 32
    for _ in range(4):
        vote = Prepare(1, 0, V1, block, sign(V1, prepare_bytes(CHAIN_ID, 1, 0, block)))
        engine.step(Received(V1, vote))
    assert engine.status().prepared_by == (V1,)


SPEC = (ROOT / "docs" / "spec" / "pbft.md").read_text("utf-8").partition("## 13.")[2]
NAMED = sorted(set(re.findall(r"`((?:test_|[a-z_]+\.txt)[a-z0-9_]*)`", SPEC)))


@pytest.mark.parametrize("name", NAMED)
def test_the_table_names_what_exists(name: str) -> None:
    if name.endswith(".txt"):
        assert (Path(__file__).parent / "scenarios" / name).exists()
        return
    definition = re.compile(rf"def {name}\(")
    tests = (ROOT / "tests").rglob("test_*.py")
    assert any(definition.search(path.read_text("utf-8")) for path in tests)


def test_the_table_is_there() -> None:
    assert len(NAMED) >= 20

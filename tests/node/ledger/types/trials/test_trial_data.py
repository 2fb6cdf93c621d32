"""Data are a chain for each subject; a lock states the root of all chains, and all check it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from medquorum import merkle
from medquorum.codec import encode, encode_plain
from node.ledger.codes import Code
from node.ledger.roles import Role
from node.ledger.types.trials.bodies import CorrectionReason, WithdrawalScope
from node.ledger.types.trials.chain import appended, first_head, root_of
from node.ledger.types.trials.queries import ChainAnswer, DataRootAnswer, LocksAnswer
from node.ledger.types.trials.rows import (
    CHAINS,
    ENTRIES,
    NAMESPACE,
    Chain,
    Entry,
    EntryKind,
    StudyState,
)
from tests.support.ledger import By, some_id
from tests.support.trials import Trial


@pytest.fixture
def trial() -> Trial:
    return Trial()


def entry(number: int) -> Entry:
    """Some entry of a chain."""
    return Entry(
        EntryKind.SUBMIT, some_id(f"c{number}"), some_id("odm"), 1, 2, number, (), some_id("a"), 9
    )


def test_each_entry_stands_on_all_before_it(trial: Trial) -> None:
    spid, who = trial.enrolled(), trial.investigator
    start = first_head(trial.study, spid)
    trial.ledger.accept(trial.submission(spid, "a"), by=who)
    trial.ledger.refuse(Code.VERSION, trial.submission(spid, "b", start), by=who)
    fork = [trial.ledger.tx(trial.submission(spid, name), by=who) for name in ("b", "c")]
    codes = [outcome.code for outcome in trial.ledger.block(*fork)]
    assert codes == ["ok", Code.VERSION]
    assert trial.chain(spid).entries == 2


def test_a_correction_keeps_what_it_corrects(trial: Trial) -> None:
    spid, who = trial.enrolled(), trial.investigator
    trial.ledger.accept(trial.submission(spid, "wrong"), by=who)
    trial.ledger.refuse(Code.NOT_FOUND, trial.correction(spid, 2, "right"), by=who)
    trial.ledger.refuse(Code.NOT_FOUND, trial.correction(spid, 0, "right"), by=who)
    trial.ledger.accept(trial.correction(spid, 1, "right"), by=who)
    answer = trial.ledger.query("trial.chain", study=trial.study, spid=spid)
    assert isinstance(answer, ChainAnswer)
    stated = [(row.commitment, row.corrects, row.reason) for row in answer.items]
    assert stated == [
        (some_id("wrong"), 1, ""),
        (some_id("right"), 1, CorrectionReason.TRANSCRIPTION),
    ]
    assert [row.author for row in answer.items] == [who.id, who.id]


def test_several_entries_are_sent_at_once_with_heads_computed_ahead(trial: Trial) -> None:
    spid = trial.enrolled()
    chain = trial.chain(spid)
    ops = []
    for number, name in enumerate("abc", start=1):
        ops.append(trial.submission(spid, name, chain.head))
        ahead = replace(entry(number), commitment=some_id(name), odm_hash=some_id(name + " odm"))
        chain = appended(chain, ahead)
    trial.ledger.accept(*ops, by=trial.investigator)
    assert trial.chain(spid) == chain


def test_only_the_sites_investigator_adds_data_of_enrolled_subjects(trial: Trial) -> None:
    spid = trial.enrolled()
    op = trial.submission(spid, "a")
    for stranger in (trial.nurse, trial.sponsor, trial.ledger.person(None, Role.INVESTIGATOR)):
        trial.ledger.refuse(Code.ROLE, op, by=stranger)
    waiting = trial.consented()
    early = trial.submission(waiting, "a", first_head(trial.study, waiting))
    trial.ledger.refuse(Code.STATE, early, by=trial.investigator)


@pytest.mark.parametrize("scope", list(WithdrawalScope))
def test_after_withdrawal_no_data_come_in_but_follow_up(
    trial: Trial, scope: WithdrawalScope
) -> None:
    spid, who = trial.enrolled(), trial.investigator
    trial.ledger.accept(trial.submission(spid, "a"), by=who)
    trial.ledger.accept(trial.withdrawal(spid, scope), by=who)
    submit, correct = trial.submission(spid, "b"), trial.correction(spid, 1, "c")
    if scope is WithdrawalScope.TREATMENT:
        trial.ledger.accept(submit, by=who)
    else:
        trial.ledger.refuse(Code.STATE, submit, by=who)
        trial.ledger.refuse(Code.STATE, correct, by=who)


def test_a_lock_needs_the_right_root_and_two_people(trial: Trial) -> None:
    spid = trial.enrolled()
    trial.ledger.accept(trial.submission(spid, "a"), by=trial.investigator)
    two = [trial.sponsor, trial.statistician]
    trial.ledger.refuse(Code.COMMITMENT, trial.locking(root=some_id("root")), by=two)
    trial.ledger.refuse(Code.COMMITMENT, trial.locking(n_subjects=2), by=two)
    op = trial.locking()
    trial.ledger.refuse(Code.ROLE, op, by=trial.sponsor)
    trial.ledger.refuse(Code.ROLE, op, by=trial.statistician)
    trial.ledger.grant(trial.sponsor, Role.STATISTICIAN)
    both_keys: list[By] = [trial.sponsor, trial.ledger.second_key(trial.sponsor)]
    trial.ledger.refuse(Code.ROLE, op, by=both_keys)
    trial.ledger.accept(op, by=two)


def test_of_two_people_one_may_hold_both_roles_in_any_order(trial: Trial) -> None:
    trial.ledger.grant(trial.sponsor, Role.STATISTICIAN)
    colleague = trial.ledger.person(trial.sponsor_org, Role.SPONSOR)
    trial.ledger.accept(trial.locking(), by=[trial.sponsor, colleague])


def test_a_root_from_before_the_last_entry_does_not_lock(trial: Trial) -> None:
    spid = trial.enrolled()
    stale = trial.locking()
    trial.ledger.accept(trial.submission(spid, "late"), by=trial.investigator)
    trial.ledger.refuse(Code.COMMITMENT, stale, by=[trial.sponsor, trial.statistician])


def test_a_locked_study_changes_no_more_until_two_people_unlock_it(trial: Trial) -> None:
    spid, who = trial.enrolled(), trial.investigator
    two = [trial.sponsor, trial.statistician]
    trial.ledger.accept(trial.submission(spid, "a"), by=who)
    trial.ledger.refuse(Code.STATE, trial.unlocking(), by=two)
    trial.ledger.accept(trial.locking(), by=two)
    submit, correct = trial.submission(spid, "b"), trial.correction(spid, 1, "c")
    for op in (submit, correct, trial.enrolment(spid, 2)):
        trial.ledger.refuse(Code.STATE, op, by=who)
    trial.ledger.refuse(Code.STATE, trial.decision(1), by=trial.committee)
    trial.ledger.refuse(Code.STATE, trial.locking(), by=two)
    trial.ledger.refuse(Code.ROLE, trial.unlocking(), by=trial.sponsor)
    trial.ledger.accept(trial.withdrawal(spid), by=who)
    assert trial.row().state is StudyState.LOCKED
    trial.ledger.accept(trial.unlocking(), by=two)
    trial.ledger.accept(trial.locking(), by=two)
    answer = trial.ledger.query("trial.locks", study=trial.study)
    assert isinstance(answer, LocksAnswer)
    assert [(row.number, row.unlocked > 0, row.reason) for row in answer.items] == [
        (1, True, "data_error"),
        (2, False, ""),
    ]


def test_the_root_query_answers_what_a_lock_has_to_state(trial: Trial) -> None:
    trial.enrolled()
    answer = trial.ledger.query("trial.data_root", study=trial.study)
    assert answer == DataRootAnswer(data_root=trial.root(), n_subjects=1)


def test_a_chain_is_recomputed_with_hashes_and_messagepack_alone(trial: Trial) -> None:
    spid = trial.enrolled()
    trial.ledger.accept(trial.submission(spid, "a"), by=trial.investigator)
    trial.ledger.accept(trial.correction(spid, 1, "b"), by=trial.investigator)
    stated = [
        ["submit", some_id("a"), some_id("a odm"), 1, 2, 1, []],
        ["correct", some_id("b"), some_id("b odm"), 1, 2, 1, ["transcription"]],
    ]
    head = sha256(b"medquorum/trial-chain/v1\0" + trial.study + spid).digest()
    for row in stated:
        head = sha256(b"medquorum/trial-entry/v1\0" + head + encode_plain(row)).digest()
    assert trial.chain(spid) == Chain(head, 2)
    leaf = sha256(b"\0" + encode_plain([spid, head, 2])).digest()
    assert trial.root() == leaf


STEP = st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 6), st.integers(0, 10**6))


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_heads_and_root_are_recomputed_from_the_entries_alone(
    steps: list[tuple[int, bool, int, int]],
) -> None:
    trial = Trial()
    spids = [trial.enrolled(seq) for seq in (1, 2, 3)]
    for which, corrects, number, salt in steps:
        spid, name = spids[which], f"entry {salt}"
        op = trial.correction(spid, number, name) if corrects else trial.submission(spid, name)
        trial.ledger.block(trial.ledger.tx(op, by=trial.investigator))
    space = trial.ledger.space(NAMESPACE)
    leaves = []
    for spid in sorted(spids):
        chain = Chain(first_head(trial.study, spid), 0)
        for _, row in ENTRIES.rows(space, trial.study, spid):
            chain = appended(chain, row)
        assert chain == CHAINS.get(space, trial.study, spid)
        leaves.append(encode((spid, chain.head, chain.entries)))
    assert trial.root() == merkle.root(leaves)
    two = [trial.sponsor, trial.statistician]
    trial.ledger.accept(trial.locking(root=merkle.root(leaves)), by=two)


@given(st.integers(1, 6), st.data())
def test_a_changed_missing_or_swapped_entry_changes_the_root(
    count: int, data: st.DataObject
) -> None:
    def root(entries: list[Entry]) -> bytes:
        chain = Chain(first_head(some_id("study"), some_id("p")), 0)
        for row in entries:
            chain = appended(chain, row)
        return root_of([(some_id("p"), chain)])

    entries = [entry(number) for number in range(1, count + 1)]
    place = data.draw(st.integers(0, count - 1))
    changed = replace(entries[place], commitment=some_id("forged"))
    assert root([*entries[:place], changed, *entries[place + 1 :]]) != root(entries)
    assert root([*entries[:place], *entries[place + 1 :]]) != root(entries)
    if count > 1:
        assert root(entries[::-1]) != root(entries)

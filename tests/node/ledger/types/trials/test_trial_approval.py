"""Studies are fixed before they begin, and run only where and while a committee allows it."""

from __future__ import annotations

import msgpack
import pytest

from medquorum.transaction import Operation
from node.ledger.codes import Code
from node.ledger.roles import Role
from node.ledger.types.trials.bodies import AmendmentKind, EthicsDecision
from node.ledger.types.trials.limits import SUBJECTS_MAX
from node.ledger.types.trials.queries import ApprovalAnswer, StudyAnswer
from tests.support.ledger import some_id
from tests.support.trials import DAY_MS, Trial


@pytest.fixture
def trial() -> Trial:
    return Trial()


def test_a_study_is_registered_once_by_its_sponsor(trial: Trial) -> None:
    trial.ledger.refuse(Code.DUPLICATE, trial.registration(), by=trial.sponsor)
    other = trial.registration(some_id("other"))
    trial.ledger.refuse(Code.ROLE, other, by=trial.investigator)
    trial.ledger.refuse(Code.ROLE, other, by=trial.sponsor_org)
    trial.ledger.accept(other, by=trial.sponsor)


@pytest.mark.parametrize("target_n", [0, SUBJECTS_MAX + 1])
def test_the_size_of_a_study_is_bounded(trial: Trial, target_n: int) -> None:
    op = trial.registration(some_id("other"), target_n)
    trial.ledger.refuse(Code.SCHEMA, op, by=trial.sponsor)


def test_text_cannot_be_smuggled_into_a_study(trial: Trial) -> None:
    fields = [some_id("x"), trial.sponsor_org.id, *[some_id("h")] * 4, "placebo", 1, 1]
    op = Operation("trial.register", 1, msgpack.packb(fields))
    trial.ledger.refuse(Code.SCHEMA, op, by=trial.sponsor)


def test_a_decision_needs_a_quorum_of_different_members() -> None:
    trial = Trial(ready=False)
    op = trial.decision(1)
    first, second, third = trial.committee
    trial.ledger.refuse(Code.ROLE, op, by=trial.sponsor)
    trial.ledger.refuse(Code.QUORUM, op, by=[first, second])
    member = trial.ledger.person(None, Role.ETHICS)
    twice = [first, member, trial.ledger.second_key(member)]
    trial.ledger.refuse(Code.QUORUM, op, by=twice)
    trial.ledger.accept(op, by=[first, second, third])


def test_a_member_of_the_sponsor_does_not_decide() -> None:
    trial = Trial(ready=False)
    partial = trial.ledger.person(trial.sponsor_org)
    trial.ledger.grant(partial, Role.ETHICS)
    trial.ledger.refuse(Code.ROLE, trial.decision(1), by=[*trial.committee, partial])


def test_a_member_whom_the_sponsor_appointed_does_not_decide() -> None:
    trial = Trial(ready=False)
    appointed = trial.ledger.person()
    trial.ledger.grant(appointed, Role.ETHICS, scope=trial.sponsor_org.id)
    trial.ledger.refuse(Code.ROLE, trial.decision(1), by=[*trial.committee, appointed])
    trial.ledger.accept(trial.decision(1), by=trial.committee)


def test_a_decision_is_about_a_version_that_exists(trial: Trial) -> None:
    trial.ledger.refuse(Code.VERSION, trial.decision(2), by=trial.committee)
    op = trial.amendment(2, AmendmentKind.SUBSTANTIAL)
    trial.ledger.accept(op, by=trial.sponsor)
    trial.ledger.refuse(Code.VERSION, trial.decision(1), by=trial.committee)


@pytest.mark.parametrize("days", [0, 367])
def test_a_decision_holds_for_a_bounded_time(trial: Trial, days: int) -> None:
    trial.ledger.refuse(Code.TTL, trial.decision(1, days=days), by=trial.committee)


def test_nobody_is_enrolled_without_or_after_the_approval() -> None:
    trial = Trial(ready=False)
    both = [trial.investigator, trial.nurse]
    trial.ledger.accept(trial.form(1, 1), by=[trial.sponsor, *trial.committee])
    trial.ledger.refuse(Code.STATE, trial.consent(some_id("p")), by=both)
    trial.ledger.accept(trial.decision(1, days=10), by=trial.committee)
    spid = trial.consented()
    other_site = trial.ledger.org()
    there = trial.ledger.person(other_site, Role.INVESTIGATOR)
    witness = trial.ledger.person(other_site, Role.NURSE)
    elsewhere = trial.consent(some_id("q"), site=other_site)
    trial.ledger.refuse(Code.STATE, elsewhere, by=[there, witness])
    events = trial.ledger.pass_time(days=10)
    assert [event.type for event in events] == ["trial.ethics_expired"]
    trial.ledger.refuse(Code.EXPIRED, trial.enrolment(spid, 1), by=trial.investigator)
    trial.ledger.accept(trial.decision(1), by=trial.committee)
    trial.ledger.accept(trial.enrolment(spid, 1), by=trial.investigator)


@pytest.mark.parametrize("decision", [EthicsDecision.REJECT, EthicsDecision.CONDITIONS])
def test_a_later_decision_takes_an_approval_back(trial: Trial, decision: EthicsDecision) -> None:
    spid = trial.consented()
    trial.ledger.accept(trial.decision(1, decision), by=trial.committee)
    trial.ledger.refuse(Code.STATE, trial.enrolment(spid, 1), by=trial.investigator)
    assert trial.ledger.state.spaces["due"] == {}
    assert trial.ledger.pass_time(days=200) == ()


def test_an_approval_ends_at_its_exact_time(trial: Trial) -> None:
    trial.ledger.accept(trial.decision(1, days=5), by=trial.committee)
    answer = trial.ledger.query("trial.approval", study=trial.study, site=trial.site.id)
    assert isinstance(answer, ApprovalAnswer)
    spid = trial.consented()
    remaining = answer.valid_until_ms - trial.ledger.time_ms
    assert 0 < remaining < 5 * DAY_MS
    at_end = trial.ledger.tx(trial.enrolment(spid, 1), by=trial.investigator)
    assert trial.ledger.block(at_end, after_ms=remaining)[0].code == Code.EXPIRED


def test_a_substantial_amendment_needs_approval_and_a_new_form(trial: Trial) -> None:
    spid = trial.consented()
    enrol = trial.enrolment(spid, 1)
    both = [trial.investigator, trial.nurse]
    with_committee = [trial.sponsor, *trial.committee]
    trial.ledger.accept(trial.amendment(2, AmendmentKind.SUBSTANTIAL), by=trial.sponsor)
    assert trial.ledger.event_types() == ["trial.amended", "trial.reconsent_due"]
    trial.ledger.refuse(Code.VERSION, enrol, by=trial.investigator)
    trial.ledger.refuse(Code.VERSION, trial.form(2, 1), by=with_committee)
    trial.ledger.accept(trial.form(2, 2), by=with_committee)
    trial.ledger.refuse(Code.VERSION, enrol, by=trial.investigator)
    trial.ledger.refuse(Code.STATE, trial.consent(spid, cver=2), by=both)
    trial.ledger.accept(trial.decision(2), by=trial.committee)
    trial.ledger.accept(trial.consent(spid, cver=2), by=both)
    trial.ledger.accept(enrol, by=trial.investigator)


def test_an_editorial_amendment_stands_on_the_approval_it_edits(trial: Trial) -> None:
    spid = trial.consented()
    trial.ledger.accept(trial.amendment(2, AmendmentKind.EDITORIAL), by=trial.sponsor)
    trial.ledger.accept(trial.enrolment(spid, 1), by=trial.investigator)


def test_amendments_come_one_after_the_other_from_the_sponsor(trial: Trial) -> None:
    op = trial.amendment(2, AmendmentKind.EDITORIAL)
    trial.ledger.refuse(Code.ROLE, op, by=trial.investigator)
    for version in (1, 3):
        skipped = trial.amendment(version, AmendmentKind.EDITORIAL)
        trial.ledger.refuse(Code.VERSION, skipped, by=trial.sponsor)
    trial.ledger.accept(op, by=trial.sponsor)
    answer = trial.ledger.query("trial.study", study=trial.study)
    assert isinstance(answer, StudyAnswer)
    assert (answer.version, answer.approval_version) == (2, 1)
    assert answer.protocol_hash == some_id("protocol 2")
    assert (answer.sap_hash, answer.primary_outcome_hash) == (some_id("sap"), some_id("outcome"))

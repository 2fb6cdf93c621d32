"""Consent is given to the current form, by the participant, and withdrawn at any time."""

from __future__ import annotations

import pytest

from medquorum.codec import encode
from node.ledger import membership
from node.ledger.codes import Code
from node.ledger.membership import Pause
from node.ledger.roles import Role
from node.ledger.types.trials.bodies import ConsentMode, WithdrawalScope
from node.ledger.types.trials.queries import StudyAnswer, SubjectAnswer
from tests.support.ledger import FAR_MS, some_id
from tests.support.trials import Trial


@pytest.fixture
def trial() -> Trial:
    return Trial()


def test_an_old_form_is_not_signed(trial: Trial) -> None:
    both = [trial.investigator, trial.nurse]
    trial.ledger.accept(trial.form(2, 1), by=[trial.sponsor, *trial.committee])
    trial.ledger.refuse(Code.VERSION, trial.consent(some_id("p"), cver=1), by=both)
    trial.ledger.refuse(Code.VERSION, trial.consent(some_id("p"), cver=3), by=both)
    trial.ledger.accept(trial.consent(some_id("p"), cver=2), by=both)
    again = trial.consent(some_id("p"), cver=2)
    trial.ledger.refuse(Code.DUPLICATE, again, by=both)


def test_a_form_needs_the_committee_and_the_sponsor(trial: Trial) -> None:
    op = trial.form(2, 1)
    trial.ledger.refuse(Code.ROLE, op, by=trial.sponsor)
    trial.ledger.refuse(Code.ROLE, op, by=trial.committee)
    trial.ledger.refuse(Code.QUORUM, op, by=[trial.sponsor, *trial.committee[:2]])
    skipped = trial.form(3, 1)
    trial.ledger.refuse(Code.VERSION, skipped, by=[trial.sponsor, *trial.committee])


def test_a_witness_is_another_person_of_the_site(trial: Trial) -> None:
    op = trial.consent(some_id("p"))
    trial.ledger.refuse(Code.ROLE, op, by=trial.investigator)
    trial.ledger.refuse(Code.ROLE, op, by=trial.nurse)
    second_key = trial.ledger.second_key(trial.investigator)
    trial.ledger.refuse(Code.ROLE, op, by=[trial.investigator, second_key])
    stranger = trial.ledger.person(None, Role.NURSE)
    trial.ledger.refuse(Code.ROLE, op, by=[trial.investigator, stranger])
    trial.ledger.accept(op, by=[trial.investigator, trial.nurse])


def test_a_participant_with_a_key_signs_with_it_and_nobody_for_them(trial: Trial) -> None:
    person = trial.ledger.patient(trial.site)
    own = trial.consent(person.id, mode=ConsentMode.OWN_KEY)
    trial.ledger.refuse(Code.ROLE, own, by=person)
    trial.ledger.refuse(Code.ROLE, own, by=[trial.investigator, trial.nurse])
    other = trial.ledger.patient(trial.site)
    trial.ledger.refuse(Code.ROLE, own, by=[trial.investigator, other])
    witnessed = trial.consent(person.id)
    trial.ledger.refuse(Code.ROLE, witnessed, by=[trial.investigator, trial.nurse])
    trial.ledger.accept(own, by=[trial.investigator, person])


def test_whoever_withdraws_is_neither_enrolled_nor_signed_in_again(trial: Trial) -> None:
    person = trial.keyed()
    trial.ledger.accept(trial.withdrawal(person.id), by=person)
    trial.ledger.refuse(Code.CONSENT, trial.enrolment(person.id, 1), by=trial.investigator)
    trial.ledger.accept(trial.form(2, 1), by=[trial.sponsor, *trial.committee])
    again = trial.consent(person.id, cver=2, mode=ConsentMode.OWN_KEY)
    trial.ledger.refuse(Code.CONSENT, again, by=[trial.investigator, person])


def test_a_withdrawal_holds_for_the_next_operation_of_the_same_block(trial: Trial) -> None:
    person = trial.keyed()
    withdraw = trial.ledger.tx(trial.withdrawal(person.id), by=person)
    enrol = trial.ledger.tx(trial.enrolment(person.id, 1), by=trial.investigator)
    codes = [outcome.code for outcome in trial.ledger.block(withdraw, enrol)]
    assert codes == ["ok", Code.CONSENT]


def test_a_withdrawal_cannot_be_stopped(trial: Trial) -> None:
    person = trial.keyed()
    row = Pause(trial.ledger.height + 1, 0, FAR_MS)
    pause = {membership.PAUSES.key("trials"): encode(row)}
    trial.ledger.state.apply({membership.NAMESPACE: pause})
    trial.ledger.suspend(trial.site)
    trial.ledger.refuse(Code.PAUSED, trial.registration(some_id("x")), by=trial.sponsor)
    trial.ledger.accept(trial.withdrawal(person.id), by=person)


def test_withdrawing_again_is_no_error_and_only_widens(trial: Trial) -> None:
    person = trial.keyed()
    for scope, expected in [
        (WithdrawalScope.DATA_FUTURE, WithdrawalScope.DATA_FUTURE),
        (WithdrawalScope.TREATMENT, WithdrawalScope.DATA_FUTURE),
        (WithdrawalScope.ALL, WithdrawalScope.ALL),
        (WithdrawalScope.ALL, WithdrawalScope.ALL),
    ]:
        trial.ledger.accept(trial.withdrawal(person.id, scope), by=person)
        assert trial.subject(person.id).withdrawn == (expected,)
    assert trial.row().withdrawn == 1


def test_strangers_do_not_withdraw_anybody(trial: Trial) -> None:
    person = trial.keyed()
    op = trial.withdrawal(person.id)
    for stranger in (trial.sponsor, trial.nurse, trial.ledger.person(None, Role.INVESTIGATOR)):
        trial.ledger.refuse(Code.ROLE, op, by=stranger)
    nobody = trial.withdrawal(some_id("nobody"))
    trial.ledger.refuse(Code.NOT_FOUND, nobody, by=trial.investigator)
    trial.ledger.accept(op, by=trial.investigator)


def test_another_site_does_not_take_a_participant_over(trial: Trial) -> None:
    spid = trial.consented()
    elsewhere = trial.ledger.org()
    trial.ledger.accept(trial.decision(1, site=elsewhere), by=trial.committee)
    trial.ledger.accept(trial.form(2, 1), by=[trial.sponsor, *trial.committee])
    people = [
        trial.ledger.person(elsewhere, Role.INVESTIGATOR),
        trial.ledger.person(elsewhere, Role.NURSE),
    ]
    op = trial.consent(spid, cver=2, site=elsewhere)
    trial.ledger.refuse(Code.ORG, op, by=people)


def test_enrolment_counts_per_stratum_and_stops_at_the_target(trial: Trial) -> None:
    first, second, third, fourth = (trial.consented() for _ in range(4))
    who = trial.investigator
    trial.ledger.refuse(Code.CONSENT, trial.enrolment(some_id("nobody"), 1), by=who)
    trial.ledger.refuse(Code.SCHEMA, trial.enrolment(first, 1, stratum=2), by=who)
    trial.ledger.refuse(Code.CONFLICT, trial.enrolment(first, 2), by=who)
    trial.ledger.accept(trial.enrolment(first, 1), by=who)
    trial.ledger.refuse(Code.DUPLICATE, trial.enrolment(first, 2), by=who)
    trial.ledger.refuse(Code.CONFLICT, trial.enrolment(second, 1), by=who)
    trial.ledger.accept(trial.enrolment(second, 2), by=who)
    trial.ledger.accept(trial.enrolment(third, 1, stratum=1), by=who)
    trial.ledger.refuse(Code.LIMIT, trial.enrolment(fourth, 3), by=who)
    answer = trial.ledger.query("trial.study", study=trial.study)
    assert isinstance(answer, StudyAnswer)
    assert (answer.consented, answer.enrolled, answer.strata) == (4, 3, (2, 1))


def test_only_the_sites_investigator_enrols(trial: Trial) -> None:
    spid = trial.consented()
    op = trial.enrolment(spid, 1)
    for stranger in (trial.nurse, trial.sponsor, trial.ledger.person(None, Role.INVESTIGATOR)):
        trial.ledger.refuse(Code.ROLE, op, by=stranger)


def test_no_answer_about_a_subject_can_name_an_arm(trial: Trial) -> None:
    spid = trial.enrolled()
    answer = trial.ledger.query("trial.subject", study=trial.study, spid=spid)
    assert isinstance(answer, SubjectAnswer)
    assert not [name for name in answer.__struct_fields__ if "arm" in name]
    assert (answer.seq, answer.stratum, answer.mode) == (1, 0, "witnessed")

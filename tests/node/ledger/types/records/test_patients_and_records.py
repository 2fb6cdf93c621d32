"""Pseudonyms, anchors and amendments on a running ledger."""

from __future__ import annotations

import pytest

from node.ledger.codes import OK, Code
from node.ledger.roles import Role
from node.ledger.types.records.bodies import RegisterPatient, SetPolicy
from node.ledger.types.records.classes import Confidentiality
from node.ledger.types.records.rows import COMMITMENTS, PATIENTS, RECORDS, VERSIONS
from node.ledger.types.records.terms import (
    AmendReason,
    DefaultPolicy,
    RecordStatus,
    VersionKind,
)
from tests.support.ledger import attributes, some_id
from tests.support.records import FORM, Clinic

DENY = DefaultPolicy.DENY
ALL = DefaultPolicy.ALL_NORMAL
C = Confidentiality


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


def registering(clinic: Clinic, pid: bytes) -> RegisterPatient:
    return RegisterPatient(pid, clinic.org.id, DENY, 0, C.N, b"")


def test_a_pseudonym_is_registered_once(clinic: Clinic) -> None:
    again = clinic.op("rec.patient.register", registering(clinic, clinic.pid))
    clinic.ledger.refuse(Code.DUPLICATE, again, by=clinic.registrar)


def test_a_registrar_of_another_hospital_registers_nobody_here(clinic: Clinic) -> None:
    stranger = clinic.ledger.person(clinic.elsewhere, Role.REGISTRAR)
    operation = clinic.op("rec.patient.register", registering(clinic, some_id("new")))
    clinic.ledger.refuse(Code.ROLE, operation, by=stranger)


def test_staff_cannot_be_given_a_patients_say(clinic: Clinic) -> None:
    operation = clinic.op("rec.patient.register", registering(clinic, clinic.porter.id))
    clinic.ledger.refuse(Code.CONFLICT, operation, by=clinic.registrar)


def test_a_patient_of_another_hospital_is_not_registered_under_the_same_pseudonym(
    clinic: Clinic,
) -> None:
    theirs = clinic.ledger.patient(clinic.elsewhere)
    operation = clinic.op("rec.patient.register", registering(clinic, theirs.id))
    clinic.ledger.refuse(Code.CONFLICT, operation, by=clinic.registrar)


def test_the_patient_chooses_the_default_policy(clinic: Clinic) -> None:
    body = SetPolicy(clinic.pid, ALL, 0, C.L, b"")
    clinic.ledger.refuse(Code.ROLE, clinic.op("rec.patient.policy", body), by=clinic.registrar)
    events = clinic.ledger.accept(clinic.op("rec.patient.policy", body), by=clinic.patient)
    assert attributes(events[0]) == {"pid": clinic.pid, "default_policy": "all_normal"}
    row = PATIENTS.get(clinic.ledger.space("records"), clinic.pid)
    assert row is not None
    assert (row.default_policy, row.ceiling, row.break_glass) == (ALL, C.L, 0)


def test_a_patient_without_keys_needs_a_form_and_two_people(clinic: Clinic) -> None:
    pid = clinic.register(some_id("no keys"))
    body = SetPolicy(pid, ALL, 1, C.N, FORM)
    operation = clinic.op("rec.patient.policy", body)
    second = clinic.ledger.second_key(clinic.registrar)
    refuse = clinic.ledger.refuse
    refuse(Code.ROLE, operation, by=clinic.registrar)
    refuse(Code.ROLE, operation, by=[clinic.registrar, second])
    refuse(Code.ROLE, operation, by=[clinic.registrar, clinic.patient])
    refuse(Code.ROLE, operation, by=[clinic.registrar, clinic.consultant])
    refuse(Code.ROLE, operation, by=[clinic.registrar, clinic.org])
    without = clinic.op("rec.patient.policy", SetPolicy(pid, ALL, 1, C.N, b""))
    refuse(Code.SCHEMA, without, by=[clinic.registrar, clinic.porter])
    clinic.ledger.accept(operation, by=[clinic.registrar, clinic.porter])


def test_an_anchor_is_remembered_and_told(clinic: Clinic) -> None:
    body = clinic.anchoring()
    events = clinic.ledger.accept(clinic.op("rec.anchor", body), by=clinic.gateway)
    assert [event.type for event in events] == ["rec.anchored"]
    assert attributes(events[0]) == {
        "rec_id": body.rec_id,
        "pid": clinic.pid,
        "record_class": "observation",
    }
    record = RECORDS.get(clinic.ledger.space("records"), body.rec_id)
    assert record is not None
    assert record.head.version == 1
    assert record.head.author == clinic.gateway.id
    assert record.anchored_ms == clinic.ledger.time_ms


def test_a_commitment_is_used_once(clinic: Clinic) -> None:
    body = clinic.anchor()
    twin = clinic.op("rec.anchor", clinic.anchoring(commitment=body.commitment))
    clinic.ledger.refuse(Code.DUPLICATE, twin, by=clinic.clinician)
    same_id = clinic.op("rec.anchor", clinic.anchoring(rec_id=body.rec_id))
    clinic.ledger.refuse(Code.DUPLICATE, same_id, by=clinic.clinician)
    reused = clinic.amending(body.rec_id, commitment=body.commitment)
    clinic.ledger.refuse(Code.DUPLICATE, clinic.op("rec.amend", reused), by=clinic.clinician)


def test_only_the_hospital_of_the_pseudonym_anchors_under_it(clinic: Clinic) -> None:
    theirs = clinic.op("rec.anchor", clinic.anchoring(custodian=clinic.elsewhere.id))
    clinic.ledger.refuse(Code.ORG, theirs, by=clinic.consultant)
    ours = clinic.op("rec.anchor", clinic.anchoring())
    clinic.ledger.refuse(Code.ROLE, ours, by=clinic.consultant)
    nobody = clinic.op("rec.anchor", clinic.anchoring(pid=some_id("nobody")))
    clinic.ledger.refuse(Code.NOT_FOUND, nobody, by=clinic.clinician)


def test_a_hundred_anchors_in_one_transaction_stand_or_fall_together(clinic: Clinic) -> None:
    bodies = [clinic.anchoring() for _ in range(100)]
    bulk = [clinic.op("rec.anchor", body) for body in bodies]
    spoiled = [*bulk[:-1], bulk[0]]
    clinic.ledger.refuse(Code.DUPLICATE, *spoiled, by=clinic.gateway)
    assert len(clinic.ledger.accept(*bulk, by=clinic.gateway)) == 100
    assert all(COMMITMENTS.has(clinic.ledger.space("records"), one.commitment) for one in bodies)


def test_an_amendment_keeps_the_older_version(clinic: Clinic) -> None:
    anchored = clinic.anchor()
    body = clinic.amending(anchored.rec_id)
    clinic.ledger.accept(clinic.op("rec.amend", body), by=clinic.clinician)
    state = clinic.ledger.space("records")
    record, old = (
        RECORDS.get(state, anchored.rec_id),
        VERSIONS.get(state, anchored.rec_id, 1),
    )
    assert record is not None
    assert old is not None
    assert (record.head.version, record.head.commitment) == (2, body.commitment)
    assert (old.version, old.commitment) == (1, anchored.commitment)


def test_an_amendment_of_a_version_that_is_not_the_newest_is_refused(clinic: Clinic) -> None:
    rec_id = clinic.anchor().rec_id
    clinic.ledger.accept(clinic.op("rec.amend", clinic.amending(rec_id)), by=clinic.clinician)
    for stale in (0, 1, 3):
        operation = clinic.op("rec.amend", clinic.amending(rec_id, stale))
        clinic.ledger.refuse(Code.VERSION, operation, by=clinic.clinician)


def test_of_two_amendments_of_one_version_in_a_block_the_first_wins(clinic: Clinic) -> None:
    rec_id = clinic.anchor().rec_id
    first, second = (
        clinic.ledger.tx(clinic.op("rec.amend", clinic.amending(rec_id)), by=clinic.clinician)
        for _ in range(2)
    )
    outcomes = clinic.ledger.block(first, second)
    assert [outcome.code for outcome in outcomes] == [OK, Code.VERSION]


def test_what_was_entered_in_error_is_hidden_and_final(clinic: Clinic) -> None:
    rec_id = clinic.anchor().rec_id
    error = clinic.amending(
        rec_id,
        kind=VersionKind.ENTERED_IN_ERROR,
        reason=AmendReason.WRONG_PATIENT,
        commitment=b"",
        ct_hash=b"",
        size_bucket=0,
    )
    clinic.ledger.accept(clinic.op("rec.amend", error), by=clinic.clinician)
    record = RECORDS.get(clinic.ledger.space("records"), rec_id)
    assert record is not None
    assert record.status is RecordStatus.ENTERED_IN_ERROR
    again = clinic.op("rec.amend", clinic.amending(rec_id, 2))
    clinic.ledger.refuse(Code.STATE, again, by=clinic.clinician)
    request = clinic.request()
    release = clinic.permit(request.req_id, [rec_id])
    clinic.ledger.refuse(Code.STATE, release, by=clinic.gateway)


def test_another_hospital_does_not_amend(clinic: Clinic) -> None:
    operation = clinic.op("rec.amend", clinic.amending(clinic.anchor().rec_id))
    clinic.ledger.refuse(Code.ROLE, operation, by=clinic.consultant)
    missing = clinic.op("rec.amend", clinic.amending(some_id("no record")))
    clinic.ledger.refuse(Code.NOT_FOUND, missing, by=clinic.clinician)

"""Asking, deciding and receiving on a running ledger: a gateway cannot launder a release."""

from __future__ import annotations

import msgspec
import pytest

from node.ledger.codes import OK, Code
from node.ledger.roles import Role
from node.ledger.types.records.bodies import LogAccess, ReceiveAccess
from node.ledger.types.records.classes import Confidentiality, RecordClass
from node.ledger.types.records.consent import Rule
from node.ledger.types.records.limits import RECORDS_PER_RELEASE_MAX
from node.ledger.types.records.purposes import Purpose
from node.ledger.types.records.releases import released_hash
from node.ledger.types.records.rows import LOG, RECEIPTS, REQUESTS, Basis, LogEntry
from node.ledger.types.records.terms import Decision, DenyReason, RequestState
from tests.support.ledger import BLOCK_MS, attributes, some_id
from tests.support.records import ENVELOPE, Clinic, scope

C = Confidentiality
TTL_MS = 15 * 60 * 1000


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


def logged(clinic: Clinic, req_id: bytes) -> LogEntry:
    entry = LOG.get(clinic.ledger.space("records"), req_id)
    assert entry is not None
    return entry


def state_of(clinic: Clinic, req_id: bytes) -> RequestState:
    row = REQUESTS.get(clinic.ledger.space("records"), req_id)
    assert row is not None
    return row.state


def test_a_release_goes_from_request_to_receipt(clinic: Clinic) -> None:
    grant = clinic.grant()
    records = [clinic.anchor(), clinic.anchor()]
    request = clinic.request(grant_id=grant.grant_id)
    assert clinic.ledger.event_types() == ["rec.access_requested"]
    permit = clinic.permit(request.req_id, [one.rec_id for one in records])
    events = clinic.ledger.accept(permit, by=clinic.gateway)
    assert attributes(events[0]) == {
        "req_id": request.req_id,
        "pid": clinic.pid,
        "actor": clinic.consultant.id,
        "purpose": "treat",
        "records": 2,
    }
    entry = logged(clinic, request.req_id)
    assert entry.bases == (Basis(Rule.GRANT_PERMIT, grant.grant_id),)
    assert entry.envelope_hash == ENVELOPE
    arrived = released_hash([one.ct_hash for one in records])
    receipt = clinic.op("rec.access.receipt", ReceiveAccess(request.req_id, arrived))
    clinic.ledger.refuse(Code.ROLE, receipt, by=clinic.gateway)
    clinic.ledger.accept(receipt, by=clinic.consultant)
    assert clinic.ledger.event_types() == ["rec.access_receipted"]
    assert state_of(clinic, request.req_id) is RequestState.RECEIPTED
    clinic.ledger.refuse(Code.DUPLICATE, receipt, by=clinic.consultant)
    clinic.ledger.accept(clinic.revoking(grant.grant_id), by=clinic.patient)
    assert not clinic.ledger.state.spaces.get("due")


def test_a_permit_fails_once_consent_was_revoked_a_block_earlier(clinic: Clinic) -> None:
    grant, record = clinic.grant(), clinic.anchor()
    request = clinic.request()
    clinic.ledger.accept(clinic.revoking(grant.grant_id), by=clinic.patient)
    permit = clinic.permit(request.req_id, [record.rec_id])
    clinic.ledger.refuse(Code.CONSENT, permit, by=clinic.gateway)
    assert state_of(clinic, request.req_id) is RequestState.PENDING
    clinic.ledger.accept(clinic.deny(request.req_id), by=clinic.gateway)
    assert clinic.ledger.event_types() == ["rec.access_denied"]


def test_a_permit_fails_if_consent_was_revoked_earlier_in_the_block(clinic: Clinic) -> None:
    grant, record = clinic.grant(), clinic.anchor()
    request = clinic.request()
    outcomes = clinic.ledger.block(
        clinic.ledger.tx(clinic.revoking(grant.grant_id), by=clinic.patient),
        clinic.ledger.tx(clinic.permit(request.req_id, [record.rec_id]), by=clinic.gateway),
    )
    assert [outcome.code for outcome in outcomes] == [OK, Code.CONSENT]


def test_consent_holds_until_the_block_before_its_end(clinic: Clinic) -> None:
    record = clinic.anchor()
    end = clinic.ledger.time_ms + 6 * BLOCK_MS
    clinic.grant(not_after_ms=end)
    early, late = clinic.request(), clinic.request()
    clinic.ledger.pass_time(ms=end - clinic.ledger.time_ms - BLOCK_MS - 1)
    clinic.ledger.accept(clinic.permit(early.req_id, [record.rec_id]), by=clinic.gateway)
    assert clinic.ledger.time_ms == end - 1
    outcome = clinic.ledger.block(
        clinic.ledger.tx(clinic.permit(late.req_id, [record.rec_id]), by=clinic.gateway), after_ms=1
    )[0]
    assert clinic.ledger.time_ms == end
    assert outcome.code == Code.CONSENT


def test_every_record_of_a_release_is_consented_to(clinic: Clinic) -> None:
    clinic.grant()
    good, secret = clinic.anchor(), clinic.anchor(confidentiality=C.R)
    request = clinic.request()
    permit = clinic.permit(request.req_id, [good.rec_id, secret.rec_id])
    clinic.ledger.refuse(Code.CONSENT, permit, by=clinic.gateway)


def test_treatment_is_not_covered_by_a_research_grant(clinic: Clinic) -> None:
    about = scope(purposes=(Purpose.HRESCH,), grantee_org=clinic.elsewhere.id)
    clinic.grant(about=about)
    permit = clinic.permit(clinic.request().req_id, [clinic.anchor().rec_id])
    clinic.ledger.refuse(Code.CONSENT, permit, by=clinic.gateway)


def test_a_release_stays_within_the_classes_asked_for(clinic: Clinic) -> None:
    clinic.grant(
        about=scope(grantee_org=clinic.elsewhere.id, classes=tuple(RecordClass)),
    )
    note = clinic.anchor(record_class=RecordClass.CLINICAL_NOTE, fhir_type="composition")
    request = clinic.request()
    permit = clinic.permit(request.req_id, [note.rec_id])
    clinic.ledger.refuse(Code.SCOPE, permit, by=clinic.gateway)


def test_a_role_asks_for_what_it_needs(clinic: Clinic) -> None:
    clerk = clinic.ledger.person(clinic.elsewhere, Role.BILLING)
    beyond = [
        clinic.requesting(role="billing", classes=(RecordClass.CLINICAL_NOTE,)),
        clinic.requesting(role="billing", classes=(RecordClass.BILLING,)),
        clinic.requesting(
            role="billing",
            purpose=Purpose.HPAYMT,
            classes=(RecordClass.BILLING, RecordClass.OBSERVATION),
        ),
    ]
    for body in beyond:
        clinic.ledger.refuse(Code.SCOPE, clinic.op("rec.access.request", body), by=clerk)
    broken = clinic.requesting(purpose=Purpose.BTG)
    clinic.ledger.refuse(Code.SCOPE, clinic.op("rec.access.request", broken), by=clinic.consultant)
    clinic.request(clerk, role="billing", purpose=Purpose.HPAYMT, classes=(RecordClass.BILLING,))


def test_administrators_do_not_ask_for_records(clinic: Clinic) -> None:
    body = clinic.requesting(role="org_admin")
    clinic.ledger.refuse(Code.ROLE, clinic.op("rec.access.request", body), by=clinic.elsewhere)


def test_nobody_asks_on_behalf_of_a_suspended_organisation(clinic: Clinic) -> None:
    visited = clinic.ledger.org()
    clinic.ledger.grant(clinic.consultant, Role.CLINICIAN, scope=visited.id)
    operation = clinic.op("rec.access.request", clinic.requesting(org=visited.id))
    clinic.ledger.suspend(visited)
    clinic.ledger.refuse(Code.ORG, operation, by=clinic.consultant)


def test_a_request_names_a_living_grant_or_none(clinic: Clinic) -> None:
    body = clinic.requesting(grant_id=some_id("none"))
    operation = clinic.op("rec.access.request", body)
    clinic.ledger.refuse(Code.NOT_FOUND, operation, by=clinic.consultant)
    twice = clinic.op("rec.access.request", clinic.request())
    clinic.ledger.refuse(Code.DUPLICATE, twice, by=clinic.consultant)


def test_a_request_expires_undecided(clinic: Clinic) -> None:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    events = clinic.ledger.pass_time(ms=TTL_MS)
    assert [event.type for event in events] == ["rec.access_expired"]
    permit = clinic.permit(request.req_id, [record.rec_id])
    clinic.ledger.refuse(Code.EXPIRED, permit, by=clinic.gateway)
    clinic.ledger.refuse(Code.EXPIRED, clinic.deny(request.req_id), by=clinic.gateway)


def test_a_request_is_decided_too_late_in_the_very_block_that_expires_it(clinic: Clinic) -> None:
    request = clinic.request()
    late = clinic.ledger.tx(clinic.deny(request.req_id), by=clinic.gateway)
    assert clinic.ledger.block(late, after_ms=TTL_MS)[0].code == Code.EXPIRED


def test_a_request_is_decided_once(clinic: Clinic) -> None:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    clinic.ledger.accept(clinic.deny(request.req_id), by=clinic.gateway)
    permit = clinic.permit(request.req_id, [record.rec_id])
    clinic.ledger.refuse(Code.STATE, permit, by=clinic.gateway)
    clinic.ledger.refuse(Code.STATE, clinic.deny(request.req_id), by=clinic.gateway)
    assert clinic.ledger.pass_time(days=1) == ()


def test_only_the_gateway_of_the_custodian_decides(clinic: Clinic) -> None:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    theirs = clinic.ledger.person(clinic.elsewhere, Role.CUSTODIAN_GATEWAY)
    for operation in (clinic.permit(request.req_id, [record.rec_id]), clinic.deny(request.req_id)):
        for other in (theirs, clinic.clinician, clinic.consultant, clinic.org):
            clinic.ledger.refuse(Code.ROLE, operation, by=other)


def test_a_log_entry_names_records_of_the_patient(clinic: Clinic) -> None:
    clinic.grant()
    request = clinic.request()
    other = clinic.anchor(clinic.register(some_id("another patient")))
    for foreign in (other.rec_id, some_id("no record")):
        permit = clinic.permit(request.req_id, [foreign])
        clinic.ledger.refuse(Code.NOT_FOUND, permit, by=clinic.gateway)
    unasked = clinic.permit(some_id("no request"), [other.rec_id])
    clinic.ledger.refuse(Code.NOT_FOUND, unasked, by=clinic.gateway)


def test_a_log_entry_is_well_formed(clinic: Clinic) -> None:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    good = LogAccess(request.req_id, Decision.PERMIT, DenyReason.NONE, (record.rec_id,), ENVELOPE)
    too_many = tuple(some_id(str(number)) for number in range(RECORDS_PER_RELEASE_MAX + 1))
    for changes in (
        {"records": ()},
        {"records": (record.rec_id, record.rec_id)},
        {"records": too_many},
        {"envelope_hash": b""},
        {"deny_reason": DenyReason.NOT_HELD},
        {"decision": Decision.DENY},
        {"decision": Decision.DENY, "deny_reason": DenyReason.NOT_HELD},
        {"decision": Decision.DENY, "envelope_hash": b""},
    ):
        body = msgspec.structs.replace(good, **changes)
        clinic.ledger.refuse(Code.SCHEMA, clinic.op("rec.access.log", body), by=clinic.gateway)
    clinic.ledger.accept(clinic.op("rec.access.log", good), by=clinic.gateway)


def test_a_requester_who_lost_the_role_gets_nothing(clinic: Clinic) -> None:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    permit = clinic.permit(request.req_id, [record.rec_id])
    clinic.ledger.ungrant(clinic.consultant, Role.CLINICIAN)
    clinic.ledger.refuse(Code.ROLE, permit, by=clinic.gateway)
    clinic.ledger.grant(clinic.consultant, Role.CLINICIAN)
    clinic.ledger.suspend(clinic.elsewhere)
    clinic.ledger.refuse(Code.ORG, permit, by=clinic.gateway)


def test_a_patient_sees_their_own_records_whatever_they_denied(clinic: Clinic) -> None:
    clinic.grant(Decision.DENY, scope(purposes=(Purpose.PURPOSE_OF_USE,)))
    record = clinic.anchor()
    own = {"org": clinic.org.id, "role": "patient", "purpose": Purpose.PATRQT}
    body = clinic.requesting(**own)
    clinic.ledger.refuse(Code.ROLE, clinic.op("rec.access.request", body), by=clinic.consultant)
    request = clinic.request(clinic.patient, **own)
    clinic.ledger.accept(clinic.permit(request.req_id, [record.rec_id]), by=clinic.gateway)
    assert logged(clinic, request.req_id).bases == (Basis(Rule.OWN_RECORD, b""),)


def test_what_arrived_wrong_is_recorded_and_told(clinic: Clinic) -> None:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    receipt = clinic.op("rec.access.receipt", ReceiveAccess(request.req_id, some_id("other")))
    clinic.ledger.refuse(Code.STATE, receipt, by=clinic.consultant)
    clinic.ledger.accept(clinic.permit(request.req_id, [record.rec_id]), by=clinic.gateway)
    clinic.ledger.accept(receipt, by=clinic.consultant)
    assert clinic.ledger.event_types() == ["rec.receipt_mismatch"]
    row = RECEIPTS.get(clinic.ledger.space("records"), request.req_id)
    assert row is not None
    assert row.matches == 0


def test_a_missing_receipt_is_told_and_still_welcome_later(clinic: Clinic) -> None:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    clinic.ledger.accept(clinic.permit(request.req_id, [record.rec_id]), by=clinic.gateway)
    events = clinic.ledger.pass_time(hours=1)
    assert [event.type for event in events] == ["rec.receipt_missing"]
    arrived = ReceiveAccess(request.req_id, released_hash([record.ct_hash]))
    clinic.ledger.accept(clinic.op("rec.access.receipt", arrived), by=clinic.consultant)
    assert clinic.ledger.event_types() == ["rec.access_receipted"]


def test_a_release_names_the_version_that_was_newest(clinic: Clinic) -> None:
    clinic.grant()
    record, request = clinic.anchor(), clinic.request()
    newer = clinic.amending(record.rec_id)
    clinic.ledger.accept(clinic.op("rec.amend", newer), by=clinic.clinician)
    clinic.ledger.accept(clinic.permit(request.req_id, [record.rec_id]), by=clinic.gateway)
    entry = logged(clinic, request.req_id)
    assert [released.version for released in entry.records] == [2]
    assert entry.released_hash == released_hash([newer.ct_hash])


def test_releasing_the_most_records_at_once_works(clinic: Clinic) -> None:
    clinic.grant()
    bodies = [clinic.anchoring() for _ in range(RECORDS_PER_RELEASE_MAX)]
    for start in (0, 128):
        chunk = bodies[start : start + 128]
        clinic.ledger.accept(*(clinic.op("rec.anchor", one) for one in chunk), by=clinic.gateway)
    request = clinic.request()
    permit = clinic.permit(request.req_id, [one.rec_id for one in bodies])
    clinic.ledger.accept(permit, by=clinic.gateway)
    assert len(logged(clinic, request.req_id).records) == RECORDS_PER_RELEASE_MAX
